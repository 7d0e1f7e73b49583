//! How much a line of a log matters, by the names and numbers of Python's logging.

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// For those who look for a fault.
    Debug,
    /// The course of things.
    Info,
    /// Something is wrong that the server can live with.
    Warning,
    /// A request or a worker failed.
    Error,
    /// The site is in danger.
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

    /// The level that Python's logging knows by this number, or the one above it.
    pub fn of_python(number: i32) -> Level {
        match number {
            ..=10 => Level::Debug,
            11..=20 => Level::Info,
            21..=30 => Level::Warning,
            31..=40 => Level::Error,
            _ => Level::Critical,
        }
    }

    /// The number by which Python's logging knows it.
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
