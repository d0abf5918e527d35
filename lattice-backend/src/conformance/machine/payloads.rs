//! Checks decoding and describing of payloads, including damaged ones.

use std::fmt;

use crate::backend::BackendError;
use crate::conformance::Rng;
use crate::conformance::machine::broken::{Broken, Rule, text};
use crate::conformance::machine::hostile::damaged;
use crate::conformance::machine::quiet;
use crate::engine::contain::contain;
use crate::machine::{LogicFault, StateMachine};
use crate::op::{Op, OpKind};

/// The number of damaged payloads made from each payload.
const DAMAGED: usize = 4;

/// The result of `decode`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Valid,
    Invalid(String),
    Failed(LogicFault),
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Valid => f.write_str("valid"),
            Self::Invalid(reason) => write!(f, "invalid ({reason})"),
            Self::Failed(fault) => fault.fmt(f),
        }
    }
}

fn ask<M: StateMachine>(machine: &M, payload: &[u8]) -> Answer {
    let answer = contain(|| {
        Ok::<_, BackendError>(match machine.decode(payload) {
            Ok(_) => Answer::Valid,
            Err(invalid) => Answer::Invalid(invalid.to_string()),
        })
    });
    match answer {
        Ok(answer) => answer,
        Err(BackendError::Fault(fault)) => Answer::Failed(fault),
        Err(error) => Answer::Failed(LogicFault::Panic {
            message: error.to_string(),
        }),
    }
}

/// `decode` terminates, and returns the same result for the same bytes: repeated, in a fresh
/// machine, and on another thread. `describe` returns one line.
pub(super) fn check<M: StateMachine>(
    make: &dyn Fn() -> M,
    ops: &[Op],
    seed: u64,
) -> Result<(), Broken> {
    let mut payloads = Vec::new();
    for op in ops.iter().filter(|op| op.kind() == OpKind::Application) {
        let (id, payload) = (op.reference().id, op.payload());
        let start = id
            .as_bytes()
            .first_chunk()
            .map_or(0, |start| u64::from_le_bytes(*start));
        let mut rng = Rng::new(seed ^ start);
        payloads.push((op, payload.to_vec()));
        payloads.extend((0..DAMAGED).map(|_| (op, damaged(&mut rng, payload.to_vec()))));
    }
    let (machine, fresh) = (make(), make());
    let first: Vec<Answer> = payloads
        .iter()
        .map(|(_, payload)| ask(&machine, payload))
        .collect();
    let elsewhere: Vec<Answer> = std::thread::scope(|scope| {
        let all = || {
            let _quiet = quiet::here();
            let backwards = payloads.iter().rev();
            let mut answers: Vec<_> = backwards
                .map(|(_, payload)| ask(&machine, payload))
                .collect();
            answers.reverse();
            answers
        };
        let joined = scope.spawn(all).join();
        joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    for ((op, payload), (answer, elsewhere)) in payloads.iter().zip(first.iter().zip(&elsewhere)) {
        let broken = |rule, message: String| {
            let message = format!("{message}: payload {}", text(payload));
            Err(Broken::new(rule, message).at(op.reference()))
        };
        if let Answer::Failed(fault) = answer {
            return broken(Rule::Fault, format!("`decode`: {fault}"));
        }
        let others = [
            ("again", ask(&machine, payload)),
            ("in a fresh machine", ask(&fresh, payload)),
            ("on another thread", elsewhere.clone()),
        ];
        if let Some((when, other)) = others.iter().find(|(_, other)| other != answer) {
            let message = format!(
                "whether a payload is valid depends on more than its bytes: {answer}, and {when} \
                 {other}"
            );
            return broken(Rule::Decode, message);
        }
        let described = contain(|| Ok::<_, BackendError>(machine.describe(payload)));
        match described {
            Err(error) => return broken(Rule::Fault, format!("`describe`: {error}")),
            Ok(line) if line.contains(LINE_ENDS) => {
                return broken(
                    Rule::Describe,
                    format!("`describe` gives {line:?}, not a line"),
                );
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

/// Unicode's line terminators.
pub(super) const LINE_ENDS: [char; 7] = [
    '\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}',
];
