//! Many replicas in a ring.

use std::collections::BTreeMap;

use lattice_sync::wire::FrameKind;

use crate::sim::schedule::{Action, Schedule};
use crate::sim::world::World;
use crate::sim::{set_disks, settle};

/// Sixteen replicas in a ring, each writing while the ring is cut in two; then it heals.
#[test]
fn sixteen_replicas_in_a_ring_end_equal_and_get_each_op_at_most_twice() {
    let mut schedule = Schedule::new(1, None);
    let nodes = 16;
    schedule.nodes = nodes;
    schedule.edges = (0..nodes).map(|node| (node, (node + 1) % nodes)).collect();
    schedule.links = vec![(10, 1000); nodes];
    (schedule.strangers, schedule.filling) = (0, 100);
    (schedule.window, schedule.slice) = (1 << 20, 4000);
    (schedule.news_tips, schedule.few_tips, schedule.node_authors) = (1024, 1024, 64);
    schedule.read_only.clear();
    schedule.refuses.clear();
    schedule.old.clear();
    schedule.poison.clear();
    schedule.actions = vec![
        (500, Action::Cut { edge: 3 }),
        (500, Action::Cut { edge: 11 }),
    ];
    for round in 0..4 {
        for node in 0..nodes {
            let at = 1000 + 900 * round + 50 * node as u64;
            schedule.actions.push((
                at,
                Action::Write {
                    node,
                    count: 3,
                    sync_ms: 5,
                },
            ));
        }
    }
    let mut world = World::new(&schedule, set_disks(&schedule));
    world.run_until(6000).unwrap();
    world.heal();
    let until = world.now + 10_000;
    settle(&mut world, until, 100).unwrap();
    let states: Vec<_> = world.nodes.iter().map(|node| node.disk.view()).collect();
    assert!(
        states
            .iter()
            .all(|view| view.state == states[0].state && view.tips == states[0].tips)
    );
    assert_eq!(states[0].end.applied, 16 * 12);
    let received = world.checks.deliveries();
    let most: BTreeMap<u64, usize> = received.values().fold(BTreeMap::new(), |mut most, count| {
        *most.entry(*count).or_insert(0) += 1;
        most
    });
    println!(
        "ring of {nodes}: healed at {} ms, ops by times received: {most:?}",
        world.now
    );
    assert!(most.keys().all(|count| *count <= 2), "{most:?}");
    assert!(
        world
            .checks
            .counts
            .contains_key(&format!("frame {:?}", FrameKind::Ops))
    );
}
