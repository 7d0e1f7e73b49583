//! Writes log messages on a thread of its own, so that a slow disk, a full pipe or a dead collector never blocks a
//! request. A process without threads (the arbiter) writes each message at once instead, as far as the target takes it.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use super::direct::Direct;

/// The target of messages: a file, a stream or a socket. It handles its errors itself, as nothing can report them.
pub trait Sink: Send {
    /// Writes messages: the bytes of all, and the position at which each ends. May wait for the target.
    fn take(&mut self, bytes: &[u8], ends: &[usize]);

    /// Writes as many of these bytes as the target takes without waiting, and returns their number. The others are
    /// offered again. Bytes that the target never takes are lost, so they count as taken.
    fn offer(&mut self, bytes: &[u8], ends: &[usize]) -> usize;

    /// Waits, at most `patience`, until the target may take more of what is offered.
    fn wait(&mut self, patience: Duration) {
        std::thread::sleep(patience);
    }

    /// Reopens the target: a file that was renamed is opened under its name again.
    fn reopen(&mut self) {}

    /// The message that stands where `count` messages were dropped because this sink is too slow; `None` for none.
    fn gap(&self, count: u64) -> Option<String> {
        let _ = count;
        None
    }
}

/// Messages on their way to a [`Sink`].
pub struct Outbox(Way);

enum Way {
    /// Each message is written at once, as far as the target takes it.
    Direct(Mutex<Direct>),
    /// A thread writes the messages.
    Buffered(Arc<Inner>),
}

struct Inner {
    state: Mutex<State>,
    carried: Condvar,
    asleep: AtomicBool,
    thread: OnceLock<Thread>,
    bytes_max: usize,
    /// How long messages are gathered before they are written.
    gather: Duration,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    dropped: u64,
    reopen: bool,
    carrying: bool,
}

impl Outbox {
    /// Writes each message at once, on the caller's thread, without waiting for the target. Up to `bytes_max` bytes that
    /// it does not take wait for [`Outbox::retry`]. Further messages are dropped and counted.
    pub fn direct(sink: Box<dyn Sink>, bytes_max: usize) -> Outbox {
        Outbox(Way::Direct(Mutex::new(Direct::new(sink, bytes_max))))
    }

    /// Starts a thread that writes the messages. They are gathered for `gather` before they are written. Messages
    /// beyond `bytes_max` waiting bytes are dropped and counted.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn buffered(sink: Box<dyn Sink>, name: &str, bytes_max: usize, gather: Duration) -> io::Result<Outbox> {
        let inner = Arc::new(Inner {
            state: Mutex::default(),
            carried: Condvar::new(),
            asleep: AtomicBool::new(false),
            thread: OnceLock::new(),
            bytes_max,
            gather,
        });
        let theirs = Arc::clone(&inner);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || carry(&theirs, sink))?;
        // This cannot fail: the cell is set here and nowhere else.
        let _ = inner.thread.set(thread.thread().clone());
        Ok(Outbox(Way::Buffered(inner)))
    }

    /// Takes one message. Never waits for the sink.
    pub fn put(&self, message: &[u8]) {
        self.put_all(message, &[message.len()]);
    }

    /// Takes several messages, all of them or none. They follow each other in `bytes` and end at `ends`.
    pub fn put_all(&self, bytes: &[u8], ends: &[usize]) {
        match &self.0 {
            Way::Direct(direct) => lock(direct).put_all(bytes, ends),
            Way::Buffered(inner) => {
                let mut state = lock(&inner.state);
                let start = state.bytes.len();
                if start + bytes.len() > inner.bytes_max {
                    state.dropped += ends.len() as u64;
                    return;
                }
                state.bytes.extend_from_slice(bytes);
                state.ends.extend(ends.iter().map(|end| start + end));
                drop(state);
                inner.wake();
            }
        }
    }

    /// Makes the sink reopen its target before the next message.
    pub fn reopen(&self) {
        match &self.0 {
            Way::Direct(direct) => lock(direct).reopen(),
            Way::Buffered(inner) => {
                lock(&inner.state).reopen = true;
                inner.wake();
            }
        }
    }

    /// Whether messages wait for [`Outbox::retry`]. An outbox with a thread needs none.
    pub fn is_waiting(&self) -> bool {
        match &self.0 {
            Way::Direct(direct) => lock(direct).is_waiting(),
            Way::Buffered(_) => false,
        }
    }

    /// Writes as much of what waits as the target takes now.
    pub fn retry(&self) {
        if let Way::Direct(direct) = &self.0 {
            lock(direct).retry();
        }
    }

    /// Waits until everything is written, at most `patience`.
    pub fn flush(&self, patience: Duration) {
        let inner = match &self.0 {
            Way::Direct(direct) => return lock(direct).flush(patience),
            Way::Buffered(inner) => inner,
        };
        let deadline = Instant::now() + patience;
        let mut state = lock(&inner.state);
        while !state.bytes.is_empty() || state.carrying {
            inner.wake();
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = match inner.carried.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }
}

impl Inner {
    fn wake(&self) {
        if self.asleep.load(Ordering::SeqCst)
            && self.asleep.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn carry(inner: &Inner, mut sink: Box<dyn Sink>) {
    let mut bytes = Vec::new();
    let mut ends = Vec::new();
    loop {
        let (reopen, dropped);
        {
            let mut state = lock(&inner.state);
            state.carrying = false;
            inner.carried.notify_all();
            if state.bytes.is_empty() && !state.reopen {
                inner.asleep.store(true, Ordering::SeqCst);
                drop(state);
                while inner.asleep.load(Ordering::SeqCst) {
                    std::thread::park();
                }
                if !inner.gather.is_zero() {
                    std::thread::park_timeout(inner.gather);
                }
                continue;
            }
            std::mem::swap(&mut state.bytes, &mut bytes);
            std::mem::swap(&mut state.ends, &mut ends);
            reopen = std::mem::take(&mut state.reopen);
            dropped = std::mem::take(&mut state.dropped);
            state.carrying = true;
        }
        if reopen {
            sink.reopen();
        }
        if !ends.is_empty() {
            sink.take(&bytes, &ends);
        }
        // After the messages that were kept: this is where the gap is.
        if dropped > 0
            && let Some(gap) = sink.gap(dropped)
        {
            sink.take(gap.as_bytes(), &[gap.len()]);
        }
        bytes.clear();
        ends.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Passes on what it gets, and blocks until the test lets it continue.
    struct Slow {
        taken: mpsc::Sender<String>,
        go: mpsc::Receiver<()>,
    }

    impl Sink for Slow {
        fn take(&mut self, bytes: &[u8], ends: &[usize]) {
            let _ = self.go.recv();
            let mut start = 0;
            for &end in ends {
                let _ = self.taken.send(String::from_utf8_lossy(&bytes[start..end]).into_owned());
                start = end;
            }
        }

        fn offer(&mut self, _: &[u8], _: &[usize]) -> usize {
            unreachable!("it has a thread")
        }

        fn gap(&self, count: u64) -> Option<String> {
            Some(format!("({count} dropped)"))
        }
    }

    #[test]
    fn messages_beyond_the_limit_are_dropped_and_counted() {
        let (taken, seen) = mpsc::channel();
        let (go, gone) = mpsc::channel();
        let outbox = Outbox::buffered(Box::new(Slow { taken, go: gone }), "test", 8, Duration::ZERO).expect("a thread");
        outbox.put(b"1234");
        // Once the bytes of the first message no longer count, the thread has it.
        while !lock(match &outbox.0 {
            Way::Buffered(inner) => &inner.state,
            Way::Direct(_) => unreachable!("it was made buffered"),
        })
        .bytes
        .is_empty()
        {
            std::thread::yield_now();
        }
        outbox.put_all(b"abcd", &[2, 4]);
        outbox.put_all(b"too much", &[3, 8]);
        outbox.put(b"ef");
        for _ in 0..4 {
            go.send(()).expect("the thread listens");
        }
        outbox.flush(Duration::from_secs(10));
        assert_eq!(seen.try_iter().collect::<Vec<_>>(), ["1234", "ab", "cd", "ef", "(2 dropped)"]);
    }
}
