//! One exchange, until both have the same.

use super::{World, error, errors, json, object, text};

#[test]
fn both_have_the_same_afterwards_and_each_op_is_sent_once() {
    let world = World::with(&["bob"]);
    world.put("alice", "4");
    world.put("bob", "5");
    world.put("bob", "6");
    let line = world.sync("bob", "alice");
    assert!(line.starts_with("sent 2 ops ("), "{line}");
    assert!(line.contains("), received 1 op ("), "{line}");
    assert!(line.ends_with("; equal, 6 ops here\n"), "{line}");
    assert_eq!(world.hash("alice"), world.hash("bob"));
    assert!(world.has("alice", "6") && world.has("bob", "4"));
    let again = world.done("alice", &["--json", "sync", "kv", text(&world.dir("bob"))]);
    let again = json(&again);
    assert_eq!(again["sync_state"], "equal");
    assert_eq!(again["ops"], 6);
    assert_eq!((&again["sent"], &again["received"]), (&0.into(), &0.into()));
    assert_eq!(again["peer"], world.key("bob"));
}

#[test]
fn one_direction_leaves_the_other_alone() {
    let world = World::with(&["bob"]);
    world.put("alice", "4");
    world.put("bob", "5");
    let alice = world.dir("alice");
    let pushed = world.done("bob", &["--json", "sync", "kv", text(&alice), "--push"]);
    let pushed = json(&pushed);
    assert_eq!(pushed["sync_state"], "one_way");
    assert_eq!(
        (&pushed["sent"], &pushed["received"]),
        (&1.into(), &0.into())
    );
    assert!(world.has("alice", "5") && !world.has("bob", "4"));
    world.put("bob", "6");
    let pulled = world.done("bob", &["sync", "kv", text(&alice), "--pull"]);
    assert!(
        pulled.starts_with("sent 0 ops, received 1 op ("),
        "{pulled}"
    );
    assert!(world.has("bob", "4") && !world.has("alice", "6"));
}

#[test]
fn authors_that_are_not_known_are_named_and_an_option_takes_them() {
    let world = World::with(&["bob", "carol"]);
    world.put("carol", "c");
    world.sync("carol", "alice");
    let (alice, carol) = (world.dir("alice"), world.key("carol"));
    let refused = world.run("bob", &["sync", "kv", text(&alice)]);
    assert_eq!(refused.status.code(), Some(1));
    let notes = errors(&refused);
    assert!(
        notes.contains(&format!("ops of 1 author ({carol}) are not taken")),
        "{notes}"
    );
    assert!(notes.contains("--author KEY"), "{notes}");
    assert!(!world.has("bob", "c"));
    let refused = world.run("bob", &["--json", "sync", "kv", text(&alice)]);
    assert_eq!(
        object(&refused)["refused_authors"],
        json(&format!("[\"{carol}\"]"))
    );
    world.done("bob", &["sync", "kv", text(&alice), "--author", &carol]);
    assert!(world.has("bob", "c"));
    world.put("carol", "d");
    world.sync("carol", "alice");
    world.sync("bob", "alice");
    assert!(world.has("bob", "d"), "the store knows the author now");
}

#[test]
fn a_peer_that_refuses_this_author_is_reported() {
    let world = World::with(&["bob"]);
    world.put("bob", "b");
    let (via, bob) = (world.serving("alice", ""), world.key("bob"));
    let refused = world.run("bob", &["sync", "kv", "--via", &via]);
    assert_eq!(refused.status.code(), Some(1));
    let notes = errors(&refused);
    assert!(
        notes.contains(&format!("the peer takes no ops of 1 author ({bob})")),
        "{notes}"
    );
    assert!(!world.has("alice", "b"));
    let via = world.serving("alice", &format!("--author {bob}"));
    world.done("bob", &["sync", "kv", "--via", &via]);
    assert!(world.has("alice", "b"));
}

#[test]
fn a_peer_that_only_gives_takes_nothing() {
    let world = World::with(&["bob"]);
    world.put("alice", "4");
    world.put("bob", "b");
    let via = world.serving("alice", "--read-only --any-author");
    let done = world.done("bob", &["--json", "sync", "kv", "--via", &via]);
    let done = json(&done);
    assert_eq!(done["sync_state"], "one_way");
    assert_eq!((&done["sent"], &done["received"]), (&0.into(), &1.into()));
    assert!(world.has("bob", "4") && !world.has("alice", "b"));
}

#[test]
fn a_peer_gives_only_the_stores_that_it_names() {
    let world = World::with(&["bob"]);
    world.done("alice", &["create", "core:logstore", "--alias", "other"]);
    let via = world.serving("alice", "--store other");
    let refused = world.run("bob", &["--json", "sync", "kv", "--via", &via]);
    assert_eq!(refused.status.code(), Some(3));
    assert_eq!(error(&refused)["kind"], "no_store");
    let via = world.serving("alice", "--store other --store kv");
    world.done("bob", &["sync", "kv", "--via", &via]);
}

/// As through ssh: the arguments, and a directory whose name a shell must not read.
#[test]
fn ssh_runs_the_program_there_on_the_directory() {
    let world = World::with(&["it's a $(touch x) dir"]);
    let there = world.dir("it's a $(touch x) dir");
    world.put("alice", "4");
    let peer = format!("ssh://me@example.org:2222{}", text(&there));
    let mut program = crate::program();
    let ran = program
        .env("LATTICE_DATA_DIR", world.dir("alice"))
        .env("LATTICE_SSH", world.ssh())
        .current_dir(world.home.path())
        .args(["sync", "kv", &peer])
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", errors(&ran));
    let here = world.hash("alice");
    assert_eq!(here, world.hash("it's a $(touch x) dir"));
    let words = std::fs::read_to_string(world.dir("ssh.log")).unwrap();
    assert!(words.starts_with("-T\n-p\n2222\n--\nme@example.org\nlattice --data-dir='/"));
    assert!(words.contains(" serve --stdio --author="), "{words}");
    assert!(!world.dir("x").exists());
}

#[test]
fn what_ends_too_early_is_explained() {
    let world = World::new();
    let run = |words: &[&str]| {
        let ran = world.run("alice", &[&["--json", "sync", "kv"], words].concat());
        assert!(ran.stdout.is_empty());
        (ran.status.code().unwrap(), error(&ran))
    };
    let (code, failure) = run(&["--via", "echo no such host >&2; exit 3"]);
    assert_eq!(code, 1);
    assert_eq!(
        (&failure["exit_status"], &failure["said"]),
        (&3.into(), &"no such host".into())
    );
    assert!(
        failure["message"]
            .as_str()
            .unwrap()
            .contains("exit status: 3: no such host")
    );
    let (code, failure) = run(&["--via", "echo 'Welcome to this machine!'; cat > /dev/null"]);
    assert_eq!(code, 1);
    assert!(
        failure["message"]
            .as_str()
            .unwrap()
            .contains("is not the protocol")
    );
    let (code, failure) = run(&["--via", "/no/such/program"]);
    assert_eq!((code, &failure["exit_status"]), (1, &127.into()));
    let (code, failure) = run(&[text(&world.dir("nowhere"))]);
    assert_eq!((code, &failure["kind"]), (3, &"no_file".into()));
    let (code, failure) = run(&["unix:/no/such/socket"]);
    assert_eq!((code, &failure["kind"]), (3, &"no_file".into()));
    let (code, failure) = run(&[text(&world.dir("alice"))]);
    assert_eq!((code, &failure["kind"]), (2, &"usage".into()));
    for hostile in ["ssh://-oProxyCommand=x/", "ssh://-user@h", "ssh://h;x/"] {
        let (code, failure) = run(&[hostile]);
        assert_eq!((code, &failure["kind"]), (2, &"usage".into()));
    }
}
