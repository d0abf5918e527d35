//! Ops as bytes.

use std::sync::LazyLock;

use lattice_backend::op::{
    BranchTips, MAX_DEPS, MAX_OP_BYTES, Op, OpDraft, OpError, OpKind, OpRef, SecretKey,
    SignatureError,
};
use lattice_meta::{Hlc, OpId, PubKey};
use proptest::prelude::*;

use crate::support::*;

const FIXED: usize = 1 + 1 + 16 + 32 + 8 + 32 + 8;

fn draft(payload: &[u8]) -> OpDraft<'_> {
    OpDraft {
        kind: OpKind::Application,
        seq: 1,
        prev: OpId::from_bytes([4; 32]),
        hlc: Hlc::from_u64(77),
        deps: vec![dep(1), dep(2)],
        payload,
    }
}

fn dep(nth: u64) -> OpRef {
    OpRef {
        author: PubKey::from_bytes([9; 32]),
        seq: nth,
        id: OpId::from_bytes([8; 32]),
    }
}

fn sign(draft: OpDraft<'_>) -> Result<Op, OpError> {
    draft.sign(&hasher(), &owner())
}

prop_compose! {
    fn any_ref()(author: [u8; 32], seq: u64, id: [u8; 32]) -> OpRef {
        OpRef { author: PubKey::from_bytes(author), seq, id: OpId::from_bytes(id) }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn decode_from_their_bytes(
        merge: bool,
        seq in prop_oneof![Just(0), Just(1), Just(u64::MAX), any::<u64>()],
        prev in prop::array::uniform32(1_u8..),
        hlc: u64,
        deps in prop::collection::btree_set(any_ref(), 0..5),
        payload in prop::collection::vec(any::<u8>(), 0..200),
        secret: [u8; 32],
    ) {
        let payload = if merge { Vec::new() } else { payload };
        let draft = OpDraft {
            kind: if merge { OpKind::Merge } else { OpKind::Application },
            seq,
            prev: if seq == 0 { OpId::ZERO } else { OpId::from_bytes(prev) },
            hlc: Hlc::from_u64(hlc),
            deps: deps.into_iter().collect(),
            payload: &payload,
        };
        let secret = SecretKey::from_bytes(&secret);
        let op = draft.clone().sign(&hasher(), &secret).unwrap();
        let read = Op::decode(op.bytes().to_vec(), &hasher()).unwrap();
        prop_assert_eq!(&read, &op);
        read.verify().unwrap();
        prop_assert_eq!(read.kind(), draft.kind);
        prop_assert_eq!(read.reference().author, secret.public());
        prop_assert_eq!(read.reference().seq, seq);
        prop_assert_eq!(read.hlc(), draft.hlc);
        prop_assert_eq!(read.deps(), &draft.deps[..]);
        prop_assert_eq!(read.payload(), &payload[..]);
        prop_assert_eq!(read.view(at(0)).payload, &payload[..]);
        prop_assert_eq!(read.prev().map(|prev| prev.id), (seq > 0).then_some(draft.prev));
        let prev = read.prev();
        prop_assert!(prev.is_none_or(|prev| prev.seq == seq - 1 && prev.author == secret.public()));
        prop_assert_eq!(read.parents().count(), draft.deps.len() + usize::from(seq > 0));
        prop_assert_eq!(OpRef::from_key(&read.reference().to_key()), Some(read.reference()));
    }

    #[test]
    fn do_not_decode_from_random_bytes(mut bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Op::decode(bytes.clone(), &hasher()).is_err());
        // Nor after a valid first byte.
        if let Some(first) = bytes.first_mut() {
            *first = 1;
        }
        prop_assert!(Op::decode(bytes.clone(), &hasher()).is_err());
        let tail = [&sign(draft(b"payload")).unwrap().bytes()[..FIXED], &bytes].concat();
        prop_assert!(Op::decode(tail, &hasher()).is_err());
    }

    #[test]
    fn references_sort_like_their_keys(left in any_ref(), right in any_ref()) {
        prop_assert_eq!(left.cmp(&right), left.to_key().cmp(&right.to_key()));
    }
}

#[test]
fn are_refused_with_any_bit_changed() {
    let op = sign(draft(b"payload")).unwrap();
    for place in 0..op.bytes().len() {
        for bit in 0..8 {
            let mut bytes = op.bytes().to_vec();
            bytes[place] ^= 1 << bit;
            let refused = Op::decode(bytes, &hasher()).and_then(|op| Ok(op.verify()?));
            assert!(refused.is_err(), "bit {bit} of byte {place}");
        }
    }
}

#[test]
fn are_refused_truncated_or_extended() {
    let op = sign(draft(b"payload")).unwrap();
    for length in 0..op.bytes().len() {
        assert!(Op::decode(op.bytes()[..length].to_vec(), &hasher()).is_err());
    }
    let longer = [op.bytes(), &[0]].concat();
    assert!(Op::decode(longer, &hasher()).is_err());
}

/// One test for each way in which bytes fail to decode as an op.
mod errors {
    use super::*;

    static OP: LazyLock<Vec<u8>> = LazyLock::new(|| sign(draft(b"payload")).unwrap().into_bytes());

    fn decode(bytes: Vec<u8>) -> OpError {
        Op::decode(bytes, &hasher()).unwrap_err()
    }

    fn changed(place: usize, byte: u8) -> Vec<u8> {
        let mut bytes = OP.clone();
        bytes[place] = byte;
        bytes
    }

    #[test]
    fn lengths() {
        let found = MAX_OP_BYTES + 1;
        assert_eq!(decode(vec![1; found]), OpError::TooLong { found });
        let expected = FIXED + 8 + 8 + 64;
        for found in [0, 1, expected - 1] {
            assert_eq!(
                decode(vec![1; found]),
                OpError::TooShort { expected, found }
            );
        }
        assert!(matches!(decode(vec![1; expected]), OpError::Body(_)));
    }

    #[test]
    fn format_and_kind() {
        assert_eq!(decode(changed(0, 0)), OpError::UnknownFormat { found: 0 });
        assert_eq!(decode(changed(0, 2)), OpError::UnknownFormat { found: 2 });
        // The format comes first: a newer one may be shorter.
        assert_eq!(decode(vec![9]), OpError::UnknownFormat { found: 9 });
        assert_eq!(decode(changed(1, 2)), OpError::UnknownKind { found: 2 });
    }

    #[test]
    fn body() {
        // A count of deps, then a length of the payload, beyond the end of the bytes.
        for (place, byte) in [(FIXED, 3), (FIXED + 7, 1), (FIXED + 8 + 144 + 7, 0x7f)] {
            let error = decode(changed(place, byte));
            assert!(matches!(error, OpError::Body(_)), "{error:?}");
        }
    }

    #[test]
    fn store() {
        let mut found = *genesis().store_id().as_bytes();
        found[0] ^= 0xff;
        let error = decode(changed(2, found[0]));
        assert_eq!(
            error,
            OpError::OtherStore {
                expected: genesis().store_id(),
                found: lattice_meta::StoreId::from_bytes(found),
            }
        );
    }

    #[test]
    fn order_of_deps() {
        for deps in [vec![dep(2), dep(1)], vec![dep(1), dep(1)]] {
            let refused = sign(OpDraft { deps, ..draft(b"") });
            assert_eq!(refused, Err(OpError::DepsOrder));
        }
    }

    #[test]
    fn prev_among_the_deps() {
        let prev = dep(1).id;
        let refused = sign(OpDraft { prev, ..draft(b"") });
        assert_eq!(refused, Err(OpError::DepIsPrev));
    }

    #[test]
    fn prev_against_seq() {
        for (seq, prev) in [(0, OpId::from_bytes([4; 32])), (1, OpId::ZERO)] {
            let refused = sign(OpDraft {
                seq,
                prev,
                ..draft(b"")
            });
            let zero_prev = seq == 1;
            assert_eq!(refused, Err(OpError::PrevAgainstSeq { seq, zero_prev }));
        }
    }

    #[test]
    fn payload_of_a_merge() {
        let kind = OpKind::Merge;
        let refused = sign(OpDraft {
            kind,
            ..draft(b"xyz")
        });
        assert_eq!(refused, Err(OpError::MergePayload { found: 3 }));
    }

    #[test]
    fn signature() {
        let op = Op::decode(changed(OP.len() - 1, OP[OP.len() - 1] ^ 1), &hasher()).unwrap();
        let author = owner().public();
        assert_eq!(op.verify(), Err(SignatureError::Wrong { author }));
        // An author that is not a point of the curve.
        let op = Op::decode(changed(18 + 31, 0xff), &hasher()).unwrap();
        assert!(matches!(
            op.verify(),
            Err(SignatureError::NoKey { .. } | SignatureError::Wrong { .. })
        ));
        let mut bytes = OP.clone();
        bytes[18..50].fill(2);
        let op = Op::decode(bytes, &hasher()).unwrap();
        let author = PubKey::from_bytes([2; 32]);
        assert_eq!(op.verify(), Err(SignatureError::NoKey { author }));
    }
}

#[test]
fn hold_sixteen_mebibytes_and_not_one_byte_more() {
    let overhead = sign(OpDraft {
        deps: Vec::new(),
        ..draft(b"")
    })
    .unwrap()
    .bytes()
    .len();
    let payload = vec![7; MAX_OP_BYTES - overhead + 1];
    let deps = Vec::new;
    let longest = OpDraft {
        deps: deps(),
        ..draft(&payload[1..])
    };
    let op = sign(longest).unwrap();
    assert_eq!(op.bytes().len(), MAX_OP_BYTES);
    op.verify().unwrap();
    let refused = sign(OpDraft {
        deps: deps(),
        ..draft(&payload)
    });
    let found = MAX_OP_BYTES + 1;
    assert_eq!(refused, Err(OpError::TooLong { found }));
}

#[test]
fn name_1024_deps_and_not_one_more() {
    let deps = |count: u64| (0..count).map(dep).collect::<Vec<_>>();
    let most = u64::try_from(MAX_DEPS).unwrap();
    let op = sign(OpDraft {
        deps: deps(most),
        ..draft(b"")
    })
    .unwrap();
    assert_eq!(op.deps().len(), 1024);
    let refused = sign(OpDraft {
        deps: deps(most + 1),
        ..draft(b"")
    });
    assert!(matches!(refused, Err(OpError::Body(_))), "{refused:?}");
}

#[test]
fn debug_output_of_secret_keys_hides_the_secret() {
    let secret = SecretKey::from_bytes(&[0xa5; 32]);
    let shown = format!("{secret:?} {secret:#?}");
    assert!(shown.contains(&secret.public().to_string()));
    assert!(!shown.contains("a5a5") && !shown.contains("165"), "{shown}");
    assert_eq!(*secret.to_bytes(), [0xa5; 32]);
    let tips = BranchTips::from(vec![dep(1)]);
    assert_eq!(format!("{}", tips.tips[0]), "09090909#1/08080808");
}
