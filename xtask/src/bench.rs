//! `cargo xtask bench`: the benchmarks of every crate, the lowest layer first.

use crate::command;
use crate::failure::Failure;
use crate::workspace::{LAYERS, Package, Workspace};

/// Arguments go to every benchmark program: a part of a benchmark's name, or criterion's options.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<(), Failure> {
    let metadata = workspace.metadata()?;
    let order = in_order(&metadata.packages);
    for (package, bench) in &order {
        println!("==> {package}: {bench}");
        // By name, since `cargo bench` also runs unit tests, whose harness knows no such options.
        let mut cargo = workspace.cargo();
        cargo
            .args(["bench", "--package", package, "--bench", bench, "--"])
            .args(arguments);
        command::run(&mut cargo)?;
    }
    let results = metadata.target_directory.join("criterion");
    println!(
        "bench: {} programs; results are in {}",
        order.len(),
        results.display()
    );
    Ok(())
}

/// The benchmark programs with their packages, in order of layers.
fn in_order(packages: &[Package]) -> Vec<(&str, &str)> {
    let mut order = Vec::new();
    for layer in LAYERS {
        for package in packages.iter().filter(|package| package.name == *layer) {
            for target in &package.targets {
                if target.kind.iter().any(|kind| kind == "bench") {
                    order.push((package.name.as_str(), target.name.as_str()));
                }
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn benchmarks_run_from_the_lowest_layer_up() {
        let json = r#"[
            {"name":"lattice-node","dependencies":[],"features":{},
             "targets":[{"name":"lattice","kind":["bin"]},{"name":"open","kind":["bench"]}]},
            {"name":"lattice-meta","dependencies":[],"features":{},
             "targets":[{"name":"codec","kind":["bench"]},{"name":"lattice_meta","kind":["lib"]}]}
        ]"#;
        let packages: Vec<Package> = serde_json::from_str(json).unwrap();
        assert_eq!(
            in_order(&packages),
            [("lattice-meta", "codec"), ("lattice-node", "open")]
        );
    }
}
