//! Errors in the settings, each with the place to correct.

use std::fmt;

use crate::answer::Source;

/// One error: where it is and what was expected there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where the error is; `None` if it is about the command line as a whole.
    pub source: Option<Source>,
    /// The message.
    pub message: String,
}

impl Problem {
    /// An error at this place.
    pub fn at(source: Source, message: impl Into<String>) -> Problem {
        Problem { source: Some(source), message: message.into() }
    }

    pub(crate) fn of_usage(message: impl Into<String>) -> Problem {
        Problem { source: None, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => write!(f, "{source}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// All errors that were found, so that one run reports them all. Displays one per line, after the traceback if there is
/// one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The errors: those of a file by line, then the environment's, then the command line's; never empty.
    pub problems: Vec<Problem>,
    /// Python's traceback of a file that failed, with the frames of the file and of what it called; empty if there is
    /// none.
    pub traceback: String,
}

impl ConfigError {
    /// Sorts the errors in the order in which they are listed.
    pub fn of(mut problems: Vec<Problem>) -> ConfigError {
        problems.sort_by_key(|problem| match &problem.source {
            Some(Source::Default | Source::Setting(_)) => (0, 0),
            Some(Source::File { line, .. }) => (1, *line),
            Some(Source::Environment(_)) => (2, 0),
            Some(Source::Flags { .. }) => (3, 0),
            Some(Source::CommandLine(_)) | None => (4, 0),
        });
        ConfigError { problems, traceback: String::new() }
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> ConfigError {
        ConfigError::of(vec![problem])
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.traceback)?;
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
