//! The signals that interrupt a command.

use std::io::{self, IsTerminal};
use std::process;
use std::sync::{Arc, mpsc};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};

use super::Interruption;

/// A signal that interrupts a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::program) enum Signal {
    /// Ctrl-C.
    Int,
    /// Termination.
    Term,
    /// The terminal was closed.
    Hup,
}

impl Signal {
    const ALL: [Self; 3] = [Self::Int, Self::Term, Self::Hup];
    /// POSIX fixes it; systems without it never send it.
    const SIGHUP: i32 = 1;

    const fn raw(self) -> i32 {
        match self {
            Self::Int => SIGINT,
            Self::Term => SIGTERM,
            Self::Hup => Self::SIGHUP,
        }
    }

    pub(in crate::program) const fn name(self) -> &'static str {
        match self {
            Self::Int => "INT",
            Self::Term => "TERM",
            Self::Hup => "HUP",
        }
    }

    /// A number that is not 0.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Int => 2,
            Self::Term => 15,
            Self::Hup => 1,
        }
    }

    pub(super) fn of(number: u8) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|signal| signal.number() == number)
    }

    fn of_raw(raw: i32) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|signal| signal.raw() == raw)
    }

    /// The exit code that a shell reports for a command that the signal ended.
    pub(in crate::program) const fn code(self) -> u8 {
        128 + self.number()
    }

    /// Whether a command that reads a stream commits what it has read. Ctrl-C stops it at once.
    pub(in crate::program) const fn drains(self) -> bool {
        matches!(self, Self::Term | Self::Hup)
    }
}

/// Ends the process with the signal's exit code. After Ctrl-C on a terminal the signal itself ends
/// it, which has the same code: a shell ends its loop or script only then.
pub(in crate::program) fn exit(signal: Signal) -> ! {
    let is_terminal = io::stdin().is_terminal() || io::stderr().is_terminal();
    // The system ignores signals of the first process, of a container for example.
    if signal == Signal::Int && is_terminal && process::id() != 1 {
        let _ = signal_hook::low_level::emulate_default_handler(signal.raw());
    }
    process::exit(i32::from(signal.code()))
}

/// Receives signals on a thread of its own. Without such a thread the system ends the process at
/// the first signal. The stores stay intact then, and unfinished files stay until the next command.
pub(super) fn receive(interruption: &Arc<Interruption>) {
    let signals: Vec<_> = Signal::ALL.map(Signal::raw).to_vec();
    let signals: Vec<_> = signals
        .into_iter()
        .filter(|raw| !is_ignored(*raw))
        .collect();
    let interruption = Arc::clone(interruption);
    let (ready, is_ready) = mpsc::channel();
    let spawned = thread::Builder::new()
        .name("signals".into())
        .spawn(move || wait(&signals, &interruption, &ready));
    if spawned.is_ok() {
        // An error means that the thread has ended: there are no handlers.
        let _ = is_ready.recv();
    }
}

#[cfg(unix)]
fn wait(signals: &[i32], interruption: &Interruption, ready: &mpsc::Sender<()>) {
    let Ok(mut received) = signal_hook::iterator::Signals::new(signals) else {
        return;
    };
    let _ = ready.send(());
    let first = loop {
        let mut signals = received.wait().filter_map(Signal::of_raw);
        if let Some(first) = signals.find(|signal| interruption.takes(*signal)) {
            break first;
        }
    };
    interruption.raise(first);
    interruption.end(first, || received.pending().any(|raw| raw == SIGINT))
}

/// Where signals have no queue, a flag is polled.
#[cfg(not(unix))]
fn wait(_: &[i32], interruption: &Interruption, ready: &mpsc::Sender<()>) {
    use std::sync::atomic::{AtomicBool, Ordering};
    let flag = Arc::new(AtomicBool::new(false));
    let registered = signal_hook::flag::register(SIGINT, Arc::clone(&flag));
    if registered.is_err() || ready.send(()).is_err() {
        return;
    }
    loop {
        thread::sleep(std::time::Duration::from_millis(50));
        if flag.swap(false, Ordering::AcqRel) && interruption.takes(Signal::Int) {
            interruption.raise(Signal::Int);
            interruption.end(Signal::Int, || flag.swap(false, Ordering::AcqRel));
        }
    }
}

/// Whether the process was started with a signal ignored, as by `nohup`, or with `&` in a script.
#[cfg(target_os = "linux")]
fn is_ignored(raw: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_else(|_| String::new());
    ignores(&status, raw)
}

/// Other systems do not say. There HUP keeps what was set for it: the system ends the process, or
/// `nohup` ignores it.
#[cfg(not(target_os = "linux"))]
fn is_ignored(raw: i32) -> bool {
    raw == Signal::SIGHUP
}

/// Whether `/proc/PID/status` says that a signal is ignored: bit n - 1 of a hexadecimal mask.
#[cfg(any(target_os = "linux", test))]
fn ignores(status: &str, raw: i32) -> bool {
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let bit = u32::try_from(raw - 1)
        .ok()
        .and_then(|bit| 1_u64.checked_shl(bit));
    mask.zip(bit).is_some_and(|(mask, bit)| mask & bit != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        let status = "Name:\tx\nSigBlk:\t0000000000004003\nSigIgn:\t0000000000001003\n";
        assert!(ignores(status, SIGINT));
        assert!(ignores(status, Signal::SIGHUP));
        assert!(!ignores(status, SIGTERM));
        assert!(!ignores("", SIGINT));
    }

    #[test]
    fn exit_codes_are_those_of_a_shell() {
        let codes = Signal::ALL.map(Signal::code);
        assert_eq!(codes, [130, 143, 129]);
        assert_eq!(
            Signal::ALL.map(|signal| Signal::of(signal.number())),
            Signal::ALL.map(Some)
        );
    }
}
