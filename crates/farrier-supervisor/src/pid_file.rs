//! The pid file: holds the pid of the master, is created and removed atomically, and never overwrites another's.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::process::{Pid, is_alive, own_pid};

/// A pid file of this process's own.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    pid: Pid,
}

impl PidFile {
    /// Writes this process's pid to the file at `path` atomically. Everybody can read the file.
    ///
    /// A file that names a process which is gone, or that names none, is replaced.
    ///
    /// # Errors
    ///
    /// The process that the file names is alive, or the file cannot be written.
    pub fn claim(path: &Path) -> Result<PidFile, PidFileError> {
        let failed = |error| PidFileError { path: path.to_owned(), cause: PidFileCause::Io(error) };
        // A relative path must survive a change of directory.
        let absolute = std::path::absolute(path).map_err(failed)?;
        let file = PidFile { path: absolute, pid: own_pid() };
        let written = file.write_beside().map_err(failed)?;
        let claimed = file.take_place_of_the_dead(&written);
        if claimed.is_err() {
            // Nobody knows its name but this function.
            let _ = fs::remove_file(&written);
        }
        claimed.map(|()| file).map_err(|cause| PidFileError { path: path.to_owned(), cause })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether `path` is this file.
    pub fn is_at(&self, path: &Path) -> bool {
        std::path::absolute(path).is_ok_and(|path| path == self.path)
    }

    /// Moves it and replaces the file there: after an upgrade, that of a master that has gone.
    ///
    /// # Errors
    ///
    /// The kernel's. The file is then still where it was.
    pub fn rename(&mut self, path: &Path) -> io::Result<()> {
        let path = std::path::absolute(path)?;
        fs::rename(&self.path, &path)?;
        self.path = path;
        Ok(())
    }

    /// Removes it, if it still names this process, and only in the process that wrote it.
    pub fn remove(&self) {
        if self.pid == own_pid() && named_in(&self.path) == Some(self.pid) {
            // The directory may have become unwritable: the next start finds the file stale.
            let _ = fs::remove_file(&self.path);
        }
    }

    fn write_beside(&self) -> io::Result<PathBuf> {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", self.pid));
        let path = self.path.with_file_name(name);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&path)?;
        // Scripts of other users read it, so its mode does not depend on the umask.
        let written = file
            .set_permissions(fs::Permissions::from_mode(0o644))
            .and_then(|()| file.write_all(format!("{}\n", self.pid).as_bytes()));
        if written.is_err() {
            let _ = fs::remove_file(&path);
        }
        written.map(|()| path)
    }

    fn take_place_of_the_dead(&self, written: &Path) -> Result<(), PidFileCause> {
        match renameat_with(CWD, written, CWD, &self.path, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(()),
            // Some file systems cannot guarantee not to replace a file: then the file is checked first as well.
            Err(Errno::EXIST | Errno::INVAL | Errno::NOSYS) => {}
            Err(error) => return Err(PidFileCause::Io(error.into())),
        }
        match named_in(&self.path) {
            Some(pid) if pid != self.pid && is_alive(pid) => Err(PidFileCause::Alive(pid)),
            _ => fs::rename(written, &self.path).map_err(PidFileCause::Io),
        }
    }
}

/// The process that a pid file names, alive or not.
fn named_in(path: &Path) -> Option<Pid> {
    fs::read_to_string(path).ok()?.trim().parse().ok().filter(|&pid| pid > 0)
}

/// A pid file that could not be claimed.
#[derive(Debug)]
pub struct PidFileError {
    /// Where.
    pub path: PathBuf,
    /// Why.
    pub cause: PidFileCause,
}

/// Why a pid file could not be claimed.
#[derive(Debug)]
pub enum PidFileCause {
    /// The process that it names is alive.
    Alive(Pid),
    /// The kernel's answer to the writing.
    Io(io::Error),
}

impl fmt::Display for PidFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.cause {
            PidFileCause::Alive(pid) => write!(
                f,
                "Already running on PID {pid} (or pid file '{path}' is stale): stop that process, or remove the file if \
                 it is another program's"
            ),
            PidFileCause::Io(error) => write!(f, "Can't write the pid file {path}: {error}"),
        }
    }
}

impl std::error::Error for PidFileError {}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("farrier-pid-{}-{name}", own_pid()));
            fs::create_dir_all(&path).expect("made");
            Folder(path)
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).expect("there");
            entries.map(|entry| entry.expect("read").file_name().to_string_lossy().into_owned()).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn it_names_this_process_is_readable_by_all_and_goes_with_it() {
        let folder = Folder::new("own");
        let path = folder.0.join("pid");
        let file = PidFile::claim(&path).expect("claimed");
        assert_eq!(fs::read_to_string(&path).expect("there"), format!("{}\n", own_pid()));
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o7777, 0o644);
        assert_eq!(folder.names(), ["pid"]);
        assert!(file.is_at(&path));
        file.remove();
        assert!(folder.names().is_empty());
    }

    #[test]
    fn a_living_process_keeps_its_file() {
        let folder = Folder::new("living");
        let path = folder.0.join("pid");
        fs::write(&path, "1\n").expect("written");
        let error = PidFile::claim(&path).expect_err("refused").to_string();
        assert!(error.starts_with("Already running on PID 1 (or pid file '"), "{error}");
        assert_eq!(fs::read_to_string(&path).expect("there"), "1\n");
        assert_eq!(folder.names(), ["pid"], "nothing is left beside it");
    }

    #[test]
    fn a_file_that_names_no_living_process_is_replaced() {
        for (index, stale) in ["4194305", "", "nonsense", "-1", "0"].iter().enumerate() {
            let folder = Folder::new(&format!("stale-{index}"));
            let path = folder.0.join("pid");
            fs::write(&path, stale).expect("written");
            PidFile::claim(&path).expect("claimed");
            assert_eq!(named_in(&path), Some(own_pid()), "{stale:?}");
        }
    }

    #[test]
    fn another_process_s_file_is_not_removed() {
        let folder = Folder::new("foreign");
        let path = folder.0.join("pid");
        let file = PidFile::claim(&path).expect("claimed");
        fs::write(&path, "1\n").expect("written");
        file.remove();
        assert!(path.exists());
    }

    #[test]
    fn it_moves_over_the_file_of_one_that_has_gone() {
        let folder = Folder::new("moved");
        let (first, second) = (folder.0.join("pid.2"), folder.0.join("pid"));
        fs::write(&second, "4194305\n").expect("written");
        let mut file = PidFile::claim(&first).expect("claimed");
        file.rename(&second).expect("moved");
        assert_eq!(folder.names(), ["pid"]);
        file.remove();
        assert!(folder.names().is_empty());
    }

    #[test]
    fn a_folder_that_is_missing_is_named() {
        let error = PidFile::claim(Path::new("/nowhere/at/all/pid")).expect_err("refused").to_string();
        assert!(error.starts_with("Can't write the pid file /nowhere/at/all/pid: No such file"), "{error}");
    }
}
