//! The statistics socket: the arbiter writes one JSON document, in uWSGI's format, to each connection, from shared
//! memory.
//!
//! The arbiter must not block: the socket and its readers are non-blocking, few readers are served at once, and a slow
//! one is disconnected. All of them are registered with one epoll descriptor, which the arbiter's loop watches.

mod document;
mod queue;
mod roster;

use std::cell::{OnceCell, RefCell};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::net::{SendFlags, SocketFlags, accept_with, send};

use crate::Listener;
use crate::arbiter::Spawn;
use crate::heartbeat::HeartbeatPage;
use crate::process::Pid;
use roster::Roster;

pub use document::About;
pub use queue::Queue;

/// Readers that may be connected at the same time. Further ones are disconnected.
const READERS_MAX: usize = 16;

/// How long a reader may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A document is reused for this long, so that many readers cost no more than one.
const FRESH: Duration = Duration::from_millis(100);

/// The statistics socket, and the data for its documents.
pub struct Statistics {
    page: HeartbeatPage,
    about: About,
    /// All descriptors below are registered here. Children inherit it, but do not use it.
    watched: OnceCell<OwnedFd>,
    open: RefCell<Open>,
    roster: RefCell<Roster>,
}

/// Closed in children; otherwise a reader would wait until they end.
#[derive(Default)]
struct Open {
    listener: Option<Listener>,
    readers: Vec<Reader>,
    latest: Option<(Duration, Rc<str>)>,
}

struct Reader {
    connection: OwnedFd,
    document: Rc<str>,
    sent: usize,
    until: Duration,
}

impl Statistics {
    /// Statistics that nobody can read yet: see [`Statistics::listen`].
    pub fn new(page: HeartbeatPage, about: About) -> Statistics {
        let (watched, open, roster) = Default::default();
        Statistics { page, about, watched, open, roster }
    }

    /// Serves the statistics at this listener.
    ///
    /// # Errors
    ///
    /// No descriptor is left.
    pub fn listen(&self, listener: Listener) -> io::Result<()> {
        if self.watched.get().is_none() {
            let _ = self.watched.set(epoll::create(CreateFlags::CLOEXEC)?);
        }
        if let Some(watched) = self.watched.get() {
            epoll::add(watched, &listener, EventData::new_u64(0), EventFlags::IN)?;
        }
        self.open.borrow_mut().listener = Some(listener);
        Ok(())
    }

    /// Whether there is a listener.
    pub fn is_listening(&self) -> bool {
        self.open.borrow().listener.is_some()
    }

    /// Readable when [`Statistics::serve`] has something to do.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.watched.get().map(AsFd::as_fd)
    }

    /// When a slow reader is disconnected, in monotonic time.
    pub fn wake_at(&self) -> Option<Duration> {
        self.open.borrow().readers.iter().map(|reader| reader.until).min()
    }

    /// Records that a worker was forked.
    ///
    /// # Arguments
    ///
    /// `unix_seconds` is the time of day.
    pub fn forked(&self, spawn: &Spawn, pid: Pid, unix_seconds: u64) {
        self.roster.borrow_mut().forked(spawn.slot, pid, unix_seconds, &self.page);
    }

    /// Records that a worker has ended.
    pub fn ended(&self, spawn: &Spawn) {
        self.roster.borrow_mut().ended(spawn.slot);
    }

    /// Accepts readers and writes as much as they accept. Never blocks.
    ///
    /// # Arguments
    ///
    /// `now` is monotonic; `queues` gives the queue lengths of the server's listeners.
    pub fn serve(&self, now: Duration, queues: &dyn Fn() -> Vec<Queue>) {
        let Some(watched) = self.watched.get() else { return };
        let open = &mut *self.open.borrow_mut();
        let Open { listener, readers, latest } = open;
        let mut keep = |mut reader: Reader| {
            let is_open = reader.until > now && reader.write();
            if !is_open {
                // A forked child may hold a copy for a moment, which would keep it registered.
                let _ = epoll::delete(watched, &reader.connection);
            }
            is_open.then_some(reader)
        };
        *readers = std::mem::take(readers).into_iter().filter_map(&mut keep).collect();
        let Some(listener) = listener else { return };
        // The number is bounded, because the arbiter has other work; a reader that still waits makes the descriptor
        // readable again.
        for _ in 0..READERS_MAX {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let Ok(connection) = accept_with(&*listener, flags) else { return };
            if readers.len() >= READERS_MAX {
                continue;
            }
            let document = match latest {
                Some((since, document)) if now.saturating_sub(*since) < FRESH => Rc::clone(document),
                _ => {
                    let made: Rc<str> =
                        document::made(&self.about, &mut self.roster.borrow_mut(), &self.page, &queues()).into();
                    *latest = Some((now, Rc::clone(&made)));
                    made
                }
            };
            let mut reader = Reader { connection, document, sent: 0, until: now + PATIENCE };
            let is_watched = |reader: &Reader| {
                epoll::add(watched, &reader.connection, EventData::new_u64(1), EventFlags::OUT).is_ok()
            };
            if reader.write() && is_watched(&reader) {
                readers.push(reader);
            }
        }
    }

    /// Closes everything, in a child.
    pub fn close(&self) {
        self.open.replace(Open::default());
    }

    /// Closes everything and removes the socket's file: the server has ended.
    pub fn leave(&self) {
        if let Some(listener) = self.open.take().listener {
            listener.unlink();
        }
    }
}

impl Reader {
    /// Writes as much as the reader accepts; false when it is done.
    fn write(&mut self) -> bool {
        loop {
            let rest = &self.document.as_bytes()[self.sent..];
            if rest.is_empty() {
                return false;
            }
            match send(&self.connection, rest, SendFlags::NOSIGNAL) {
                Ok(sent) => self.sent += sent,
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return true,
                Err(_) => return false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::{BindOptions, ListenSpec, sockets};

    /// Statistics at an abstract name, with a document larger than any socket's buffer.
    fn large(name: &str) -> (Statistics, impl Fn() -> UnixStream) {
        use std::os::linux::net::SocketAddrExt;
        let name = format!("farrier-stats-{}-{name}", std::process::id()).into_bytes();
        let about = About { folder: "x".repeat(8 << 20), ..About::default() };
        let statistics = Statistics::new(HeartbeatPage::new(1).expect("mapped"), about);
        let specs = [ListenSpec::Abstract(name.clone())];
        let options = BindOptions { backlog: 64, ..BindOptions::default() };
        let listener = sockets::bind_all(&specs, &options, &mut |_, _| {}).expect("bound").remove(0);
        statistics.listen(listener).expect("registered");
        let connect = move || {
            let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("a name");
            UnixStream::connect_addr(&address).expect("connected")
        };
        (statistics, connect)
    }

    const NOW: Duration = Duration::from_secs(100);

    fn serve(statistics: &Statistics, now: Duration) {
        statistics.serve(now, &Vec::new);
    }

    #[test]
    fn a_slow_reader_gets_all_of_it_piece_by_piece() {
        let (statistics, connect) = large("pieces");
        let mut reader = connect();
        serve(&statistics, NOW);
        assert_eq!(statistics.wake_at(), Some(NOW + PATIENCE));
        let mut document = Vec::new();
        let mut piece = vec![0; 1 << 16];
        loop {
            match reader.read(&mut piece).expect("open") {
                0 => break,
                read => document.extend_from_slice(&piece[..read]),
            }
            serve(&statistics, NOW);
        }
        assert!(document.len() > 8 << 20 && document.ends_with(b"\"legions\":[]}\n"));
        assert_eq!(statistics.wake_at(), None);
    }

    #[test]
    fn a_reader_that_takes_too_long_is_disconnected() {
        let (statistics, connect) = large("patience");
        let _reader = connect();
        serve(&statistics, NOW);
        serve(&statistics, NOW + PATIENCE - Duration::from_millis(1));
        assert!(statistics.wake_at().is_some());
        serve(&statistics, NOW + PATIENCE);
        assert!(statistics.wake_at().is_none());
    }

    #[test]
    fn readers_above_the_limit_are_disconnected() {
        let (statistics, connect) = large("many");
        let slow: Vec<UnixStream> = (0..READERS_MAX).map(|_| connect()).collect();
        serve(&statistics, NOW);
        let mut refused = connect();
        serve(&statistics, NOW);
        assert_eq!(refused.read(&mut [0; 16]).expect("closed"), 0);
        assert_eq!(statistics.open.borrow().readers.len(), READERS_MAX);
        // A reader that leaves makes room.
        drop(slow);
        serve(&statistics, NOW);
        assert_eq!(statistics.wake_at(), None);
    }

    #[test]
    fn the_descriptor_is_readable_when_there_is_something_to_do() {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let (statistics, connect) = large("descriptor");
        let is_ready = || {
            let descriptor = statistics.descriptor().expect("registered");
            let none = Timespec { tv_sec: 0, tv_nsec: 0 };
            poll(&mut [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)], Some(&none)).expect("polled") > 0
        };
        assert!(!is_ready());
        let mut reader = connect();
        assert!(is_ready());
        serve(&statistics, NOW);
        // The reader's buffer is full.
        assert!(!is_ready());
        reader.set_nonblocking(true).expect("set");
        while reader.read(&mut [0; 4096]).is_ok() {}
        assert!(is_ready());
        drop(reader);
        serve(&statistics, NOW);
        assert!(!is_ready());
        // A child closes its own; the parent's descriptor stays.
        statistics.close();
        assert!(!statistics.is_listening() && !is_ready());
    }
}
