//! Watches source files for changes, during development.
//!
//! A file's stamp decides. The kernel (inotify(7)) only says when to check; without it, the files are checked at each
//! interval.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;

/// The pause between the first event and the check: an editor writes a file in several steps.
const SETTLING: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// Files and directories under watch.
#[derive(Debug)]
pub struct FileWatch {
    kernel: Option<OwnedFd>,
    /// Directories with an inotify watch.
    told: BTreeSet<PathBuf>,
    files: BTreeMap<PathBuf, Option<Stamp>>,
    /// In these a new source file is a change as well.
    directories: BTreeSet<PathBuf>,
}

/// The properties that change when a file is written: modification time, length, and the inode if it is replaced.
type Stamp = (i64, i64, u64, u64);

impl FileWatch {
    /// Uses inotify.
    ///
    /// # Errors
    ///
    /// The user has too many watches, or the kernel has none.
    pub fn with_inotify() -> io::Result<FileWatch> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        Ok(FileWatch { kernel: Some(inotify::init(flags)?), ..FileWatch::polling() })
    }

    /// Polls at each interval.
    pub fn polling() -> FileWatch {
        FileWatch { kernel: None, told: BTreeSet::new(), files: BTreeMap::new(), directories: BTreeSet::new() }
    }

    /// Covers files that were loaded since a time. A file that was written after that time may have been loaded before,
    /// so it counts as changed. Call it first, then [`FileWatch::cover`] with the same files.
    pub fn loaded_since(&mut self, since: SystemTime, files: &[PathBuf]) {
        // A time in the future comes from a wrong clock.
        let written = |path: &Path| fs::metadata(path).and_then(|found| found.modified()).ok();
        let since_then = |path: &&PathBuf| written(path).is_some_and(|at| at > since && at <= SystemTime::now());
        self.files.extend(files.iter().filter(since_then).map(|path| (path.clone(), None)));
    }

    /// Adds what is not under watch yet, as it is now.
    ///
    /// # Arguments
    ///
    /// In one of `directories` a Python file that appears later is a change; of `files`, only what is named.
    ///
    /// # Errors
    ///
    /// The kernel accepts no more watches; the files are watched all the same, by polling.
    pub fn cover(&mut self, files: Vec<PathBuf>, directories: Vec<PathBuf>) -> io::Result<()> {
        for directory in directories {
            if self.directories.insert(directory.clone()) {
                for path in sources_in(&directory) {
                    self.files.entry(path).or_insert_with_key(|path| stamp(path));
                }
            }
        }
        for file in files {
            self.files.entry(file).or_insert_with_key(|path| stamp(path));
        }
        let Some(kernel) = &self.kernel else { return Ok(()) };
        let around =
            self.files.keys().filter_map(|path| path.parent()).chain(self.directories.iter().map(PathBuf::as_path));
        let new: BTreeSet<PathBuf> = around.filter(|path| !self.told.contains(*path)).map(Path::to_path_buf).collect();
        let mut outcome = Ok(());
        for directory in new {
            let events = inotify::WatchFlags::CLOSE_WRITE | inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::CREATE;
            match inotify::add_watch(kernel, &directory, events) {
                Ok(_) => {}
                // It has gone meanwhile.
                Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {}
                Err(error) => outcome = Err(error.into()),
            }
            self.told.insert(directory);
        }
        outcome
    }

    /// Waits up to `interval` and returns the files that have changed since the last time.
    pub fn wait(&mut self, interval: Duration) -> Vec<PathBuf> {
        let interval = Timespec {
            tv_sec: i64::try_from(interval.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: interval.subsec_nanos().into(),
        };
        match &self.kernel {
            None => {
                // Without a descriptor this is a sleep. An error is EINTR, and the check comes early.
                let _ = poll(&mut [], Some(&interval));
            }
            Some(kernel) => {
                let woken = poll(&mut [PollFd::new(kernel, PollFlags::IN)], Some(&interval));
                if woken.is_ok_and(|ready| ready > 0) {
                    let _ = poll(&mut [], Some(&SETTLING));
                    // The events are not read: the stamps tell more.
                    while rustix::io::read(kernel, &mut [0_u8; 4096]).is_ok_and(|count| count > 0) {}
                }
            }
        }
        self.changed()
    }

    fn changed(&mut self) -> Vec<PathBuf> {
        let mut changed = Vec::new();
        for (path, before) in &mut self.files {
            let now = stamp(path);
            // A missing file may be about to be replaced.
            if now.is_some() && now != *before {
                changed.push(path.clone());
                *before = now;
            }
        }
        for path in self.directories.iter().flat_map(|directory| sources_in(directory)) {
            if let std::collections::btree_map::Entry::Vacant(vacant) = self.files.entry(path) {
                changed.push(vacant.key().clone());
                let now = stamp(vacant.key());
                vacant.insert(now);
            }
        }
        changed
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let found = fs::metadata(path).ok()?;
    Some((found.mtime(), found.mtime_nsec(), found.len(), found.ino()))
}

fn sources_in(directory: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|extension| extension == "py"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mut watch: FileWatch, name: &str) {
        let directory = std::env::temp_dir().join(format!("farrier-watch-{name}-{}", std::process::id()));
        fs::create_dir_all(directory.join("templates")).expect("made");
        let (module, page) = (directory.join("module.py"), directory.join("templates/page.html"));
        fs::write(&module, "a = 1").expect("written");
        fs::write(&page, "one").expect("written");
        watch.cover(vec![page.clone()], vec![directory.clone()]).expect("covered");
        let short = Duration::from_millis(10);
        assert_eq!(watch.wait(short), Vec::<PathBuf>::new());
        fs::write(&module, "a = 22").expect("written");
        assert_eq!(watch.wait(short), std::slice::from_ref(&module));
        fs::write(directory.join("notes.txt"), "no source").expect("written");
        assert_eq!(watch.wait(short), Vec::<PathBuf>::new());
        // As an editor does it, and a file that is new.
        fs::write(directory.join("new"), "two").expect("written");
        fs::rename(directory.join("new"), &page).expect("moved");
        fs::write(directory.join("other.py"), "b = 1").expect("written");
        assert_eq!(watch.wait(short), [page, directory.join("other.py")]);
        fs::remove_file(&module).expect("removed");
        assert_eq!(watch.wait(short), Vec::<PathBuf>::new());
        fs::remove_dir_all(&directory).expect("removed");
    }

    #[test]
    fn a_file_written_during_loading_counts_as_changed() {
        let path = std::env::temp_dir().join(format!("farrier-watch-since-{}.py", std::process::id()));
        let before = SystemTime::now() - Duration::from_secs(5);
        fs::write(&path, "a = 1").expect("written");
        let check = |since, expect: &[PathBuf]| {
            let mut watch = FileWatch::polling();
            watch.loaded_since(since, std::slice::from_ref(&path));
            watch.cover(vec![path.clone()], Vec::new()).expect("covered");
            assert_eq!(watch.wait(Duration::ZERO), expect);
            assert_eq!(watch.wait(Duration::ZERO), Vec::<PathBuf>::new());
        };
        check(before, std::slice::from_ref(&path));
        check(SystemTime::now() + Duration::from_secs(5), &[]);
        fs::remove_file(&path).expect("removed");
    }

    #[test]
    fn a_change_is_seen_once_by_looking() {
        check(FileWatch::polling(), "poll");
    }

    #[test]
    fn a_change_is_seen_once_through_the_kernel() {
        check(FileWatch::with_inotify().expect("made"), "inotify");
    }
}
