//! The command `farrier import-uwsgi`: writes a uWSGI configuration as a commented `farrier.toml`.

use std::ffi::OsString;

use farrier_import::uwsgi::{Machine, import};
use pyo3::prelude::*;

use crate::console::{print, print_problems};
use crate::importing::{Asked, write};

/// The name of the command, in the place of the application.
pub(crate) const COMMAND: &str = "import-uwsgi";

const USAGE: &str = "\
Writes a uWSGI configuration as a commented farrier.toml.

Usage: farrier import-uwsgi [-o FILE] [--force] FILE[:SECTION]

  -o FILE   Write to FILE instead of standard output
  --force   Overwrite FILE if it exists

FILE is in uWSGI's ini, YAML or JSON form; the section is `uwsgi` unless another is named. The output mentions every
option.
`farrier --ini FILE` serves with the same settings without writing them.
";

/// Runs the command with the arguments after its name; returns the exit code.
pub(crate) fn run(py: Python<'_>, arguments: &[OsString]) -> i32 {
    let asked = match Asked::of(arguments, false) {
        Ok(Some(asked)) => asked,
        Ok(None) => return print(USAGE),
        Err(message) => {
            eprintln!("farrier: {message}\nTry 'farrier {COMMAND} --help'.");
            return 2;
        }
    };
    match import(&asked.file, &machine(py), &mut |path| std::fs::read_to_string(path)) {
        Ok(import) => match &asked.output {
            None => print(&import.toml()),
            Some(path) => write(path, asked.may_replace, &import.toml()),
        },
        Err(error) => {
            print_problems(&error.problems);
            1
        }
    }
}

/// The facts about this machine for placeholders. A value that Python cannot give stays empty.
pub(crate) fn machine(py: Python<'_>) -> Machine {
    let named = |module: &str, function: &str, number: u32, field: &str| -> Option<String> {
        py.import(module).ok()?.call_method1(function, (number,)).ok()?.getattr(field).ok()?.extract().ok()
    };
    let number = |function: &str| -> u32 {
        py.import("os").and_then(|os| os.call_method0(function)?.extract()).unwrap_or_default()
    };
    let hostname = py.import("socket").and_then(|socket| socket.call_method0("gethostname")?.extract());
    let prefix = py.import("sys").and_then(|sys| sys.getattr("prefix")?.extract());
    let (user, group) = (number("getuid"), number("getgid"));
    Machine {
        folder: std::env::current_dir().unwrap_or_default(),
        hostname: hostname.unwrap_or_default(),
        cores: farrier_supervisor::process::cpus_allowed(),
        user: (user, named("pwd", "getpwuid", user, "pw_name").unwrap_or_default()),
        group: (group, named("grp", "getgrgid", group, "gr_name").unwrap_or_default()),
        variables: std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
        python_prefix: prefix.unwrap_or_default(),
    }
}
