//! Processes as the kernel has them: fork, wait, kill, end. What to do about them is the arbiter's business.

#![allow(unsafe_code)]

mod cpus;

use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use rustix::process::{WaitOptions, wait};

use crate::signals::{Signal, signal_name};

pub use cpus::{CpuQuota, cpus_allowed, quota_v1, quota_v2};

/// A process as the kernel numbers it.
pub type Pid = i32;

/// How to fork. It is handed in because Python's hooks must run: there it is `os.fork()`.
pub trait Fork {
    /// Makes a second process of this one and says which of the two goes on here.
    ///
    /// # Errors
    ///
    /// The kernel's: too many processes, no memory.
    fn fork(&mut self) -> io::Result<Forked>;
}

impl<F: FnMut() -> io::Result<Forked>> Fork for F {
    fn fork(&mut self) -> io::Result<Forked> {
        self()
    }
}

/// On which side of the fork the program goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forked {
    /// In the parent; the child has this pid.
    Parent(Pid),
    /// In the child.
    Child,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// It returned this code.
    Code(i32),
    /// A signal of this number ended it.
    Signal(i32),
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExitStatus::Code(code) => write!(f, "code {code}"),
            ExitStatus::Signal(number) => f.write_str(&signal_name(*number)),
        }
    }
}

/// The plain fork of the C library, for programs without an interpreter.
///
/// # Safety
///
/// The process has one thread, so no lock can be held by a thread that the child does not have.
///
/// # Errors
///
/// The kernel's: too many processes, no memory.
pub unsafe fn fork_plain() -> io::Result<Forked> {
    // SAFETY: the caller vouches for the single thread.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(pid)),
    }
}

/// Takes the status of every child that has ended, strangers included: process 1 inherits all orphans. Does not block.
pub fn reap() -> Vec<(Pid, ExitStatus)> {
    let mut ended = Vec::new();
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                let status = match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => ExitStatus::Code(code),
                    (None, Some(number)) => ExitStatus::Signal(number),
                    // Stopped or continued, which was not asked for.
                    (None, None) => continue,
                };
                ended.push((pid.as_raw_nonzero().get(), status));
            }
            Err(rustix::io::Errno::INTR) => {}
            // None has ended, or there is no child at all (ECHILD).
            Ok(None) | Err(_) => return ended,
        }
    }
}

/// Sends a signal.
///
/// # Errors
///
/// There is no such process (`ESRCH`), or it is another user's (`EPERM`).
pub fn kill(pid: Pid, signal: Signal) -> io::Result<()> {
    if pid <= 0 {
        // Zero and negative numbers mean process groups; no worker has one.
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    // SAFETY: kill takes two integers; the pid names one process, see above.
    if unsafe { libc::kill(pid, signal.number()) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Ends this process at once: no destructor, no exit handler, no flush. The end of a forked child.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit takes any integer and does not return.
    unsafe { libc::_exit(code) }
}

/// This process's number.
pub fn own_pid() -> Pid {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// A descriptor that this process was started with, as one of our own (close-on-exec). The inherited number is closed
/// only with the process, because it may be named more than once.
///
/// # Errors
///
/// The number is no open descriptor (`EBADF`), or no other is left.
pub fn inherited(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: the borrow lasts for one system call, which itself checks that the number is an open descriptor; nothing
    // else is done with it.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    Ok(rustix::io::fcntl_dupfd_cloexec(borrowed, 3)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_group_is_never_signalled() {
        for pid in [0, -1, -500] {
            assert_eq!(kill(pid, Signal::Term).expect_err("refused").raw_os_error(), Some(libc::ESRCH));
        }
    }

    #[test]
    fn a_number_that_is_no_descriptor_is_refused() {
        assert_eq!(inherited(-1).expect_err("refused").raw_os_error(), Some(libc::EBADF));
        assert_eq!(inherited(1_000_000).expect_err("refused").raw_os_error(), Some(libc::EBADF));
    }

    #[test]
    fn an_exit_status_reads_as_the_log_says_it() {
        assert_eq!(ExitStatus::Code(3).to_string(), "code 3");
        assert_eq!(ExitStatus::Signal(9).to_string(), "SIGKILL");
    }
}
