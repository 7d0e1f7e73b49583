//! Catches signals: the handler writes the number into a pipe, the loop reads it from there when it has time.
//!
//! A handler may do almost nothing (signal-safety(7)): this one reads one atomic, calls `write` and restores `errno`.

#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};

use super::Signal;
use crate::clock::monotonic;

/// The write end that the handler uses; -1 when nothing is installed. One per process, as dispositions are.
static WRITE_FD: AtomicI32 = AtomicI32::new(-1);

/// The signals of this process as a readable descriptor. Dropping it restores the previous actions.
#[derive(Debug)]
pub struct SignalPipe {
    read: OwnedFd,
    // Kept open for the handler, which only has its number.
    _write: OwnedFd,
    before: Vec<(Signal, Before)>,
}

impl SignalPipe {
    /// Catches `signals` from now on.
    ///
    /// # Errors
    ///
    /// No descriptor is left, another pipe of this process is installed, or a signal cannot be caught (`KILL`).
    pub fn install(signals: &[Signal]) -> io::Result<SignalPipe> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        WRITE_FD
            .compare_exchange(-1, write.as_raw_fd(), Ordering::SeqCst, Ordering::SeqCst)
            .map_err(|_| io::Error::new(io::ErrorKind::AlreadyExists, "this process has a signal pipe already"))?;
        let mut pipe = SignalPipe { read, _write: write, before: Vec::with_capacity(signals.len()) };
        for &signal in signals {
            // On an error the drop of `pipe` undoes what was done.
            pipe.before.push((signal, disposition(signal.number(), Disposition::Write)?));
        }
        Ok(pipe)
    }

    /// A pipe of the forked child's own in place of the one it inherited, which is its parent's to read.
    ///
    /// # Errors
    ///
    /// As [`SignalPipe::install`].
    pub fn after_fork(signals: &[Signal]) -> io::Result<SignalPipe> {
        // The parent's SignalPipe is never dropped in the child; only the handler must forget its descriptor.
        WRITE_FD.store(-1, Ordering::SeqCst);
        SignalPipe::install(signals)
    }

    /// After the drop of this pipe `signals` have no effect, instead of their previous actions. From then on the process
    /// leaves, and a repeated request to leave must not end it before it is done.
    pub fn tolerate_afterwards(&mut self, signals: &[Signal]) {
        for (_, before) in self.before.iter_mut().filter(|(signal, _)| signals.contains(signal)) {
            before.0.sa_sigaction = pass as extern "C" fn(libc::c_int) as libc::sighandler_t;
            before.0.sa_flags = libc::SA_RESTART;
        }
    }

    /// Readable when a signal has come.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }

    /// Waits at most this long for a signal, and returns whether one has come.
    pub fn wait(&self, at_most: Duration) -> bool {
        let until = monotonic() + at_most;
        loop {
            let left = until.saturating_sub(monotonic());
            let timeout = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            // An error is the signal itself (EINTR); the next read finds its number.
            if let Ok(count) = poll(&mut [PollFd::new(&self.read, PollFlags::IN)], Some(&timeout)) {
                return count > 0;
            }
        }
    }

    /// The signals that have come since the last call, in order. Does not block.
    ///
    /// Only `CHLD` is merged into one, because it says that children have ended, not how many. Two TTIN add two
    /// workers.
    pub fn drain(&self) -> Vec<Signal> {
        let mut signals = Vec::new();
        let mut bytes = [0_u8; 64];
        loop {
            match rustix::io::read(&self.read, &mut bytes) {
                Ok(count) if count > 0 => {
                    let numbers = bytes.iter().take(count);
                    for signal in numbers.filter_map(|&number| Signal::from_number(i32::from(number))) {
                        if signal != Signal::Chld || !signals.contains(&Signal::Chld) {
                            signals.push(signal);
                        }
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                // Empty (EAGAIN), or closed, which cannot be while `_write` lives.
                _ => return signals,
            }
        }
    }
}

impl AsFd for SignalPipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd()
    }
}

impl Drop for SignalPipe {
    fn drop(&mut self) {
        for (signal, before) in &self.before {
            // SAFETY: the kernel wrote this action when ours took its place, or its handler is `pass`; handlers live as long
            // as the program.
            unsafe {
                libc::sigaction(signal.number(), &before.0, ptr::null_mut());
            }
        }
        WRITE_FD.store(-1, Ordering::SeqCst);
    }
}

/// Ignores `PIPE`: a closed connection is an error of a write, not the end of the process.
///
/// # Errors
///
/// None that the kernel documents for this signal.
pub fn ignore_pipe_signal() -> io::Result<()> {
    disposition(libc::SIGPIPE, Disposition::Ignore).map(|_| ())
}

/// Gives `signals` back their default actions.
///
/// # Errors
///
/// A signal whose action cannot be changed (`KILL`).
pub fn restore_defaults(signals: &[Signal]) -> io::Result<()> {
    signals.iter().try_for_each(|signal| disposition(signal.number(), Disposition::Default).map(|_| ()))
}

/// Lets `signals` pass without effect. Unlike an ignored signal this is undone by `exec`, so that programs which the
/// application starts find the defaults.
///
/// # Errors
///
/// A signal whose action cannot be changed (`KILL`).
pub fn tolerate(signals: &[Signal]) -> io::Result<()> {
    signals.iter().try_for_each(|signal| disposition(signal.number(), Disposition::Tolerate).map(|_| ()))
}

/// The set of blocked signals as it was; see [`block_all`].
#[derive(Clone, Copy)]
pub struct SignalMask(libc::sigset_t);

impl std::fmt::Debug for SignalMask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SignalMask(..)")
    }
}

/// Blocks every signal of this thread and returns what was blocked before.
///
/// Around a fork this closes a gap: a signal that reached the child before it has dispositions of its own would be
/// written into the parent's pipe.
pub fn block_all() -> SignalMask {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initialises the set it is given, pthread_sigmask reads it and initialises the other; neither
    // can fail with a valid `how`.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        SignalMask(before.assume_init())
    }
}

impl SignalMask {
    /// Blocks this set and no other.
    pub fn restore(self) {
        // SAFETY: the set was initialised by the kernel in `block_all`; the old one is not asked for.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, ptr::null_mut());
        }
    }
}

#[derive(Clone, Copy)]
enum Disposition {
    Default,
    Ignore,
    Tolerate,
    Write,
}

/// The previous action of a signal.
struct Before(libc::sigaction);

impl std::fmt::Debug for Before {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Before(..)")
    }
}

fn disposition(number: i32, disposition: Disposition) -> io::Result<Before> {
    let handler = match disposition {
        Disposition::Default => libc::SIG_DFL,
        Disposition::Ignore => libc::SIG_IGN,
        Disposition::Tolerate => pass as extern "C" fn(libc::c_int) as libc::sighandler_t,
        Disposition::Write => write_number as extern "C" fn(libc::c_int) as libc::sighandler_t,
    };
    // SAFETY: all fields of sigaction are integers or a nullable pointer, so zero is a valid value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    let mut before = MaybeUninit::<libc::sigaction>::uninit();
    action.sa_sigaction = handler;
    // Not SA_ONSTACK: an alternative stack is often just large enough for one frame of a processor with wide registers,
    // and the kernel ends a process whose frame does not fit. For the same reason handlers do not nest.
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: `action` is initialised and lives through the call, its mask is filled first; both handlers are
    // async-signal-safe and live as long as the program.
    let outcome = unsafe {
        libc::sigfillset(&mut action.sa_mask);
        libc::sigaction(number, &action, before.as_mut_ptr())
    };
    if outcome != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so the kernel has written the old action.
    Ok(Before(unsafe { before.assume_init() }))
}

extern "C" fn pass(_number: libc::c_int) {}

extern "C" fn write_number(number: libc::c_int) {
    let fd = WRITE_FD.load(Ordering::SeqCst);
    if fd < 0 {
        return;
    }
    // Signal numbers end at 64.
    let byte = number as u8;
    // SAFETY: `write` is async-signal-safe and gets one byte of this frame; the descriptor is non-blocking, and a full
    // pipe loses only a signal that is one of thousands unread. errno belongs to the interrupted code and is put back.
    unsafe {
        let errno = libc::__errno_location();
        let saved = *errno;
        libc::write(fd, ptr::from_ref(&byte).cast(), 1);
        *errno = saved;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raise(signal: Signal) {
        // SAFETY: raise has no preconditions; the signals used here are caught.
        unsafe {
            libc::raise(signal.number());
        }
    }

    // One test, because a process has one signal pipe.
    #[test]
    fn caught_signals_are_read_in_order_and_defaults_come_back() {
        let pipe = SignalPipe::install(&[Signal::Usr1, Signal::Hup, Signal::Chld]).expect("installs");
        assert!(SignalPipe::install(&[]).is_err(), "a process has one pipe");
        assert_eq!(pipe.drain(), []);
        assert!(!pipe.wait(Duration::from_millis(1)), "none has come");
        for signal in [Signal::Hup, Signal::Usr1, Signal::Chld, Signal::Hup, Signal::Chld] {
            raise(signal);
        }
        assert!(pipe.wait(Duration::from_secs(60)), "at once");
        assert_eq!(pipe.drain(), [Signal::Hup, Signal::Usr1, Signal::Chld, Signal::Hup]);
        assert_eq!(pipe.drain(), []);
        drop(pipe);

        let child = SignalPipe::after_fork(&[Signal::Usr1]).expect("installs again");
        let mask = block_all();
        raise(Signal::Usr1);
        assert_eq!(child.drain(), [], "a blocked signal waits");
        mask.restore();
        assert_eq!(child.drain(), [Signal::Usr1]);
        drop(child);

        let mut leaving = SignalPipe::after_fork(&[Signal::Term]).expect("installs again");
        leaving.tolerate_afterwards(&[Signal::Term]);
        drop(leaving);
        raise(Signal::Term);
        restore_defaults(&[Signal::Term]).expect("restores");

        assert!(SignalPipe::install(&[Signal::Kill]).is_err());
        let again = SignalPipe::install(&[Signal::Usr1]).expect("a failed installation leaves nothing behind");
        drop(again);
        tolerate(&[Signal::Usr1]).expect("tolerates");
        raise(Signal::Usr1);
        restore_defaults(&[Signal::Usr1]).expect("restores");
    }
}
