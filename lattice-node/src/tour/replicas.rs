//! Two replicas of one store that part and meet.

use std::fs;

use lattice_node::{Access, Authors, KvStore, Node};
use lattice_registry::StoreHandle;

use super::guide::Guide;
use super::walk::Stores;
use crate::program::{Failure, escape};

const SHARED_KEY: &str = "note/redb";

/// Alice's store is copied to Bob; both edit it apart, exchange what they did, and agree.
pub(super) fn part_and_meet(guide: &mut Guide, stores: &Stores) -> Result<(), Failure> {
    guide.heading("Bob gets a copy of the key-value store")?;
    let (alice_node, bob_node) = (
        Node::open(guide.node_dir("alice"))?,
        Node::open(guide.node_dir("bob"))?,
    );
    let bob_path = bob_node.manager().store_path(stores.kv_id);
    guide.typed(&format!(
        "cp -r alice/stores/{0} bob/stores/{0}",
        stores.kv_id
    ))?;
    if let Some(dir) = bob_path.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::copy(&stores.kv_path, &bob_path)?;
    let alice = alice_node.open_as::<KvStore>(stores.kv_id, Access::ReadWrite)?;
    let bob = bob_node.open_as::<KvStore>(stores.kv_id, Access::ReadWrite)?;
    guide.result("a closed store is one file; nothing outside it is needed")?;
    for (name, node) in [("alice", &alice_node), ("bob", &bob_node)] {
        if let Some(author) = node.manager().author() {
            guide.result(&format!("{name:<5} writes as {author:.16}..."))?;
        }
    }

    guide.heading("They edit it apart: the same key, and different ones")?;
    guide.typed(&format!(
        "lattice --data-dir alice put {:.8} {SHARED_KEY} 'our engine'",
        stores.kv_id
    ))?;
    alice.put(SHARED_KEY, "our engine")?;
    guide.typed(&format!(
        "lattice --data-dir alice put {:.8} note/serde 'derive everywhere'",
        stores.kv_id
    ))?;
    alice.put("note/serde", "derive everywhere")?;
    guide.typed(&format!(
        "lattice --data-dir bob put {:.8} {SHARED_KEY} 'bytes to bytes'",
        stores.kv_id
    ))?;
    bob.put(SHARED_KEY, "bytes to bytes")?;
    let removed = stores.sample.key();
    guide.called(&format!("bob.delete({removed:?})?"))?;
    bob.delete(&removed)?;
    show_hashes(guide, &alice, &bob)?;

    guide.heading("They exchange ops both ways")?;
    guide.called("alice.ingest(bob.ops_after(&alice.leaves()?)?, &Authors::Any)?")?;
    send(guide, &bob, &alice)?;
    guide.called("bob.ingest(alice.ops_after(&bob.leaves()?)?, &Authors::Any)?")?;
    send(guide, &alice, &bob)?;
    show_hashes(guide, &alice, &bob)?;
    if alice.state_hash()? != bob.state_hash()? {
        return Err(Failure::damaged(
            "the replicas differ after they exchanged all ops",
        ));
    }

    guide.heading("What both wrote is kept, and one value is current on both")?;
    guide.called(&format!("alice.conflicts({SHARED_KEY:?})?"))?;
    for head in alice.conflicts(SHARED_KEY)? {
        let author = head.op.author;
        guide.result(&format!("{:?} by {author:.16}...", escape(&head.value)))?;
    }
    guide.called(&format!("bob.get({SHARED_KEY:?})?"))?;
    let current = bob.get(SHARED_KEY)?.map(|value| escape(&value));
    guide.result(&format!("{current:?}"))?;
    guide.say("Whoever has seen both settles it by writing again:")?;
    guide.called(&format!(
        "alice.put({SHARED_KEY:?}, \"our engine: bytes to bytes\")?"
    ))?;
    alice.put(SHARED_KEY, "our engine: bytes to bytes")?;
    send(guide, &alice, &bob)?;
    let heads = bob.conflicts(SHARED_KEY)?.len();
    guide.result(&format!("bob has {heads} head for the key"))?;
    show_hashes(guide, &alice, &bob)?;
    alice_node.manager().close_all()?;
    bob_node.manager().close_all()?;
    Ok(())
}

/// Sends one replica what it lacks of another.
fn send(guide: &Guide, from: &KvStore, to: &KvStore) -> Result<(), Failure> {
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
    guide.result(&format!("{} ops applied", report.applied()))?;
    Ok(())
}

fn show_hashes(guide: &Guide, alice: &KvStore, bob: &KvStore) -> Result<(), Failure> {
    let (a, b) = (alice.state_hash()?, bob.state_hash()?);
    let word = if a == b {
        "the same state"
    } else {
        "different states"
    };
    guide.result(&format!("alice {a:.16}...  bob {b:.16}...  {word}"))?;
    Ok(())
}
