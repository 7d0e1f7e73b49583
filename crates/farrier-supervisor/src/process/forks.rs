//! What happens in the processes that the application forks (pthread_atfork(3)): also where it forks in C, and without a
//! system call anywhere else.
//!
//! A worker arms this once, and everything it starts with `exec` or `vfork` is untouched.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

static ARMED: OnceLock<Armed> = OnceLock::new();

struct Armed {
    /// Not connected, so nothing can be sent or received.
    dead: OwnedFd,
    call: fn(),
}

/// Calls `call` in each process that this one forks, before the fork returns there. It may use atomics and
/// [`sever`], and nothing that takes a lock or memory (signal-safety(7)). Only the first call of this function has an effect.
///
/// # Errors
///
/// No descriptor or no memory is left.
pub fn on_fork(call: fn()) -> io::Result<()> {
    if ARMED.get().is_some() {
        return Ok(());
    }
    let dead = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    if ARMED.set(Armed { dead, call }).is_err() {
        return Ok(());
    }
    // SAFETY: the handler lives as long as the program, and keeps to signal-safety(7) as its caller promises.
    match unsafe { libc::pthread_atfork(None, None, Some(in_child)) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Puts a dead socket in place of a descriptor in a forked process: the connection is no longer held here, the number stays
/// taken, and whatever is still sent to it fails. Without effect before [`on_fork`].
pub fn sever(fd: RawFd) {
    if let Some(Armed { dead, .. }) = ARMED.get() {
        // SAFETY: dup3 takes any numbers, and is a system call without a lock. The descriptor keeps its owner, who sees a
        // socket as before.
        unsafe { libc::dup3(dead.as_raw_fd(), fd, libc::O_CLOEXEC) };
    }
}

unsafe extern "C" fn in_child() {
    if let Some(armed) = ARMED.get() {
        (armed.call)();
    }
}
