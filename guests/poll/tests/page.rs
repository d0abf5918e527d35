//! `docs/write-a-store-type.md` shows the files of this package.

use std::fs;
use std::path::Path;

#[test]
fn the_page_shows_these_files() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = package.join("../../docs/write-a-store-type.md");
    let page = fs::read_to_string(page).expect("the page is there");
    for name in ["src/lib.rs", "tests/suite.rs", "examples/lunch.rs"] {
        let file = fs::read_to_string(package.join(name)).expect("the file is there");
        let block = format!("```rust\n{file}```\n");
        assert!(page.contains(&block), "the page has another {name}");
    }
}
