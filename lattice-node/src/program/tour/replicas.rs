//! Two replicas of one store that part and meet.

use std::fs;

use lattice_registry::StoreHandle;

use super::guide::{Guide, word};
use super::walk::{Stores, on, open_kv};
use crate::program::bulk::plural;
use crate::program::failure::Failure;
use crate::{Authors, KvStore};

const SHARED_KEY: &str = "note/redb";

/// Alice's store is copied to Bob; both edit it apart, exchange what they did, and agree.
pub(super) fn part_and_meet(guide: &mut Guide<'_, '_>, stores: &Stores) -> Result<(), Failure> {
    guide.heading("Bob gets a copy of the key-value store")?;
    let (from, to) = (stores.kv_dir("alice"), stores.kv_dir("bob"));
    guide.typed(&format!("cp -r {} {}", from.display(), to.display()))?;
    fs::create_dir_all(guide.place(&to))?;
    let file = |dir| guide.place(dir).join("state.db");
    fs::copy(file(&from), file(&to))?;
    guide.result("a closed store is one file; nothing outside it is needed")?;
    let mut name_it = on("bob", ["alias", "set", "packages"]);
    name_it.push(word(format!("{:.8}", stores.kv_id)));
    guide.run(&name_it)?;

    guide.heading("They edit it apart: the same key, and different ones")?;
    guide.run(&on("alice", ["put", "packages", SHARED_KEY, "our engine"]))?;
    guide.run(&on(
        "alice",
        ["put", "packages", "note/serde", "derive everywhere"],
    ))?;
    guide.run(&on(
        "bob",
        ["put", "packages", SHARED_KEY, "bytes to bytes"],
    ))?;
    let mut delete = on("bob", ["del", "packages"]);
    delete.push(word(&stores.sample));
    guide.run(&delete)?;
    let replicas = Replicas::open(guide, stores)?;
    replicas.show_hashes(guide)?;

    guide.heading("They exchange ops both ways")?;
    guide.called("alice.ingest(bob.ops_after(&alice.leaves()?)?, &Authors::Any)?")?;
    send(guide, &replicas.bob, &replicas.alice)?;
    guide.called("bob.ingest(alice.ops_after(&bob.leaves()?)?, &Authors::Any)?")?;
    send(guide, &replicas.alice, &replicas.bob)?;
    replicas.show_hashes(guide)?;
    replicas.check_equal()?;
    replicas.close()?;

    guide.heading("What both wrote is kept, and one value is current on both")?;
    guide.run(&on("alice", ["conflicts", "packages"]))?;
    guide.run(&on("bob", ["get", "packages", SHARED_KEY]))?;
    guide.say("Whoever has seen both settles it by writing again:")?;
    let settled = "our engine: bytes to bytes";
    guide.run(&on("alice", ["put", "packages", SHARED_KEY, settled]))?;
    let replicas = Replicas::open(guide, stores)?;
    guide.called("bob.ingest(alice.ops_after(&bob.leaves()?)?, &Authors::Any)?")?;
    send(guide, &replicas.alice, &replicas.bob)?;
    replicas.show_hashes(guide)?;
    replicas.check_equal()?;
    replicas.close()?;
    guide.run(&on("bob", ["conflicts", "packages", SHARED_KEY]))?;
    Ok(())
}

struct Replicas {
    alice: KvStore,
    bob: KvStore,
}

impl Replicas {
    fn open(guide: &Guide<'_, '_>, stores: &Stores) -> Result<Self, Failure> {
        let (_, alice) = open_kv(guide, "alice", stores)?;
        let (_, bob) = open_kv(guide, "bob", stores)?;
        Ok(Self { alice, bob })
    }

    fn show_hashes(&self, guide: &mut Guide<'_, '_>) -> Result<(), Failure> {
        let (a, b) = (self.alice.state_hash()?, self.bob.state_hash()?);
        let word = if a == b {
            "the same state"
        } else {
            "different states"
        };
        guide.result(&format!("alice {a:.16}...  bob {b:.16}...  {word}"))
    }

    fn check_equal(&self) -> Result<(), Failure> {
        if self.alice.state_hash()? == self.bob.state_hash()? {
            return Ok(());
        }
        Err(Failure::damaged(
            "the replicas differ after they exchanged all ops",
        ))
    }

    fn close(self) -> Result<(), Failure> {
        self.alice.close()?;
        Ok(self.bob.close()?)
    }
}

/// Sends one replica what it lacks of another.
fn send(guide: &mut Guide<'_, '_>, from: &KvStore, to: &KvStore) -> Result<(), Failure> {
    let ops = from
        .ops_after(&to.leaves()?)?
        .collect::<Result<Vec<_>, _>>()?;
    let report = to.ingest(&mut ops.into_iter(), &Authors::Any)?;
    if !report.is_complete() {
        return Err(Failure::damaged(format!(
            "ops were not applied: {:?}",
            report.outcomes
        )));
    }
    let applied = u64::try_from(report.applied()).expect("what is in memory can be counted");
    let applied = plural(applied, ("op", "ops"));
    guide.result(&format!("{applied} applied"))
}
