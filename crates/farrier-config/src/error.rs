//! What is wrong with the settings, said so that a person can find the place and mend it.

use std::fmt;

use crate::answer::Source;

/// One mistake: where it stands and what was expected there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where the mistake stands; `None` when it belongs to the command line as a whole.
    pub source: Option<Source>,
    /// The sentence that says what is wrong.
    pub message: String,
}

impl Problem {
    /// A mistake at this place.
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

/// All mistakes that were found, so that one run names them all. Displays one per line, after the traceback if there is
/// one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The mistakes, those of a file by line, then the environment's, then the command line's; never empty.
    pub problems: Vec<Problem>,
    /// What Python says of a file that failed: the frames of the file itself and of what it called. Empty without one.
    pub traceback: String,
}

impl ConfigError {
    /// Brings the mistakes into the order in which a person mends them.
    pub(crate) fn of(mut problems: Vec<Problem>) -> ConfigError {
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
