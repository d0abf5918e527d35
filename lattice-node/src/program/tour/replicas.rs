//! Two replicas of one store that diverge and converge.

use super::guide::{Guide, Word, path, word};
use super::walk::{Stores, on, open_kv};
use crate::program::failure::Failure;

const SHARED_KEY: &str = "note/redb";

/// Bob makes a replica from a bundle of Alice's. Both write independently, exchange the ops that
/// the other lacks, and converge.
pub(super) fn part_and_meet(guide: &mut Guide<'_, '_>, stores: &Stores) -> Result<(), Failure> {
    guide.heading("Bob makes a replica of the key-value store from a file")?;
    guide.run(&with(
        on("alice", ["bundle", "create", "packages"]),
        [path("all.bundle")],
    ))?;
    guide.say("It has the history and its signatures, and needs no store to be checked:")?;
    guide.run(&[word("bundle"), word("verify"), path("all.bundle")])?;
    guide.run(&with(
        on("bob", ["bundle", "apply"]),
        [path("all.bundle"), word("--any-author")],
    ))?;
    let id = word(format!("{:.8}", stores.kv_id));
    guide.run(&with(on("bob", ["alias", "set", "packages"]), [id]))?;

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
    let sample = word(&stores.sample);
    guide.run(&with(on("bob", ["del", "packages"]), [sample]))?;
    compare(guide, stores)?;

    guide.heading("They exchange what the other lacks, both ways")?;
    send(guide, "bob", "alice", "from-bob")?;
    send(guide, "alice", "bob", "from-alice")?;
    agree(guide, stores)?;

    guide.heading("What both wrote is kept, and one value is current on both")?;
    guide.run(&on("alice", ["conflicts", "packages"]))?;
    guide.run(&on("bob", ["get", "packages", SHARED_KEY]))?;
    guide.say("Whoever has seen both settles it by writing again:")?;
    let settled = "our engine: bytes to bytes";
    guide.run(&on("alice", ["put", "packages", SHARED_KEY, settled]))?;
    send(guide, "alice", "bob", "settled")?;
    agree(guide, stores)?;
    guide.run(&on("bob", ["conflicts", "packages", SHARED_KEY]))?;

    guide.heading("History says who did what, and what followed what")?;
    guide.run(&on("bob", ["history", "packages", "--graph"]))?;
    Ok(())
}

fn with<const N: usize>(mut words: Vec<Word>, more: [Word; N]) -> Vec<Word> {
    words.extend(more);
    words
}

/// Sends a replica a bundle of the ops that it lacks.
fn send(
    guide: &mut Guide<'_, '_>,
    from: &'static str,
    to: &'static str,
    name: &str,
) -> Result<(), Failure> {
    let (tips, bundle) = (format!("{to}.tips"), format!("{name}.bundle"));
    guide.run_into(&on(to, ["bundle", "tips", "packages"]), &tips)?;
    guide.run(&with(
        on(from, ["bundle", "create", "packages"]),
        [path(&bundle), word("--since"), path(&tips)],
    ))?;
    guide.run(&with(
        on(to, ["bundle", "apply"]),
        [path(&bundle), word("--any-author")],
    ))?;
    Ok(())
}

/// Prints the state hashes of both replicas; returns whether they are equal.
fn compare(guide: &mut Guide<'_, '_>, stores: &Stores) -> Result<bool, Failure> {
    guide.called("(alice.state_hash()?, bob.state_hash()?)")?;
    let mut hashes = Vec::new();
    for name in ["alice", "bob"] {
        let (_, kv) = open_kv(guide, name, stores)?;
        hashes.push(kv.state_hash()?);
        kv.close()?;
    }
    let is_same = hashes[0] == hashes[1];
    let word = match is_same {
        true => "the same state",
        false => "different states",
    };
    guide.result(&format!(
        "alice {:.16}...  bob {:.16}...",
        hashes[0], hashes[1]
    ))?;
    guide.result(word)?;
    Ok(is_same)
}

fn agree(guide: &mut Guide<'_, '_>, stores: &Stores) -> Result<(), Failure> {
    match compare(guide, stores)? {
        true => Ok(()),
        false => Err(Failure::damaged(
            "the replicas differ after they exchanged all ops",
        )),
    }
}
