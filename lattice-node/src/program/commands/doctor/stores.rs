//! The stores: damage, age, code, and what of their history needs attention.

use std::ffi::OsString;
use std::path::PathBuf;

use lattice_backend::clock::{Clock, SystemClock};
use lattice_backend::engine::ingest::DEFER_AHEAD_MS;
use lattice_backend::engine::verify::Finding as Defect;
use lattice_backend::op::ApplyIndex;
use lattice_meta::StoreId;

use super::Finding;
use crate::program::bulk::plural;
use crate::program::commands::held::held_ops;
use crate::program::commands::timestamp;
use crate::program::context::Context;
use crate::program::failure::{Failure, Kind};
use crate::{Access, Depth, StoreHandle, load_identity};

/// A store to check.
pub(super) struct Subject {
    /// As the user names it.
    pub(super) name: OsString,
    pub(super) path: PathBuf,
}

/// All stores of the data directory, by alias where they have one.
pub(super) fn all(context: &mut Context<'_>) -> Result<Vec<Subject>, Failure> {
    let listed = context.node.manager().list()?;
    let aliases = context.aliases();
    let subject = |listed: lattice_registry::Listed| {
        let store_id = listed.meta.as_ref().ok().map(|meta| meta.store_id);
        // Of a file that cannot be read, the directory's name says which store it was.
        let named = || listed.path.file_name()?.to_str()?.parse().ok();
        let store_id = store_id.or_else(named);
        let alias = store_id.and_then(|id| aliases.alias_of(id));
        let name = match (alias, listed.path.file_name()) {
            (Some(alias), _) => alias.as_str().into(),
            (None, Some(name)) => name.to_owned(),
            (None, None) => listed.path.clone().into(),
        };
        Subject {
            name,
            path: listed.path,
        }
    };
    Ok(listed.into_iter().map(subject).collect())
}

pub(super) fn look_at(context: &Context<'_>, subject: &Subject, depth: Depth) -> Vec<Finding> {
    let mut store = Store {
        context,
        subject,
        store_id: None,
        findings: Vec::new(),
    };
    if let Err(failure) = store.look(depth) {
        store.failed(&failure);
    }
    store.findings
}

struct Store<'a, 'b> {
    context: &'a Context<'b>,
    subject: &'a Subject,
    store_id: Option<StoreId>,
    findings: Vec<Finding>,
}

impl Store<'_, '_> {
    fn look(&mut self, depth: Depth) -> Result<(), Failure> {
        let manager = self.context.node.manager();
        let path = &self.subject.path;
        self.store_id = Some(manager.peek_path(path)?.store_id);
        if !manager.is_known(path)? {
            let message = "this data directory has not created, verified or restored it";
            self.find("unverified", message, "lattice verify STORE");
        }
        self.code()?;
        match manager.verify_path(path, depth) {
            Ok(verified) => self.defects(&verified.findings),
            // Without its code the state cannot be checked; that was found above.
            Err(lattice_registry::ManagerError::Resolve(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let history = manager.open_history(path)?;
        self.history(&*history)
    }

    /// Whether the code for it is here, and what it records is up to date.
    fn code(&mut self) -> Result<(), Failure> {
        let path = &self.subject.path;
        let found = self.context.node.manager().find(path, Access::ReadOnly)?;
        let recorded = found.recorded().logic.map(str::to_owned);
        let opener = match self.context.registry().resolve(found.recorded()) {
            Ok(opener) => opener,
            Err(error) => {
                let failure = Failure::from(error);
                self.failed(&failure);
                return Ok(());
            }
        };
        let logic = opener.logic();
        let schema = found.meta().schema_version;
        let is_older = schema < logic.newest_schema()
            || recorded.is_some_and(|recorded| !logic.computes_as(&recorded));
        if schema <= logic.newest_schema() && is_older {
            let message = "an older program, or other code, wrote it last";
            self.find("older", message, "lattice upgrade STORE");
        }
        Ok(())
    }

    fn defects(&mut self, defects: &[Defect]) {
        // Other code is no damage, and was found before.
        let is_logic = |defect: &&Defect| !matches!(defect, Defect::Logic { .. });
        let defects: Vec<_> = defects.iter().filter(is_logic).collect();
        let Some(first) = defects.first() else {
            return;
        };
        let more = match defects.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        let message = format!("the store does not match its history: {first}{more}");
        self.damaged("damaged", &message, "lattice rebuild STORE");
    }

    fn damaged(&mut self, kind: &'static str, message: &str, command: &str) {
        self.find(kind, message, command);
        if let Some(finding) = self.findings.last_mut() {
            finding.is_damage = true;
        }
    }

    /// Whether only the journal keeps the store from being read.
    fn has_journal_fault(&self) -> bool {
        let manager = self.context.node.manager();
        self.store_id.is_some() && manager.has_journal_fault(&self.subject.path)
    }

    /// Whether the bytes of a file that cannot be opened say which store it was.
    fn has_ops_to_find(&self) -> bool {
        let found = self.context.node.manager().carve(&self.subject.path);
        matches!(found, Ok(Some(_)))
    }

    fn history(&mut self, history: &dyn StoreHandle) -> Result<(), Failure> {
        if history.is_unconfirmed_copy()? {
            self.find(
                "copy",
                "it is a copy that nothing has confirmed: the first write by an author of it is refused",
                "lattice put STORE KEY VALUE --continue",
            );
        }
        let own = load_identity(&self.context.data_dir).ok();
        let own = own.map(|key| key.public());
        let forks = history.forks()?;
        let own_forks = forks.iter().filter(|fork| Some(fork.author) == own).count();
        if own_forks > 0 {
            let forks = plural(
                u64::try_from(own_forks).unwrap_or(u64::MAX),
                ("fork", "forks"),
            );
            let message = format!(
                "{forks} of this directory's author: another directory writes as the same author, or it wrote \
                 to an old copy"
            );
            self.find("cloned", &message, "lattice identity new");
        }
        let (held, _) = held_ops(history)?;
        if held > 0 {
            let message = format!(
                "{} held, because the code here cannot apply them",
                plural(held, ("op is", "ops are"))
            );
            self.find("held", &message, "lattice info STORE");
        }
        let newest = history.op_count()?.checked_sub(1).map(ApplyIndex::new);
        let newest = newest.map(|index| history.op_at(index)).transpose()?;
        if let Some(op) = newest.flatten() {
            let ms = op.hlc().ms();
            let limit = SystemClock.now_ms().saturating_add(DEFER_AHEAD_MS);
            if ms > limit {
                let message = format!(
                    "its newest op is dated {}, ahead of this machine's clock: nothing can be written \
                     before",
                    timestamp(ms)
                );
                let command = format!("lattice migrate STORE --to {}", history.store_type());
                self.find("misdated", &message, &*command);
            }
        }
        Ok(())
    }

    fn find<'c>(&mut self, kind: &'static str, message: &str, command: impl Into<Option<&'c str>>) {
        let name = self.subject.name.display();
        let hints = self.context.out.hints().of_store(&self.subject.name);
        let mut finding = Finding::new(kind, format!("{name}: {}", hints.complete(message)))
            .path(&self.subject.path);
        finding.mended_by = command.into().map(|command| hints.completed(command));
        finding.store_id = self.store_id;
        self.findings.push(finding);
    }

    fn failed(&mut self, failure: &Failure) {
        // What is in a store's place and is no store has replaced it.
        let is_damage = failure.is_damage() || failure.kind() == Kind::NotAStore;
        let kind = failure.kind();
        let command = match kind {
            kind if kind.is_damage() && self.has_journal_fault() => {
                return self.damaged("journal", failure.message(), "lattice rebuild STORE");
            }
            kind if kind.is_damage() && self.store_id.is_none() => Some("lattice restore FILE"),
            kind if kind.is_damage() => Some("lattice salvage STORE"),
            Kind::NotAStore | Kind::NoStore => Some("lattice restore FILE"),
            // Of code that is not here, or of another process, the message says what to do.
            _ => None,
        };
        let mut message = failure.message().to_owned();
        if is_damage && self.store_id.is_none() && self.has_ops_to_find() {
            message += "; without a copy, `lattice salvage STORE` exports what can be found in it";
        }
        self.find(kind.name(), &message, command);
        if let Some(finding) = self.findings.last_mut() {
            finding.is_damage = is_damage;
        }
    }
}
