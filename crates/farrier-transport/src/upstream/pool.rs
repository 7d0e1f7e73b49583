//! Idle connections to servers, by target: the one that was used last is used first, so that surplus connections grow old
//! and are closed.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use rustix::io::Errno;

use farrier_http::upstream::{Target, UpstreamStream, Upstreams};

use super::registry::{Happened, Registry, Signal};
use super::stream::Stream;
use crate::reactor::poller::{Poller, Readiness};
use crate::reactor::token::Token;

/// A connection that waits for its next request.
struct Idle {
    stream: Box<Stream>,
    since_ms: u64,
    until_ms: u64,
}

/// The upstream connections of a worker. They belong to the leader.
pub struct UpstreamPool {
    poller: Arc<Poller>,
    registry: Arc<Registry>,
    idle: HashMap<u64, Vec<Idle>>,
    /// No idle connection is to be closed before, in ms.
    next_ms: u64,
    /// Something happened on an idle connection.
    has_dead: bool,
    is_draining: bool,
}

impl UpstreamPool {
    /// A pool without connections.
    pub fn new(poller: Arc<Poller>) -> UpstreamPool {
        UpstreamPool {
            poller,
            registry: Arc::default(),
            idle: HashMap::new(),
            next_ms: u64::MAX,
            has_dead: false,
            is_draining: false,
        }
    }

    /// Notes an event. [`Happened::To`] names the client's connection whose exchange is to be stepped.
    pub fn note(&mut self, token: Token, readiness: Readiness) -> Happened {
        let happened = self.registry.note(token, readiness);
        self.has_dead |= happened == Happened::Idle;
        happened
    }

    /// Closes idle connections that are too old, or that the server has closed.
    pub fn tend(&mut self, now_ms: u64) {
        if !self.has_dead && now_ms < self.next_ms {
            return;
        }
        self.has_dead = false;
        self.next_ms = u64::MAX;
        let next_ms = &mut self.next_ms;
        self.idle.retain(|_, idle| {
            idle.retain_mut(|entry| entry.stream.is_quiet() && entry.until_ms > now_ms);
            for entry in &*idle {
                *next_ms = entry.until_ms.min(*next_ms);
            }
            !idle.is_empty()
        });
    }

    /// When [`UpstreamPool::tend`] is to be called even if nothing happens, in ms.
    pub fn next_ms(&self) -> Option<u64> {
        Some(self.next_ms).filter(|&at_ms| at_ms != u64::MAX)
    }

    /// Closes all idle connections, and keeps no more.
    pub fn drain(&mut self) {
        self.is_draining = true;
        self.idle.clear();
    }

    /// Whether the worker has begun to end.
    pub fn is_draining(&self) -> bool {
        self.is_draining
    }

    /// Idle connections to a target.
    pub fn idle(&self, target: u64) -> usize {
        self.idle.get(&target).map_or(0, Vec::len)
    }
}

/// The pool as the exchange of one client's connection uses it.
pub struct Door<'a> {
    /// The pool.
    pub pool: &'a mut UpstreamPool,
    /// The client's connection.
    pub owner: Token,
    /// What happens on the connection that the exchange took last.
    pub signal: &'a mut Option<Arc<Signal>>,
    /// The time of the engine's clock.
    pub now_ms: u64,
}

impl Door<'_> {
    fn give(&mut self, mut stream: Box<Stream>) -> Box<dyn UpstreamStream> {
        stream.own(Some(self.owner));
        *self.signal = Some(Arc::clone(stream.signal()));
        stream
    }
}

impl Upstreams for Door<'_> {
    fn reuse(&mut self, target: &Target) -> Option<Box<dyn UpstreamStream>> {
        let idle = self.pool.idle.get_mut(&target.id)?;
        while let Some(Idle { mut stream, since_ms, until_ms }) = idle.pop() {
            if stream.is_quiet() && until_ms > self.now_ms {
                stream.idle_ms = self.now_ms.saturating_sub(since_ms);
                return Some(self.give(stream));
            }
        }
        None
    }

    fn connect(&mut self, target: &Target) -> io::Result<Box<dyn UpstreamStream>> {
        let stream =
            Stream::connect(target, &self.pool.poller, &self.pool.registry, self.now_ms).map_err(of_this_server)?;
        Ok(self.give(Box::new(stream)))
    }

    fn keep(&mut self, target: &Target, stream: Box<dyn UpstreamStream>, idle_ms: u64) {
        let Ok(mut stream) = stream.into_any().downcast::<Stream>() else { return };
        stream.own(None);
        if self.pool.is_draining || idle_ms == 0 || target.idle_max == 0 || !stream.is_quiet() {
            return;
        }
        let until_ms = self.now_ms + idle_ms;
        self.pool.next_ms = self.pool.next_ms.min(until_ms);
        let idle = self.pool.idle.entry(target.id).or_default();
        if idle.len() >= target.idle_max {
            // The oldest goes.
            idle.remove(0);
        }
        idle.push(Idle { stream, since_ms: self.now_ms, until_ms });
    }
}

/// Marks what is no fault of the server: this one has no descriptor, port or memory left.
fn of_this_server(error: io::Error) -> io::Error {
    let is_ours = |errno: Errno| {
        matches!(errno, Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::NOSPC | Errno::ADDRNOTAVAIL)
    };
    match Errno::from_io_error(&error) {
        Some(errno) if is_ours(errno) => io::Error::new(io::ErrorKind::QuotaExceeded, error),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use farrier_http::upstream::ServerAddress;

    use super::*;

    struct World {
        listener: TcpListener,
        pool: UpstreamPool,
        signal: Option<Arc<Signal>>,
        target: Target,
    }

    fn world() -> World {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("bound");
        let pool = UpstreamPool::new(Arc::new(Poller::new().expect("made")));
        let target = Target { id: 7, address: ServerAddress::Tcp(address), source: None, security: None, idle_max: 2 };
        World { listener, pool, signal: None, target }
    }

    impl World {
        fn door(&mut self, now_ms: u64) -> (Door<'_>, &Target) {
            let World { pool, signal, target, .. } = self;
            (Door { pool, owner: Token::new(1, 1), signal, now_ms }, target)
        }

        /// Polls once, as the leader does.
        fn poll(&mut self) {
            let (poller, mut events, mut happened) = (Arc::clone(&self.pool.poller), Vec::new(), Vec::new());
            poller.wait(&mut events, Some(2000), |token, readiness| happened.push((token, readiness))).expect("polls");
            assert!(!happened.is_empty(), "nothing has happened");
            for (token, readiness) in happened {
                self.pool.note(token, readiness);
            }
        }

        fn open(&mut self) -> (Box<dyn UpstreamStream>, std::net::TcpStream) {
            let (mut door, target) = self.door(0);
            let mut stream = door.connect(target).expect("connects");
            let (peer, _) = self.listener.accept().expect("accepted");
            while !stream.is_ready().expect("connects") {
                self.poll();
            }
            (stream, peer)
        }
    }

    #[test]
    fn a_connection_is_used_again_and_the_last_used_first() {
        let mut world = world();
        let (mut first, mut peer) = world.open();
        let (second, _other) = world.open();
        assert_eq!(first.send(&[b"ask", b"ed"], false).expect("sent"), 5);
        peer.write_all(b"answer").expect("sent");
        world.poll();
        let mut into = [0; 16];
        while first.receive(&mut into).expect("read") != Some(6) {
            world.poll();
        }
        assert_eq!(first.receive(&mut into).expect("read"), None);
        let (mut door, target) = world.door(5);
        door.keep(target, second, 100);
        door.keep(target, first, 100);
        let (mut door, target) = world.door(8);
        let again = door.reuse(target).expect("idle");
        assert!(again.is_reused() && again.idle_ms() == 3 && again.requests() == 2);
        let mut asked = [0; 5];
        peer.read_exact(&mut asked).expect("read");
        assert_eq!(&asked, b"asked");
        assert_eq!(world.pool.idle(7), 1);
        drop(again);
        assert_eq!(world.pool.registry.open(), 1);
    }

    #[test]
    fn a_connection_on_which_something_happened_is_not_used_again() {
        for is_answer in [true, false] {
            let mut world = world();
            let (stream, mut peer) = world.open();
            let (mut door, target) = world.door(0);
            door.keep(target, stream, 100);
            if is_answer {
                peer.write_all(b"HTTP/1.1 200 OK\r\n").expect("sent");
            } else {
                drop(peer);
            }
            world.poll();
            let (mut door, target) = world.door(1);
            assert!(door.reuse(target).is_none());
        }
    }

    #[test]
    fn idle_connections_have_a_bound_and_a_time() {
        let mut world = world();
        let opened: Vec<_> = (0..3).map(|_| world.open()).collect();
        let (streams, _peers): (Vec<_>, Vec<_>) = opened.into_iter().unzip();
        for (stream, idle_ms) in streams.into_iter().zip([500, 100, 300]) {
            let (mut door, target) = world.door(0);
            door.keep(target, stream, idle_ms);
        }
        assert_eq!((world.pool.idle(7), world.pool.next_ms()), (2, Some(100)));
        world.pool.tend(100);
        assert_eq!((world.pool.idle(7), world.pool.next_ms()), (1, Some(300)));
        world.pool.drain();
        assert_eq!((world.pool.idle(7), world.pool.registry.open()), (0, 0));
    }

    #[test]
    fn a_refused_connection_says_so() {
        let mut world = world();
        drop(std::mem::replace(&mut world.listener, TcpListener::bind("127.0.0.1:0").expect("bound")));
        let (mut door, target) = world.door(0);
        let failed = match door.connect(target) {
            Err(error) => error,
            Ok(mut stream) => loop {
                world.poll();
                match stream.is_ready() {
                    Ok(ready) => assert!(!ready, "nobody listens"),
                    Err(error) => break error,
                }
            },
        };
        assert_eq!(failed.kind(), io::ErrorKind::ConnectionRefused);
    }
}
