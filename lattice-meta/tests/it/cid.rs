//! Content ids, compared with what the package `cid` makes of the same bytes.

use lattice_meta::{Cid, CidError, CidHash};
use proptest::prelude::*;

const RAW: u64 = 0x55;

fn theirs(hash: u64, digest: &[u8]) -> cid::Cid {
    cid::Cid::new_v1(RAW, cid::multihash::Multihash::wrap(hash, digest).unwrap())
}

proptest! {
    #[test]
    fn ids_equal_those_of_the_cid_crate(digest: [u8; 32], is_blake3: bool) {
        let (hash, code) = match is_blake3 {
            true => (CidHash::Blake3, 0x1e),
            false => (CidHash::Sha256, 0x12),
        };
        let (ours, theirs) = (Cid::from_digest(hash, digest), theirs(code, &digest));
        prop_assert_eq!(ours.to_bytes().to_vec(), theirs.to_bytes());
        prop_assert_eq!(ours.to_string(), theirs.to_string());
        prop_assert_eq!(ours.to_string().len(), 59);
        prop_assert_eq!(theirs.to_string().parse::<Cid>().unwrap(), ours);
        prop_assert_eq!(Cid::from_bytes(&theirs.to_bytes()).unwrap(), ours);
    }

    #[test]
    fn a_text_is_refused_or_is_canonical(text in "b?[a-z2-7A-Z0=]{57,60}") {
        if let Ok(id) = text.parse::<Cid>() {
            prop_assert_eq!(id.to_string(), text);
        }
    }

    #[test]
    fn a_changed_byte_is_refused_or_gives_a_different_id(digest: [u8; 32], at in 0..36_usize, bit in 0..8_u8) {
        let id = Cid::from_digest(CidHash::Blake3, digest);
        let mut bytes = id.to_bytes();
        bytes[at] ^= 1 << bit;
        match Cid::from_bytes(&bytes) {
            Ok(other) => prop_assert!(at >= 4 && other != id),
            Err(CidError::Unsupported { found }) => prop_assert_eq!(&found[..], &bytes[..4]),
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}

/// The hashes are those of `printf "" | b3sum`, and of `sha256sum` of "" and "code".
#[test]
fn content_ids_equal_those_of_other_programs() {
    for (text, content, hash) in [
        (
            "bafkr4ifpcne3t5pzugtkaqcn5i3nzskjtpfslsnnyejlpte2spfoihzsmi",
            "",
            CidHash::Blake3,
        ),
        (
            "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
            "",
            CidHash::Sha256,
        ),
        (
            "bafkreicwstiiulst77fobqyqhznnn5qhnk6zmdvr7cswk5yebpaqfd3qfm",
            "code",
            CidHash::Sha256,
        ),
    ] {
        let id: Cid = text.parse().unwrap();
        assert_eq!(id.hash(), hash);
        assert!(id.is_of(content.as_bytes()) && !id.is_of(b"other"));
    }
    assert_eq!(Cid::of(b"").hash(), CidHash::Blake3);
    assert!(Cid::of(b"").is_of(b""));
}

#[test]
fn other_forms_are_refused_with_what_was_found() {
    let id = Cid::of(b"code").to_string();
    let refusal = |text: &str| text.parse::<Cid>().unwrap_err();
    assert_eq!(refusal("../x"), CidError::Length { found: 4 });
    assert_eq!(refusal(&id.to_uppercase()), CidError::Base32 { offset: 0 });
    assert_eq!(
        refusal(&format!("b{}", id[1..].to_uppercase())),
        CidError::Base32 { offset: 1 }
    );
    assert_eq!(
        refusal(&id.replace('b', "z")),
        CidError::Base32 { offset: 0 }
    );
    // Of the last character one bit counts.
    let loose = format!("{}z", &id[..58]);
    assert_eq!(refusal(&loose), CidError::Base32 { offset: 58 });
    // The identity hash, and a directory.
    for (content, hash, digest) in [(RAW, 0x00, 32), (0x70, 0x12, 32), (RAW, 0x1e, 20)] {
        let digest = vec![7; digest];
        let hash = cid::multihash::Multihash::wrap(hash, &digest).unwrap();
        let bytes = cid::Cid::new_v1(content, hash).to_bytes();
        assert!(Cid::from_bytes(&bytes).is_err(), "{bytes:02x?}");
    }
}
