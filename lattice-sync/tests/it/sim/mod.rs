//! Simulated networks: virtual time, crashes between any two outputs, restored copies, hostile
//! peers.
//!
//! Phase one does harm and checks safety at every step. Phase two heals, and demands that
//! everything that can be had is had within sixty seconds, that new ops arrive within a second, and
//! silence.
//!
//! `LATTICE_SYNC_SEED=n` runs one schedule; `LATTICE_SYNC_SCHEDULES=n` that many,
//! and `LATTICE_SYNC_ENGINES=n` that many over engines.
//! `LATTICE_SYNC_TRACE=1` prints what happened in those that fail.

pub(crate) mod attack;
mod checks;
pub(crate) mod disk;
mod engine;
mod faults;
mod ring;
mod schedule;
pub(crate) mod set;
pub(crate) mod world;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use lattice_sync::Phase;
use lattice_sync::wire::FrameKind;

use crate::sim::disk::Disk;
use crate::sim::schedule::{Action, CHAOS_MS, Schedule};
use crate::sim::set::{AHEAD_MS, SetOp, SetStore};
use crate::sim::world::{EPOCH_MS, Failure, World, key};

pub(crate) type Counts = BTreeMap<String, u64>;

/// Stores that are sets of ops.
fn set_disks(schedule: &Schedule) -> Vec<Box<dyn Disk>> {
    let mut disks = Vec::new();
    for node in 0..schedule.nodes {
        let mut disk = SetStore::new(key(node), schedule.filling);
        let refuses = schedule.refuses.iter().filter(|(who, _)| *who == node);
        disk.refused = refuses.map(|(_, author)| key(*author)).collect();
        disk.is_old = schedule.old.contains(&node);
        disk.writes_poison = schedule.poison.contains(&node);
        // Every stranger has an op here, and most are everywhere.
        for stranger in 0..schedule.strangers {
            if (stranger + node) % 3 != 0 || node == 0 {
                let author = key(1000 + stranger);
                let op = SetOp::new(author, 0, EPOCH_MS - 1, 0, Vec::new(), 3);
                disk.put(Rc::new(op)).unwrap();
            }
        }
        disk.sync();
        disks.push(Box::new(disk) as Box<dyn Disk>);
    }
    disks
}

/// Whether everything that can be had is had, and every session is live.
fn unstable(world: &World) -> Option<String> {
    for (place, (a, b)) in world.schedule.edges.iter().enumerate() {
        for (from, to) in [(*a, *b), (*b, *a)] {
            let (giver, taker) = (&world.nodes[from], &world.nodes[to]);
            let Some(core) = &giver.core else {
                return Some(format!("node {from} does not run"));
            };
            let is_here = |session: &lattice_sync::SessionStatus| {
                let conn = world.conns.get(&session.conn.0);
                conn.is_some_and(|conn| conn.edge == Some(place))
            };
            let sessions: Vec<_> = core.status().into_iter().filter(is_here).collect();
            let is_settled = |phase| matches!(phase, Phase::Live | Phase::Off);
            let settled = sessions
                .iter()
                .filter(|s| is_settled(s.push) && is_settled(s.pull));
            if sessions.len() != 1 || settled.count() != 1 {
                let phases: Vec<_> = sessions.iter().map(|s| (s.push, s.pull)).collect();
                return Some(format!(
                    "edge {place}: node {from} has the sessions {phases:?}"
                ));
            }
            if !giver.mode.gives || !taker.mode.takes {
                continue;
            }
            for op in giver.disk.all() {
                let parents = giver.disk.parents(&op);
                let can_have = parents.iter().all(|parent| taker.disk.has(parent));
                if can_have && !taker.disk.has(&op) && !taker.disk.refuses(&op.author) {
                    return Some(format!("node {to} could have {op} from node {from}"));
                }
            }
        }
    }
    None
}

/// Runs until the network is stable, at most until a time.
fn settle(world: &mut World, until: u64, step: u64) -> Result<(), Failure> {
    loop {
        let Some(why) = unstable(world) else {
            return Ok(());
        };
        if world.now >= until {
            return Err(format!("not stable at {} ms: {why}", world.now));
        }
        world.run_until((world.now + step).min(until))?;
    }
}

/// Runs a schedule.
pub(crate) fn run(schedule: &Schedule, disks: Vec<Box<dyn Disk>>) -> Result<Counts, Failure> {
    let mut world = World::new(schedule, disks);
    world.checks.log = std::env::var_os("LATTICE_SYNC_TRACE").map(|_| Vec::new());
    let outcome = run_phases(&mut world);
    if let (Err(why), Some(log)) = (&outcome, &world.checks.log) {
        println!("{}\n{why}", log.join("\n"));
    }
    outcome?;
    Ok(world.checks.counts)
}

fn run_phases(world: &mut World) -> Result<(), Failure> {
    world.run_until(CHAOS_MS)?;
    world.heal();
    // Ops that are dated ahead come when their time has come.
    let latest = world
        .nodes
        .iter()
        .map(|node| node.disk.latest_ms())
        .max()
        .unwrap_or(0);
    let slowest = (0..world.nodes.len())
        .map(|node| world.wall(node))
        .min()
        .unwrap_or(0);
    let ahead_ms = latest.saturating_sub(slowest + AHEAD_MS);
    let until = world.now + 60_000 + ahead_ms;
    settle(world, until, 500)?;
    world.set_clocks()?;
    live(world)?;
    quiet(world)
}

/// New ops arrive as soon as the links allow.
fn live(world: &mut World) -> Result<(), Failure> {
    let bytes = 3 * (200 + 5 * 72 + world.schedule.filling as u64);
    // With a small window each op waits for the last one.
    let trips = if world.schedule.window < 10_000 { 6 } else { 1 };
    let of_link = |(latency, speed): &(u64, u64)| trips * (latency + 15) + 2 * bytes / speed;
    let needed: u64 = world.schedule.links.iter().map(of_link).sum();
    let schedule = &world.schedule;
    let is_skew = |(_, action): &(u64, Action)| matches!(action, Action::Skew { .. });
    let puts_off = !schedule.read_only.is_empty() && schedule.actions.iter().any(is_skew);
    for node in 0..world.nodes.len() {
        for after in [0, 3, 4] {
            world.run_until(world.now + after)?;
            world.write(node, 1, 1)?;
        }
        world.run_until(world.now + needed + 50)?;
        // A comparison of those who stay unequal may be going on; and, in one direction, of those
        // who have put ops off.
        let is_late = needed < 850 && world.schedule.refuses.is_empty() && !puts_off;
        if let Some(why) = unstable(world).filter(|_| is_late) {
            return Err(format!("not live after {needed} ms: {why}"));
        }
    }
    let until = world.now + 60_000;
    settle(world, until, 500)
}

/// Then there is silence, and what both sides know of each other is true.
fn quiet(world: &mut World) -> Result<(), Failure> {
    world.run_until(world.now + 20_000)?;
    let before = world.frames;
    world.run_until(world.now + 60_000)?;
    let frames = world.frames - before;
    let limit = 60 * world.schedule.edges.len() as u64;
    if frames > limit {
        return Err(format!("{frames} frames in a minute of silence"));
    }
    // Those who cannot become equal compare now and then.
    settle(world, world.now + 20_000, 500)?;
    for (node, found) in world.nodes.iter().enumerate() {
        for status in found.core.iter().flat_map(|core| core.status()) {
            if !found.settled.contains(&status.session) {
                return Err(format!("node {node} does not end a round: {status:?}"));
            }
        }
    }
    if world.plans() > 0 {
        return Err(format!("{} plans are kept", world.plans()));
    }
    let is_plain = world.schedule.refuses.is_empty() && world.schedule.read_only.is_empty();
    let has_held = world.nodes.iter().any(|node| node.disk.view().held > 0);
    for (node, found) in world.nodes.iter().enumerate().filter(|_| is_plain) {
        for status in found.core.iter().flat_map(|core| core.status()) {
            if !status.is_equal {
                return Err(format!(
                    "node {node} does not know that it is equal: {status:?}"
                ));
            }
            let there = (0..world.nodes.len()).find(|there| key(*there) == status.peer);
            let there = &world.nodes[there.unwrap()];
            let differs = there.disk.is_corrupt() != found.disk.is_corrupt();
            if !has_held && differs != status.is_diverged {
                return Err(format!("node {node}: states differ: {differs}, {status:?}"));
            }
        }
    }
    Ok(())
}

/// Removes actions as long as the schedule still fails.
fn shrink(mut schedule: Schedule) -> (Schedule, Failure) {
    let mut failure = run(&schedule, set_disks(&schedule)).unwrap_err();
    loop {
        let mut is_smaller = false;
        for place in (0..schedule.actions.len()).rev() {
            let mut smaller = schedule.clone();
            smaller.actions.remove(place);
            if let Err(why) = run(&smaller, set_disks(&smaller)) {
                (schedule, failure, is_smaller) = (smaller, why, true);
            }
        }
        if !is_smaller {
            return (schedule, failure);
        }
    }
}

fn number_of(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is no number: {text}")),
    )
}

/// Runs many schedules on two threads; returns the counts, or fails with the least schedule.
fn run_many(seeds: std::ops::Range<u64>) -> Counts {
    let next = AtomicU64::new(seeds.start);
    let counts = Mutex::new(Counts::new());
    let failed = Mutex::new(None::<u64>);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || failed.lock().unwrap().is_some() {
                        return;
                    }
                    let schedule = Schedule::new(seed, None);
                    match run(&schedule, set_disks(&schedule)) {
                        Ok(of_one) => {
                            let mut counts = counts.lock().unwrap();
                            for (name, count) in of_one {
                                *counts.entry(name).or_insert(0) += count;
                            }
                        }
                        Err(_) => *failed.lock().unwrap() = Some(seed),
                    }
                }
            });
        }
    });
    if let Some(seed) = failed.into_inner().unwrap() {
        let (schedule, why) = shrink(Schedule::new(seed, None));
        panic!("LATTICE_SYNC_SEED={seed} fails: {why}\n{schedule:#?}");
    }
    counts.into_inner().unwrap()
}

#[test]
fn schedules_are_safe_and_end_equal() {
    if let Some(seed) = number_of("LATTICE_SYNC_SEED") {
        run_many(seed..seed + 1);
        return;
    }
    let many = number_of("LATTICE_SYNC_SCHEDULES").unwrap_or(10_000);
    let counts = run_many(0..many);
    println!("{many} schedules");
    for (name, count) in &counts {
        println!("{count:>10} {name}");
    }
    let kinds = FrameKind::ALL.iter().map(|kind| format!("frame {kind:?}"));
    // Blobs and probes have tests of their own.
    let kinds = kinds.filter(|name| {
        !["Probe", "BlobAsk", "Refuse"]
            .iter()
            .any(|kind| name.ends_with(kind))
    });
    let node = 0;
    let actions = [
        Action::Write {
            node,
            count: 0,
            sync_ms: 0,
        },
        Action::Crash {
            node,
            outputs: 0,
            down_ms: 0,
            is_noticed: true,
        },
        Action::Backup { node },
        Action::Restore { node },
        Action::Cut { edge: 0 },
        Action::Mend { edge: 0 },
        Action::HalfOpen {
            edge: 0,
            backwards: true,
        },
        Action::DialAgain {
            edge: 0,
            backwards: true,
        },
        Action::Slow { node, ms: 0 },
        Action::Skew { node, minutes: 0 },
        Action::Corrupt { node },
        Action::EndSession { node },
        Action::Hostile { node, frames: 0 },
    ];
    let actions = actions
        .iter()
        .map(|action| format!("action {}", action.name()));
    let phases = ["Opening", "Off", "Comparing", "Bulk", "Live"];
    let phases = ["push", "pull"]
        .into_iter()
        .flat_map(|side| phases.map(|phase| format!("{side} {phase}")));
    let others = [
        "pull Queued",
        "event CursorUsed",
        "event Equal",
        "event Unequal",
        "event Diverged",
        "event AuthorsRefused",
        "event AuthorsRefusedThere",
        "event Caught",
        "event Settled",
        "request TipsSince",
        "request ReadPlan",
    ];
    let others = others.into_iter().map(str::to_owned);
    let expected: Vec<String> = kinds.chain(actions).chain(phases).chain(others).collect();
    let never: Vec<&String> = expected
        .iter()
        .filter(|name| !counts.contains_key(*name))
        .collect();
    assert!(never.is_empty(), "never reached: {never:?}");
}
