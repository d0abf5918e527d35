//! Which code opens a store, as a function of what is recorded, trusted, published and found.
//!
//! docs/code.md has the table that the tests of this file check.

use std::collections::BTreeSet;
use std::fmt;

use lattice_meta::{Cid, PubKey};

use crate::trust::{Policy, TypeTrust};

/// Why a module may run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Because {
    /// The program's own code names it as equal.
    EqualToNative,
    /// The user added it.
    Added,
    /// It is the pin of its type.
    Pinned,
    /// The trusted publisher of its type has published it.
    Published {
        /// The number of the release.
        release: u64,
        /// The publisher.
        publisher: PubKey,
    },
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EqualToNative => f.write_str("the program's own code names it as equal"),
            Self::Added => f.write_str("it was added"),
            Self::Pinned => f.write_str("it is the pin of its type"),
            Self::Published { release, publisher } => {
                write!(
                    f,
                    "release {release} of the trusted publisher {}",
                    fingerprint(publisher)
                )
            }
        }
    }
}

/// The first 80 bits of a key in groups of four digits, for people who compare keys.
pub fn fingerprint(key: &PubKey) -> String {
    let digits = key.to_string();
    let groups: Vec<&str> = (0..20).step_by(4).map(|at| &digits[at..at + 4]).collect();
    groups.join("-")
}

/// A module that may be used for a store of its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) cid: Cid,
    /// Why it may run; `None` if it may not.
    pub(crate) because: Option<Because>,
    /// Whether its bytes can be had.
    pub(crate) is_found: bool,
    /// Whether it reads the store's layout of rows; true for a new store.
    pub(crate) fits: bool,
    /// Whether its publisher lets it be chosen; true for a module without a publisher.
    pub(crate) may_be_chosen: bool,
}

impl Candidate {
    /// Whether it opens a store that records it.
    pub(crate) fn opens(&self) -> bool {
        self.because.is_some() && self.is_found
    }

    /// The module and its release, if only its bytes are lacking.
    pub(crate) fn lacks_bytes(&self) -> Option<(Cid, u64)> {
        match self.because {
            Some(Because::Published { release, .. })
                if !self.is_found && self.fits && self.may_be_chosen =>
            {
                Some((self.cid, release))
            }
            _ => None,
        }
    }
}

/// What is known when a store is opened or created.
#[derive(Debug)]
pub(crate) struct Situation<'a> {
    /// The module that the store records; `None` for a new store, and for one whose state native
    /// code computed. For a new replica it is the module that the sender of its ops claims.
    pub(crate) recorded: Option<&'a Candidate>,
    pub(crate) trust: &'a TypeTrust,
    /// Modules of the type, in the order of preference.
    pub(crate) candidates: &'a [Candidate],
    /// Modules that have computed another state for this store.
    pub(crate) refused: &'a BTreeSet<Cid>,
}

/// A module to open a store with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) cid: Cid,
    pub(crate) because: Because,
}

/// Why there is no module to open a store with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No source has the module that the store records, nor another one that may run.
    Missing(Cid),
    /// No source has the pin.
    PinMissing(Cid),
    /// The module that the store records may not run.
    NotTrusted(Cid),
    /// Nothing of the type may run.
    Nothing,
}

/// The modules to try, in this order. The recorded one opens the store without a replay; each other
/// one must prove by a replay that it computes the same state. A new store takes the first that
/// this program can run.
pub(crate) fn decide(situation: &Situation<'_>) -> Result<Vec<Choice>, Refusal> {
    let Situation {
        recorded,
        trust,
        candidates,
        refused,
    } = *situation;
    if let (Policy::Pinned, Some(pin)) = (trust.policy, trust.pin) {
        let known = recorded.into_iter().chain(candidates);
        let is_found = known
            .into_iter()
            .any(|known| known.cid == pin && known.is_found);
        let because = Because::Pinned;
        return match is_found {
            true => Ok(vec![Choice { cid: pin, because }]),
            false => Err(Refusal::PinMissing(pin)),
        };
    }
    if let Some(recorded) = recorded
        && let (Some(because), true) = (&recorded.because, recorded.is_found)
    {
        return Ok(vec![Choice {
            cid: recorded.cid,
            because: because.clone(),
        }]);
    }
    let is_recorded = |cid: &Cid| recorded.is_some_and(|recorded| recorded.cid == *cid);
    let choices: Vec<Choice> = candidates
        .iter()
        .filter(|it| it.is_found && it.fits && it.may_be_chosen)
        .filter(|it| !is_recorded(&it.cid) && !refused.contains(&it.cid))
        .filter_map(|it| {
            Some(Choice {
                cid: it.cid,
                because: it.because.clone()?,
            })
        })
        .collect();
    match (choices.is_empty(), recorded) {
        (false, _) => Ok(choices),
        (true, Some(recorded)) if recorded.because.is_none() && recorded.is_found => {
            Err(Refusal::NotTrusted(recorded.cid))
        }
        (true, Some(recorded)) => Err(Refusal::Missing(recorded.cid)),
        (true, None) => Err(Refusal::Nothing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cid(name: &str) -> Cid {
        Cid::of(name.as_bytes())
    }

    /// A module, by marks after its name: `+` added, `p` published by the trusted publisher, `-`
    /// not found, `w` withdrawn, `c` conflicting, `s` another layout.
    fn module(text: &str) -> Candidate {
        let (name, marks) = text.split_at(1);
        let has = |mark: char| marks.contains(mark);
        let publisher = PubKey::from_bytes([7; 32]);
        let published = Because::Published {
            release: 1,
            publisher,
        };
        Candidate {
            cid: cid(name),
            because: match (has('+'), has('p')) {
                (true, _) => Some(Because::Added),
                (false, true) => Some(published),
                (false, false) => None,
            },
            is_found: !has('-'),
            fits: !has('s'),
            may_be_chosen: !has('w') && !has('c'),
        }
    }

    /// What is tried, by name, or why nothing is.
    fn decided(recorded: &str, candidates: &str, policy: Policy, refused: &str) -> String {
        let trust = TypeTrust {
            policy,
            pin: (policy == Policy::Pinned).then(|| cid("P")),
            ..TypeTrust::default()
        };
        let own = (!matches!(recorded, "new" | "native")).then(|| module(recorded));
        let candidates: Vec<_> = candidates.split_whitespace().map(module).collect();
        let situation = Situation {
            recorded: own.as_ref(),
            trust: &trust,
            candidates: &candidates,
            refused: &refused.split_whitespace().map(cid).collect(),
        };
        let name = |wanted: &Cid| {
            let names = ["R", "A", "B", "P"];
            let found = names.into_iter().find(|name| cid(name) == *wanted);
            found.unwrap_or("?").to_owned()
        };
        match decide(&situation) {
            Ok(choices) => {
                let names: Vec<_> = choices.iter().map(|choice| name(&choice.cid)).collect();
                names.join(" ")
            }
            Err(Refusal::Missing(cid)) => format!("missing {}", name(&cid)),
            Err(Refusal::PinMissing(cid)) => format!("pin missing {}", name(&cid)),
            Err(Refusal::NotTrusted(cid)) => format!("not trusted {}", name(&cid)),
            Err(Refusal::Nothing) => "nothing".to_owned(),
        }
    }

    /// The rows of the table in docs/code.md: recorded, other modules, policy, modules that were
    /// refused before, and what is tried.
    #[test]
    fn every_situation_of_the_table_is_decided_as_it_says() {
        let page = include_str!("../../docs/code.md");
        let rows = page
            .lines()
            .skip_while(|line| !line.starts_with("| recorded | others |"))
            .skip(2)
            .take_while(|line| line.starts_with('|'));
        let mut count = 0;
        for row in rows {
            let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
            let &[recorded, others, policy, refused, expected, _] = &cells[..] else {
                panic!("{row}");
            };
            let policies = match policy {
                "any" => &[Policy::Ask, Policy::Follow, Policy::Pinned][..],
                "ask, follow" => &[Policy::Ask, Policy::Follow],
                "pinned" => &[Policy::Pinned],
                _ => panic!("{row}"),
            };
            for policy in policies {
                let plain = |cell: &str| cell.replace('`', "");
                let found = decided(&plain(recorded), &plain(others), *policy, &plain(refused));
                assert_eq!(found, plain(expected), "{row}");
                count += 1;
            }
        }
        assert!(count >= 40, "{count} rows");
    }

    #[test]
    fn a_fingerprint_has_eighty_bits() {
        let key = PubKey::from_bytes([0xab; 32]);
        assert_eq!(fingerprint(&key), "abab-abab-abab-abab-abab");
    }
}
