//! The arguments of the commands that import a configuration, and the file that they write.

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};

/// The arguments of a command that imports.
pub(crate) struct Asked {
    /// The file that is read.
    pub(crate) file: String,
    /// The file that is written; `None` for standard output.
    pub(crate) output: Option<OsString>,
    /// Whether an old file may be replaced.
    pub(crate) may_replace: bool,
    /// The application, if the command takes one.
    pub(crate) app: Option<String>,
}

impl Asked {
    /// `None` asks for help.
    ///
    /// # Errors
    /// An argument is unknown, or one is missing.
    pub(crate) fn of(arguments: &[OsString], takes_app: bool) -> Result<Option<Asked>, String> {
        let (mut file, mut output, mut may_replace, mut app) = (None, None, false, None);
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.to_str() {
                Some("-h" | "--help") => return Ok(None),
                Some("--force") => may_replace = true,
                Some("-o" | "--output") => {
                    output = Some(arguments.next().cloned().ok_or("`-o` needs a value: `-o FILE`")?);
                }
                Some("--app") if takes_app => {
                    let given = arguments.next().and_then(|app| app.to_str());
                    app = Some(given.ok_or("`--app` needs a value: `--app MODULE:NAME`")?.to_string());
                }
                Some(flag) if flag.starts_with('-') => return Err(format!("unknown flag `{flag}`")),
                Some(path) if file.is_none() => file = Some(path.to_string()),
                _ => return Err(format!("unexpected argument {argument:?}")),
            }
        }
        let file = file.ok_or("the file is missing")?;
        Ok(Some(Asked { file, output, may_replace, app }))
    }
}

/// Writes a new file, or over an old one; returns the exit code.
pub(crate) fn write(path: &OsStr, may_replace: bool, text: &str) -> i32 {
    let mut options = OpenOptions::new();
    options.write(true).truncate(may_replace).create(may_replace).create_new(!may_replace);
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    match written {
        Ok(()) => 0,
        Err(error) => {
            let hint = if error.kind() == ErrorKind::AlreadyExists { "; `--force` overwrites it" } else { "" };
            eprintln!("farrier: cannot write {}: {error}{hint}", path.display());
            1
        }
    }
}
