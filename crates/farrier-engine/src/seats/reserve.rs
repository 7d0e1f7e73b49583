//! One descriptor in reserve: when no other is left, it is given up for a moment to accept clients and refuse them.
//! Otherwise they would wait in the kernel's queue until they give up themselves.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::net::{SocketFlags, accept_with};

/// Clients that are refused at a turn.
const REFUSALS_A_TURN: u32 = 64;

/// The least time between two lines of the log, in ms.
const LINE_INTERVAL_MS: u64 = 60_000;

/// The descriptor, and what was refused with its help.
pub(crate) struct Reserve {
    spare: Option<OwnedFd>,
    /// Clients waited already when the descriptors were found to be used up, and no other worker has taken them.
    is_due: bool,
    refused: u64,
    told_ms: Option<u64>,
}

impl Reserve {
    /// Takes a descriptor, if there is one.
    pub(crate) fn new() -> Reserve {
        Reserve { spare: spare(), is_due: false, refused: 0, told_ms: None }
    }

    /// Descriptors are used up. The first time, clients are left to other workers for the length of a pause. Those that
    /// still wait after it are refused: `tell` sends them the reason.
    pub(crate) fn used_up(&mut self, listener: impl AsFd, tell: impl Fn(&OwnedFd)) {
        if !std::mem::replace(&mut self.is_due, true) {
            return;
        }
        for _ in 0..REFUSALS_A_TURN {
            self.spare = None;
            match accept_with(&listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(socket) => tell(&socket),
                Err(error) => {
                    self.is_due = error != rustix::io::Errno::AGAIN;
                    break;
                }
            }
            self.refused += 1;
        }
        self.spare = spare();
    }

    /// How many clients were refused since the last line, if a line is due.
    pub(crate) fn line(&mut self, now_ms: u64) -> Option<u64> {
        if self.told_ms.is_some_and(|told_ms| now_ms < told_ms + LINE_INTERVAL_MS) {
            return None;
        }
        self.told_ms = Some(now_ms);
        Some(std::mem::take(&mut self.refused))
    }
}

fn spare() -> Option<OwnedFd> {
    open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn clients_that_no_other_worker_takes_within_a_pause_are_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        listener.set_nonblocking(true).expect("set");
        let address = listener.local_addr().expect("bound");
        let _clients: Vec<_> = (0..3).map(|_| TcpStream::connect(address).expect("connected")).collect();
        let (mut reserve, told) = (Reserve::new(), Cell::new(0));
        let used_up = |reserve: &mut Reserve| reserve.used_up(&listener, |_| told.set(told.get() + 1));
        used_up(&mut reserve);
        assert_eq!(told.get(), 0);
        used_up(&mut reserve);
        assert_eq!(told.get(), 3);
        assert!(reserve.spare.is_some(), "it is taken back");
    }

    #[test]
    fn the_log_is_told_once_a_minute_how_many_were_refused() {
        let mut reserve = Reserve::new();
        assert_eq!(reserve.line(5), Some(0));
        reserve.refused = 7;
        assert_eq!(reserve.line(5 + LINE_INTERVAL_MS - 1), None);
        assert_eq!(reserve.line(5 + LINE_INTERVAL_MS), Some(7));
    }
}
