//! Unix listeners: socket files with permissions, where stale files are replaced; and abstract names.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Mode, Uid, chmod, chown, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};

use super::error::{failed, in_use, unfit};
use super::{BindError, BindOptions, ListenSpec, Listener, finish};
use crate::process::{Pid, own_pid};

/// Binds at `path`. The file has its final permissions before anybody can connect.
pub(super) fn bind(
    spec: &ListenSpec,
    path: &Path,
    mode: Option<u32>,
    (uid, gid): (Option<u32>, Option<u32>),
    options: &BindOptions,
) -> Result<Listener, BindError> {
    let fail = |error: io::Error| failed(spec, error);
    let address = SockAddr::unix(path).map_err(|_| unfit(spec, "the path is too long for a socket (107 bytes)"))?;
    clear_stale(spec, path, &address)?;

    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(fail)?;
    if mode.is_some() {
        // Linux gives the file the mode of the socket, so its permissions are never too wide. Where this has no effect,
        // nobody can connect before `listen`.
        let _ = fchmod(&socket, Mode::empty());
    }
    socket.bind(&address).map_err(fail)?;
    let file = SocketFile::of(path).map_err(fail)?;
    let finished = grant(path, mode, uid, gid)
        .and_then(|()| socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX)))
        .map_err(fail)
        .and_then(|()| finish(spec, socket, &address, Some(file.clone()), options));
    if finished.is_err() {
        file.unlink();
    }
    finished
}

/// Binds a name of the abstract namespace, which has no file, no permissions and no stale sockets.
pub(super) fn bind_abstract(spec: &ListenSpec, name: &[u8], options: &BindOptions) -> Result<Listener, BindError> {
    let mut path = Vec::with_capacity(name.len() + 1);
    path.push(0);
    path.extend_from_slice(name);
    let path: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(&path);
    let address = SockAddr::unix(path).map_err(|_| unfit(spec, "the name is too long for a socket (107 bytes)"))?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(|error| failed(spec, error))?;
    socket.bind(&address).map_err(|error| failed(spec, error))?;
    let backlog = i32::try_from(options.backlog).unwrap_or(i32::MAX);
    socket.listen(backlog).map_err(|error| failed(spec, error))?;
    finish(spec, socket, &address, None, options)
}

/// The file of a socket that this process has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketFile {
    path: PathBuf,
    identity: Identity,
    maker: Pid,
}

/// Device, inode and creation time, since a file system may reuse the number of a removed inode.
type Identity = (u64, u64, i64, i64);

fn identity(found: &fs::Metadata) -> Identity {
    (found.dev(), found.ino(), found.mtime(), found.mtime_nsec())
}

impl SocketFile {
    pub(super) fn of(path: &Path) -> io::Result<SocketFile> {
        let found = fs::symlink_metadata(path)?;
        // Relative paths must survive a change of directory.
        let path = std::path::absolute(path)?;
        Ok(SocketFile { path, identity: identity(&found), maker: own_pid() })
    }

    /// Removes it, unless a successor has replaced it, and only in the process that made it.
    pub fn unlink(&self) {
        let is_own = fs::symlink_metadata(&self.path).is_ok_and(|found| identity(&found) == self.identity);
        if is_own && self.maker == own_pid() {
            // It may be gone already, or the directory is no longer writable: the next start finds it stale.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes a socket at which nobody listens. Any other file stays.
fn clear_stale(spec: &ListenSpec, path: &Path, address: &SockAddr) -> Result<(), BindError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(spec, error)),
    };
    if !found.file_type().is_socket() {
        return Err(unfit(spec, "there is a file that is not a socket; move it away or choose another path"));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(|error| failed(spec, error))?;
    // A full backlog must not block this call: it answers EAGAIN, which means that somebody listens.
    probe.set_nonblocking(true).map_err(|error| failed(spec, error))?;
    match probe.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| failed(spec, error))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(failed(spec, error)),
        Ok(()) | Err(_) => Err(in_use(spec)),
    }
}

fn grant(path: &Path, mode: Option<u32>, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    if uid.is_some() || gid.is_some() {
        chown(path, uid.map(Uid::from_raw), gid.map(Gid::from_raw))?;
    }
    // Set after the owner, because a change of owner may clear bits.
    if let Some(mode) = mode {
        chmod(path, Mode::from_raw_mode(mode))?;
    }
    Ok(())
}
