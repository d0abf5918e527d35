//! Suggestions for mistyped names.

/// The most similar name, as a question to append to an error; `None` if no name is similar.
pub(super) fn did_you_mean<'a>(
    given: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    closest(given, names).map(|name| format!("did you mean {name}?"))
}

/// Accepts a name if at most a third of the letters differ, or two in short names. Also accepts the
/// last part of a name.
fn closest<'a>(given: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let differs_at_most = (given.chars().count() / 3).max(2);
    let distance = |name: &str| {
        if name.ends_with(&format!(":{given}")) || name.ends_with(&format!(".{given}")) {
            return 0;
        }
        strsim::damerau_levenshtein(given, name)
    };
    names
        .into_iter()
        .map(|name| (distance(name), name))
        .filter(|(distance, name)| *distance <= differs_at_most && *distance < name.len())
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_similar_names_are_suggested() {
        let types = ["core:kvstore", "core:logstore"];
        let meant = |given| closest(given, types);
        assert_eq!(meant("core:kvstor"), Some("core:kvstore"));
        assert_eq!(meant("core:lgostore"), Some("core:logstore"));
        assert_eq!(meant("kvstore"), Some("core:kvstore"));
        assert_eq!(meant("org.example.chat"), None);
        assert_eq!(closest("ab", ["xy"]), None);
        assert_eq!(closest("", types), None);
    }
}
