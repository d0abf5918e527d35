//! Questions for stores on one connection: those of this side, and those of the peer.

use std::collections::{BTreeMap, VecDeque};

use crate::session::Violation;
use crate::wire::{Find, Found, MAX_OPEN_FINDS};

/// The questions of both sides.
#[derive(Debug, Default)]
pub(crate) struct Finds {
    /// Names that the peer has not been asked for yet.
    waiting: VecDeque<String>,
    asked: BTreeMap<u32, String>,
    next: u32,
    /// Questions of the peer without an answer. The name goes to the host as soon as the connection
    /// has room for the answer, so that a peer that reads nothing gets no more than it may ask.
    open: BTreeMap<u32, Option<String>>,
}

impl Finds {
    /// The host asks.
    pub(crate) fn push(&mut self, name: String) {
        self.waiting.push_back(name);
    }

    /// A name that the peer is not going to be asked for.
    pub(crate) fn give_up(&mut self) -> Option<String> {
        self.waiting.pop_front()
    }

    /// The next question for the peer.
    pub(crate) fn ask(&mut self) -> Option<Find> {
        if self.asked.len() >= MAX_OPEN_FINDS {
            return None;
        }
        let name = self.waiting.pop_front()?;
        let number = self.next;
        self.next = number.wrapping_add(1);
        self.asked.insert(number, name.clone());
        Some(Find { number, name })
    }

    /// The peer answers: the name that was asked for.
    pub(crate) fn on_found(&mut self, found: &Found) -> Result<String, Violation> {
        let name = self.asked.remove(&found.number);
        name.ok_or("an answer about a store was not asked for")
    }

    /// The peer asks.
    pub(crate) fn on_find(&mut self, find: Find) -> Result<(), Violation> {
        if self.open.len() >= MAX_OPEN_FINDS {
            return Err("more questions for stores are open than are allowed");
        }
        match self.open.insert(find.number, Some(find.name)) {
            Some(_) => Err("a question for a store has the number of an open one"),
            None => Ok(()),
        }
    }

    /// The next question for the host.
    pub(crate) fn hand_over(&mut self) -> Option<(u32, String)> {
        let mut open = self.open.iter_mut();
        open.find_map(|(number, name)| Some((*number, name.take()?)))
    }

    /// The host answers. Returns whether the peer waits for it.
    pub(crate) fn on_known(&mut self, number: u32) -> bool {
        let is_handed_over = self.open.get(&number).is_some_and(Option::is_none);
        is_handed_over && self.open.remove(&number).is_some()
    }

    /// The names that have no answer.
    pub(crate) fn into_names(self) -> impl Iterator<Item = String> {
        self.asked.into_values().chain(self.waiting)
    }
}
