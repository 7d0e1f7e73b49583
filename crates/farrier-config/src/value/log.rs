//! Where a log is written, and from which level on.

use std::path::PathBuf;

use super::{Completes, Rejected, Value};

/// Where a log is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// `-`: standard output for the access log, standard error for the error log.
    Standard,
    /// A file, appended to.
    File(PathBuf),
}

impl Value for LogTarget {
    const EXPECTED: &'static str = "a path, or `-` for the standard stream";
    const METAVAR: &'static str = "FILE";
    const COMPLETES: Completes = Completes::Path;

    fn parse(text: &str) -> Result<Self, Rejected> {
        match text {
            "" => Err(Rejected::unexpected(text)),
            "-" => Ok(LogTarget::Standard),
            path => Ok(LogTarget::File(PathBuf::from(path))),
        }
    }

    fn text(&self) -> String {
        match self {
            LogTarget::Standard => "-".to_string(),
            LogTarget::File(path) => path.text(),
        }
    }
}

/// Levels of the error log, least severe first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// For developers of Farrier.
    Debug,
    /// For an operator's information.
    Info,
    /// An operator should look at it, without urgency.
    Warning,
    /// A request or a worker failed.
    Error,
    /// The server cannot go on.
    Critical,
}

const LEVELS: &[(&str, LogLevel)] = &[
    ("debug", LogLevel::Debug),
    ("info", LogLevel::Info),
    ("warning", LogLevel::Warning),
    ("error", LogLevel::Error),
    ("critical", LogLevel::Critical),
];

impl Value for LogLevel {
    const EXPECTED: &'static str = "`debug`, `info`, `warning`, `error` or `critical`";
    const METAVAR: &'static str = "LEVEL";
    const COMPLETES: Completes = Completes::Words(&["debug", "info", "warning", "error", "critical"]);

    fn parse(text: &str) -> Result<Self, Rejected> {
        let word = text.trim().to_ascii_lowercase();
        let word = if word == "warn" { "warning" } else { &word };
        let level = LEVELS.iter().find(|(name, _)| *name == word);
        level.map(|(_, level)| *level).ok_or_else(|| Rejected::unexpected(text))
    }

    fn text(&self) -> String {
        LEVELS.iter().find(|(_, level)| level == self).map_or(String::new(), |(name, _)| (*name).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_is_read_and_written_in_any_case() {
        for (name, level) in LEVELS {
            assert_eq!(LogLevel::parse(&name.to_uppercase()), Ok(*level));
            assert_eq!(level.text(), *name);
        }
        assert_eq!(LogLevel::parse("warn"), Ok(LogLevel::Warning));
        assert_eq!(LogLevel::parse("verbose"), Err(Rejected::unexpected("verbose")));
    }

    #[test]
    fn severity_is_their_order() {
        assert!(LEVELS.windows(2).all(|pair| pair[0].1 < pair[1].1));
    }
}
