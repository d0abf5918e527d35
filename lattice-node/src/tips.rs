//! The ops that a replica has, as text to send to a peer; the peer makes a bundle of the missing
//! ops.

use std::fmt;
use std::str::FromStr;

use lattice_backend::op::{BranchTips, OpRef};
use lattice_meta::StoreId;

/// The first words of the text: format name and version.
const HEADER: &str = "lattice tips v1";
/// The first words of the following lines.
const TIP: &str = "tip";
const HAS: &str = "has";

/// The ops that a replica of a store has. The first line names the store. One line follows for each
/// branch tip (`tip`) and for each older op that is listed (`has`), with author, sequence number
/// and op id.
///
/// ```
/// # use lattice_node::TipsFile;
/// let text = "lattice tips v1 00000000-0000-8000-8000-000000000000\n";
/// let tips: TipsFile = text.parse()?;
/// assert_eq!(tips.to_string(), text);
/// assert!("lattice tips v1".parse::<TipsFile>().is_err());
/// # Ok::<(), lattice_node::TipsError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TipsFile {
    /// The store.
    pub store_id: StoreId,
    /// The branch tips, and older ops.
    pub tips: BranchTips,
}

/// A text that is not a valid tips file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TipsError {
    /// The first line is not a valid header.
    #[error("expected `{HEADER}` and a store id, found {found:?}")]
    Header {
        /// The line.
        found: String,
    },
    /// A line does not name an op.
    #[error(
        "line {line}: expected `tip` or `has`, an author, a sequence number and an op id, found {found:?}"
    )]
    Line {
        /// Its number, from 1.
        line: usize,
        /// The line.
        found: String,
    },
    /// The lines are not in ascending order.
    #[error("line {line}: expected ops in ascending order")]
    Order {
        /// Its number, from 1.
        line: usize,
    },
}

impl fmt::Display for TipsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER} {}", self.store_id)?;
        for (word, ops) in [(TIP, &self.tips.tips), (HAS, &self.tips.earlier)] {
            for op in ops {
                writeln!(f, "{word} {} {} {}", op.author, op.seq, op.id)?;
            }
        }
        Ok(())
    }
}

impl FromStr for TipsFile {
    type Err = TipsError;

    fn from_str(text: &str) -> Result<Self, TipsError> {
        let cut = |line: &str| line.chars().take(120).collect::<String>();
        let mut lines = text.lines();
        let first = lines.next().unwrap_or("");
        let store_id = first
            .strip_prefix(HEADER)
            .and_then(|rest| rest.strip_prefix(' '))
            .and_then(|id| id.parse().ok())
            .ok_or_else(|| TipsError::Header { found: cut(first) })?;
        let mut tips = BranchTips::default();
        for (line, text) in (2..).zip(lines) {
            let (is_tip, op) = parse_line(text).ok_or_else(|| TipsError::Line {
                line,
                found: cut(text),
            })?;
            let ops = match is_tip {
                true if !tips.earlier.is_empty() => return Err(TipsError::Order { line }),
                true => &mut tips.tips,
                false => &mut tips.earlier,
            };
            if ops.last().is_some_and(|last| *last >= op) {
                return Err(TipsError::Order { line });
            }
            ops.push(op);
        }
        Ok(Self { store_id, tips })
    }
}

/// Returns whether the line names a branch tip, and the op.
fn parse_line(line: &str) -> Option<(bool, OpRef)> {
    let mut words = line.split(' ');
    let is_tip = match words.next()? {
        TIP => true,
        HAS => false,
        _ => return None,
    };
    let op = OpRef {
        author: words.next()?.parse().ok()?,
        seq: words.next()?.parse().ok()?,
        id: words.next()?.parse().ok()?,
    };
    words.next().is_none().then_some((is_tip, op))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(word: &str, seq: u64) -> String {
        format!("{word} {} {seq} {}\n", "11".repeat(32), "22".repeat(32))
    }

    fn parse(lines: &[String]) -> Result<TipsFile, TipsError> {
        let header = format!("{HEADER} 00000000-0000-8000-8000-000000000000\n");
        [header, lines.concat()].concat().parse()
    }

    #[test]
    fn a_tips_file_is_read_as_written_and_malformed_ones_are_refused() {
        let lines = [line(TIP, 7), line(TIP, 9), line(HAS, 5), line(HAS, 6)];
        let file = parse(&lines).unwrap();
        assert_eq!((file.tips.tips.len(), file.tips.earlier.len()), (2, 2));
        assert_eq!(file.to_string().parse(), Ok(file));

        let order = |line| Err(TipsError::Order { line });
        assert_eq!(parse(&[line(TIP, 9), line(TIP, 7)]), order(3));
        assert_eq!(parse(&[line(HAS, 1), line(HAS, 1)]), order(3));
        assert_eq!(parse(&[line(HAS, 1), line(TIP, 2)]), order(3));
        for wrong in [
            line("end", 1),
            line(TIP, 1).replace("11", "1g"),
            "\n".into(),
        ] {
            let found = parse(std::slice::from_ref(&wrong));
            assert!(matches!(found, Err(TipsError::Line { line: 2, .. })));
        }
        assert!(matches!(
            "lattice leaves v1".parse::<TipsFile>(),
            Err(TipsError::Header { .. })
        ));
    }
}
