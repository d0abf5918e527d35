//! Runs the conformance suite for state machines.

use lattice_backend::conformance::{MachineSuite, Rng};
use lattice_backend::machine::manifest;
use lattice_backend::op::Op;
use lattice_code::releases::{Publish, ReleaseCommand, ReleaseMachine, Withdraw, encode_payload};

use super::support::{CHAT, CHAT_V2, cid};

/// A command about one of few modules, types and numbers, so that conflicts and withdrawals of
/// different authors are frequent.
fn command(rng: &mut Rng) -> ReleaseCommand {
    let mut module = || cid(u8::try_from(rng.below(3)).unwrap());
    let (cid, replaced) = (module(), module());
    if rng.one_in(3) {
        let reason = "r".repeat(rng.below(3));
        return ReleaseCommand::Withdraw(Withdraw { cid, reason });
    }
    let store_type = *rng.pick(&[CHAT, CHAT_V2, "a:b"]).unwrap();
    let replaces = rng.one_in(2).then_some(replaced);
    ReleaseCommand::Publish(Publish {
        store_type: store_type.parse().unwrap(),
        release: rng.number() % 2,
        cid,
        length: 1 + u32::try_from(rng.below(1000)).unwrap(),
        abi: 1 + u16::try_from(rng.below(2)).unwrap(),
        // Some are descending, and refused.
        schemas: (rng.number() % 3, 1 + rng.number() % 3),
        replaces,
        notes: "ö".repeat(rng.below(3)),
    })
}

fn hostile(rng: &mut Rng, _: &[Op]) -> Vec<u8> {
    let mut payload = loop {
        if let Ok(payload) = encode_payload(&command(rng)) {
            break payload;
        }
    };
    match rng.below(5) {
        0 => payload[0] = 2,
        1 => payload[1] = 2,
        2 => payload.push(0),
        3 => payload.truncate(rng.below(payload.len())),
        _ => {
            let at = rng.below(payload.len());
            payload[at] ^= 1 << rng.below(8);
        }
    }
    payload
}

#[test]
fn registries_are_the_same_in_every_causal_order() {
    MachineSuite::new(ReleaseMachine::new, command)
        .hostile(hostile)
        .run();
}

#[test]
fn the_constants_describe_the_machine() {
    assert_eq!(manifest::check(&ReleaseMachine::new()), Ok(()));
}
