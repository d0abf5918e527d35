//! Where a peer is: the PEER argument.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use crate::program::failure::Failure;
use crate::program::output::echo;

/// What an argument can be.
const EXPECTED: &str =
    "expected the path of a data directory, ssh://[USER@]HOST[:PORT][/DIR], or unix:PATH";
const UNIX: &[u8] = b"unix:";

/// A peer, and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::program) enum Peer {
    /// Another data directory: this program serves it.
    Dir(PathBuf),
    /// A program on another machine.
    Ssh(Ssh),
    /// A socket of `lattice serve --unix`.
    Unix(PathBuf),
    /// A command whose standard input and output lead to the peer.
    Via(OsString),
}

/// A machine that `ssh` reaches, and the data directory there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::program) struct Ssh {
    user: Option<String>,
    host: String,
    port: Option<u16>,
    /// Absolute, or below the user's home. `None` is the directory that `lattice` uses there.
    dir: Option<OsString>,
}

impl Peer {
    /// Reads a PEER argument.
    ///
    /// # Errors
    /// A usage error.
    pub(in crate::program) fn parse(argument: &OsStr) -> Result<Self, Failure> {
        let wrong = |why: &str| {
            let shown = echo(argument.as_encoded_bytes());
            Err(Failure::usage(format!("peer \"{shown}\": {why}")))
        };
        if argument.is_empty() {
            return wrong(EXPECTED);
        }
        let is_address =
            scheme(argument).is_some() || argument.as_encoded_bytes().starts_with(UNIX);
        let text = match (is_address, argument.to_str()) {
            (false, _) => return Ok(Self::Dir(argument.into())),
            (true, None) => return wrong("the address of a peer is UTF-8"),
            (true, Some(text)) => text,
        };
        let read = if let Some(place) = text.strip_prefix("ssh://") {
            Ssh::parse(place).map(Self::Ssh)
        } else {
            match text.strip_prefix("unix:") {
                Some(path) if !path.is_empty() => Ok(Self::Unix(path.into())),
                Some(_) => Err("the path of the socket is missing"),
                None => Err(EXPECTED),
            }
        };
        read.or_else(wrong)
    }

    /// Splits PEER/STORE at the last `/`.
    ///
    /// # Errors
    /// A usage error.
    pub(in crate::program) fn with_store(argument: &OsStr) -> Result<(Self, String), Failure> {
        let shown = || echo(argument.as_encoded_bytes());
        let path = Path::new(argument);
        let store = path.file_name().and_then(OsStr::to_str);
        let peer = path.parent().map(Path::as_os_str);
        let is_whole = |peer: &&OsStr| !peer.is_empty() && *peer != "ssh:" && *peer != "unix:";
        match (peer.filter(is_whole), store) {
            (Some(peer), Some(store)) => Ok((Self::parse(peer)?, store.to_owned())),
            _ => Err(Failure::usage(format!(
                "\"{}\": expected PEER/STORE, where PEER is the path of a data directory, \
                 ssh://[USER@]HOST[:PORT][/DIR] or unix:PATH, and STORE a store there",
                shown()
            ))),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dir(path) => path.display().fmt(f),
            Self::Ssh(ssh) => ssh.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            // The line of the command follows where it matters.
            Self::Via(_) => f.write_str("--via"),
        }
    }
}

/// What stands before `://`, if that is no path.
fn scheme(argument: &OsStr) -> Option<&str> {
    let bytes = argument.as_encoded_bytes();
    let end = bytes.windows(3).position(|three| three == b"://")?;
    let scheme = std::str::from_utf8(&bytes[..end]).ok()?;
    let is_scheme = scheme
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    is_scheme.then_some(scheme)
}

impl Ssh {
    /// Reads what stands after `ssh://`.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (place, dir) = match text.find('/') {
            Some(slash) => text.split_at(slash),
            None => (text, ""),
        };
        let (user, place) = match place.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, place),
        };
        let (host, port) = match place.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or("an IPv6 address ends with ]")?;
                check_address(host)?;
                (host, port)
            }
            None => {
                let (host, port) = place.split_at(place.find(':').unwrap_or(place.len()));
                check_word(host, &HOST)?;
                (host, port)
            }
        };
        if let Some(user) = user {
            check_word(user, &USER)?;
        }
        let is_number = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            None => return Err("expected :PORT or /DIR after the host"),
            Some(port) => match port.parse::<u16>() {
                Ok(number) if number > 0 && is_number(port) => Some(number),
                _ => return Err("a port is a number from 1 to 65535"),
            },
        };
        Ok(Self {
            user: user.map(str::to_owned),
            host: host.to_owned(),
            port,
            dir: remote_dir(dir)?,
        })
    }

    /// The arguments of `ssh`: options, `--`, the machine, and the command for its shell.
    pub(in crate::program) fn words(&self, serve: &[OsString]) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["-T".into()];
        if let Some(port) = self.port {
            words.extend(["-p".into(), port.to_string().into()]);
        }
        words.push("--".into());
        words.push(match &self.user {
            Some(user) => format!("{user}@{}", self.host).into(),
            None => self.host.clone().into(),
        });
        words.push(self.command(serve));
        words
    }

    /// The command line for the shell of the other machine.
    fn command(&self, serve: &[OsString]) -> OsString {
        let mut line = OsString::from("lattice");
        if let Some(dir) = &self.dir {
            line.push(" --data-dir=");
            line.push(for_shell(dir));
        }
        for word in serve {
            line.push(" ");
            line.push(for_shell(word));
        }
        line
    }
}

impl fmt::Display for Ssh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ssh://")?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match self.host.contains(':') {
            true => write!(f, "[{}]", self.host)?,
            false => f.write_str(&self.host)?,
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        match self.dir.as_deref().map(OsStr::display) {
            Some(dir) if dir.to_string().starts_with('/') => write!(f, "{dir}"),
            Some(dir) => write!(f, "/~/{dir}"),
            None => Ok(()),
        }
    }
}

/// What a word must be, and what is wrong with it otherwise.
struct Word {
    missing: &'static str,
    option: &'static str,
    characters: &'static str,
    /// What it can have beside letters, digits, `-`, `_` and `.`.
    more: &'static str,
}

const USER: Word = Word {
    missing: "the user before @ is missing",
    option: "the user begins with -, as an option does",
    characters: "the user has characters that no user name has",
    more: "+@",
};
const HOST: Word = Word {
    missing: "the host is missing",
    option: "the host begins with -, as an option does",
    characters: "the host has characters that no host name has",
    more: "",
};

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || "-_.".contains(c)
}

/// Refuses what `ssh` would take for an option, or its configuration for more than a name.
fn check_word(word: &str, expected: &Word) -> Result<(), &'static str> {
    if word.is_empty() {
        Err(expected.missing)
    } else if word.starts_with('-') {
        Err(expected.option)
    } else if word
        .chars()
        .all(|c| is_name(c) || expected.more.contains(c))
    {
        Ok(())
    } else {
        Err(expected.characters)
    }
}

/// Checks what stands between brackets: an IPv6 address, which can have a zone.
fn check_address(text: &str) -> Result<(), &'static str> {
    let (address, zone) = text.split_once('%').unwrap_or((text, "0"));
    let is_address = address.parse::<std::net::Ipv6Addr>().is_ok();
    match is_address && !zone.is_empty() && zone.chars().all(is_name) {
        true => Ok(()),
        false => Err("expected an IPv6 address between [ and ]"),
    }
}

/// The directory of an `ssh://` peer. `/~/` is the home of the user there.
fn remote_dir(dir: &str) -> Result<Option<OsString>, &'static str> {
    match dir.strip_prefix("/~/") {
        _ if dir.is_empty() || dir == "/" => Ok(None),
        Some("") => Err("the data directory after /~/ is missing"),
        Some(dir) => Ok(Some(dir.into())),
        None => Ok(Some(dir.into())),
    }
}

/// A word in single quotes: a POSIX shell takes every byte for itself.
fn for_shell(word: &OsStr) -> OsString {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./=".contains(byte);
    if !word.is_empty() && word.as_encoded_bytes().iter().all(is_plain) {
        return word.to_owned();
    }
    let mut quoted = OsString::from("'");
    // Only texts come here: what is no UTF-8 is refused before.
    quoted.push(word.display().to_string().replace('\'', r"'\''"));
    quoted.push("'");
    quoted
}

#[cfg(test)]
mod tests;
