//! The program of a process: how it was started, and how to replace it with another in the same way.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How this process was started. Read it before anything changes: the title overwrites the arguments, and the settings
/// change the directory and the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The program; for Python the interpreter.
    pub program: PathBuf,
    /// The arguments, with the interpreter's own options and the script.
    pub arguments: Vec<OsString>,
    /// The working directory, as the shell named it: a symbolic link that now points to a new release is followed
    /// again.
    pub directory: PathBuf,
    /// The environment.
    pub environment: Vec<(OsString, OsString)>,
}

impl Launch {
    /// How this process was started.
    ///
    /// # Arguments
    ///
    /// `program` is the interpreter, if it knows its own path: its first argument may be a bare name.
    ///
    /// # Errors
    ///
    /// There is no `/proc`, or the working directory has been removed.
    pub fn of_this_process(program: Option<PathBuf>) -> io::Result<Launch> {
        let program = match program {
            Some(program) => program,
            None => std::fs::read_link("/proc/self/exe")?,
        };
        Ok(Launch {
            program,
            arguments: arguments_in(&std::fs::read("/proc/self/cmdline")?),
            directory: directory(std::env::var_os("PWD"))?,
            environment: std::env::vars_os().collect(),
        })
    }
}

/// All but the first, which is the program.
fn arguments_in(cmdline: &[u8]) -> Vec<OsString> {
    let cmdline = cmdline.strip_suffix(b"\0").unwrap_or(cmdline);
    cmdline.split(|&byte| byte == 0).skip(1).map(|argument| OsStr::from_bytes(argument).to_owned()).collect()
}

/// `$PWD`, if it names the working directory; the shell's path may go through symbolic links.
fn directory(named: Option<OsString>) -> io::Result<PathBuf> {
    match named.map(PathBuf::from) {
        Some(named) if named.is_absolute() && is_same_place(&named, Path::new(".")) => Ok(named),
        _ => std::env::current_dir(),
    }
}

/// Whether two paths lead to the same file or folder.
pub fn is_same_place(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| path.metadata().map(|found| (found.dev(), found.ino()));
    matches!((place(one), place(other)), (Ok(one), Ok(other)) if one == other)
}

/// Replaces this process with another program. Returns the error if that fails.
///
/// # Arguments
///
/// `environment` replaces the current one.
pub fn become_program(launch: &Launch, environment: &[(OsString, OsString)]) -> io::Error {
    // Blocked signals and an ignored PIPE would be passed on; both are undone here (std::os::unix::process).
    Command::new(&launch.program)
        .args(&launch.arguments)
        .current_dir(&launch.directory)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .exec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_split_at_zeros_and_may_be_empty() {
        assert_eq!(arguments_in(b"python\0-m\0farrier\0\0x y\0"), ["-m", "farrier", "", "x y"]);
        assert!(arguments_in(b"python\0").is_empty());
        assert!(arguments_in(b"").is_empty());
    }

    #[test]
    fn the_directory_is_the_shell_s_if_it_is_the_same() {
        let here = std::env::current_dir().expect("there");
        let link = std::env::temp_dir().join(format!("farrier-here-{}", std::process::id()));
        std::os::unix::fs::symlink(&here, &link).expect("linked");
        assert_eq!(directory(Some(link.clone().into())).expect("there"), link);
        std::fs::remove_file(&link).expect("removed");
        for other in [Some("/".into()), Some("relative".into()), Some(link.into()), None] {
            assert_eq!(directory(other).expect("there"), here);
        }
    }

    #[test]
    fn this_process_was_started_with_arguments_in_a_directory() {
        let launch = Launch::of_this_process(None).expect("read");
        assert!(launch.program.is_absolute() && launch.directory.is_absolute());
        assert_eq!(launch.arguments.len(), std::env::args_os().count() - 1);
        assert!(!launch.environment.is_empty());
    }

    #[test]
    fn a_program_that_is_missing_is_said() {
        let launch = Launch {
            program: "/nowhere/python".into(),
            arguments: Vec::new(),
            // The signal actions change before the missing program is noticed, in the process of all tests.
            directory: std::env::current_dir().expect("there"),
            environment: Vec::new(),
        };
        assert_eq!(become_program(&launch, &[]).kind(), io::ErrorKind::NotFound);
    }
}
