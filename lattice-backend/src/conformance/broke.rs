//! Formats errors for failure messages.

/// An error and its causes, in one line.
pub(super) fn broke(doing: &str, error: &dyn std::error::Error) -> String {
    let mut message = format!("{doing} failed: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        message.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    message
}
