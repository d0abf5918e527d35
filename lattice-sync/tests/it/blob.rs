//! Code from a peer.

use lattice_meta::{Cid, CidHash};
use lattice_sync::Event;
use lattice_sync::host::Input;

use crate::desk::{Desk, meet, talk};

/// The digest of the content by another implementation of SHA-256.
const SHA256: &[u8] = b"9df2f58a14955e91f4e249766b47c1d8866f59ee2093eb79face489d837766b1";

#[test]
fn a_blob_of_several_parts_comes_whole_by_either_hash() {
    let content: Vec<u8> = (0..175_000_u32).flat_map(u32::to_le_bytes).collect();
    let digest = data_encoding::HEXLOWER.decode(SHA256).unwrap();
    let sha256 = Cid::from_digest(CidHash::Sha256, digest.try_into().unwrap());
    for cid in [Cid::of(&content), sha256] {
        let (mut one, mut two) = (Desk::new(0, |_| ()), Desk::new(1, |_| ()));
        two.blob = content.clone();
        meet(&mut one, &mut two);
        let (session, max_bytes) = (one.session(), 1 << 20);
        one.input(Input::Fetch {
            session,
            cid,
            max_bytes,
        });
        let (messages, _) = talk(&mut one, &mut two);
        let mut got: Vec<u8> = Vec::new();
        for event in &one.events {
            if let Event::BlobPart { bytes, .. } = event {
                got.extend(bytes);
            }
        }
        assert!(got == content, "{cid}");
        assert!(one.events.contains(&Event::BlobWhole { session, cid }));
        // 700,000 bytes are three parts, each asked for.
        assert_eq!(messages, 6);
    }
}
