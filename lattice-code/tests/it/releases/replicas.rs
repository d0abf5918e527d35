//! Replicas of one registry that exchange ops in any order, with forks, conflicts and strangers.

use lattice_backend::conformance::Rng;
use lattice_backend::op::{OpDraft, OpHasher, OpKind};
use lattice_code::releases::{Filter, Release, ReleaseCommand, encode_payload};
use lattice_meta::{Hlc, OpId};
use lattice_registry::StoreHandle;

use super::support::{CHAT, NOW_MS, On, Replica, genesis, key, publish, withdraw};

fn releases(replica: &Replica) -> Vec<Release> {
    replica.store.releases(&Filter::default()).unwrap()
}

/// Two devices with one key publish different modules under one number: a fork of the author. Both
/// releases are kept and in conflict on every replica, whichever it got first.
#[test]
fn convergence_of_a_fork_that_publishes_two_modules_under_one_number() {
    let device = Replica::new(On::Redb, 1);
    let restored = Replica::new(On::Memory, 1);
    let stranger = Replica::new(On::Memory, 2);
    device.store.publish(&publish(CHAT, 1, 1)).unwrap();
    restored.store.publish(&publish(CHAT, 1, 2)).unwrap();
    stranger.store.withdraw(&withdraw(1, "not mine")).unwrap();

    let orders = [
        [&device, &restored, &stranger],
        [&stranger, &restored, &device],
    ];
    for order in orders {
        let reader = Replica::new(On::Memory, 9);
        for from in order {
            assert_eq!(reader.pull(from).applied(), 1);
        }
        let found = releases(&reader);
        assert_eq!(found.len(), 2);
        for release in &found {
            assert_eq!(release.publisher, key(1).public());
            assert!(release.is_conflicting);
            assert_eq!(release.withdrawn, None);
        }
        assert_eq!(reader.store.forks().unwrap().len(), 1);
    }

    restored.store.withdraw(&withdraw(2, "by mistake")).unwrap();
    let reader = Replica::new(On::Redb, 9);
    for from in [&restored, &stranger, &device] {
        reader.pull(from);
    }
    let mut found: Vec<_> = releases(&reader)
        .into_iter()
        .map(|release| (release.published.notes, release.withdrawn))
        .collect();
    found.sort_unstable();
    let expected = [
        ("module 1".into(), None),
        ("module 2".into(), Some("by mistake".into())),
    ];
    assert_eq!(found, expected);
}

/// Random commands and exchanges of three replicas, two of which have the same key.
#[test]
fn convergence_after_random_exchanges() {
    for seed in 0..8 {
        let mut rng = Rng::new(seed);
        let replicas = [1, 1, 2].map(|author| Replica::new(On::Memory, author));
        for _ in 0..30 {
            let replica = rng.pick(&replicas).unwrap();
            let module = u8::try_from(rng.below(3)).unwrap();
            replica.clock.advance(rng.number() % 2);
            match rng.below(4) {
                0 => {
                    replica.store.withdraw(&withdraw(module, "why")).unwrap();
                }
                1 => {
                    replica.pull(rng.pick(&replicas).unwrap());
                }
                _ => {
                    let publish = publish(CHAT, rng.number() % 2, module);
                    replica.store.publish(&publish).unwrap();
                }
            }
        }
        for from in &replicas {
            replicas[0].pull(from);
        }
        for to in &replicas {
            to.pull(&replicas[0]);
        }
        let [one, rest @ ..] = &replicas;
        for other in rest {
            assert_eq!(releases(other), releases(one), "seed {seed}");
            assert_eq!(
                other.store.state_hash().unwrap(),
                one.store.state_hash().unwrap()
            );
        }
        assert!(releases(one).iter().any(|release| release.is_conflicting));
    }
}

#[test]
fn an_op_with_an_invalid_payload_is_history_without_effect() {
    let replica = Replica::new(On::Redb, 1);
    replica.store.publish(&publish(CHAT, 1, 1)).unwrap();
    let before = replica.store.state_hash().unwrap();
    let hasher = OpHasher::new(&genesis().hash());
    let good = encode_payload(&ReleaseCommand::Publish(publish(CHAT, 2, 2))).unwrap();
    for (author, payload) in [(2, &b""[..]), (3, b"\x01"), (4, &good[..good.len() - 1])] {
        let draft = OpDraft {
            kind: OpKind::Application,
            seq: 0,
            prev: OpId::ZERO,
            hlc: Hlc::from_parts(NOW_MS, 0).unwrap(),
            deps: Vec::new(),
            payload,
        };
        let op = draft.sign(&hasher, &key(author)).unwrap();
        assert_eq!(replica.take([op.into_bytes()]).applied(), 1);
    }
    assert_eq!(replica.store.state_hash().unwrap(), before);
    assert_eq!(replica.store.op_count().unwrap(), 4);
    assert_eq!(releases(&replica).len(), 1);
}
