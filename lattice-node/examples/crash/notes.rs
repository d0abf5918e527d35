//! The file in which a worker notes the steps that it begins and completes.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use lattice_meta::StoreId;

use crate::Outcome;

pub(crate) fn path(dir: &Path) -> PathBuf {
    dir.join("notes")
}

/// Writes each note immediately: a killed process loses nothing that it has passed to the kernel.
pub(crate) struct Notes(File);

impl Notes {
    pub(crate) fn begin(dir: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(path(dir))?;
        Ok(Self(file))
    }

    /// Notes that a step begins; `store` is its store, if the script does not determine it.
    pub(crate) fn begins(&mut self, number: u64, store: Option<StoreId>) -> io::Result<()> {
        self.note("begin", number, store)
    }

    /// Notes that a step was acknowledged; `store` is the store that it created, if any.
    pub(crate) fn done(&mut self, number: u64, store: Option<StoreId>) -> io::Result<()> {
        self.note("done", number, store)
    }

    fn note(&mut self, word: &str, number: u64, store: Option<StoreId>) -> io::Result<()> {
        let store = store.map_or("-".to_owned(), |store| store.to_string());
        // A single write, so that a kill leaves no partial line.
        self.0
            .write_all(format!("{word} {number} {store}\n").as_bytes())
    }
}

/// The note of one step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Noted {
    pub(crate) number: u64,
    pub(crate) store: Option<StoreId>,
    pub(crate) is_done: bool,
}

/// All notes of a worker. Every step but the last is done.
pub(crate) fn read(dir: &Path) -> Outcome<Vec<Noted>> {
    let text = match std::fs::read_to_string(path(dir)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        text => text?,
    };
    let mut noted: Vec<Noted> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [word, number, store] = words[..] else {
            return Err(format!("a note is broken: {line}").into());
        };
        let number = number.parse()?;
        let store = match store {
            "-" => None,
            store => Some(store.parse()?),
        };
        match word {
            "begin" => noted.push(Noted {
                number,
                store,
                is_done: false,
            }),
            _ => {
                let last = noted.last_mut().filter(|last| last.number == number);
                let last = last.ok_or("a piece of work ended that had not begun")?;
                last.is_done = true;
                last.store = store.or(last.store);
            }
        }
    }
    Ok(noted)
}
