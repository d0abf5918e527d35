//! The first op whose effect differs.

use lattice_sync::Event;
use lattice_sync::host::Input;
use lattice_sync::wire::{Frame, Probe};

use crate::desk::{CHANNEL, Desk, meet, talk};
use crate::sim::disk::Disk;
use crate::sim::world::EPOCH_MS;

/// Two replicas with the same ops; the second one's stored state is wrong, and its effects differ
/// from this position on.
fn search(ops: usize, differs: Option<usize>) -> (Desk, Desk, usize) {
    let mut one = Desk::new(0, |_| ());
    one.disk.write(EPOCH_MS);
    one.disk.sync();
    let mut two = Desk::new(1, |_| ());
    two.disk = one.disk.clone();
    two.disk.corrupt();
    let effect = |place: usize| {
        *blake3::hash(&place.to_le_bytes())
            .as_bytes()
            .first_chunk()
            .unwrap()
    };
    one.effects = (0..ops).map(effect).collect();
    two.effects = one.effects.clone();
    if let Some(place) = differs {
        two.effects[place] = [0; 16];
    }
    meet(&mut one, &mut two);
    for desk in [&one, &two] {
        assert!(
            desk.events
                .iter()
                .any(|event| matches!(event, Event::Diverged { .. }))
        );
        assert!(desk.core.status()[0].is_diverged);
    }
    let session = one.session();
    one.input(Input::Probe { session });
    let (_, frames) = talk(&mut one, &mut two);
    (one, two, frames.len())
}

fn found(desk: &Desk) -> Option<u64> {
    desk.events.iter().find_map(|event| match event {
        Event::FirstDifference { position, .. } => Some(*position),
        _ => None,
    })
}

#[test]
fn the_first_difference_is_found_in_a_few_probes() {
    for (ops, place) in [(1, 0), (64, 63), (65, 0), (5000, 4999), (5000, 1234)] {
        let (one, two, probes) = search(ops, Some(place));
        assert_eq!(
            (found(&one), found(&two)),
            (Some(place as u64), Some(place as u64)),
            "{ops}"
        );
        assert!(probes <= 5, "{probes} probes");
    }
}

/// The peer can know first that the states differ: its probe waits for the beat that says so here.
#[test]
fn a_probe_that_comes_early_is_answered_once_the_states_are_known_to_differ() {
    let mut one = Desk::new(0, |_| ());
    one.disk.write(EPOCH_MS);
    one.disk.sync();
    let mut two = Desk::new(1, |_| ());
    two.disk = one.disk.clone();
    (one.effects, two.effects) = (vec![[1; 16]], vec![[2; 16]]);
    meet(&mut one, &mut two);
    one.sent.clear();
    two.sent.clear();
    two.feed(Frame::Probe(Probe {
        channel: CHANNEL,
        from: 0,
        upto: 1,
        hashes: vec![[3; 16]],
    }));
    assert_eq!((two.sent.len(), found(&two)), (0, None));
    two.disk.corrupt();
    one.wait(46_000);
    for beat in std::mem::take(&mut one.sent) {
        two.feed(beat);
    }
    let is_probe = |frame: &Frame| matches!(frame, Frame::Probe(_));
    assert!(two.sent.iter().any(is_probe), "{:?}", two.sent);
    assert_eq!(found(&two), Some(0));
}

#[test]
fn replays_that_agree_say_that_a_stored_state_is_wrong() {
    let (one, two, _) = search(300, None);
    for desk in [&one, &two] {
        assert!(
            desk.events
                .iter()
                .any(|event| matches!(event, Event::ReplaysAgree { .. }))
        );
        assert_eq!(found(desk), None);
    }
}
