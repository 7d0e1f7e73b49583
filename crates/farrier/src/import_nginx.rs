//! The command `farrier import-nginx`: writes an nginx configuration as a commented `farrier.toml`.

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::Path;

use farrier_import::nginx::{Files, import};

use crate::console::{print, print_problems};
use crate::importing::{Asked, write};

/// The name of the command, in the place of the application.
pub(crate) const COMMAND: &str = "import-nginx";

const USAGE: &str = "\
Writes an nginx configuration as a commented farrier.toml.

Usage: farrier import-nginx [-o FILE] [--force] [--app APP] FILE

  -o, --output FILE  Write to FILE instead of standard output
  --force            Overwrite FILE if it exists
  --app APP          Serve this application in the place of the server on this machine that nginx forwards to

FILE is nginx.conf, or the file of a site. The output mentions every directive. What has no counterpart is named on
standard error too. If a rule of access has none, the exit code is 2.
";

/// The exit code if a rule of access has no counterpart.
const DROPPED: i32 = 2;

/// Runs the command with the arguments after its name; returns the exit code.
pub(crate) fn run(arguments: &[OsString]) -> i32 {
    let asked = match Asked::of(arguments, true) {
        Ok(Some(asked)) => asked,
        Ok(None) => return print(USAGE),
        Err(message) => {
            eprintln!("farrier: {message}\nTry 'farrier {COMMAND} --help'.");
            return 2;
        }
    };
    let done = match import(&asked.file, asked.app.as_deref(), &mut Disk) {
        Ok(done) => done,
        Err(problem) => {
            print_problems(&[problem]);
            return 1;
        }
    };
    print_problems(&done.warnings);
    let written = match &asked.output {
        None => print(&done.toml),
        Some(path) => write(path, asked.may_replace, &done.toml),
    };
    match (written, done.dropped.is_empty()) {
        (0, false) => {
            eprintln!("farrier: rules of access without a counterpart: decide about each of them");
            print_problems(&done.dropped);
            DROPPED
        }
        (code, _) => code,
    }
}

/// The longest file of a configuration.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// The files of this machine.
struct Disk;

impl Files for Disk {
    fn read(&mut self, path: &Path) -> io::Result<String> {
        let mut text = String::new();
        std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(io::Error::other(format!("it has more than {} MiB", FILE_BYTES_MAX >> 20)));
        }
        Ok(text)
    }

    fn names(&mut self, folder: &Path) -> io::Result<Vec<String>> {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let names = std::fs::read_dir(folder)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.collect())
    }
}
