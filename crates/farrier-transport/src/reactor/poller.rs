//! epoll, as the engine uses it: connections edge-triggered, listeners level-triggered and exclusive to one waiter.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};

use crate::reactor::token::Token;

/// What happened to a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readiness {
    /// There is something to read, or the end of the stream.
    pub readable: bool,
    /// There is room to write again.
    pub writable: bool,
    /// The client sends no more: a read that does not fill its buffer does not mean that everything has been read.
    pub ended: bool,
    /// Both directions are closed, or an error is pending.
    pub hung_up: bool,
}

impl Readiness {
    /// Something to read.
    pub const READABLE: Readiness = Readiness { readable: true, writable: false, ended: false, hung_up: false };
    /// Room to write.
    pub const WRITABLE: Readiness = Readiness { readable: false, writable: true, ended: false, hung_up: false };

    /// Both what happened and what happened later.
    pub fn and(self, later: Readiness) -> Readiness {
        Readiness {
            readable: self.readable | later.readable,
            writable: self.writable | later.writable,
            ended: self.ended | later.ended,
            hung_up: self.hung_up | later.hung_up,
        }
    }
}

/// One epoll instance and the descriptor that wakes it.
pub struct Poller {
    epoll: OwnedFd,
    wake: OwnedFd,
}

/// Most events taken at a time.
const BATCH_MAX: usize = 256;

impl Poller {
    /// # Errors
    /// The process or the system is out of descriptors or memory.
    pub fn new() -> io::Result<Poller> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &wake, EventData::new_u64(Token::WAKE.0), EventFlags::IN | EventFlags::ET)?;
        Ok(Poller { epoll, wake })
    }

    /// Watches a connection for input.
    ///
    /// # Errors
    /// Out of memory, or the user's limit of watches is reached.
    pub fn watch_connection(&self, fd: BorrowedFd<'_>, token: Token) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&self.epoll, fd, EventData::new_u64(token.0), flags)?)
    }

    /// Watches a connection for room to write as well. Not from the beginning: a unix socket would report room after every
    /// response.
    ///
    /// # Errors
    /// Out of memory.
    pub fn watch_writable(&self, fd: BorrowedFd<'_>, token: Token) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::modify(&self.epoll, fd, EventData::new_u64(token.0), flags)?)
    }

    /// Watches a connection to another server for input, and for room to write if it `awaits_room`: one that is being made
    /// does.
    ///
    /// # Errors
    /// Out of memory, or the user's limit of watches is reached.
    pub fn watch_upstream(&self, fd: BorrowedFd<'_>, token: Token, awaits_room: bool) -> io::Result<()> {
        let mut flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
        flags.set(EventFlags::OUT, awaits_room);
        Ok(epoll::add(&self.epoll, fd, EventData::new_u64(token.0), flags)?)
    }

    /// Watches a listener: level-triggered, and only one of the workers that share it is woken.
    ///
    /// # Errors
    /// Out of memory, or the user's limit of watches is reached.
    pub fn watch_listener(&self, fd: BorrowedFd<'_>, token: Token) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::EXCLUSIVE;
        Ok(epoll::add(&self.epoll, fd, EventData::new_u64(token.0), flags)?)
    }

    /// Watches a control descriptor, edge-triggered: the end of a pipe is reported once.
    ///
    /// # Errors
    /// Out of memory, or the user's limit of watches is reached.
    pub fn watch_control(&self, fd: BorrowedFd<'_>, token: Token) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, fd, EventData::new_u64(token.0), EventFlags::IN | EventFlags::ET)?)
    }

    /// Stops watching a descriptor.
    ///
    /// # Errors
    /// The descriptor was not watched.
    pub fn forget(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, fd)?)
    }

    /// Wakes the leader out of its wait.
    pub fn wake(&self) {
        // An error can only mean that the counter is full: the leader is being woken already.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    /// Empties the wake-up descriptor.
    pub fn wake_seen(&self) {
        let _ = rustix::io::read(&self.wake, &mut [0u8; 8]);
    }

    /// Its descriptors, to see whether they are still open.
    pub fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.epoll.as_fd(), self.wake.as_fd()]
    }

    /// Waits for events and hands each to `each`. With `None` as `timeout_ms` it waits without a limit.
    ///
    /// # Errors
    /// A signal interrupted the wait, among others.
    pub fn wait(
        &self,
        buffer: &mut Vec<epoll::Event>,
        timeout_ms: Option<u64>,
        mut each: impl FnMut(Token, Readiness),
    ) -> io::Result<()> {
        buffer.clear();
        buffer.reserve(BATCH_MAX);
        let timeout = timeout_ms
            .map(|ms| Timespec { tv_sec: (ms / 1000).min(86_400) as i64, tv_nsec: (ms % 1000 * 1_000_000) as i64 });
        epoll::wait(&self.epoll, spare_capacity(buffer), timeout.as_ref())?;
        for event in buffer.iter() {
            let flags = event.flags;
            each(
                Token(event.data.u64()),
                Readiness {
                    readable: flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR),
                    writable: flags.contains(EventFlags::OUT),
                    ended: flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR),
                    hung_up: flags.intersects(EventFlags::HUP | EventFlags::ERR),
                },
            );
        }
        Ok(())
    }
}

impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}
