//! Changes of the file, and malformed files.
#![allow(clippy::unwrap_used)]

use super::*;

const KEY: &str = "8deecb4b160002c0aa3070ee66d1aac20db747f11b742dff054fd52059b702e6";
const CID: &str = "bafkr4icqbpa7avln6ntrhivfkjzhkl237mafm7mcqfofpfvp6jt2qf3xay";

fn loaded(text: &str) -> Result<Trusted, String> {
    parse(
        &text
            .parse::<DocumentMut>()
            .map_err(|error| error.message().to_owned())?,
    )
}

#[test]
fn a_change_keeps_comments_and_layout() {
    let dir = tempfile::tempdir().unwrap();
    let cid: Cid = CID.parse().unwrap();
    let chat: StoreType = "org.example.chat".parse().unwrap();
    let text = format!(
        "# mine\n[types.\"org.example.chat\"] # the chat\n  publisher = \"{KEY}\" # Ann, by phone\n\
         policy = 'ask'\n\n# modules\n[added] \n\"{CID}\"   =  \"once\" # first\n"
    );
    fs::write(file(dir.path()), &text).unwrap();
    assert!(!Trusted::add(dir.path(), &cid).unwrap());
    let mut trust = Trusted::load(dir.path()).unwrap().of_type(&chat);
    assert!(!Trusted::set_type(dir.path(), &chat, &trust).unwrap());
    assert_eq!(fs::read_to_string(file(dir.path())).unwrap(), text);

    trust.policy = Policy::Follow;
    trust.release = Some(7);
    assert!(Trusted::set_type(dir.path(), &chat, &trust).unwrap());
    assert!(Trusted::remove(dir.path(), &cid).unwrap());
    let changed = text.replace("'ask'", "\"follow\"\nrelease = 7");
    let changed = changed.replace(&format!("\"{CID}\"   =  \"once\" # first\n"), "");
    assert_eq!(fs::read_to_string(file(dir.path())).unwrap(), changed);
    assert_eq!(Trusted::load(dir.path()).unwrap().of_type(&chat), trust);

    assert!(Trusted::set_type(dir.path(), &chat, &TypeTrust::default()).unwrap());
    assert_eq!(Trusted::load(dir.path()).unwrap(), Trusted::default());
}

#[test]
fn a_change_keeps_tables_that_are_written_inline_and_explicit_headers() {
    let dir = tempfile::tempdir().unwrap();
    let chat: StoreType = "org.example.chat".parse().unwrap();
    let cid: Cid = CID.parse().unwrap();
    for text in [
        "added = {} # none yet\ntypes = { \"org.example.chat\" = { policy = 'ask' } } # mine\n",
        "[added] # none yet\n[types] # mine\n\"org.example.chat\" = { policy = \"ask\" } # chat\n",
        "added = {}\ntypes = {} # mine\n",
        "[types] # mine\n[types.\"org.example.chat\"] # chat\npolicy = \"ask\"\n",
    ] {
        fs::write(file(dir.path()), text).unwrap();
        assert!(Trusted::add(dir.path(), &cid).unwrap());
        let mut trust = Trusted::load(dir.path()).unwrap().of_type(&chat);
        trust.publisher = Some(KEY.parse().unwrap());
        trust.policy = Policy::Follow;
        assert!(Trusted::set_type(dir.path(), &chat, &trust).unwrap());
        let changed = fs::read_to_string(file(dir.path())).unwrap();
        let comments = |text: &str| -> Vec<String> {
            let parts = text.lines().filter_map(|line| line.split_once('#'));
            parts.map(|(_, comment)| comment.to_owned()).collect()
        };
        assert_eq!(comments(&changed), comments(text), "{changed}");
        let loaded = Trusted::load(dir.path()).unwrap();
        assert!(loaded.contains(&cid), "{changed}");
        assert_eq!(loaded.of_type(&chat), trust, "{changed}");
        assert!(Trusted::remove(dir.path(), &cid).unwrap());
    }
}

#[test]
fn a_first_change_writes_a_file_that_explains_itself() {
    let dir = tempfile::tempdir().unwrap();
    let chat: StoreType = "org.example.chat".parse().unwrap();
    let trust = TypeTrust {
        publisher: Some(KEY.parse().unwrap()),
        ..TypeTrust::default()
    };
    assert!(Trusted::set_type(dir.path(), &chat, &trust).unwrap());
    let expected =
        format!("{HEAD}\n[types.\"org.example.chat\"]\npublisher = \"{KEY}\"\npolicy = \"ask\"\n");
    assert_eq!(fs::read_to_string(file(dir.path())).unwrap(), expected);
}

#[test]
fn a_malformed_list_is_an_error_that_says_what_was_expected() {
    for (text, reason) in [
        (
            "[more]",
            "expected the tables `added` and `types`, found `more`",
        ),
        ("added = 1", "expected a table `added`, found integer"),
        (
            "[added]\nx = 'y'",
            "\"x\": a content id has 59 characters, found 1",
        ),
        (
            &format!("[added]\n{CID} = 1"),
            &format!("expected `{CID}` to be text, found integer"),
        ),
        (
            "[types.x]",
            "\"x\": a store type has 3 to 128 bytes, found 1",
        ),
        (
            "[types.'a.b']\nkey = 1",
            "type a.b: expected publisher, policy, pin and release, found `key`",
        ),
        (
            "[types.'a.b']\npublisher = 'ab'",
            "type a.b: `publisher`: expected 64 hexadecimal digits, found 2 characters",
        ),
        (
            "[types.'a.b']\npolicy = 'all'",
            "type a.b: expected the policy ask, follow or pinned, found \"all\"",
        ),
        (
            "[types.'a.b']\npolicy = 'pinned'",
            "type a.b: the policy pinned needs a `pin`",
        ),
        (
            &format!("[types.'a.b']\npolicy = 'ask'\npin = '{CID}'"),
            "type a.b: a `pin` needs the policy pinned, found ask",
        ),
        (
            "[types.'a.b']\nrelease = -1",
            "type a.b: expected `release` to be a number from 0",
        ),
    ] {
        assert_eq!(loaded(text).unwrap_err(), reason);
    }
    let pinned = loaded(&format!("types.'a.b' = {{ pin = '{CID}' }}")).unwrap();
    let trust = pinned.of_type(&"a.b".parse().unwrap());
    assert_eq!(
        (trust.policy, trust.pin),
        (Policy::Pinned, Some(CID.parse().unwrap()))
    );
    assert!(pinned.is_pin(&CID.parse().unwrap()));
}
