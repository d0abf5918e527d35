//! Sixteen replicas in a ring, which is cut and heals.

use lattice_registry::TypedStore;

use super::*;

const REPLICAS: usize = 16;
const PUTS: usize = 25;

/// A node, its replica, and the ops received on connections that have ended.
struct Member {
    peer: Peer,
    store: KvStore,
    received: u64,
}

impl Member {
    fn of((peer, store): (Peer, KvStore)) -> Self {
        Self {
            peer,
            store,
            received: 0,
        }
    }

    fn received_now(&self) -> u64 {
        let sessions = self.peer.syncer.status();
        sessions.iter().map(|one| one.counts.ops_received).sum()
    }
}

/// Waits until all have so many ops.
fn until_ops(ring: &[Member], ops: usize) {
    let ops = u64::try_from(ops).unwrap();
    for member in ring {
        let began = Instant::now();
        let mut seen = 0;
        while seen < ops {
            let engine = member.store.engine();
            seen = engine.wait_for_ops(seen, Duration::from_secs(1)).unwrap();
            assert!(began.elapsed() < PATIENCE, "{seen} of {ops} ops");
        }
        assert_eq!(seen, ops);
    }
}

fn link(ring: &[Member], nth: usize, store: GenesisHash) -> ConnId {
    let next = (nth + 1) % ring.len();
    meet(&ring[nth].peer, &ring[next].peer, store)
}

#[test]
fn a_ring_that_was_cut_is_equal_and_each_received_no_op_more_than_twice() {
    let first = Peer::with_keys(any(), 1);
    let genesis = genesis(&first.1);
    let store = genesis.hash();
    let replicas = (1..REPLICAS).map(|_| Peer::replica(any(), &genesis));
    let all = std::iter::once(first).chain(replicas);
    let mut ring: Vec<Member> = all.map(Member::of).collect();
    let conns: Vec<ConnId> = (0..REPLICAS).map(|nth| link(&ring, nth, store)).collect();
    until_ops(&ring, 1);

    // Two halves, which write without each other.
    let cuts = [REPLICAS / 2 - 1, REPLICAS - 1];
    for nth in cuts {
        let before: Vec<u64> = ring.iter().map(Member::received_now).collect();
        ring[nth].peer.syncer.disconnect(conns[nth]);
        let next = (nth + 1) % REPLICAS;
        for one in [nth, next] {
            let sessions = |ring: &[Member]| ring[one].peer.syncer.status().len();
            let began = Instant::now();
            while sessions(&ring) > 1 {
                assert!(began.elapsed() < PATIENCE, "the session does not end");
                std::thread::yield_now();
            }
            let now = ring[one].received_now();
            ring[one].received += before[one].saturating_sub(now);
        }
    }
    std::thread::scope(|scope| {
        for (nth, member) in ring.iter().enumerate() {
            scope.spawn(move || {
                for put in 0..PUTS {
                    let key = format!("{nth} {put}");
                    member.store.put(key, "value").unwrap();
                    member.store.put("shared", nth.to_string()).unwrap();
                }
            });
        }
    });
    until_ops(&ring, 1 + REPLICAS * PUTS);

    let began = Instant::now();
    for nth in cuts {
        link(&ring, nth, store);
    }
    let total = 1 + 2 * REPLICAS * PUTS;
    until_ops(&ring, total);
    let healed = began.elapsed();
    let expected = hash(&ring[0].store);
    assert!(ring.iter().all(|one| hash(&one.store) == expected));
    let received = ring.iter().map(|one| one.received + one.received_now());
    let most = received.max().unwrap();
    eprintln!("{REPLICAS} replicas with {total} ops were equal after {healed:?}");
    eprintln!("the most ops that one of them received: {most}");
    let twice = 2 * u64::try_from(total - 2 * PUTS).unwrap();
    assert!(most <= twice, "{most} received, of {total} ops");
}
