//! The command line: what it asks for, and the exit codes (0 done, 1 configuration or address, 2 usage, 3 and 4 the
//! application cannot be loaded).

use std::ffi::OsString;

use farrier_config::{Config, ConfigError, Outcome, Source, gather};
use pyo3::prelude::*;

use crate::{application, server};

/// Reads the layers of the configuration as they are now.
pub(crate) fn read_config(arguments: &[OsString]) -> Result<Outcome, ConfigError> {
    gather(arguments.iter().cloned(), std::env::vars_os(), |path| std::fs::read_to_string(path))
}

/// Runs the command and gives its exit code.
pub(crate) fn run(py: Python<'_>, arguments: &[OsString]) -> i32 {
    match read_config(arguments) {
        Ok(Outcome::Run(config)) => server::run(py, *config, arguments),
        Ok(Outcome::Help(text) | Outcome::Completions(text)) => print(&text),
        Ok(Outcome::Version) => print(&format!("farrier (version {})\n", env!("CARGO_PKG_VERSION"))),
        Ok(Outcome::PrintConfig { config, text }) => {
            print(&text);
            check(py, &config)
        }
        Ok(Outcome::CheckConfig(config)) => check(py, &config),
        Err(error) => {
            eprintln!("farrier: {}", error.to_string().replace('\n', "\nfarrier: "));
            let usage =
                error.problems.iter().any(|problem| matches!(problem.source, None | Some(Source::CommandLine { .. })));
            if usage {
                eprintln!("Try 'farrier --help'.");
                2
            } else {
                1
            }
        }
    }
}

fn print(text: &str) -> i32 {
    use std::io::Write;
    // A reader that has seen enough (`farrier --help | head`) is no failure.
    let _ = std::io::stdout().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush());
    0
}

/// Loads the application as a start would, and says what is wrong.
fn check(py: Python<'_>, config: &Config) -> i32 {
    if let Err(raised) = application::prepare(py, config) {
        eprintln!("farrier: {raised}");
        return 1;
    }
    match application::load(py, config.wsgi_app.as_deref()) {
        Ok(_) => 0,
        Err(failure) => {
            eprint!("{}", failure.traceback);
            eprintln!("farrier: {}", failure.reason);
            1
        }
    }
}
