//! Power fails after every step of a placement, and any of the changes that were not synced are on
//! disk.

#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::*;

/// A file or a directory, whatever its names.
type Node = usize;
const ROOT: Node = 0;

/// A change of names, which is on disk as a whole or not at all.
#[derive(Debug, Clone)]
struct Change {
    /// The directory whose sync makes it durable.
    dir: Node,
    removed: Option<(Node, String)>,
    added: Option<(Node, String, Node)>,
}

#[derive(Debug, Clone)]
enum Step {
    Changed(Change),
    Wrote(Node, &'static str),
    SyncedFile(Node),
    SyncedDir(Node),
}

/// A file system that records what happens to it.
#[derive(Debug, Default)]
struct Model {
    state: RefCell<State>,
}

#[derive(Debug, Default, Clone)]
struct State {
    /// The names of all directories, by directory and name.
    names: BTreeMap<(Node, String), Node>,
    contents: BTreeMap<Node, &'static str>,
    nodes: Node,
    steps: Vec<Step>,
}

impl State {
    fn find(&self, path: &Path) -> Option<Node> {
        path.iter().try_fold(ROOT, |dir, name| {
            let name = name.to_str().unwrap().to_owned();
            self.names.get(&(dir, name)).copied()
        })
    }

    fn place(&self, path: &Path) -> io::Result<(Node, String)> {
        let parent = path.parent().unwrap_or(Path::new(""));
        let dir = self.find(parent).ok_or(io::ErrorKind::NotFound)?;
        Ok((dir, path.file_name().unwrap().to_str().unwrap().to_owned()))
    }

    fn content(&self, path: &Path) -> Option<&'static str> {
        self.contents.get(&self.find(path)?).copied()
    }

    fn make(&mut self, change: Change) {
        if let Some(removed) = &change.removed {
            self.names.remove(removed);
        }
        if let Some((dir, name, node)) = &change.added {
            self.names.insert((*dir, name.clone()), *node);
        }
        self.steps.push(Step::Changed(change));
    }

    fn new_node(&mut self) -> Node {
        self.nodes += 1;
        self.nodes
    }

    /// Every state of the disk if power fails after this many steps, with each choice of the
    /// changes of names that were not synced. A later change of one directory can be on disk
    /// without an earlier one. Contents that were not synced are lost.
    fn after_power_loss(&self, steps: usize) -> Vec<State> {
        let mut durable = Vec::new();
        let mut pending: Vec<Change> = Vec::new();
        let (mut written, mut contents) = (BTreeMap::new(), BTreeMap::new());
        for step in self.steps.iter().take(steps) {
            match step {
                Step::Changed(change) => pending.push(change.clone()),
                Step::Wrote(node, text) => drop(written.insert(*node, *text)),
                Step::SyncedFile(node) => {
                    contents.extend(written.get(node).map(|text| (*node, *text)));
                }
                Step::SyncedDir(dir) => {
                    durable.extend(pending.extract_if(.., |change| change.dir == *dir));
                }
            }
        }
        (0..1_usize << pending.len())
            .map(|chosen| {
                let kept = pending.iter().enumerate();
                let kept = kept.filter(|(nth, _)| chosen & (1 << nth) != 0);
                let mut left = State::default();
                for change in durable.iter().chain(kept.map(|(_, change)| change)) {
                    left.make(change.clone());
                }
                left.contents = contents.clone();
                left
            })
            .collect()
    }
}

impl Model {
    fn write(&self, path: &str, text: &'static str) {
        let mut state = self.state.borrow_mut();
        let (dir, name) = state.place(Path::new(path)).unwrap();
        let node = state.new_node();
        state.contents.insert(node, text);
        state.make(Change {
            dir,
            removed: None,
            added: Some((dir, name, node)),
        });
        state.steps.push(Step::Wrote(node, text));
    }

    /// Checks every state after a loss of power from here on, while `work` runs and after it.
    fn cut(&self, work: impl FnOnce(), check: impl Fn(&State, bool)) {
        let begin = self.state.borrow().steps.len();
        work();
        let state = self.state.borrow();
        let end = state.steps.len();
        assert!(end > begin);
        for steps in begin..=end {
            for left in state.after_power_loss(steps) {
                check(&left, steps == end);
            }
        }
    }
}

impl Names for Model {
    fn exists(&self, path: &Path) -> bool {
        self.state.borrow().find(path).is_some()
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        let (dir, name) = state.place(path)?;
        let node = state.new_node();
        state.make(Change {
            dir,
            removed: None,
            added: Some((dir, name, node)),
        });
        Ok(())
    }

    fn link(&self, file: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        let node = state.find(file).ok_or(io::ErrorKind::NotFound)?;
        if state.find(to).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let (dir, name) = state.place(to)?;
        state.make(Change {
            dir,
            removed: None,
            added: Some((dir, name, node)),
        });
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        let node = state.find(from).ok_or(io::ErrorKind::NotFound)?;
        let (dir, name) = state.place(to)?;
        let change = Change {
            dir,
            removed: Some(state.place(from)?),
            added: Some((dir, name, node)),
        };
        state.make(change);
        Ok(())
    }

    fn remove_file(&self, file: &Path) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        let (dir, name) = state.place(file)?;
        state.make(Change {
            dir,
            removed: Some((dir, name)),
            added: None,
        });
        Ok(())
    }

    fn sync_file(&self, file: &Path) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        let node = state.find(file).ok_or(io::ErrorKind::NotFound)?;
        state.steps.push(Step::SyncedFile(node));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let dir = if dir == Path::new(".") {
            Path::new("")
        } else {
            dir
        };
        let mut state = self.state.borrow_mut();
        let node = state.find(dir).ok_or(io::ErrorKind::NotFound)?;
        state.steps.push(Step::SyncedDir(node));
        Ok(())
    }
}

const STORE: &str = "home/data/stores/id/state.db";

/// `create`, `restore` of a new store, `migrate`: everything down from the data directory is new.
#[test]
fn a_new_store_is_whole_or_absent_and_there_once_it_is_acknowledged() {
    let model = Model::default();
    model.create_dir(Path::new("home")).unwrap();
    model.sync_dir(Path::new(".")).unwrap();
    let work = || {
        make_dirs(&model, Path::new("home/data")).unwrap();
        // As a backend makes a file: contents and the file's name are synced.
        model
            .create_dir(Path::new("home/data/building-id"))
            .unwrap();
        model.write("home/data/building-id/state.db", "new");
        model
            .sync_file(Path::new("home/data/building-id/state.db"))
            .unwrap();
        model.sync_dir(Path::new("home/data/building-id")).unwrap();
        make_dirs(&model, Path::new("home/data/stores")).unwrap();
        let (dir, place) = ("home/data/building-id", "home/data/stores/id");
        move_dir(&model, Path::new(dir), Path::new(place)).unwrap();
    };
    model.cut(work, |left, is_done| {
        let is_there = left.find(Path::new(STORE)).is_some();
        if is_there || is_done {
            assert_eq!(left.content(Path::new(STORE)), Some("new"));
        }
    });
}

fn with_store() -> Model {
    let model = Model::default();
    make_dirs(&model, Path::new("home/data/stores/id")).unwrap();
    model.write(STORE, "old");
    model.sync_file(Path::new(STORE)).unwrap();
    model.sync_dir(Path::new("home/data/stores/id")).unwrap();
    model
}

/// `rebuild` and `restore --yes`.
#[test]
fn a_replaced_store_is_the_old_or_the_new_one_and_the_old_one_is_kept() {
    let model = with_store();
    let (new, kept) = (
        "home/data/stores/id/state.db.replacing",
        "home/data/stores/id/state.db.before-rebuild-1",
    );
    let work = || {
        model.write(new, "new");
        model.link(Path::new(STORE), Path::new(kept)).unwrap();
        replace_kept(&model, Path::new(new), Path::new(STORE)).unwrap();
    };
    model.cut(work, |left, is_done| {
        let (store, kept) = (
            left.content(Path::new(STORE)),
            left.content(Path::new(kept)),
        );
        match store {
            Some("old") => assert!(!is_done),
            Some("new") => assert_eq!(kept, Some("old")),
            found => panic!("the store is {found:?}"),
        }
    });
}

/// Small files: aliases, what is trusted, modules.
#[test]
fn a_replaced_file_has_the_old_or_the_new_contents() {
    let model = with_store();
    let new = "home/data/.lattice-0.partial/new";
    let work = || {
        model
            .create_dir(Path::new("home/data/.lattice-0.partial"))
            .unwrap();
        model.write(new, "new");
        replace(&model, Path::new(new), Path::new(STORE)).unwrap();
    };
    model.cut(work, |left, is_done| {
        let found = left.content(Path::new(STORE));
        assert!(
            found == Some("new") || (found == Some("old") && !is_done),
            "{found:?}"
        );
    });
}

/// Backups, bundles and the identity.
#[test]
fn a_new_file_is_whole_or_absent_and_there_once_it_is_acknowledged() {
    let model = with_store();
    let (new, target) = ("home/.lattice-0.partial/new", "home/copy.db");
    let work = || {
        model
            .create_dir(Path::new("home/.lattice-0.partial"))
            .unwrap();
        model.write(new, "copy");
        place(&model, Path::new(new), Path::new(target)).unwrap();
    };
    model.cut(work, |left, is_done| {
        let is_there = left.find(Path::new(target)).is_some();
        if is_there || is_done {
            assert_eq!(left.content(Path::new(target)), Some("copy"));
        }
        assert_eq!(left.content(Path::new(STORE)), Some("old"));
    });
}
