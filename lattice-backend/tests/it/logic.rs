//! What the code of a store type says of itself.

use std::panic::catch_unwind;

use lattice_backend::machine::{Logic, LogicVersion, MAX_LOGIC_VERSION_BYTES};

/// A constant is the same as what is made at run time, and as strict.
#[test]
fn logic_versions_can_be_constants() {
    let longest: &str = Box::leak("v".repeat(MAX_LOGIC_VERSION_BYTES).into_boxed_str());
    let longer: &str = Box::leak("v".repeat(MAX_LOGIC_VERSION_BYTES + 1).into_boxed_str());
    for version in ["rows/1", longest, longer, "", "a b", "v\u{e4}", "\n"] {
        let constant = catch_unwind(|| Logic::constant("org.example.rows", version));
        let made = Logic::new("org.example.rows", version);
        assert_eq!(constant.is_ok(), made.is_ok(), "{version:?}");
        if let (Ok(constant), Ok(made)) = (constant, made) {
            assert_eq!(constant, made);
        }
        let constant = catch_unwind(|| LogicVersion::constant(version));
        assert_eq!(constant.ok(), LogicVersion::new(version).ok());
    }
    assert!(catch_unwind(|| Logic::constant("rows", "rows/1")).is_err());
}

#[test]
fn constants_name_equal_versions() {
    const EQUAL: &[LogicVersion] = &[LogicVersion::constant("rows/0")];
    const LOGIC: Logic = Logic::constant_with("org.example.rows", "rows/1", EQUAL);
    let made = Logic::new("org.example.rows", "rows/1").unwrap();
    assert!(LOGIC.computes_as("rows/0") && LOGIC.computes_as("rows/1"));
    assert!(!made.computes_as("rows/0") && !LOGIC.computes_as("rows/2"));
    assert_eq!(LOGIC, made.equal_to("rows/0").unwrap());
    // One more version can be added to a constant.
    let more = LOGIC.equal_to("rows/2").unwrap();
    assert!(more.computes_as("rows/0") && more.computes_as("rows/2"));
}
