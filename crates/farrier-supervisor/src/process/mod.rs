//! System calls about processes: fork, wait, kill, exit. The arbiter decides when to use them.

#![allow(unsafe_code)]

mod cpus;
pub mod forks;
mod program;

use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::FdFlags;
use rustix::process::{WaitOptions, wait};

use crate::signals::{Signal, signal_name};

pub use cpus::{CpuQuota, cpus_allowed, quota_v1, quota_v2};
pub use program::{Launch, become_program, is_same_place};

/// The first descriptor behind the standard streams.
const FIRST_FREE_FD: RawFd = 3;

/// A process as the kernel numbers it.
pub type Pid = i32;

/// How to fork. The caller passes it in because Python's hooks must run: there it is `os.fork()`.
pub trait Fork {
    /// Forks this process and returns which of the two continues here.
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

/// The side of the fork on which the program continues.
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

/// The plain fork of the C library where it is safe: `None` in a process of several threads.
pub(crate) fn fork_single() -> Option<io::Result<Forked>> {
    let threads = std::fs::read_dir("/proc/self/task").map_or(usize::MAX, Iterator::count);
    // SAFETY: the process has the calling thread only, so nobody can start another meanwhile.
    (threads == 1).then(|| unsafe { fork_plain() })
}

/// Waits for one child to end.
///
/// # Errors
///
/// It is no child of this process.
pub(crate) fn wait_for(pid: Pid) -> io::Result<ExitStatus> {
    loop {
        match rustix::process::waitpid(rustix::process::Pid::from_raw(pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => {
                if let Some(status) = ended(status) {
                    return Ok(status);
                }
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// `None` if it was stopped or continued, which was not asked for.
fn ended(status: rustix::process::WaitStatus) -> Option<ExitStatus> {
    let code = status.exit_status().map(ExitStatus::Code);
    code.or_else(|| status.terminating_signal().map(ExitStatus::Signal))
}

/// Makes this process the parent of all its descendants that lose theirs.
///
/// # Errors
///
/// A sandbox forbids it.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// Takes the status of every child that has ended, even of unknown ones: process 1 inherits all orphans. Does not
/// block.
pub fn reap() -> Vec<(Pid, ExitStatus)> {
    let mut ended = Vec::new();
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                ended.extend(self::ended(status).map(|status| (pid.as_raw_nonzero().get(), status)));
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

/// The process that started this one, or the one that took over its orphans.
pub fn parent_pid() -> Pid {
    rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get())
}

/// Makes the kernel kill this process when its parent dies (prctl(2), PR_SET_PDEATHSIG), or no longer. Returns whether
/// `parent` still is the parent.
pub(crate) fn die_with_parent(parent: Pid, dies: bool) -> bool {
    // The signal is a valid one, so the call cannot fail.
    let _ = rustix::process::set_parent_process_death_signal(dies.then_some(rustix::process::Signal::KILL));
    parent_pid() == parent
}

/// Whether there is such a process, of any user. A zombie counts.
pub fn is_alive(pid: Pid) -> bool {
    // SAFETY: signal 0 is only checked for, never sent; the pid names one process.
    pid > 0 && (unsafe { libc::kill(pid, 0) } == 0 || io::Error::last_os_error().raw_os_error() == Some(libc::EPERM))
}

/// Takes over a descriptor that this process was started with: from now on it is closed like any other.
///
/// # Errors
///
/// The number is no descriptor that came through `exec` (`EBADF`).
pub fn take_over(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < FIRST_FREE_FD {
        // The standard streams keep their owner.
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: the borrow lasts for two system calls, which themselves check that the number is an open descriptor.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    let flags = rustix::io::fcntl_getfd(borrowed)?;
    if flags.contains(FdFlags::CLOEXEC) {
        // It was opened here, so somebody here owns it.
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    rustix::io::fcntl_setfd(borrowed, flags | FdFlags::CLOEXEC)?;
    // SAFETY: it is open, and nobody else owns it: it came through `exec`, and was marked a moment ago so that it cannot
    // be taken a second time. Whatever this process opens itself, in Rust or in Python, is close-on-exec from the start.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Closes every descriptor of this process except the standard streams and those that are named. The owners of the
/// closed ones must neither be used nor dropped, so a forked child ends with [`exit_now`].
pub(crate) fn close_all_but(kept: &[RawFd]) {
    let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let numbers: Vec<RawFd> =
        open.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(|fd| !kept.contains(fd)).collect();
    for fd in numbers.into_iter().filter(|&fd| fd >= FIRST_FREE_FD) {
        // SAFETY: close takes any number. Its owner is in a frame of the parent's that this child never returns to, so it is
        // neither used nor closed a second time. (The listing's own descriptor is closed by now: EBADF.)
        unsafe { libc::close(fd) };
    }
}

/// Sets whether a program started by `exec` inherits the descriptor.
///
/// # Errors
///
/// The number is no open descriptor (`EBADF`).
pub fn pass_on(fd: RawFd, passed: bool) -> io::Result<()> {
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: as in `inherited`.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    let flags = if passed { FdFlags::empty() } else { FdFlags::CLOEXEC };
    Ok(rustix::io::fcntl_setfd(borrowed, flags)?)
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
    use std::os::fd::{AsRawFd, IntoRawFd};

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
    fn only_what_came_through_exec_is_taken_over_and_only_once() {
        let opened = std::fs::File::open("/dev/null").expect("there");
        let fd = opened.as_raw_fd();
        assert_eq!(take_over(fd).expect_err("refused").raw_os_error(), Some(libc::EBADF));
        for stream in [-1, 0, 2] {
            assert!(take_over(stream).is_err());
        }
        let number = opened.into_raw_fd();
        pass_on(number, true).expect("marked");
        let taken = take_over(number).expect("taken over");
        assert!(take_over(number).is_err());
        drop(taken);
    }

    #[test]
    fn a_process_lives_until_it_has_gone() {
        assert!(is_alive(own_pid()) && is_alive(parent_pid()));
        assert!(!is_alive(0) && !is_alive(-1) && !is_alive(4_194_305));
    }

    #[test]
    fn an_exit_status_reads_as_the_log_says_it() {
        assert_eq!(ExitStatus::Code(3).to_string(), "code 3");
        assert_eq!(ExitStatus::Signal(9).to_string(), "SIGKILL");
    }
}
