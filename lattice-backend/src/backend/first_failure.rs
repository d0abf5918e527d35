//! A failure of a handle, for all errors that follow from it.

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::io;
use std::sync::Arc;

/// A failure that several callers learn of, such as the one that made a handle unusable: its text
/// with that of all its causes, and as source the operating system's error, if there was one.
#[derive(Debug, Clone)]
pub struct FirstFailure(Arc<Kept>);

#[derive(Debug)]
struct Kept {
    text: String,
    system: Option<io::Error>,
}

impl FirstFailure {
    /// Copies what an error says, since the error itself goes to the first caller.
    pub(crate) fn of(failure: &dyn Error) -> Self {
        let mut text = failure.to_string();
        let mut cause = failure.source();
        while let Some(error) = cause {
            let more = error.to_string();
            if !text.ends_with(&more) {
                text.push_str(": ");
                text.push_str(&more);
            }
            cause = error.source();
        }
        let system = system_error(failure);
        Self(Arc::new(Kept { text, system }))
    }
}

/// A copy of the error of the operating system at the end of a chain of causes.
fn system_error(failure: &dyn Error) -> Option<io::Error> {
    let mut cause = failure.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(match error.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => io::Error::new(error.kind(), error.to_string()),
            });
        }
        cause = error.source();
    }
    None
}

impl Display for FirstFailure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl Error for FirstFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0.system {
            Some(error) => Some(error),
            None => None,
        }
    }
}
