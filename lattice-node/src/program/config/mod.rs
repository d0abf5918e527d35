//! Settings: from options, the environment, and `config.toml` in the data directory, in this order.
//!
//! One table ([`keys::KEYS`]) describes every setting. A wrong value is an error of every command but
//! those that show or repair things, which note it and use the setting's default.

mod file;
mod keys;

use std::env;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use self::file::Written;
pub(super) use self::keys::Key;
use self::keys::{KEYS, Spec};
#[cfg(feature = "wasm")]
use super::args::TrustPolicy;
use super::args::{Color, Command, Global};
use super::context::{Context, default_data_dir};
use super::failure::{Failure, Kind};
use super::log;
use super::output::{Output, styles};

/// The file's name in the data directory.
const CONFIG_FILE: &str = "config.toml";

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    Default,
    /// A line of the file.
    File(usize),
    Environment(&'static str),
    Option(&'static str),
}

/// A value, which its key accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Setting {
    text: String,
    origin: Origin,
}

/// The settings of a command.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// The file, if the data directory is known.
    file: Option<PathBuf>,
    /// A value for each key, in the order of [`KEYS`].
    values: Vec<Setting>,
    errors: Vec<ConfigError>,
}

/// What is wrong with a setting.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {found}", path.display())]
    Read { path: PathBuf, found: String },
    /// A line is not TOML.
    #[error("{}, line {line}: expected TOML, found {found}", path.display())]
    Syntax {
        path: PathBuf,
        line: usize,
        found: String,
    },
    /// There is no such setting.
    #[error("{}, line {line}: unknown key {key}; {}", path.display(), keys::meant(key))]
    UnknownKey {
        path: PathBuf,
        line: usize,
        key: String,
    },
    /// A setting does not take the value.
    #[error("{place}: {key} is {found}; expected {expected}")]
    Value {
        /// The file and line, or the environment variable.
        place: String,
        key: &'static str,
        found: String,
        expected: &'static str,
    },
}

impl Default for Settings {
    fn default() -> Self {
        let default = |spec: &Spec| Setting {
            text: spec.default.to_owned(),
            origin: Origin::Default,
        };
        Self {
            file: None,
            values: KEYS.iter().map(default).collect(),
            errors: Vec::new(),
        }
    }
}

impl Settings {
    /// Reads the settings of a command line. Wrong ones keep their default, and are reported by
    /// [`check`](Self::check).
    pub(super) fn of(global: &Global) -> Self {
        let dir = global.data_dir.clone().or_else(default_data_dir);
        let mut settings = Self {
            file: dir.map(|dir| dir.join(CONFIG_FILE)),
            ..Self::default()
        };
        if let Some(path) = settings.file.clone() {
            settings.read_file(&path);
        }
        settings
            .read_environment(|name| env::var_os(name).map(|value| value.display().to_string()));
        settings.read_options(global);
        settings
    }

    fn read_file(&mut self, path: &Path) {
        let found = file::read(path);
        self.errors.extend(found.errors);
        for entry in found.entries {
            let place = format!("{}, line {}", path.display(), entry.line);
            let origin = Origin::File(entry.line);
            let Some(nth) = KEYS.iter().position(|spec| spec.name == entry.key) else {
                self.errors.push(ConfigError::UnknownKey {
                    path: path.to_path_buf(),
                    line: entry.line,
                    key: entry.key,
                });
                continue;
            };
            match (KEYS[nth].is_number, entry.value) {
                (true, Written::Number(text)) | (false, Written::Text(text)) => {
                    self.set(nth, text, origin, place);
                }
                _ => self.refuse(&KEYS[nth], place, &entry.shown),
            }
        }
    }

    fn read_environment(&mut self, variable: impl Fn(&str) -> Option<String>) {
        for (nth, spec) in KEYS.iter().enumerate() {
            let values = spec
                .variables
                .iter()
                .filter_map(|name| Some((*name, variable(name)?)));
            let mut values = values.filter(|(_, value)| !value.is_empty());
            if let Some((name, value)) = values.next() {
                self.set(nth, value, Origin::Environment(name), name.to_owned());
            }
        }
    }

    fn read_options(&mut self, global: &Global) {
        let mut set = |key: Key, text: String, option: &'static str| {
            self.values[keys::place(key)] = Setting {
                text,
                origin: Origin::Option(option),
            };
        };
        if global.no_wait {
            set(Key::Wait, "0".into(), "--no-wait");
        } else if let Some(seconds) = global.wait {
            set(Key::Wait, seconds.to_string(), "--wait");
        }
        if let Some(color) = global.color {
            set(Key::Color, keys::name_of(color), "--color");
        }
        if let Some(level) = log::level(global.verbose) {
            set(Key::Log, level.to_owned(), "-v");
        }
    }

    fn set(&mut self, nth: usize, text: String, origin: Origin, place: String) {
        match (KEYS[nth].fits)(&text) {
            true => self.values[nth] = Setting { text, origin },
            false => self.refuse(&KEYS[nth], place, &format!("{text:?}")),
        }
    }

    fn refuse(&mut self, spec: &Spec, place: String, found: &str) {
        self.errors.push(ConfigError::Value {
            place,
            key: spec.name,
            found: found.to_owned(),
            expected: spec.expected,
        });
    }

    /// Refuses wrong settings, unless the command shows or repairs things.
    pub(super) fn check(&self, command: &Command) -> Result<(), Failure> {
        let shows = matches!(
            command,
            Command::Config
                | Command::Doctor(_)
                | Command::Help(_)
                | Command::Man(_)
                | Command::Completions(_)
                | Command::Complete(_)
        );
        match shows {
            true => Ok(()),
            false => self.failure(),
        }
    }

    /// The first thing that is wrong.
    fn failure(&self) -> Result<(), Failure> {
        let Some(first) = self.errors.first() else {
            return Ok(());
        };
        let failure = Failure::new(Kind::Config, first.to_string());
        let failure = match self.errors.len() - 1 {
            0 => failure,
            more => failure.and(&format!("{more} more")),
        };
        Err(failure.and("`lattice config` shows all settings"))
    }

    /// Notes what is wrong.
    pub(super) fn note(&self, out: &mut Output<'_>) {
        if let Err(failure) = self.failure() {
            out.note(&format!("lattice: {}", failure.message()));
        }
    }

    /// Gives the rest of the program the values for which it has options.
    pub(super) fn apply(self, global: &mut Global) {
        global.wait = Some(self.wait());
        global.no_wait = false;
        global.color = Some(self.color());
        global.settings = self;
    }

    /// The settings that the command line has, each as a variable and its value.
    #[cfg(feature = "shell")]
    pub(super) fn options(&self) -> Vec<(&'static str, String)> {
        let all = KEYS.iter().zip(&self.values);
        let given = all.filter(|(_, setting)| matches!(setting.origin, Origin::Option(_)));
        given
            .map(|(spec, setting)| (spec.variables[0], setting.text.clone()))
            .collect()
    }

    fn text(&self, key: Key) -> &str {
        &self.values[keys::place(key)].text
    }

    fn wait(&self) -> u32 {
        self.text(Key::Wait)
            .parse()
            .expect("the key accepts only seconds")
    }

    /// When there are colours.
    pub(super) fn color(&self) -> Color {
        keys::parsed(self.text(Key::Color))
    }

    /// Which events are printed.
    pub(super) fn log(&self) -> &str {
        self.text(Key::Log)
    }

    /// The program for long texts on a terminal, if there is one.
    pub(super) fn pager(&self) -> Option<&str> {
        Some(self.text(Key::Pager)).filter(|pager| !pager.is_empty())
    }

    /// Whether stores that the data directory does not vouch for are taken unverified.
    pub(super) fn trusts(&self) -> bool {
        self.text(Key::Verify) == keys::TRUST
    }

    /// The policy of a publisher that is trusted without one.
    #[cfg(feature = "wasm")]
    pub(super) fn code_policy(&self) -> TrustPolicy {
        keys::parsed(self.text(Key::CodePolicy))
    }
}

/// Prints every setting with its origin, and what is wrong with them.
pub(super) fn config(context: &mut Context<'_>) -> Result<(), Failure> {
    let settings = context.settings.clone();
    for (spec, setting) in KEYS.iter().zip(&settings.values) {
        let (origin, source) = match &setting.origin {
            Origin::Default => ("default", None),
            Origin::File(line) => ("file", Some(format!("line {line}"))),
            Origin::Environment(name) => ("environment", Some((*name).to_owned())),
            Origin::Option(name) => ("option", Some((*name).to_owned())),
        };
        let mut object = Map::new();
        object.insert("key".into(), spec.name.into());
        object.insert("value".into(), setting.text.clone().into());
        object.insert("origin".into(), origin.into());
        object.insert("source".into(), json!(source));
        context.out.either(Value::Object(object), |out| {
            let name = out.paint(styles::NAME, &format!("{:<12}", spec.name));
            let value = match setting.text.is_empty() {
                true => "(none)".to_owned(),
                false => super::output::escape(setting.text.as_bytes()),
            };
            let origin = match source {
                Some(source) => format!("{origin}, {source}"),
                None => origin.to_owned(),
            };
            format!("{name}  {value:<12}  {}", out.paint(styles::FAINT, &origin))
        })?;
    }
    context.out.flush()?;
    if let Some(file) = &settings.file {
        let state = if file.exists() { "file" } else { "no file" };
        context.out.note(&format!("{state} {}", file.display()));
    }
    // The last one is the failure of the command.
    for error in settings.errors.iter().skip(1) {
        context.out.note(&format!("lattice: {error}"));
    }
    match settings.errors.first() {
        Some(error) => Err(Failure::new(Kind::Config, error.to_string())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
