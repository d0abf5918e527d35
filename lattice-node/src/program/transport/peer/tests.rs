use super::*;

fn parsed(argument: &str) -> Result<Peer, Failure> {
    Peer::parse(OsStr::new(argument))
}

fn words(argument: &str) -> Vec<String> {
    let Ok(Peer::Ssh(ssh)) = parsed(argument) else {
        panic!("{argument}")
    };
    let words = ssh.words(&["serve".into(), "--stdio".into()]);
    words
        .into_iter()
        .map(|word| word.into_string().unwrap())
        .collect()
}

fn refused(argument: &str) -> String {
    let failure = parsed(argument).unwrap_err();
    assert_eq!(failure.code(), 2, "{argument}");
    failure.message().to_owned()
}

#[test]
fn peers_are_directories_machines_and_sockets() {
    for path in [
        "data",
        "/mnt/usb/data",
        "./ssh",
        "a b",
        "-x",
        "host:dir",
        "x/y://z",
    ] {
        assert_eq!(parsed(path).unwrap(), Peer::Dir(path.into()), "{path}");
    }
    assert_eq!(
        parsed("unix:/run/l.sock").unwrap(),
        Peer::Unix("/run/l.sock".into())
    );
    assert_eq!(parsed("unix:l").unwrap(), Peer::Unix("l".into()));
    for address in [
        "ssh://host",
        "ssh://me@host:22/data",
        "ssh://[::1]:22/~/d",
        "unix:/a",
    ] {
        assert_eq!(parsed(address).unwrap().to_string(), address);
    }
}

#[test]
fn ssh_gets_options_two_dashes_the_machine_and_one_word_for_its_shell() {
    assert_eq!(
        words("ssh://host"),
        ["-T", "--", "host", "lattice serve --stdio"]
    );
    assert_eq!(
        words("ssh://me@host:2222/srv/data"),
        [
            "-T",
            "-p",
            "2222",
            "--",
            "me@host",
            "lattice --data-dir=/srv/data serve --stdio"
        ]
    );
    assert_eq!(words("ssh://host/"), words("ssh://host"));
    assert_eq!(words("ssh://[fe80::1%eth0]:22/x")[4], "fe80::1%eth0");
    let dir = |argument: &str| words(argument)[3].clone();
    assert_eq!(
        dir("ssh://host/~/notes"),
        "lattice --data-dir=notes serve --stdio"
    );
    assert_eq!(
        dir("ssh://h/it's a b"),
        r"lattice --data-dir='/it'\''s a b' serve --stdio"
    );
    assert_eq!(dir("ssh://h/~/-x"), "lattice --data-dir=-x serve --stdio");
}

/// A POSIX shell gives the program the directory, and runs nothing.
#[cfg(unix)]
#[test]
fn a_shell_takes_a_hostile_directory_for_one_word() {
    for dir in [
        "/it's",
        "/a b\tc",
        "/new\nline",
        "/$(touch x)`touch y`",
        "/'; touch z; '",
        "/a\\'b\"c",
        "/*?[a]{b,c}~!#&|<>",
        "/\u{1b}[2J",
    ] {
        let line = words(&format!("ssh://host{dir}"))[3].clone();
        let script = format!("lattice() {{ printf '%s|' \"$@\"; }}\n{line}");
        let ran = std::process::Command::new("sh")
            .args(["-c", &script])
            .output()
            .unwrap();
        let printed = String::from_utf8(ran.stdout).unwrap();
        assert_eq!(
            printed,
            format!("--data-dir={dir}|serve|--stdio|"),
            "{line}"
        );
        assert!(ran.stderr.is_empty());
    }
}

#[test]
fn what_ssh_would_take_for_an_option_is_refused() {
    for argument in [
        "ssh://-oProxyCommand=x/",
        "ssh://-oProxyCommand=touch%20x/data",
        "ssh://-user@host",
        "ssh://-@host",
        "ssh://user@-host",
        "ssh://-G",
    ] {
        assert!(refused(argument).contains("begins with -"), "{argument}");
    }
    for argument in [
        "ssh://",
        "ssh:///data",
        "ssh://@host",
        "ssh://user@",
        "ssh://ho st/data",
        "ssh://ho\nst",
        "ssh://host$(x)/",
        "ssh://us`er@host",
        "ssh://a;b@host",
        "ssh://%h/",
        "ssh://host:",
        "ssh://host:0",
        "ssh://host:+22",
        "ssh://host:65536",
        "ssh://host:22x",
        "ssh://[::1",
        "ssh://[::1]22",
        "ssh://[-oX]:22",
        "ssh://[]",
        "ssh://[::1%]",
        "ssh://[::1%a b]",
        "ssh://host/~/",
        "http://host/data",
        "unix:",
        "",
    ] {
        refused(argument);
    }
}

#[test]
fn a_store_of_a_peer_stands_after_the_last_slash() {
    let split = |argument: &str| {
        let (peer, store) = Peer::with_store(OsStr::new(argument))?;
        Ok::<_, Failure>((peer.to_string(), store))
    };
    for (argument, peer) in [
        ("data/notes", "data"),
        ("/mnt/usb/data/notes", "/mnt/usb/data"),
        ("/notes", "/"),
        ("./data/notes/", "./data"),
        ("ssh://me@host:22/notes", "ssh://me@host:22"),
        ("ssh://host/srv/data/notes", "ssh://host/srv/data"),
        ("unix:/run/l.sock/notes", "unix:/run/l.sock"),
    ] {
        assert_eq!(
            split(argument).unwrap(),
            (peer.to_owned(), "notes".to_owned())
        );
    }
    for argument in [
        "notes",
        "",
        "/",
        "data/..",
        "ssh://host",
        "ssh://",
        "unix:/",
        "unix:",
    ] {
        assert_eq!(split(argument).unwrap_err().code(), 2, "{argument}");
    }
}
