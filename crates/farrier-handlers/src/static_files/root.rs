//! Opens files below a folder. The kernel (`openat2`) refuses links that lead out of the folder.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat2};
use rustix::io::Errno;

use super::clock::clock_ms;
use super::found::LOOKED_AT_MS;

/// The most attempts to look a name up if renames interrupt the lookup.
const TRIES: usize = 16;

/// The longest name that the kernel accepts, with the zero byte at its end.
const NAME_BYTES_MAX: usize = 4096;

/// A folder that files are opened in.
pub(crate) struct Root {
    path: PathBuf,
    /// The folder at the path at the last check. The path may be a link, which can change.
    folder: RwLock<Arc<OwnedFd>>,
    looked_ms: AtomicU64,
}

/// What a name leads to.
pub(crate) enum Named {
    /// A regular file.
    File(File, Stat),
    /// A folder.
    Folder,
    /// Nothing, or something that is not served: a path outside of the folder, a device, a socket, a pipe.
    Nothing,
    /// A file or folder without permission to read it.
    Unreadable(Errno),
    /// The process or the system is out of descriptors or memory.
    NoRoom(Errno),
    /// The kernel has to read the disk to know.
    Cold,
}

impl Root {
    /// Opens a folder.
    ///
    /// # Errors
    /// It is not a folder, or cannot be opened, or this kernel cannot keep links inside of it. The message says which.
    pub(crate) fn open(path: &Path) -> Result<Root, String> {
        let folder = open_folder(path).map_err(|error| match error {
            Errno::NOTDIR => format!("{} is not a folder", path.display()),
            error => format!("cannot open the folder {}: {}", path.display(), io::Error::from(error)),
        })?;
        match openat2(&folder, c".", FLAGS, Mode::empty(), BENEATH) {
            Ok(_) => {}
            Err(Errno::NOSYS | Errno::PERM) => {
                return Err(format!(
                    "cannot serve files from {}: the kernel lacks openat2 (Linux 5.6) or seccomp forbids it; without it links could lead out of the folder",
                    path.display()
                ));
            }
            Err(error) => {
                return Err(format!("cannot read the folder {}: {}", path.display(), io::Error::from(error)));
            }
        }
        Ok(Root { path: path.to_owned(), folder: RwLock::new(Arc::new(folder)), looked_ms: AtomicU64::new(clock_ms()) })
    }

    /// Opens what `name` leads to. The name begins with a slash, or is empty for the folder itself. Without `may_wait`
    /// the result is [`Named::Cold`] if the disk would have to be read.
    pub(crate) fn find(&self, name: &[u8], may_wait: bool) -> Named {
        let mut bytes = [0; NAME_BYTES_MAX];
        let name = match name.strip_prefix(b"/").unwrap_or(name) {
            b"" => b".",
            name => name,
        };
        // One byte is needed for the zero at the end. A zero inside would end the name there: another file would be sent.
        if name.len() >= NAME_BYTES_MAX || name.contains(&0) {
            return Named::Nothing;
        }
        bytes[..name.len()].copy_from_slice(name);
        let Ok(name) = CStr::from_bytes_with_nul(&bytes[..=name.len()]) else { return Named::Nothing };
        let Some(folder) = self.folder(may_wait) else { return Named::Cold };
        let resolve = if may_wait { BENEATH } else { BENEATH.union(ResolveFlags::CACHED) };
        for _ in 0..TRIES {
            return match openat2(&*folder, name, FLAGS, Mode::empty(), resolve) {
                Ok(descriptor) => opened(File::from(descriptor)),
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) if may_wait => continue,
                Err(Errno::AGAIN) => Named::Cold,
                Err(error @ (Errno::ACCESS | Errno::PERM | Errno::IO)) => Named::Unreadable(error),
                Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM)) => Named::NoRoom(error),
                // ENOENT, ENOTDIR, ENAMETOOLONG; EXDEV and ELOOP for links that lead out or loop; ENXIO for a socket.
                Err(_) => Named::Nothing,
            };
        }
        Named::Nothing
    }

    /// The folder. It is opened again if the last check is too old. `None` if that would have to wait for the disk.
    fn folder(&self, may_wait: bool) -> Option<Arc<OwnedFd>> {
        let now_ms = clock_ms();
        let known = Arc::clone(&self.folder.read().unwrap_or_else(PoisonError::into_inner));
        if now_ms.saturating_sub(self.looked_ms.load(Ordering::Relaxed)) < LOOKED_AT_MS {
            return Some(known);
        }
        let reopened = if may_wait {
            open_folder(&self.path)
        } else {
            let flags = FOLDER_FLAGS;
            match openat2(rustix::fs::CWD, &self.path, flags, Mode::empty(), ResolveFlags::CACHED) {
                Err(Errno::AGAIN) => return None,
                opened => opened,
            }
        };
        self.looked_ms.store(now_ms, Ordering::Relaxed);
        // If the folder was deleted, its old descriptor finds nothing, so none of its files are served.
        let Ok(folder) = reopened else { return Some(known) };
        let is_same = match (fstat(&folder), fstat(&*known)) {
            (Ok(new), Ok(old)) => (new.st_dev, new.st_ino) == (old.st_dev, old.st_ino),
            _ => false,
        };
        if is_same {
            return Some(known);
        }
        let folder = Arc::new(folder);
        *self.folder.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&folder);
        Some(folder)
    }
}

/// Links are followed only inside of the folder. Magic links of the kernel (`/proc/self/fd/3`) are never followed.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

/// Opening a pipe without a writer must not block. A terminal must not become the process's controlling terminal.
const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC).union(OFlags::NOCTTY);

const FOLDER_FLAGS: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

fn open_folder(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, FOLDER_FLAGS, Mode::empty())
}

fn opened(file: File) -> Named {
    match fstat(&file) {
        Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Named::File(file, stat),
            FileType::Directory => Named::Folder,
            _ => Named::Nothing,
        },
        Err(error) => Named::Unreadable(error),
    }
}
