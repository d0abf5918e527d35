//! Migrates stores to another type, with the code of a module and of a program.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use guest_chat::{ChatMachine, First, Second};
use lattice_backend::engine::verify::Depth;
use lattice_backend::machine::manifest::StoreCode;
use lattice_meta::StoreId;
use lattice_registry::Registry;
use lattice_wasm::{Code, WasmMachine, guests};

use crate::support::*;

/// Messages of the old store: more than two pages.
const MESSAGES: usize = 250;

fn filled(place: &Place) -> StoreId {
    let id = place.manager.create(&of(CHAT)).unwrap();
    let store = place.open(id);
    for n in 0..MESSAGES {
        post(&*store, "Tea", &format!("message {n}"));
    }
    place.manager.close_all().unwrap();
    id
}

/// Migrates, and compares the content of the new store with the old one.
fn migrated(place: &Place, id: StoreId) -> u64 {
    let made = place
        .manager
        .migrate(place.manager.store_path(id), &of(CHAT_V2))
        .unwrap();
    let store = place.open(made.store_id);
    let texts = texts(&*store, "tea");
    assert_eq!(texts.len(), MESSAGES);
    for (n, text) in texts.iter().enumerate() {
        assert!(text.ends_with(&format!(": message {n}")), "{text}");
    }
    place.manager.close_all().unwrap();
    let path = place.manager.store_path(made.store_id);
    let verified = place.manager.verify_path(path, Depth::Full).unwrap();
    assert_eq!(verified.findings, []);
    assert_eq!(made.ops, u64::try_from(MESSAGES).unwrap());
    made.resumed
}

#[test]
fn from_a_module_to_a_module() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new(dir.path());
    place.add(guests::CHAT);
    place.add(guests::CHAT_V2);
    let id = filled(&place);
    assert_eq!(migrated(&place, id), 0);
}

#[test]
fn from_native_code_to_a_module() {
    let dir = tempfile::tempdir().unwrap();
    let mut registry = Registry::new();
    register(&mut registry, ChatMachine::<First>::new);
    let place = Place::with(dir.path(), registry);
    place.add(guests::CHAT_V2);
    let id = filled(&place);
    assert_eq!(migrated(&place, id), 0);
}

#[test]
fn from_a_module_to_native_code() {
    let dir = tempfile::tempdir().unwrap();
    let mut registry = Registry::new();
    register(&mut registry, ChatMachine::<Second>::new);
    let convert = |step| Ok(ChatMachine::<Second>::new().convert(step)?);
    registry
        .register_conversion(of(CHAT), of(CHAT_V2), convert)
        .unwrap();
    let place = Place::with(dir.path(), registry);
    place.add(guests::CHAT);
    let id = filled(&place);
    assert_eq!(migrated(&place, id), 0);
}

fn building(dir: &Path, id: StoreId) -> PathBuf {
    dir.join("stores").join(format!("migrating-{id}-{CHAT_V2}"))
}

/// What a migration leaves if it is killed before its third step.
fn killed(dir: &Path, id: StoreId) -> Vec<u8> {
    let left = Arc::new(Mutex::new(Vec::new()));
    let (file, save) = (building(dir, id).join("state.db"), Arc::clone(&left));
    let steps = Mutex::new(0);
    let machine = WasmMachine::new(Code::new(guests::CHAT_V2).unwrap(), &[]).unwrap();
    let mut registry = Registry::new();
    registry
        .register_conversion(of(CHAT), of(CHAT_V2), move |step| {
            let mut steps = steps.lock().unwrap();
            *steps += 1;
            match *steps {
                1..3 => Ok(machine.convert(step)?),
                _ => {
                    *save.lock().unwrap() = fs::read(&file).unwrap();
                    Err("killed".into())
                }
            }
        })
        .unwrap();
    let place = Place::with(dir, registry);
    let path = place.manager.store_path(id);
    place.manager.migrate(path, &of(CHAT_V2)).unwrap_err();
    std::mem::take(&mut *left.lock().unwrap())
}

#[test]
fn a_killed_conversion_resumes() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new(dir.path());
    place.add(guests::CHAT);
    place.add(guests::CHAT_V2);
    let id = filled(&place);
    let left = killed(dir.path(), id);
    let building = building(dir.path(), id);
    fs::create_dir_all(&building).unwrap();
    fs::write(building.join("state.db"), &left).unwrap();
    fs::write(format!("{}.lock", building.display()), b"").unwrap();
    let resumed = migrated(&place, id);
    assert!(resumed >= 100, "{resumed} ops were kept");
}
