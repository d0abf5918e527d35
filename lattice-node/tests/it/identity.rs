//! The identity file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Barrier;

use lattice_node::{IDENTITY_FILE, IdentityError, Node, load_identity, load_or_create_identity};

#[test]
fn an_identity_is_created_once_and_private() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(
        load_identity(dir.path()),
        Err(IdentityError::NotFound { .. })
    ));
    let first = load_or_create_identity(dir.path()).unwrap().public();
    assert_eq!(load_or_create_identity(dir.path()).unwrap().public(), first);
    assert_eq!(load_identity(dir.path()).unwrap().public(), first);
    let path = dir.path().join(IDENTITY_FILE);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.len(), 85);
    assert!(text.starts_with("lattice identity v1\n"));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn sixteen_threads_that_create_an_identity_get_the_same_one() {
    let dir = tempfile::tempdir().unwrap();
    let start = Barrier::new(16);
    let make = || {
        start.wait();
        load_or_create_identity(dir.path()).unwrap().public()
    };
    let made: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(make)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(made.iter().all(|author| *author == made[0]));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn an_invalid_identity_file_is_refused_and_unchanged() {
    let digits = "ab".repeat(32);
    let wrong = [
        String::new(),
        "not an identity".into(),
        digits.clone(),
        format!("lattice identity v2\n{digits}\n"),
        format!("lattice identity v1\n{digits}"),
        format!("lattice identity v1\n{}\n", digits.to_uppercase()),
        format!("lattice identity v1\n{}g\n", &digits[1..]),
        format!("lattice identity v1\n{digits}\nmore"),
        format!("lattice identity v1\n{}\n", &digits[2..]),
        "x".repeat(1 << 20),
    ];
    for text in wrong {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(IDENTITY_FILE);
        fs::write(&path, &text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let error = Node::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("is not an identity file"), "{error}");
        assert!(!error.contains(&digits), "the message tells the key");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn a_key_file_that_other_users_can_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    load_or_create_identity(dir.path()).unwrap();
    let path = dir.path().join(IDENTITY_FILE);
    for mode in [0o640, 0o604, 0o660, 0o644, 0o620] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let refused = load_identity(dir.path());
        let exposed =
            matches!(refused, Err(IdentityError::Exposed { mode: found, .. }) if found == mode);
        assert!(exposed, "{refused:?}");
    }
}

/// The key pair of RFC 8032, section 7.1, TEST 1. These bytes are frozen.
#[test]
fn the_format_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(IDENTITY_FILE);
    let secret = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    fs::write(&path, format!("lattice identity v1\n{secret}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let author = load_identity(dir.path()).unwrap().public();
    let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    assert_eq!(author.to_string(), public);
}
