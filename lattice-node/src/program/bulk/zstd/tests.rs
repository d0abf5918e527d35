//! Data of the reference implementation, damaged data, and memory.

use std::io::{self, Read};

use super::{Decoder, Frame, MAX_BLOCK_BYTES};

const FAST: &[u8] = include_bytes!("../../../../tests/zstd/fast.zst");
const BEST: &[u8] = include_bytes!("../../../../tests/zstd/best.zst");
const STREAM: &[u8] = include_bytes!("../../../../tests/zstd/stream.zst");
const ZEROS: &[u8] = include_bytes!("../../../../tests/zstd/zeros.zst");
const EMPTY: &[u8] = include_bytes!("../../../../tests/zstd/empty.zst");

/// Lines of words that a linear congruential generator chooses.
fn text(lines: usize) -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "apple", "pear", "plum", "quince", "fig", "date", "lime", "kiwi", "melon", "grape",
        "peach", "mango", "olive", "cherry", "lemon", "berry",
    ];
    let mut state = 12345_u32;
    let mut text = String::new();
    for line in 0..lines {
        let mut word = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            WORDS[usize::try_from(state >> 28).unwrap()]
        };
        let words: Vec<_> = (0..6).map(|_| word()).collect();
        text.push_str(&format!("{line}\t{}\n", words.join(" ")));
    }
    text.into_bytes()
}

fn read(data: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    Decoder::new(data).read_to_end(&mut out)?;
    Ok(out)
}

#[test]
fn data_of_the_reference_implementation_is_read() {
    assert!(read(FAST).unwrap() == text(3500));
    assert!(read(BEST).unwrap() == text(3500));
    assert!(read(STREAM).unwrap() == text(40));
    assert!(read(ZEROS).unwrap() == vec![0; 300_000]);
    assert!(read(EMPTY).unwrap().is_empty());
}

#[test]
fn frames_follow_each_other_and_others_are_skipped() {
    let skipped = b"\x5f\x2a\x4d\x18\x03\0\0\0abc";
    let all = [&skipped[..], STREAM, EMPTY, skipped, STREAM, skipped].concat();
    assert!(read(&all).unwrap() == [text(40), text(40)].concat());
    for behind in [&b"x"[..], b"more", &skipped[..9]] {
        assert!(read(&[STREAM, behind].concat()).is_err());
    }
}

#[test]
fn every_cut_is_an_error() {
    for data in [STREAM, ZEROS, EMPTY] {
        for cut in 1..data.len() {
            let error = read(&data[..cut]).unwrap_err();
            let is_cut = matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData
            );
            assert!(is_cut, "{cut}: {error}");
        }
    }
}

#[test]
fn damage_never_panics_and_is_noticed() {
    let whole = text(40);
    for place in 0..STREAM.len() {
        for bit in 0..8 {
            let mut damaged = STREAM.to_vec();
            damaged[place] ^= 1 << bit;
            // A larger window does no harm.
            if let Ok(read) = read(&damaged) {
                assert!(read == whole, "byte {place}, bit {bit}");
            }
        }
    }
    // Without a checksum damage can look like other data; it still ends.
    for place in (0..BEST.len()).step_by(97) {
        let mut damaged = BEST.to_vec();
        damaged[place] ^= 0x55;
        let _ = read(&damaged);
    }
}

#[test]
fn unusual_files_are_refused_with_a_way_to_import_them() {
    // A window of 2 GiB; a dictionary.
    let window = read(b"\x28\xb5\x2f\xfd\x00\xa8\x01\0\0").unwrap_err();
    assert!(window.to_string().contains("--long=31"), "{window}");
    let dictionary = read(b"\x28\xb5\x2f\xfd\x21\x07\x00\x01\0\0").unwrap_err();
    assert!(
        dictionary.to_string().contains("-D DICTIONARY"),
        "{dictionary}"
    );
    for error in [window, dictionary] {
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    }
}

/// A block whose sequences ask for gigabytes: all codes are the longest ones.
fn bomb() -> Vec<u8> {
    let sequences = 60_000_usize;
    let mut block = vec![0b0000_1000, b'x'];
    let count = u16::try_from(sequences - 0x7f00).unwrap();
    block.push(255);
    block.extend(count.to_le_bytes());
    // One symbol each: no literals, the last offset, the longest copies.
    block.extend([0b0101_0100, 0, 0, 52]);
    block.extend(vec![0xff; 2 * sequences]);
    let header = u32::try_from(block.len() << 3 | 0b101)
        .unwrap()
        .to_le_bytes();
    [&b"\x28\xb5\x2f\xfd\x00\x40"[..], &header[..3], &block].concat()
}

#[test]
fn a_block_never_has_more_than_its_share() {
    let error = read(&bomb()).unwrap_err();
    assert!(
        error.to_string().contains("a block has too much data"),
        "{error}"
    );
}

#[test]
fn memory_is_bounded_by_the_window() {
    // Blocks of one repeated byte, in a window of 1 MiB.
    let length = u32::try_from(MAX_BLOCK_BYTES).unwrap();
    let header = (length << 3 | 0b010).to_le_bytes();
    let block = [header[0], header[1], header[2], b'x'];
    let blocks = block.repeat(400);
    let mut data = &[&b"\x00\x50"[..], &blocks].concat()[..];
    let mut frame = Frame::begin(&mut data).unwrap();
    for _ in 0..400 {
        frame.next_block(&mut data).unwrap();
        assert_eq!(frame.data.len() - frame.read, MAX_BLOCK_BYTES);
        assert!(frame.data.capacity() <= (3 << 19) + 2 * MAX_BLOCK_BYTES);
    }
}
