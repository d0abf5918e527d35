//! Memory of many open stores, measured in a separate process.

use std::path::Path;
use std::process::Command;

use lattice_backend::backend::Sharing;
use lattice_kvstore::KvStore;
use lattice_node::Access;
use lattice_registry::StoreHandle;

use super::peek::many_stores;
use crate::data::{Key, Random, VALUE, fill_overlay, make_kv, open_kv, put};
use crate::measure::{Line, Wanted, number};
use crate::plan::Plan;

/// The default cache budget of a manager, in MiB.
const BUDGET_MIB: f64 = 256.0;
const READS: usize = 200_000;

/// A thousand open stores, idle and under random reads.
pub fn lines(plan: &Plan) -> Vec<Line> {
    let place = plan.place();
    let (stores, keys) = (plan.size(1000), plan.size(2000));
    let mut mib = child(place.path(), stores, keys);
    // In a process of its own, which has freed nothing that could be used again.
    mib.extend(child(place.path(), 0, 0));
    let line = |what: String, mib: f64, against: &str, most| Line {
        what,
        lattice: format!("{} MiB", number(mib)),
        against: against.into(),
        figures: vec![mib],
        unit: "MiB",
        wanted: Wanted::AtMost(most),
    };
    let count = number(stores as f64);
    let reads = format!(
        "memory, {count} stores of {} keys under random reads",
        number(keys as f64)
    );
    vec![
        line(
            format!("memory, {count} stores open and idle"),
            mib[0],
            "",
            120.0,
        ),
        line(
            reads,
            mib[1],
            "the manager's budget: 256 MiB",
            BUDGET_MIB + 64.0,
        ),
        line(
            "memory, a store with a full overlay".into(),
            mib[2],
            "",
            24.0,
        ),
    ]
}

/// The numbers that a child process prints.
fn child(dir: &Path, stores: usize, keys: usize) -> Vec<f64> {
    let output = Command::new(std::env::current_exe().expect("this program"))
        .arg("--memory")
        .arg(dir)
        .args([stores.to_string(), keys.to_string()])
        .output()
        .expect("it starts");
    let printed = String::from_utf8(output.stdout).expect("text");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let numbers = printed.split_whitespace();
    numbers
        .map(|number| number.parse().expect("a number"))
        .collect()
}

/// The work of a child process: prints the memory of the open stores, before and after reads; or
/// without stores that of a full overlay.
pub fn measure(dir: &Path, stores: usize, keys: usize) {
    if stores == 0 {
        return println!("{:.1}", overlay_mib(dir));
    }
    let made = many_stores(dir, stores);
    let mut ids = Vec::new();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for listed in made.list().expect("it lists") {
        let id = listed.meta.expect("a store").store_id;
        let store = made.open(id, Access::ReadWrite).expect("it opens");
        let kv = store.downcast_ref::<KvStore>().expect("its type");
        let batch = (0..keys).fold(kv.batch(), |batch, nth| batch.put(nth.to_be_bytes(), VALUE));
        batch.commit().expect("it is written");
        made.close(id).expect("it closes");
        ids.push(id);
    }
    drop(made);
    // A new manager, whose caches are empty.
    let manager = many_stores(dir, 0);
    let before = resident_mib();
    let open: Vec<_> = ids
        .iter()
        .map(|id| {
            let store = manager.open(*id, Access::ReadWrite).expect("it opens");
            store.downcast_ref::<KvStore>().expect("its type").clone()
        })
        .collect();
    let idle = resident_mib() - before;
    for _ in 0..READS {
        let kv: &KvStore = &open[random.below(open.len())];
        let key = random.below(keys).to_be_bytes();
        assert_eq!(
            kv.get(key).expect("it reads").expect("it is there").len(),
            100
        );
    }
    let read = resident_mib() - before;
    for kv in open {
        StoreHandle::close(&kv).expect("it closes");
    }
    println!("{idle:.1} {read:.1}");
}

/// What a store takes for a full overlay: the difference to a handle that has read all rows.
fn overlay_mib(dir: &Path) -> f64 {
    let file = dir.join("overlay.db");
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let keys = random.batches(1, 5000);
    let made = make_kv(&file, Sharing::SingleWriter);
    put(&made, &keys);
    StoreHandle::close(&made).expect("it closes");
    let kv = open_kv(&file, Sharing::SingleWriter);
    let keys: Vec<Key> = keys.into_iter().flatten().collect();
    assert_eq!(kv.iter().expect("it reads").count(), keys.len());
    let before = resident_mib();
    fill_overlay(&kv, &keys, &mut random);
    let overlay = resident_mib() - before;
    StoreHandle::close(&kv).expect("it closes");
    overlay
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a Linux system");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("its memory");
    let kib: f64 = line
        .split_whitespace()
        .nth(1)
        .expect("a number")
        .parse()
        .expect("a number");
    kib / 1024.0
}
