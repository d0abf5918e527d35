//! Positions as keys and as text.

use lattice_logstore::Position;
use lattice_meta::{Hlc, OpId};
use proptest::prelude::*;

fn positions() -> impl Strategy<Value = Position> {
    // Small ranges make equal parts likely, and so comparisons of the next part.
    let number = prop_oneof![0..4_u64, any::<u64>()];
    (number, 0..3_u8, prop_oneof![0..4_u32, any::<u32>()]).prop_map(|(hlc, op, index)| Position {
        hlc: Hlc::from_u64(hlc),
        op: OpId::from_bytes([op; 32]),
        index,
    })
}

#[test]
fn malformed_positions_are_refused() {
    let op = "ab".repeat(32);
    let good = format!("00000000000000ff-{op}-7");
    assert!(good.parse::<Position>().is_ok());
    for text in [
        String::new(),
        "-".into(),
        good[1..].into(),
        format!("0{good}"),
        good.replace("ff", "FF"),
        good.replace("ab", "AB"),
        good.replace("00ff", "+0ff"),
        format!("00000000000000ff-{op}-"),
        format!("00000000000000ff-{op}-+7"),
        format!("00000000000000ff-{op}-07"),
        format!("00000000000000ff-{op}-4294967296"),
        format!("00000000000000ff-{op}-7-7"),
        format!("00000000000000ff-{}-7", &op[2..]),
        format!(" {good}"),
        format!("00000000000000ff:{op}:7"),
    ] {
        let refusal = text.parse::<Position>().expect_err(&text);
        assert!(
            refusal.to_string().contains(&format!("{text:?}")),
            "{refusal}"
        );
    }
}

proptest! {
    #[test]
    fn keys_sort_like_positions(a in positions(), b in positions()) {
        prop_assert_eq!(a.to_key().cmp(&b.to_key()), a.cmp(&b));
    }

    #[test]
    fn keys_and_texts_round_trip(position in positions(), cut in 0..Position::KEY_LEN) {
        let key = position.to_key();
        prop_assert_eq!(Position::from_key(&key), Some(position));
        prop_assert_eq!(Position::from_key(&key[..cut]), None);
        prop_assert_eq!(Position::from_key(&[&key[..], &[0]].concat()), None);
        prop_assert_eq!(position.to_string().parse(), Ok(position));
    }

    #[test]
    fn any_text_is_a_position_or_refused(text in "[0-9a-f]{14,16}-[0-9a-f]{63,64}-[0-9]{1,3}") {
        if let Ok(position) = text.parse::<Position>() {
            prop_assert_eq!(position.to_string(), text);
        }
    }
}
