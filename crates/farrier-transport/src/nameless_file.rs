//! Temporary files without a name: nobody else can open them, and they are gone when the last descriptor is closed.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// Makes a file that has no name, in a directory.
///
/// # Errors
/// The directory cannot take a file, or the process is out of file descriptors.
pub fn create(directory: &Path) -> std::io::Result<File> {
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    let descriptor: OwnedFd = match rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR) {
        Ok(descriptor) => descriptor,
        // Some file systems have no O_TMPFILE: make a named file and unlink it at once.
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR | rustix::io::Errno::INVAL) => {
            return create_and_unlink(directory);
        }
        Err(error) => return Err(error.into()),
    };
    Ok(File::from(descriptor))
}

fn create_and_unlink(directory: &Path) -> std::io::Result<File> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    let name = format!(".farrier-{}-{}", std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed));
    let path = directory.join(name);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let descriptor = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR)?;
    rustix::fs::unlink(&path)?;
    Ok(File::from(descriptor))
}
