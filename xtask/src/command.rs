//! Runs other programs, mainly cargo.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

/// Why another program failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("`{command}` could not be started")]
    Start { command: String, source: io::Error },
    #[error("`{command}` failed: {status}")]
    Status { command: String, status: ExitStatus },
    #[error("`{command}` failed: {status}\n{stderr}")]
    Captured {
        command: String,
        status: ExitStatus,
        stderr: String,
    },
    #[error("the output of `{command}` is not UTF-8")]
    NotUtf8 {
        command: String,
        source: std::string::FromUtf8Error,
    },
    #[error("the output of `{command}` could not be read")]
    Read { command: String, source: io::Error },
}

/// The cargo that runs this program, else the one on `PATH`, with `directory` as its working
/// directory.
pub(crate) fn cargo(directory: &Path) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.current_dir(directory);
    command
}

/// The command line as a user would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut line = program
        .file_stem()
        .unwrap_or(program.as_os_str())
        .to_string_lossy()
        .into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

/// Runs a command without input; its output goes to this process's output.
pub(crate) fn run(command: &mut Command) -> Result<(), CommandError> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|source| CommandError::Start {
            command: shown(command),
            source,
        })?;
    if status.success() {
        Ok(())
    } else {
        Err(CommandError::Status {
            command: shown(command),
            status,
        })
    }
}

/// Runs a command without input and returns its standard output. Standard error is shown only on
/// failure, as part of the error.
pub(crate) fn output(command: &mut Command) -> Result<String, CommandError> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| CommandError::Start {
            command: shown(command),
            source,
        })?;
    if !output.status.success() {
        return Err(CommandError::Captured {
            command: shown(command),
            status: output.status,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        });
    }
    String::from_utf8(output.stdout).map_err(|source| CommandError::NotUtf8 {
        command: shown(command),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR"))
    }

    #[test]
    fn output_is_captured() {
        let version = output(cargo(directory()).arg("--version")).unwrap();
        assert!(version.starts_with("cargo "), "{version}");
    }

    #[test]
    fn a_failed_command_is_reported_with_its_output() {
        let error = output(cargo(directory()).args(["no-such-command", "x"])).unwrap_err();
        let message = error.to_string();
        assert!(
            message.starts_with("`cargo no-such-command x` failed"),
            "{message}"
        );
        assert!(message.contains("no such command"), "{message}");
    }

    #[test]
    fn a_missing_program_is_its_own_error() {
        let error = run(&mut Command::new("there-is-no-such-program")).unwrap_err();
        assert!(matches!(error, CommandError::Start { .. }), "{error}");
    }
}
