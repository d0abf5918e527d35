//! Data of the reference implementation, damaged data, and memory.

use std::io::{self, Read};

use super::Decoder;

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
fn errors_name_what_is_wrong() {
    let mut checksum = STREAM.to_vec();
    *checksum.last_mut().unwrap() ^= 1;
    // The length of `FAST` has three bytes from the sixth on.
    let mut length = FAST.to_vec();
    length[5] ^= 1;
    for (data, what) in [
        (&checksum[..], "its checksum differs"),
        (&length, "its length is not"),
        (&[STREAM, b"more"].concat(), "no frame follow"),
        (&STREAM[..STREAM.len() - 2], "it ends within a frame"),
        (&STREAM[..3], "it ends within a frame"),
        (
            &b"\x28\xb5\x2f\xfd\x00\x40\x07\0\0"[..],
            "damaged zstd data: ",
        ),
    ] {
        let error = read(data).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        assert!(error.to_string().contains(what), "{error}");
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

/// The start of a stream; then a panic, in place of one of the decoder, or an error.
struct Breaks(&'static [u8], Option<io::ErrorKind>);

impl Read for Breaks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match (self.0.read(buffer)?, self.1) {
            (0, None) => panic!("no more"),
            (0, Some(kind)) => Err(io::Error::new(kind, "the disk is gone")),
            (count, _) => Ok(count),
        }
    }
}

#[test]
fn a_panic_is_an_error_and_an_error_of_the_input_stays_one() {
    for cut in [3, 10, STREAM.len() - 1] {
        let read = |kind| Decoder::new(Breaks(&STREAM[..cut], kind)).read_to_end(&mut Vec::new());
        let panicked = read(None).unwrap_err();
        assert!(
            panicked
                .to_string()
                .contains("zstd data: the decoder panicked")
        );
        assert_eq!(panicked.kind(), io::ErrorKind::InvalidData);
        let failed = read(Some(io::ErrorKind::TimedOut)).unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
        assert_eq!(failed.to_string(), "the disk is gone");
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
    block.push(1);
    let header = u32::try_from(block.len() << 3 | 0b101)
        .unwrap()
        .to_le_bytes();
    let before = [&[0x40, 0, 0][..], b"xxxxxxxx"].concat();
    [
        b"\x28\xb5\x2f\xfd\x00\x40",
        &before[..],
        &header[..3],
        &block,
    ]
    .concat()
}

#[test]
fn a_block_with_too_many_copies_is_refused() {
    let error = read(&bomb()).unwrap_err();
    let found = error.to_string();
    assert!(found.contains("damaged zstd data: "), "{found}");
    assert!(found.contains("131072"), "{found}");
}

#[test]
fn little_data_that_unpacks_to_much_is_read_block_by_block() {
    // 400 blocks in a window of 1 MiB: one repeated byte each, 128 KiB of it as the format allows,
    // or 1 MiB of literals, which it does not.
    let repeated = [&[0x02, 0x00, 0x10][..], b"x"].concat();
    let literals = [&[0x2c, 0x00, 0x00][..], &[0xfd, 0xff, 0xff, b'x', 0]].concat();
    for (block, bytes) in [(repeated, 128 << 10), (literals, (1 << 20) - 1)] {
        let data = [
            &b"\x28\xb5\x2f\xfd\x00\x50"[..],
            &block.repeat(400),
            &[1, 0, 0],
        ]
        .concat();
        let mut decoder = Decoder::new(&data[..]);
        let mut buffer = vec![0; 4 << 10];
        let mut length = 0;
        loop {
            let count = decoder.read(&mut buffer).unwrap();
            if count == 0 {
                break;
            }
            assert!(buffer[..count].iter().all(|byte| *byte == b'x'));
            length += count;
            let (frame, _) = decoder.frame.as_ref().unwrap();
            // At the end the window is left.
            assert!(frame.can_collect() <= bytes.max(1 << 20) + bytes);
            assert!(frame.is_finished() || frame.can_collect() <= bytes);
        }
        assert_eq!(length, 400 * bytes);
    }
}
