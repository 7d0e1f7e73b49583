//! Log levels, with the names and numbers of Python's `logging`.

/// The level of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Details for finding a fault.
    Debug,
    /// Normal events.
    Info,
    /// Something is wrong, and the server continues.
    Warning,
    /// A request or a worker failed.
    Error,
    /// The server cannot serve the site, or is about to fail.
    Critical,
}

impl Level {
    /// The name as lines show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Debug => "DEBUG",
            Level::Info => "INFO",
            Level::Warning => "WARNING",
            Level::Error => "ERROR",
            Level::Critical => "CRITICAL",
        }
    }

    /// The level with this number in Python's `logging`, or the next one above it.
    pub fn of_python(number: i32) -> Level {
        match number {
            ..=10 => Level::Debug,
            11..=20 => Level::Info,
            21..=30 => Level::Warning,
            31..=40 => Level::Error,
            _ => Level::Critical,
        }
    }

    /// The level's number in Python's `logging`.
    pub fn python(self) -> i32 {
        match self {
            Level::Debug => 10,
            Level::Info => 20,
            Level::Warning => 30,
            Level::Error => 40,
            Level::Critical => 50,
        }
    }
}
