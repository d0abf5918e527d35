//! `sync --live`: stays, and connects again when the stream is lost.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use lattice_sync::host::Side;
use lattice_sync::wire::{Farewell, RefuseReason};
use lattice_sync::{Lost, Over};

use super::meeting::{End, Meeting};
use super::running::Running;
use super::tally::Tally;
use super::{FAREWELL, Plan, failures, finish, say};
use crate::program::context::Context;
use crate::program::failure::Failure;
use crate::program::transport::{Link, reach};
use crate::sync::Syncer;

/// The first pause and the longest one.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// The pauses between attempts. Each is twice as long as the one before, and varies, so that many
/// programs that have lost the same peer do not come back at once.
#[derive(Debug)]
struct Pauses {
    next: Duration,
}

impl Pauses {
    const fn new() -> Self {
        Self { next: FIRST }
    }

    /// The next pause: between one half and all of the present length, and not below the first.
    fn take(&mut self, random: u64) -> Duration {
        let length = self.next;
        self.next = (length * 2).min(LONGEST);
        let part = u32::try_from(random % 512).unwrap_or(0);
        (length / 2 + length * part / 1024).max(FIRST)
    }
}

/// A number that differs from one call to the next.
fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// Stays until the command is interrupted, or the peer cannot be synchronised with.
pub(super) fn stay(context: &mut Context<'_>, syncer: Syncer, plan: &Plan) -> Result<(), Failure> {
    let mut tally = Tally::default();
    let mut running = Running::new(context, "sync", plan.peer.to_string()).at_once();
    let mut pauses = Pauses::new();
    let mut has_met_once = false;
    loop {
        let begun = Instant::now();
        let reached = reach(&plan.peer, &plan.serving, say(context));
        let lost = match reached {
            Err(failure) if !has_met_once => return Err(failure),
            Err(failure) => failure,
            Ok(Link { stream, process }) => {
                let meeting = Meeting {
                    syncer: &syncer,
                    conn: syncer.connect(stream, Side::Dialled),
                    store: plan.genesis,
                    stays: true,
                    has_met: false,
                };
                meeting.propose(plan.mode);
                let end = meeting.follow(context, &mut tally, &mut running);
                let comes_back = matches!(&end, Ok(end) if comes_back(end, has_met_once));
                if !comes_back {
                    return finish(context, syncer, process, plan, tally, end);
                }
                let end = end?;
                has_met_once = true;
                if begun.elapsed() >= LONGEST {
                    pauses = Pauses::new();
                }
                let ended = process.map(|process| process.finish(FAREWELL));
                failures::of(&plan.peer, &plan.store, &end, ended.as_ref())
            }
        };
        tally.cut();
        running.look_now(&syncer);
        let pause = pauses.take(random());
        match context.out.is_json() {
            true => tally.show(context, plan.store)?,
            false => context.out.note(&format!(
                "{}; trying again in {} s",
                lost.message(),
                pause.as_secs()
            )),
        }
        if context.interruption.pause(pause).is_err()
            && let Some(signal) = context.interruption.signal()
        {
            let end = Ok(End::Interrupted(signal));
            return finish(context, syncer, None, plan, tally, end);
        }
    }
}

/// Whether another attempt can do better. A peer that was never there may be a mistyped one.
fn comes_back(end: &End, has_met_once: bool) -> bool {
    match end {
        End::Done | End::Interrupted(_) => false,
        End::Over(over) => matches!(
            over,
            Over::Refused(RefuseReason::Busy { .. }) | Over::There(_) | Over::Again
        ),
        End::Lost { why, has_met, .. } => match why {
            Lost::Cut | Lost::Here(Farewell::Timeout) | Lost::There(_) => *has_met || has_met_once,
            Lost::Here(_) | Lost::OtherPeer => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_from_a_second_to_a_minute_and_vary() {
        for random in [0, 1, 511, u64::MAX] {
            let mut pauses = Pauses::new();
            let mut full = FIRST;
            for _ in 0..12 {
                let pause = pauses.take(random);
                assert!(
                    pause >= FIRST && pause <= full && pause >= full / 2,
                    "{pause:?}"
                );
                full = (full * 2).min(LONGEST);
            }
            assert_eq!(full, LONGEST);
        }
        let at = |random| {
            let mut pauses = Pauses::new();
            (0..5).map(|_| pauses.take(random)).max()
        };
        assert!(at(0) < at(511));
    }

    #[test]
    fn only_a_peer_that_was_there_comes_back() {
        let lost = |why, has_met| End::Lost {
            why,
            rule: None,
            has_met,
        };
        for (end, again, first) in [
            (lost(Lost::Cut, true), true, true),
            (lost(Lost::Cut, false), true, false),
            (lost(Lost::There(Farewell::Closing), true), true, true),
            (lost(Lost::Here(Farewell::Version), true), false, false),
            (
                End::Over(Over::Refused(RefuseReason::NotHere)),
                false,
                false,
            ),
            (End::Done, false, false),
        ] {
            assert_eq!(comes_back(&end, true), again, "{end:?}");
            assert_eq!(comes_back(&end, false), first, "{end:?}");
        }
    }
}
