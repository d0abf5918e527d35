//! The chapters on two replicas of one store, which diverge and converge.

use super::chapter::{Chapter, chapter};
use super::guide::Guide;
use super::stores::{PACKAGES, open_kv, sample};
use crate::program::failure::Failure;

const SHARED_KEY: &str = "note/redb";

pub(super) const CHAPTERS: &[Chapter] = &[
    chapter("Bob makes a replica from a file", replicate),
    chapter("Alice and Bob write without each other", diverge),
    chapter("They meet, and have the same state", converge),
    chapter(
        "Concurrent values of a key are kept until someone decides",
        decide,
    ),
    chapter("History says who wrote what, and after what", history),
];

fn replicate(guide: &mut Guide<'_, '_>) -> Result<(), Failure> {
    guide.say(
        "A bundle is a file with ops: signed changes, one after another. Alice writes all ops of \
         her store to a bundle.",
    )?;
    guide.run("alice", &["bundle", "create", PACKAGES, "./all.bundle"])?;
    guide.say("Bob checks every signature before he has a store:")?;
    guide.run("bob", &["bundle", "verify", "./all.bundle"])?;
    guide.say(
        "He applies the ops to a new replica. A replica refuses ops of authors that are new to \
         it, unless --author names one or --any-author accepts all.",
    )?;
    let printed = guide.run("bob", &["bundle", "apply", "./all.bundle", "--any-author"])?;
    let short = printed.lines().last().and_then(|id| id.get(..8));
    let short = short.ok_or_else(|| Failure::failed(format!("not a store id: {printed}")))?;
    guide.run("bob", &["alias", "set", short, PACKAGES])?;
    Ok(())
}

fn diverge(guide: &mut Guide<'_, '_>) -> Result<(), Failure> {
    guide.say("Both write to the same key. Each also changes another key.")?;
    guide.run("alice", &["put", PACKAGES, SHARED_KEY, "our backend"])?;
    guide.run(
        "alice",
        &["put", PACKAGES, "note/serde", "derive everywhere"],
    )?;
    guide.run("bob", &["put", PACKAGES, SHARED_KEY, "bytes to bytes"])?;
    guide.run("bob", &["del", PACKAGES, &sample()?])?;
    guide.say("The state hash covers what a store contains now. Theirs differ:")?;
    compare(guide)?;
    Ok(())
}

fn converge(guide: &mut Guide<'_, '_>) -> Result<(), Failure> {
    meet(guide)?;
    agree(guide)
}

fn decide(guide: &mut Guide<'_, '_>) -> Result<(), Failure> {
    guide.say("Both replicas have both values of note/redb. The later one is current:")?;
    guide.run("alice", &["conflicts", PACKAGES])?;
    guide.run("bob", &["get", PACKAGES, SHARED_KEY])?;
    guide.say("Alice has seen both. Her next write replaces both, and Bob's when he has it:")?;
    let decided = "our backend: bytes to bytes";
    guide.run("alice", &["put", PACKAGES, SHARED_KEY, decided])?;
    decided_to_bob(guide)?;
    guide.run("bob", &["get", PACKAGES, SHARED_KEY])?;
    agree(guide)
}

fn history(guide: &mut Guide<'_, '_>) -> Result<(), Failure> {
    guide.say(
        "Every op names the ops that its author had seen last; it stands above them. Where the \
         lines part, neither author had seen the ops of the other.",
    )?;
    guide.run("bob", &["history", PACKAGES, "--graph"])?;
    Ok(())
}

/// Exchanges what each replica lacks, over a pipe.
#[cfg(feature = "sync")]
fn meet(guide: &mut Guide<'_, '_>) -> Result<(), Failure> {
    guide.say(
        "Alice's program starts Bob's, with a pipe between them; over a network it would start \
         `ssh`. Each says what it has, and sends what the other lacks.",
    )?;
    guide.run("alice", &["sync", PACKAGES, "./bob", "--any-author"])?;
    Ok(())
}

#[cfg(feature = "sync")]
fn decided_to_bob(guide: &mut Guide<'_, '_>) -> Result<(), Failure> {
    guide.run("bob", &["sync", PACKAGES, "./alice", "--any-author"])?;
    Ok(())
}

/// Exchanges what each replica lacks, in files.
#[cfg(not(feature = "sync"))]
fn meet(guide: &mut Guide<'_, '_>) -> Result<(), Failure> {
    guide.say(
        "Each says what it has (its tips: the newest op of each author), and the other sends the \
         ops after those.",
    )?;
    send(guide, "bob", "alice", "./from-bob.bundle")?;
    send(guide, "alice", "bob", "./from-alice.bundle")
}

#[cfg(not(feature = "sync"))]
fn decided_to_bob(guide: &mut Guide<'_, '_>) -> Result<(), Failure> {
    send(guide, "alice", "bob", "./decided.bundle")
}

/// Sends a replica a bundle of the ops that it lacks.
#[cfg(not(feature = "sync"))]
fn send(guide: &mut Guide<'_, '_>, from: &str, to: &str, bundle: &str) -> Result<(), Failure> {
    let tips = format!("./{to}.tips");
    guide.run_into(to, &["bundle", "tips", PACKAGES], &tips)?;
    guide.run(
        from,
        &["bundle", "create", PACKAGES, bundle, "--since", &tips],
    )?;
    guide.run(to, &["bundle", "apply", bundle, "--any-author"])?;
    Ok(())
}

/// Prints the state hashes of both replicas; returns whether they are equal.
fn compare(guide: &mut Guide<'_, '_>) -> Result<bool, Failure> {
    guide.called("(alice.state_hash()?, bob.state_hash()?)")?;
    let mut hashes = Vec::new();
    for user in ["alice", "bob"] {
        let (_, kv) = open_kv(guide, user)?;
        hashes.push(kv.state_hash()?);
        kv.close()?;
    }
    let is_same = hashes[0] == hashes[1];
    let word = match is_same {
        true => "the same state",
        false => "different states",
    };
    guide.result(&format!(
        "alice {:.16}...  bob {:.16}...  {word}",
        hashes[0], hashes[1]
    ))?;
    Ok(is_same)
}

fn agree(guide: &mut Guide<'_, '_>) -> Result<(), Failure> {
    match compare(guide)? {
        true => Ok(()),
        false => Err(Failure::damaged(
            "the replicas differ after they exchanged all ops",
        )),
    }
}
