//! Bundles that carry code, between data directories of which one has never seen the store's type.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use lattice_backend::bundle::{BundleCode, BundleReader, Claims, Module, write_bundle_with_code};
use lattice_meta::{Cid, StateHash};
use lattice_wasm::guests;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{assert_done, fed, start, text, text_of};
use crate::borders::contents;
use crate::{lattice, printed};

/// A data directory `alice` with a chat of two ops, and the paths of others that do not exist yet.
struct Chat {
    home: TempDir,
    store_id: String,
}

impl Chat {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("chat.wasm"), guests::CHAT).unwrap();
        let mut site = Self {
            home,
            store_id: String::new(),
        };
        let module = site.path("chat.wasm");
        printed(&site.alice(), &["code", "add", text_of(&module)]);
        let made = ["create", "org.example.chat", "--alias", "lobby"];
        site.store_id = printed(&site.alice(), &made).trim().to_owned();
        for text in ["text=one", "text=two"] {
            site.post(&site.alice(), text);
        }
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn alice(&self) -> PathBuf {
        self.path("alice")
    }

    fn bob(&self) -> PathBuf {
        self.path("bob")
    }

    fn post(&self, dir: &Path, said: &str) {
        printed(dir, &["call", &self.store_id, "post", "room=tea", said]);
    }

    /// A bundle with code, made as a file.
    fn bundle(&self, name: &str) -> PathBuf {
        let file = self.path(name);
        let words = ["bundle", "create", "lobby", text_of(&file), "--with-code"];
        printed(&self.alice(), &words);
        file
    }

    /// The file of a bundle that differs in its section.
    fn altered(&self, name: &str, code: impl FnOnce(&BundleCode) -> BundleCode) -> PathBuf {
        let bytes = fs::read(self.bundle(&format!("{name}.honest"))).unwrap();
        let mut reader = BundleReader::new(&bytes[..]).unwrap();
        let (genesis, code) = (reader.genesis().clone(), code(reader.code().unwrap()));
        let mut ops = std::iter::from_fn(|| reader.next_op().unwrap().map(Ok));
        let mut altered = Vec::new();
        write_bundle_with_code(&mut altered, &genesis, &code, &mut ops).unwrap();
        let file = self.path(name);
        fs::write(&file, altered).unwrap();
        file
    }

    fn state_hash(&self, dir: &Path) -> String {
        let info = printed(dir, &["--json", "info", &self.store_id]);
        super::json(&info)["state_hash"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Trusts the module that an earlier command kept.
    fn trust_kept(&self, dir: &Path) {
        let kept = dir.join("wasm").join(chat());
        printed(dir, &["code", "add", text_of(&kept)]);
    }
}

fn chat() -> String {
    Cid::of(guests::CHAT).to_string()
}

fn module(bytes: Vec<u8>) -> Module {
    Module::new(Cid::of(&bytes), bytes).unwrap()
}

fn apply(dir: &Path, bundle: &Path) -> Output {
    lattice(dir, &["bundle", "apply", text_of(bundle)])
}

fn apply_as_json(dir: &Path, bundle: &Path) -> Value {
    let words = ["--json", "bundle", "apply", text_of(bundle), "--any-author"];
    super::json(&printed(dir, &words))
}

/// Applies a bundle that is refused before anything changes, to a new data directory and to one
/// with the store. Returns the message.
fn refused(site: &Chat, bundle: &Path, exit_code: i32) -> String {
    let before = contents(&site.alice());
    let at_alice = apply(&site.alice(), bundle);
    assert_eq!(contents(&site.alice()), before);
    let at_bob = apply(&site.bob(), bundle);
    assert!(!site.bob().exists());
    for output in [&at_alice, &at_bob] {
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(exit_code), "{message}");
        assert!(output.stdout.is_empty());
    }
    text(&at_bob.stderr)
}

#[test]
fn a_type_that_a_directory_has_never_seen_comes_with_its_code() {
    let site = Chat::new();
    let file = site.path("lobby.bundle");
    let words = ["bundle", "create", "lobby", text_of(&file), "--with-code"];
    let made = lattice(&site.alice(), &words);
    assert_eq!(
        text(&made.stderr),
        format!(
            "wrote 2 ops of store {} to {}, with code {}\n",
            site.store_id,
            file.display(),
            chat()
        )
    );
    let listed = printed(&site.bob(), &["bundle", "verify", text_of(&file)]);
    assert!(!site.bob().exists());
    let expected = [
        format!("logic           {}", chat()),
        format!("state hash      {}", site.state_hash(&site.alice())),
        "frontier        1 op".to_owned(),
    ];
    let lines: Vec<_> = listed.lines().skip(1).collect();
    assert_eq!(lines[..3], expected);
    let about = format!("module          {}  org.example.chat, ", chat());
    assert!(lines[3].starts_with(&about), "{listed}");
    assert!(lines[3].ends_with(" bytes, not trusted"), "{listed}");

    let untrusted = apply(&site.bob(), &file);
    assert_eq!(untrusted.status.code(), Some(1));
    let kept = site.bob().join("wasm").join(chat());
    let message = text(&untrusted.stderr);
    assert!(
        message.ends_with(&format!(
            "code {} for org.example.chat is not trusted here; `lattice code add {}` trusts it\n",
            chat(),
            kept.display()
        )),
        "{message}"
    );
    assert!(!site.bob().join("stores").join(&site.store_id).exists());
    // Applying it again trusts no more than the first time.
    assert_eq!(apply(&site.bob(), &file).status.code(), Some(1));
    assert!(fs::read(&kept).unwrap() == guests::CHAT);
    assert!(!site.bob().join("code.toml").exists());

    site.trust_kept(&site.bob());
    let applied = apply(&site.bob(), &file);
    assert_done(&applied);
    assert_eq!(
        text(&applied.stderr),
        "2 ops applied to a new replica, 0 ops already known\nstate hash as the sender claims\n"
    );
    assert_eq!(site.state_hash(&site.bob()), site.state_hash(&site.alice()));
    printed(&site.bob(), &["verify", &site.store_id]);
    assert_eq!(
        apply_as_json(&site.bob(), &file)["claimed_state"],
        "matched"
    );
}

#[test]
fn a_pipe_carries_code_too() {
    let site = Chat::new();
    let words = ["bundle", "create", "lobby", "-", "--with-code"];
    let made = lattice(&site.alice(), &words);
    assert_done(&made);
    assert!(made.stdout == fs::read(site.bundle("lobby.bundle")).unwrap());
    let first = fed(&site.bob(), &["bundle", "apply", "-"], &made.stdout);
    assert_eq!(first.status.code(), Some(1), "{}", text(&first.stderr));
    site.trust_kept(&site.bob());
    let mut creating = start(&site.alice(), &words, Stdio::null(), Stdio::piped());
    let pipe = Stdio::from(creating.stdout.take().unwrap());
    let applying = start(&site.bob(), &["bundle", "apply", "-"], pipe, Stdio::piped());
    assert_done(&creating.wait_with_output().unwrap());
    assert_done(&applying.wait_with_output().unwrap());
    assert_eq!(site.state_hash(&site.bob()), site.state_hash(&site.alice()));
}

#[test]
fn the_program_prints_code_and_claims_as_json() {
    let site = Chat::new();
    let file = site.path("lobby.bundle");
    let create = ["--json", "bundle", "create", "lobby", text_of(&file)];
    let made = super::json(&printed(
        &site.alice(),
        &[&create[..], &["--with-code"]].concat(),
    ));
    assert_eq!(made["modules"], json!([chat()]));
    let verify = ["--json", "bundle", "verify", text_of(&file)];
    let verified = super::json(&printed(&site.alice(), &verify));
    let claims = json!({
        "logic": chat(),
        "state_hash": site.state_hash(&site.alice()),
        "frontier": 1,
    });
    assert_eq!(verified["claims"], claims);
    let listed = json!([{
        "cid": chat(),
        "store_type": "org.example.chat",
        "bytes": guests::CHAT.len(),
        "trusted": true,
        "reason": null,
    }]);
    assert_eq!(verified["modules"], listed);
    fs::remove_file(&file).unwrap();
    let made = super::json(&printed(&site.alice(), &create));
    assert_eq!(made["modules"], json!([]));
    let verified = super::json(&printed(&site.alice(), &verify));
    assert_eq!(
        (&verified["claims"], &verified["modules"]),
        (&Value::Null, &json!([]))
    );
    assert_eq!(
        apply_as_json(&site.alice(), &file)["claimed_state"],
        Value::Null
    );
}

#[test]
fn a_sender_that_claims_another_state_is_reported() {
    let site = Chat::new();
    let lie = StateHash::from_bytes([0xab; 32]);
    let file = site.altered("lie.bundle", |code| {
        let claims = code.claims();
        let claims = Claims::new(claims.logic().clone(), lie, claims.frontier().to_vec());
        BundleCode::new(claims.unwrap(), code.modules().to_vec()).unwrap()
    });
    assert_eq!(apply(&site.bob(), &file).status.code(), Some(1));
    site.trust_kept(&site.bob());
    let words = ["--json", "bundle", "apply", text_of(&file)];
    let differs = lattice(&site.bob(), &words);
    assert_eq!(differs.status.code(), Some(4));
    let printed = super::json(&text(&differs.stdout));
    assert_eq!(
        (&printed["applied"], &printed["claimed_state"]),
        (&json!(2), &json!("differs"))
    );
    let error = super::json(text(&differs.stderr).lines().last().unwrap());
    let ours = site.state_hash(&site.alice());
    assert_eq!(error["error"]["kind"], "damaged");
    assert_eq!(
        error["error"]["message"],
        format!(
            "store {0} has the state hash {ours}, and the bundle's sender claims {lie} for the \
             same ops; `lattice verify {0}` checks this replica",
            site.store_id
        )
    );
    // The ops are signed, so they were applied: the claim is about no op.
    assert_eq!(site.state_hash(&site.bob()), ours);
}

#[test]
fn states_of_different_ops_are_not_compared() {
    let site = Chat::new();
    let old = site.bundle("old.bundle");
    assert_eq!(apply(&site.bob(), &old).status.code(), Some(1));
    site.trust_kept(&site.bob());
    assert_done(&apply(&site.bob(), &old));
    site.post(&site.bob(), "text=three");
    let behind = apply(&site.bob(), &old);
    assert_done(&behind);
    assert_eq!(
        text(&behind.stderr),
        "0 ops applied, 2 ops already known\n\
         state hash not compared: this replica and the sender's have applied different ops\n"
    );
    assert_eq!(
        apply_as_json(&site.bob(), &old)["claimed_state"],
        "not_compared"
    );
    // With the claims of a later bundle, the frontier has two ops.
    site.post(&site.alice(), "text=four");
    let new = site.bundle("new.bundle");
    assert_eq!(
        apply_as_json(&site.bob(), &new)["claimed_state"],
        "not_compared"
    );
}

#[test]
fn a_module_that_differs_from_its_content_id_changes_nothing() {
    let site = Chat::new();
    let file = site.bundle("lobby.bundle");
    let mut bytes = fs::read(&file).unwrap();
    let at = bytes
        .windows(guests::CHAT.len())
        .position(|found| found == guests::CHAT);
    bytes[at.unwrap() + 1_000] ^= 1;
    fs::write(&file, bytes).unwrap();
    let message = refused(&site, &file, 4);
    assert_eq!(
        message,
        format!(
            "lattice: {}: the bundle is damaged: module 0 is invalid: the bytes differ from those \
             that {} names; copy it again, or create it again with `lattice bundle create`\n",
            file.display(),
            chat()
        )
    );
}

#[test]
fn a_module_that_cannot_run_here_changes_nothing() {
    let site = Chat::new();
    let claims = |code: &BundleCode| code.claims().clone();
    // Good bytes before it are not kept either.
    let file = site.altered("none.bundle", |code| {
        let modules = vec![
            module(guests::CHAT_V2.to_vec()),
            module(b"no module".to_vec()),
        ];
        BundleCode::new(claims(code), modules).unwrap()
    });
    let message = refused(&site, &file, 1);
    let cid = Cid::of(b"no module");
    let expected = format!("{}: {cid} cannot be used as code: ", file.display());
    assert!(message.contains(&expected), "{message}");
    // The module of `core:kvstore` with an empty section, so that no program names it as equal.
    let posing = [guests::KVSTORE, &[0, 2, 1, b'x']].concat();
    let cid = Cid::of(&posing);
    let file = site.altered("core.bundle", |code| {
        BundleCode::new(claims(code), vec![module(posing)]).unwrap()
    });
    let message = refused(&site, &file, 1);
    assert!(
        message.contains(&format!("{cid} is code for core:kvstore; ")),
        "{message}"
    );
    let words = ["--json", "bundle", "verify", text_of(&file)];
    let listed = super::json(&printed(&site.alice(), &words))["modules"][0].clone();
    assert_eq!(listed["store_type"], "core:kvstore");
    let error = listed["reason"].as_str().unwrap();
    assert!(error.contains("is code for core:kvstore"), "{error}");
}

/// The store of the receiver records other code of the same state. It stays.
#[test]
fn a_store_keeps_the_code_that_it_records() {
    let site = Chat::new();
    let file = site.bundle("lobby.bundle");
    assert_eq!(apply(&site.bob(), &file).status.code(), Some(1));
    site.trust_kept(&site.bob());
    assert_done(&apply(&site.bob(), &file));
    let fixed = site.path("fixed.wasm");
    fs::write(&fixed, guests::CHAT_HOTFIX).unwrap();
    printed(&site.bob(), &["code", "add", text_of(&fixed)]);
    let upgrade = ["code", "upgrade", &site.store_id, text_of(&fixed)];
    printed(&site.bob(), &upgrade);
    assert_eq!(
        apply_as_json(&site.bob(), &file)["claimed_state"],
        "matched"
    );
    let info = super::json(&printed(&site.bob(), &["--json", "info", &site.store_id]));
    assert_eq!(
        info["logic_version"],
        Cid::of(guests::CHAT_HOTFIX).to_string()
    );
}

/// A new replica uses the claimed module, not the one that was added last.
#[test]
fn a_new_replica_uses_the_code_of_the_sender() {
    let site = Chat::new();
    let file = site.bundle("lobby.bundle");
    for (name, wasm) in [("a.wasm", guests::CHAT), ("b.wasm", guests::CHAT_HOTFIX)] {
        let module = site.path(name);
        fs::write(&module, wasm).unwrap();
        printed(&site.bob(), &["code", "add", text_of(&module)]);
    }
    assert_eq!(
        apply_as_json(&site.bob(), &file)["claimed_state"],
        "matched"
    );
    let info = super::json(&printed(&site.bob(), &["--json", "info", &site.store_id]));
    assert_eq!(info["logic_version"], chat());
}

#[test]
fn code_that_is_no_module_or_is_missing_cannot_be_carried() {
    let site = Chat::new();
    let (alice, file) = (site.alice(), site.path("x.bundle"));
    let id = printed(&alice, &["create", "core:kvstore", "--alias", "kv"]);
    let create = ["bundle", "create", "kv", text_of(&file), "--with-code"];
    let native = lattice(&alice, &create);
    assert_eq!(native.status.code(), Some(2));
    assert_eq!(
        text(&native.stderr),
        format!(
            "lattice: store {} records core:kvstore/1, which is code of the program and no module; \
             omit --with-code: programs that know the type need no module\n",
            id.trim()
        )
    );
    // The program opens the store with its own code, which needs no module.
    let module = site.path("kvstore.wasm");
    fs::write(&module, guests::KVSTORE).unwrap();
    printed(&alice, &["code", "upgrade", "kv", text_of(&module)]);
    fs::remove_file(
        alice
            .join("wasm")
            .join(Cid::of(guests::KVSTORE).to_string()),
    )
    .unwrap();
    let missing = lattice(&alice, &create);
    assert_eq!(missing.status.code(), Some(3));
    let message = text(&missing.stderr);
    let cid = Cid::of(guests::KVSTORE);
    assert!(
        message.starts_with(&format!(
            "lattice: no code {cid}, which store {} ",
            id.trim()
        )),
        "{message}"
    );
    assert!(!file.exists());
    let with_file = [&["--code", text_of(&module)], &create[..]].concat();
    printed(&alice, &with_file);
    // The receiver's native code is named as equal, and needs no trust.
    let applied = apply(&site.bob(), &file);
    assert_done(&applied);
    assert!(text(&applied.stderr).ends_with("state hash as the sender claims\n"));
    fs::remove_file(alice.join("wasm").join(chat())).unwrap();
    let lobby = ["bundle", "create", "lobby", text_of(&file), "--with-code"];
    let missing = lattice(&alice, &lobby);
    assert_eq!(missing.status.code(), Some(3), "{}", text(&missing.stderr));
}
