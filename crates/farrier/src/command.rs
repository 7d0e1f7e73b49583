//! Runs the command line, and returns the exit codes: 0 done, 1 configuration or address, 2 usage, 3 and 4 the
//! application cannot be loaded.

use std::ffi::OsString;

use farrier_config::{Config, Problem, Source};
use pyo3::prelude::*;

use crate::application::Applications;
use crate::configured::{Asked, Configured};
use crate::console::{print, print_problems};
use crate::embedding::Given;
use crate::hooks::Hooks;
use crate::upstream_security::UpstreamSecurity;
use crate::{application, certificates, import_nginx, import_uwsgi, server, sites};

/// Runs the command and gives its exit code.
pub(crate) fn run(py: Python<'_>, arguments: &[OsString]) -> i32 {
    if let Some((command, rest)) = arguments.split_first() {
        if command == import_uwsgi::COMMAND {
            return import_uwsgi::run(py, rest);
        }
        if command == import_nginx::COMMAND {
            return import_nginx::run(rest);
        }
    }
    let given = Given::Arguments(arguments);
    match given.read(py) {
        Ok(Asked::Run(configured)) => server::run(py, configured, &given),
        Ok(Asked::Print(text)) => print(&text),
        Ok(Asked::PrintConfig(configured, text)) => {
            print(&text);
            check(py, &configured)
        }
        Ok(Asked::CheckConfig(configured)) => check(py, &configured),
        Err(error) => {
            eprint!("{}", error.traceback);
            print_problems(&error.problems);
            let is_usage = |problem: &Problem| {
                matches!(problem.source, None | Some(Source::CommandLine(_) | Source::Flags { .. }))
            };
            if error.problems.iter().any(is_usage) {
                eprintln!("Try 'farrier --help'.");
                2
            } else {
                1
            }
        }
    }
}

/// Loads the application as a start would, and prints the errors.
fn check(py: Python<'_>, configured: &Configured) -> i32 {
    let config: &Config = &configured.config;
    print_problems(config.warnings());
    if let Err(raised) = application::prepare(py, config) {
        eprintln!("farrier: {raised}");
        return 1;
    }
    if let Err(raised) = Hooks::of(py, configured.cfg.clone_ref(py)) {
        eprintln!("farrier: {}", raised.value(py));
        return 1;
    }
    match certificates::check(config) {
        Ok(warnings) => warnings.iter().for_each(|warning| eprintln!("farrier: {warning}")),
        Err(reason) => {
            eprintln!("farrier: {reason}");
            return 1;
        }
    }
    if let Err(reason) = UpstreamSecurity::read(config) {
        eprintln!("farrier: {reason}");
        return 1;
    }
    let opened = sites::open(config).and_then(|_| {
        let loaded = Applications::load(py, config, |failure| {
            eprint!("{}", failure.traceback);
            Err(vec![failure.reason])
        });
        loaded.and_then(|_| sites::open_loaded(py, config))
    });
    match opened {
        Ok(_) => 0,
        Err(problems) => {
            problems.iter().for_each(|problem| eprintln!("farrier: {problem}"));
            1
        }
    }
}
