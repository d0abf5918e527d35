//! Ops, valid and hostile.

use lattice_backend::op::{
    MAX_DEPS, Op, OpDraft, OpError, OpHasher, OpKind, OpRef, SecretKey, SignatureError,
};
use lattice_meta::codec::CodecError;
use lattice_meta::{Hlc, OpId};

use super::{Fields, genesis, hasher, lines, op_ref, read};

fn check_op(file: &str) -> Op {
    let fields = Fields::read(file);
    let hasher = hasher();
    let secret = SecretKey::from_bytes(fields.bytes("secret").try_into().unwrap());
    assert_eq!(secret.public().as_ref(), fields.bytes("author"), "{file}");
    let deps: Vec<OpRef> = fields
        .0
        .get("dep")
        .into_iter()
        .flatten()
        .map(|dep| op_ref(dep))
        .collect();
    let kind = match fields.bytes("kind") {
        [0] => OpKind::Application,
        [1] => OpKind::Merge,
        other => panic!("kind {other:?}"),
    };
    let draft = OpDraft {
        kind,
        seq: fields.number("seq_le"),
        prev: OpId::from_slice(fields.bytes("prev")).unwrap(),
        hlc: Hlc::from_u64(fields.number("hlc_le")),
        deps: deps.clone(),
        payload: fields.bytes("payload"),
    };
    let bytes = [fields.bytes("body"), fields.bytes("signature")].concat();
    let made = draft.clone().sign(&hasher, &secret).unwrap();
    assert_eq!(made.bytes(), bytes, "{file}");

    let op = Op::decode(bytes, &hasher).unwrap();
    op.verify().unwrap();
    assert_eq!(op, made, "{file}");
    assert_eq!(op.reference().id.as_ref(), fields.bytes("id"), "{file}");
    assert_eq!(op.reference().author, secret.public(), "{file}");
    assert_eq!(op.reference().seq, draft.seq, "{file}");
    assert_eq!(
        op.prev().map_or(OpId::ZERO, |prev| prev.id),
        draft.prev,
        "{file}"
    );
    assert_eq!(op.hlc(), draft.hlc, "{file}");
    assert_eq!(op.deps(), deps, "{file}");
    assert_eq!(op.payload(), fields.bytes("payload"), "{file}");
    assert_eq!(op.kind(), kind, "{file}");
    op
}

#[test]
fn golden_ops() {
    let first = check_op("op_first.txt");
    let other = check_op("op_empty_payload.txt");
    let later = check_op("op_later.txt");
    assert_eq!(later.prev(), Some(first.reference()));
    assert!(later.deps().contains(&other.reference()));
    let merge = check_op("op_merge.txt");
    assert!(merge.deps().contains(&first.reference()));
    assert!(merge.deps().contains(&other.reference()));
}

#[test]
fn golden_ops_of_another_store_are_refused() {
    let fields = Fields::read("op_first.txt");
    let bytes = [fields.bytes("body"), fields.bytes("signature")].concat();
    let other = OpHasher::new(&genesis("other_genesis"));
    let refusal = OpError::OtherStore {
        expected: other.store_id(),
        found: hasher().store_id(),
    };
    assert_eq!(Op::decode(bytes, &other), Err(refusal));
}

/// Whether a hostile op of this name is refused with the required error.
fn is_expected(name: &str, found: &OpError) -> bool {
    use OpError as E;
    match name {
        "author_no_point" => matches!(found, E::Signature(SignatureError::NoKey { .. })),
        "author_of_small_order" | "body_bit" => {
            matches!(found, E::Signature(SignatureError::Wrong { .. }))
        }
        name if name.starts_with("signature_") => {
            matches!(found, E::Signature(SignatureError::Wrong { .. }))
        }
        "deps_descending" | "deps_twice_the_same" | "deps_descending_seq" => *found == E::DepsOrder,
        "dep_is_prev" => *found == E::DepIsPrev,
        "first_with_prev" => {
            *found
                == E::PrevAgainstSeq {
                    seq: 0,
                    zero_prev: false,
                }
        }
        "later_without_prev" => {
            *found
                == E::PrevAgainstSeq {
                    seq: 1,
                    zero_prev: true,
                }
        }
        "merge_with_payload" => *found == E::MergePayload { found: 7 },
        "kind_2" => *found == E::UnknownKind { found: 2 },
        "kind_255" => *found == E::UnknownKind { found: 255 },
        "format_0" => *found == E::UnknownFormat { found: 0 },
        "format_2" => *found == E::UnknownFormat { found: 2 },
        "store_other" => matches!(found, E::OtherStore { .. }),
        "trailing_byte" | "trailing_byte_in_body" | "payload_length_one_less" => {
            matches!(found, E::Body(CodecError::TrailingBytes { .. }))
        }
        "one_byte_short"
        | "deps_length_huge"
        | "deps_length_lying"
        | "payload_length_huge"
        | "payload_length_one_more" => matches!(found, E::Body(CodecError::Malformed { .. })),
        "nothing" | "no_signature" => matches!(found, E::TooShort { .. }),
        _ => panic!("no expectation for {name}"),
    }
}

#[test]
fn golden_hostile_ops() {
    let hasher = hasher();
    let mut seen = 0;
    for (name, mut words) in lines("op_hostile.txt") {
        let bytes = words.remove(0).unwrap();
        let result = Op::decode(bytes, &hasher).and_then(|op| Ok(op.verify()?));
        let found = result.expect_err(&name);
        assert!(is_expected(&name, &found), "{name}: {found:?}");
        seen += 1;
    }
    assert_eq!(seen, 31);
}

/// The hostile vector is effective: ed25519's plain equation holds for it, for any message.
#[test]
fn golden_key_of_small_order_passes_the_plain_equation() {
    use ed25519_dalek::{Signature, Verifier, VerifyingKey};
    let hostile = lines("op_hostile.txt");
    let (_, words) = hostile
        .iter()
        .find(|(name, _)| name == "author_of_small_order")
        .unwrap();
    let op = Op::decode(words[0].clone().unwrap(), &hasher()).unwrap();
    let key = VerifyingKey::from_bytes(op.reference().author.as_bytes()).unwrap();
    let signature = Signature::from_bytes(op.bytes().last_chunk().unwrap());
    assert!(key.verify(b"any message", &signature).is_ok());
    assert!(op.verify().is_err());
}

#[test]
fn golden_ops_with_many_deps() {
    let most = Op::decode(read("op_1024_deps.bin"), &hasher()).unwrap();
    most.verify().unwrap();
    assert_eq!(most.deps().len(), MAX_DEPS);
    let refusal = Op::decode(read("op_hostile_1025_deps.bin"), &hasher()).unwrap_err();
    assert!(
        matches!(refusal, OpError::Body(CodecError::Malformed { .. })),
        "{refusal:?}"
    );
}
