//! The table of signals that the arbiter and its workers handle, and the module that catches them.

mod pipe;

pub use pipe::{SignalMask, SignalPipe, block_all, ignore_pipe_signal, restore_defaults, tolerate};

macro_rules! signals {
    ($($(#[doc = $doc:expr])+ $variant:ident = $number:ident, $name:literal;)+) => {
        /// A signal with a meaning to the arbiter or a worker.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Signal {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Signal {
            /// All of them, one per row of the table.
            pub const ALL: &'static [Signal] = &[$(Signal::$variant),+];

            /// The number that the kernel knows it by.
            pub const fn number(self) -> i32 {
                match self {
                    $(Signal::$variant => libc::$number,)+
                }
            }

            /// The short lower-case name, as it stands in the log: `hup`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Signal::$variant => $name,)+
                }
            }

            /// The signal with this number, if it is one of the table's.
            pub const fn from_number(number: i32) -> Option<Signal> {
                match number {
                    $(libc::$number => Some(Signal::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

signals! {
    /// Stop gracefully: finish what is in flight.
    Term = SIGTERM, "term";
    /// Stop quickly (Ctrl-C).
    Int = SIGINT, "int";
    /// Stop quickly.
    Quit = SIGQUIT, "quit";
    /// Reload: read the configuration, replace all workers.
    Hup = SIGHUP, "hup";
    /// Add one worker.
    Ttin = SIGTTIN, "ttin";
    /// Remove one worker.
    Ttou = SIGTTOU, "ttou";
    /// Reopen the logs.
    Usr1 = SIGUSR1, "usr1";
    /// Start a successor from the program on disk.
    Usr2 = SIGUSR2, "usr2";
    /// Stop the workers and keep the arbiter (only when it runs as a daemon).
    Winch = SIGWINCH, "winch";
    /// A child has ended.
    Chld = SIGCHLD, "chld";
    /// To a worker: it has hung, and must log its stacks.
    Abrt = SIGABRT, "abrt";
    /// To a worker: ends it at once.
    Kill = SIGKILL, "kill";
}

/// The name that a line of the log gives to a signal's number: `SIGKILL`, `SIGSEGV`, else `signal 42`.
pub fn signal_name(number: i32) -> String {
    let name = match number {
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGBUS => "SIGBUS",
        libc::SIGILL => "SIGILL",
        libc::SIGFPE => "SIGFPE",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGSYS => "SIGSYS",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGXFSZ => "SIGXFSZ",
        _ => match Signal::from_number(number) {
            Some(signal) => return format!("SIG{}", signal.name().to_ascii_uppercase()),
            None => return format!("signal {number}"),
        },
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_is_found_again_by_its_number() {
        for &signal in Signal::ALL {
            assert_eq!(Signal::from_number(signal.number()), Some(signal));
        }
        assert_eq!(Signal::from_number(0), None);
    }

    #[test]
    fn signals_are_named_as_kill_names_them() {
        assert_eq!(signal_name(libc::SIGKILL), "SIGKILL");
        assert_eq!(signal_name(libc::SIGSEGV), "SIGSEGV");
        assert_eq!(signal_name(64), "signal 64");
    }
}
