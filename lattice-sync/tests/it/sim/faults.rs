//! Faults that are put into the core are found.

use lattice_sync::Fault;

use crate::sim::schedule::Schedule;
use crate::sim::{run, set_disks};

/// The most schedules in which a fault must show.
const MOST: u64 = 10_000;

#[test]
fn every_fault_is_found() {
    let mut missed = Vec::new();
    for fault in Fault::ALL {
        let found = (0..MOST).find_map(|seed| {
            let schedule = Schedule::new(seed, Some(*fault));
            let failure = run(&schedule, set_disks(&schedule)).err()?;
            Some((seed, failure))
        });
        match found {
            Some((seed, failure)) => println!("{fault:?}: schedule {seed}: {failure}"),
            None => missed.push(fault),
        }
    }
    assert!(
        missed.is_empty(),
        "not found in {MOST} schedules: {missed:?}"
    );
}
