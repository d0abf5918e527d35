//! What a replica has, as a text that can be sent to whoever makes a bundle of the rest.

use std::fmt;
use std::str::FromStr;

use lattice_backend::{Leaves, OpRef};
use lattice_meta::StoreId;

/// The first word of the text, and its version.
const HEADER: &str = "lattice leaves v1";

/// The ends of all branches that a replica of a store has: a line that names the store, then a line
/// for each, of author, sequence number and op id.
///
/// ```
/// # use lattice_node::LeavesFile;
/// let text = "lattice leaves v1 00000000-0000-8000-8000-000000000000\n";
/// let leaves: LeavesFile = text.parse()?;
/// assert_eq!(leaves.to_string(), text);
/// assert!("lattice leaves v1".parse::<LeavesFile>().is_err());
/// # Ok::<(), lattice_node::LeavesError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeavesFile {
    /// The store.
    pub store_id: StoreId,
    /// The ends of its branches, ascending.
    pub leaves: Leaves,
}

/// A text that names no leaves.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LeavesError {
    /// The first line is another.
    #[error("expected `{HEADER}` and a store id, found {found:?}")]
    Header {
        /// The line.
        found: String,
    },
    /// A line names no op.
    #[error("line {line}: expected an author, a sequence number and an op id, found {found:?}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// The line.
        found: String,
    },
    /// The lines do not ascend.
    #[error("line {line} does not ascend from the one before")]
    Order {
        /// Its number, from 1.
        line: usize,
    },
}

impl fmt::Display for LeavesFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER} {}", self.store_id)?;
        let mut lines = self.leaves.0.iter();
        lines.try_for_each(|op| writeln!(f, "{} {} {}", op.author, op.seq, op.id))
    }
}

impl FromStr for LeavesFile {
    type Err = LeavesError;

    fn from_str(text: &str) -> Result<Self, LeavesError> {
        let cut = |line: &str| line.chars().take(120).collect::<String>();
        let mut lines = text.lines();
        let first = lines.next().unwrap_or("");
        let store_id = first
            .strip_prefix(HEADER)
            .and_then(|rest| rest.strip_prefix(' '))
            .and_then(|id| id.parse().ok())
            .ok_or_else(|| LeavesError::Header { found: cut(first) })?;
        let mut leaves = Vec::<OpRef>::new();
        for (line, text) in (2..).zip(lines) {
            let op = parse_op(text).ok_or_else(|| LeavesError::Line {
                line,
                found: cut(text),
            })?;
            if leaves.last().is_some_and(|last| *last >= op) {
                return Err(LeavesError::Order { line });
            }
            leaves.push(op);
        }
        Ok(Self {
            store_id,
            leaves: Leaves(leaves),
        })
    }
}

fn parse_op(line: &str) -> Option<OpRef> {
    let mut words = line.split(' ');
    let op = OpRef {
        author: words.next()?.parse().ok()?,
        seq: words.next()?.parse().ok()?,
        id: words.next()?.parse().ok()?,
    };
    words.next().is_none().then_some(op)
}
