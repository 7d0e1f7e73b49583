//! An exchange that runs: which event it is given next, and what it waits for. The leader owns it and drives it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use farrier_http::pipe::PipeDrain;
use farrier_transport::reactor::token::Token;
use farrier_transport::upstream::{Door, Signal, UpstreamPool};

use farrier_http::{AnswerSink, Error, Event, Exchange, ExchangeIo, Kind, Next, Request};

/// Steps of one exchange before others get their turn.
const STEPS_A_TURN: usize = 16;

/// What a turn came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It waits for an event.
    Waits,
    /// There is more to do: others get their turn before.
    Over,
    /// It is over.
    Done,
}

/// Notes that there is news of the content, and wakes the leader.
pub struct ContentSignal {
    has_news: AtomicBool,
    waker: Waker,
}

impl ContentSignal {
    /// `waker` lets the leader drive the exchange.
    pub fn new(waker: Waker) -> Arc<ContentSignal> {
        Arc::new(ContentSignal { has_news: AtomicBool::new(false), waker })
    }

    fn take(&self) -> bool {
        self.has_news.load(Ordering::SeqCst) && self.has_news.swap(false, Ordering::SeqCst)
    }
}

impl Wake for ContentSignal {
    fn wake(self: Arc<Self>) {
        self.has_news.store(true, Ordering::SeqCst);
        self.waker.wake_by_ref();
    }
}

/// The content of a request, as its exchange gets it.
pub struct Content {
    /// Where it comes out.
    pub drain: PipeDrain,
    /// The waker of the drain.
    pub signal: Arc<ContentSignal>,
    /// Its length, if it is known before its end.
    pub bytes: Option<u64>,
}

/// An exchange that runs.
pub struct RunningExchange {
    exchange: Box<dyn Exchange>,
    pub(crate) request: Box<Request>,
    content: Content,
    answer: Box<dyn AnswerSink>,
    is_begun: bool,
    /// The exchange knows that the worker ends.
    knows_of_drain: bool,
    /// The sink is at its high mark: the exchange waits until it has room for so many bytes.
    awaits_room: bool,
    room_bytes_min: u64,
    timer_ms: Option<u64>,
    /// The exchange has switched protocols, and nobody has asked since.
    is_switched: bool,
    /// What happens on the connection to a server that the exchange took last.
    upstream: Option<Arc<Signal>>,
    /// When the request was complete or its exchange began, in ns.
    pub started_ns: u64,
}

impl RunningExchange {
    /// # Arguments
    ///
    /// `room_bytes_min` is the room at which a sink that was full counts as having room again.
    pub fn new(
        exchange: Box<dyn Exchange>,
        request: Box<Request>,
        content: Content,
        answer: Box<dyn AnswerSink>,
        room_bytes_min: u64,
        started_ns: u64,
    ) -> RunningExchange {
        RunningExchange {
            exchange,
            request,
            content,
            answer,
            is_begun: false,
            knows_of_drain: false,
            awaits_room: false,
            room_bytes_min,
            timer_ms: None,
            upstream: None,
            is_switched: false,
            started_ns,
        }
    }

    /// When the exchange is to be driven even if nothing happens, in ms.
    pub fn timer_ms(&self) -> Option<u64> {
        self.timer_ms
    }

    /// Whether the exchange has switched protocols since the last call: what the client sends from now on is its content.
    pub fn take_switched(&mut self) -> bool {
        std::mem::take(&mut self.is_switched)
    }

    /// Tells the exchange to look for content, although it was told of all that has come.
    pub fn remind_of_content(&self) {
        self.content.signal.has_news.store(true, Ordering::SeqCst);
    }

    /// Puts other content in the place of what it has. The exchange is told at once: nothing was popped from it yet.
    pub fn renew_content(&mut self, content: Content) {
        content.signal.has_news.store(true, Ordering::SeqCst);
        self.content = content;
    }

    /// The request that it answers.
    pub fn request_mut(&mut self) -> &mut Request {
        &mut self.request
    }

    /// Lets go of the exchange and its answer.
    pub fn into_request(self) -> Box<Request> {
        self.request
    }

    /// Gives the exchange what has happened for it. `owner` is the client's connection.
    pub fn advance(&mut self, now_ms: u64, pool: &mut UpstreamPool, owner: Token) -> Turn {
        for _ in 0..STEPS_A_TURN {
            let Some(event) = self.next_event(now_ms, pool.is_draining()) else { return Turn::Waits };
            let RunningExchange { exchange, request, content, answer, upstream, .. } = self;
            let waker = || Waker::from(Arc::clone(&content.signal));
            let mut door = Door { pool, owner, signal: upstream, now_ms };
            let mut io = ExchangeIo::new(request, &content.drain, content.bytes, &mut **answer, &mut door, &waker);
            let stepped = catch_unwind(AssertUnwindSafe(|| exchange.step(event, now_ms, &mut io)));
            let is_stopped_early = io.is_stopped_early;
            self.is_switched |= io.is_switched;
            let next = stepped.unwrap_or_else(|_| {
                let cause = "a fault of the server's own in an exchange (please report it)";
                answer.abort(Error::server(Kind::Internal, cause));
                Next::Done
            });
            self.awaits_room |= is_stopped_early || self.answer.room_bytes() == 0;
            match next {
                _ if event == Event::ClientGone => return Turn::Done,
                Next::Done => return Turn::Done,
                Next::Wait => {}
                Next::WaitUntil(at_ms) => self.timer_ms = Some(at_ms),
            }
            if is_stopped_early || self.is_switched {
                return Turn::Over;
            }
        }
        Turn::Over
    }

    fn next_event(&mut self, now_ms: u64, is_draining: bool) -> Option<Event> {
        if self.answer.is_gone() {
            return Some(Event::ClientGone);
        }
        if !self.is_begun {
            self.is_begun = true;
            return Some(Event::Begin);
        }
        if is_draining && !self.knows_of_drain {
            self.knows_of_drain = true;
            return Some(Event::Drain);
        }
        if self.upstream.as_deref().is_some_and(Signal::take_news) {
            return Some(Event::Upstream);
        }
        if self.content.signal.take() {
            return Some(Event::Content);
        }
        if self.awaits_room && self.answer.room_bytes() >= self.room_bytes_min {
            self.awaits_room = false;
            return Some(Event::Room);
        }
        if self.timer_ms.is_some_and(|at_ms| at_ms <= now_ms) {
            self.timer_ms = None;
            return Some(Event::Timer);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::Mutex;

    use bytes::Bytes;
    use farrier_http::pipe::{End, Marks, PipeSource, Popped, pipe};
    use farrier_http::{Accepted, ResponseHead, Status};

    use farrier_transport::reactor::poller::Poller;

    use super::*;

    #[derive(Default)]
    struct Client {
        taken: Vec<u8>,
        room: u64,
        is_gone: bool,
        has_ended: bool,
        has_failed: bool,
        is_dropped: bool,
    }

    struct Sink(Arc<Mutex<Client>>);

    impl AnswerSink for Sink {
        fn head(&mut self, _: &ResponseHead, _: Option<u64>) {}
        fn inform(&mut self, _: &ResponseHead) {}
        fn data(&mut self, piece: Bytes) -> Accepted {
            let mut client = self.0.lock().expect("whole");
            assert!(client.room > 0 && !client.has_ended, "given more than there is room for");
            client.room = client.room.saturating_sub(piece.len() as u64);
            client.taken.extend_from_slice(&piece);
            if client.room == 0 { Accepted::Full } else { Accepted::Room }
        }
        fn file(&mut self, _: Arc<File>, _: u64, _: u64) -> Accepted {
            Accepted::Gone
        }
        fn trailers(&mut self, _: &ResponseHead) {}
        fn end(&mut self) {
            self.0.lock().expect("whole").has_ended = true;
        }
        fn abort(&mut self, _: Error) {
            self.0.lock().expect("whole").has_failed = true;
        }
        fn room_bytes(&self) -> u64 {
            self.0.lock().expect("whole").room
        }
        fn is_gone(&self) -> bool {
            self.0.lock().expect("whole").is_gone
        }
    }

    impl Drop for Sink {
        fn drop(&mut self) {
            self.0.lock().expect("whole").is_dropped = true;
        }
    }

    /// Sends its content back, a few bytes at a time, no sooner than at 10 ms.
    struct Echo {
        events: Arc<Mutex<Vec<Event>>>,
        is_full: bool,
    }

    impl Exchange for Echo {
        fn step(&mut self, event: Event, now_ms: u64, io: &mut ExchangeIo<'_>) -> Next {
            self.events.lock().expect("whole").push(event);
            self.is_full &= event != Event::Room;
            if now_ms < 10 {
                return Next::WaitUntil(10);
            }
            io.answer.head(&ResponseHead::new(Status(200)), None);
            while !self.is_full {
                match io.content.pop(3) {
                    Popped::Piece(piece) => self.is_full = io.answer.data(piece) == Accepted::Full,
                    Popped::Nothing => return Next::Wait,
                    Popped::End => {
                        io.answer.end();
                        return Next::Done;
                    }
                    Popped::Failed(error) => {
                        io.answer.abort(error);
                        return Next::Done;
                    }
                }
            }
            Next::Wait
        }
    }

    struct World {
        pool: UpstreamPool,
        run: Option<RunningExchange>,
        client: Arc<Mutex<Client>>,
        source: Option<PipeSource>,
        events: Arc<Mutex<Vec<Event>>>,
    }

    fn pool() -> UpstreamPool {
        UpstreamPool::new(Arc::new(Poller::new().expect("made")))
    }

    fn world(room: u64) -> World {
        let signal = ContentSignal::new(Waker::noop().clone());
        let drain = End::Engine(Arc::clone(&signal).into());
        let (source, drain) = pipe(Marks::with_high(100), End::Engine(Waker::noop().clone()), drain);
        let client = Arc::new(Mutex::new(Client { room, ..Client::default() }));
        let events = Arc::new(Mutex::new(Vec::new()));
        let echo = Box::new(Echo { events: Arc::clone(&events), is_full: false });
        let request = Box::new(Request::with_room(16));
        let run = RunningExchange::new(
            echo,
            request,
            Content { drain, signal, bytes: None },
            Box::new(Sink(Arc::clone(&client))),
            4,
            0,
        );
        World { pool: pool(), run: Some(run), client, source: Some(source), events }
    }

    impl World {
        fn advance(&mut self, now_ms: u64) -> Turn {
            self.run.as_mut().expect("runs").advance(now_ms, &mut self.pool, Token::new(0, 0))
        }
        fn give(&self, bytes: &'static [u8]) {
            self.source.as_ref().expect("open").push(Bytes::from_static(bytes));
        }
        fn client(&self) -> std::sync::MutexGuard<'_, Client> {
            self.client.lock().expect("whole")
        }
    }

    #[test]
    fn an_exchange_is_stepped_for_content_room_and_time_and_for_nothing_else() {
        let mut world = world(6);
        assert_eq!((world.advance(0), world.advance(5)), (Turn::Waits, Turn::Waits));
        assert_eq!((world.advance(10), world.advance(11)), (Turn::Waits, Turn::Waits));
        world.give(b"abcdefgh");
        assert_eq!((world.advance(12), world.advance(12)), (Turn::Waits, Turn::Waits));
        assert_eq!(world.client().taken, b"abcdef");
        // A little room is not worth a step.
        world.client().room = 3;
        assert_eq!(world.advance(13), Turn::Waits);
        world.client().room = 4;
        assert_eq!(world.advance(13), Turn::Waits);
        world.source.take().expect("open").finish();
        assert_eq!(world.advance(14), Turn::Done);
        assert_eq!(world.client().taken, b"abcdefgh");
        assert!(world.client().has_ended);
        let events = [Event::Begin, Event::Timer, Event::Content, Event::Room, Event::Content];
        assert_eq!(*world.events.lock().expect("whole"), events);
    }

    #[test]
    fn a_client_that_leaves_ends_the_exchange_and_frees_all_of_it() {
        for phase in 0..4 {
            let mut world = world(6);
            let steps: [&dyn Fn(&mut World); 3] = [
                &|world| assert_eq!(world.advance(0), Turn::Waits),
                &|world| assert_eq!(world.advance(10), Turn::Waits),
                &|world| {
                    world.give(b"abcdefgh");
                    world.advance(12);
                },
            ];
            steps.iter().take(phase).for_each(|step| step(&mut world));
            world.client().is_gone = true;
            assert_eq!(world.advance(20), Turn::Done);
            assert_eq!(world.events.lock().expect("whole").last(), Some(&Event::ClientGone));
            world.run = None;
            assert!(world.client().is_dropped && world.source.as_ref().is_some_and(PipeSource::is_abandoned));
        }
    }

    #[test]
    fn content_that_breaks_off_reaches_the_exchange_after_what_came() {
        let mut world = world(100);
        world.advance(10);
        world.give(b"abc");
        world.source = None;
        assert_eq!(world.advance(11), Turn::Done);
        assert_eq!(world.client().taken, b"abc");
        assert!(world.client().has_failed);
    }

    #[test]
    fn a_step_that_stopped_early_is_followed_by_room_after_others_had_their_turn() {
        struct Busy(Arc<Mutex<Vec<Event>>>);
        impl Exchange for Busy {
            fn step(&mut self, event: Event, _: u64, io: &mut ExchangeIo<'_>) -> Next {
                let mut events = self.0.lock().expect("whole");
                events.push(event);
                io.is_stopped_early = events.len() < 3;
                if events.len() < 3 { Next::WaitUntil(50) } else { Next::Wait }
            }
        }
        let mut world = world(100);
        world.run.as_mut().expect("runs").exchange = Box::new(Busy(Arc::clone(&world.events)));
        assert_eq!((world.advance(0), world.advance(0)), (Turn::Over, Turn::Over));
        // Without room it waits for the room.
        world.client().room = 0;
        assert_eq!(world.advance(0), Turn::Waits);
        world.client().room = 100;
        // The time that it named is kept.
        assert_eq!((world.advance(0), world.advance(50)), (Turn::Waits, Turn::Waits));
        assert_eq!(*world.events.lock().expect("whole"), [Event::Begin, Event::Room, Event::Room, Event::Timer]);
    }

    #[test]
    fn an_exchange_is_told_once_that_the_worker_ends() {
        let mut world = world(100);
        assert_eq!((world.advance(10), world.advance(11)), (Turn::Waits, Turn::Waits));
        world.pool.drain();
        assert_eq!((world.advance(12), world.advance(13)), (Turn::Waits, Turn::Waits));
        assert_eq!(*world.events.lock().expect("whole"), [Event::Begin, Event::Drain]);
    }

    #[test]
    fn a_panic_costs_the_exchange_alone() {
        struct Faulty;
        impl Exchange for Faulty {
            fn step(&mut self, _: Event, _: u64, _: &mut ExchangeIo<'_>) -> Next {
                panic!("on purpose")
            }
        }
        let mut world = world(100);
        world.run.as_mut().expect("runs").exchange = Box::new(Faulty);
        assert_eq!(world.advance(0), Turn::Done);
        assert!(world.client().has_failed);
    }
}
