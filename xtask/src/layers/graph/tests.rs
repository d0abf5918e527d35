use super::*;

/// A package as cargo describes it; `dependencies` and `features` are JSON.
fn package(name: &str, dependencies: &str, features: &str) -> Package {
    let json = format!(
        r#"{{"name":"{name}","dependencies":[{dependencies}],"features":{{{features}}},"targets":[]}}"#
    );
    serde_json::from_str(&json).unwrap()
}

fn on(name: &str) -> String {
    format!(r#"{{"name":"{name}","kind":null,"optional":false,"features":[]}}"#)
}

fn dev_on(name: &str) -> String {
    format!(r#"{{"name":"{name}","kind":"dev","optional":false,"features":["redb"]}}"#)
}

#[test]
fn arrows_that_point_left_pass() {
    for (name, allowed) in ALLOWED {
        let all: Vec<String> = allowed.iter().map(|other| on(other)).collect();
        assert!(
            points_left(&package(name, &all.join(","), "")).is_empty(),
            "{name}"
        );
    }
}

#[test]
fn every_other_arrow_is_reported() {
    for (name, allowed) in ALLOWED {
        for other in LAYERS
            .iter()
            .filter(|other| !allowed.contains(other) && *other != name)
        {
            assert_eq!(
                points_left(&package(name, &on(other), "")).len(),
                1,
                "{name} -> {other}"
            );
        }
    }
}

#[test]
fn tests_may_point_right_but_not_at_unrelated_crates() {
    let seen = |name, other| points_left(&package(name, &dev_on(other), "")).len();
    assert_eq!(seen("lattice-registry", "lattice-kvstore"), 0);
    assert_eq!(seen("lattice-backend", "lattice-backend"), 0);
    assert_eq!(seen("lattice-kvstore", "lattice-logstore"), 1);
    assert_eq!(seen("lattice-logstore", "lattice-kvstore"), 1);
    assert_eq!(seen("lattice-meta", "lattice-node"), 1);
    assert_eq!(seen("xtask", "lattice-meta"), 1);
}

#[test]
fn a_crate_without_a_layer_is_reported() {
    assert_eq!(points_left(&package("lattice-new", "", "")).len(), 1);
}

#[test]
fn the_backend_holds_the_engine_as_an_option() {
    let optional = r#"{"name":"redb","kind":null,"optional":true,"features":[]}"#;
    let good = r#""default":["std"],"std":["redb?/std"],"redb":["std","dep:redb"]"#;
    assert!(engine_stays_below(&package(BACKEND, optional, good)).is_empty());

    let by_default = r#""default":["std"],"std":["files"],"files":["redb"],"redb":["dep:redb"]"#;
    assert_eq!(
        engine_stays_below(&package(BACKEND, optional, by_default)).len(),
        1
    );
    assert_eq!(
        engine_stays_below(&package(BACKEND, &on("redb"), good)).len(),
        1
    );
    assert_eq!(engine_stays_below(&package(BACKEND, optional, "")).len(), 1);
}

#[test]
fn only_the_composition_turns_the_engine_on() {
    let with = r#"{"name":"lattice-backend","kind":null,"optional":false,"features":["redb"]}"#;
    assert!(engine_stays_below(&package(COMPOSITION, with, "")).is_empty());
    assert_eq!(
        engine_stays_below(&package("lattice-kvstore", with, "")).len(),
        1
    );
    assert!(engine_stays_below(&package("lattice-kvstore", &dev_on(BACKEND), "")).is_empty());

    let forwards = r#""x":["lattice-backend?/redb"]"#;
    assert_eq!(
        engine_stays_below(&package("lattice-registry", &on(BACKEND), forwards)).len(),
        1
    );
    assert!(
        engine_stays_below(&package(
            "lattice-registry",
            &on(BACKEND),
            r#""std":["lattice-backend/std"]"#
        ))
        .is_empty()
    );
}

#[test]
fn only_the_backend_depends_on_the_engine() {
    assert_eq!(
        engine_stays_below(&package(COMPOSITION, &on("redb"), "")).len(),
        1
    );
    assert!(engine_stays_below(&package(COMPOSITION, &dev_on("redb"), "")).is_empty());
}

#[test]
fn banned_crates_are_seen_at_any_depth() {
    let tree = "lattice-meta v0.1.0 (/x/lattice-meta)\nuuid v1.0.0\ngetrandom v0.4.0 (*)\n";
    assert_eq!(banned_in(&BANNED[0], tree).len(), 1);
    assert!(banned_in(&BANNED[0], "lattice-meta v0.1.0\nrandomize v1.0.0\n").is_empty());
}

#[test]
fn a_layer_may_keep_files_by_its_own_feature_and_not_by_default() {
    let seen = |features| engine_stays_below(&package("lattice-registry", "", features)).len();
    assert_eq!(seen(r#""files":["lattice-backend/redb"]"#), 0);
    assert_eq!(seen(r#""std":["lattice-backend/redb"]"#), 1);
    let default = r#""default":["files"],"files":["lattice-backend/redb"]"#;
    assert_eq!(seen(default), 1);
}
