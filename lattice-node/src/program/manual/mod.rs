//! Manual pages, from the description of the commands and from the topics of the help.

mod page;

use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use lattice_registry::files::{replace_bytes, set_mode};
use serde_json::json;

use self::page::{of_command, of_topic};
use super::args::{Args, Man};
use super::context::Context;
use super::failure::{Failure, Kind};
use super::topics::TOPICS;

/// A manual page.
struct Page {
    /// As `man1/lattice-put.1`.
    file: String,
    roff: String,
}

/// Prints the program's page, or writes the pages of all commands and topics.
pub(super) fn man(context: &mut Context<'_>, man: &Man) -> Result<(), Failure> {
    let Some(dir) = &man.install else {
        let page = pages().swap_remove(0);
        let value = json!({ "roff": page.roff });
        return context
            .out
            .either(value, |_| page.roff.trim_end().to_owned());
    };
    let mut files = Vec::new();
    for page in pages() {
        let file = dir.join(&page.file);
        write(&file, page.roff.as_bytes())?;
        files.push(file);
    }
    let shown: Vec<_> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    let value = json!({ "dir": dir.display().to_string(), "files": shown });
    if context.out.is_json() {
        context.out.json(&value)?;
    }
    context.out.note(&format!(
        "wrote {} pages to man1 and man7 in {}; `man lattice` and `man lattice-put` find them if `manpath` names that \
         directory; if it does not, set MANPATH={}:",
        files.len(),
        dir.display(),
        absolute(dir).display()
    ));
    Ok(())
}

fn absolute(dir: &Path) -> PathBuf {
    std::path::absolute(dir).unwrap_or_else(|_| dir.to_path_buf())
}

/// Writes a page, which others may read, at once.
fn write(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let dir = file.parent().expect("a page has a directory");
    let failed = |error| Failure::failed(format!("cannot create {}: {error}", dir.display()));
    fs::create_dir_all(dir).map_err(failed)?;
    let is_new = !file.exists();
    replace_bytes(file, bytes).map_err(|error| Failure::of(Kind::Failed, &error))?;
    if is_new {
        set_mode(file, 0o644).map_err(|error| Failure::of(Kind::Failed, &error))?;
    }
    Ok(())
}

/// All pages, the program's first.
fn pages() -> Vec<Page> {
    let mut root = Args::command();
    root.build();
    let mut pages = Vec::new();
    add(&root, true, &mut pages);
    pages.extend(TOPICS.iter().map(|topic| Page {
        file: format!("man7/lattice-{}.7", topic.name),
        roff: of_topic(*topic),
    }));
    pages
}

fn add(command: &clap::Command, is_root: bool, pages: &mut Vec<Page>) {
    let name = command
        .get_display_name()
        .unwrap_or_else(|| command.get_name());
    pages.push(Page {
        file: format!("man1/{name}.1"),
        roff: of_command(command, is_root),
    });
    for part in command.get_subcommands() {
        // `help` is a command only of the program itself.
        if !part.is_hide_set() && (is_root || part.get_name() != "help") {
            add(part, false, pages);
        }
    }
}

#[cfg(test)]
mod tests;
