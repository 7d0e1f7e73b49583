//! A pipe: one bounded queue of content between a source and a drain, each of which is the engine or a seat.
//!
//! An end of the engine never waits: it is woken through its waker. An end of a seat waits on its thread, detached from the
//! runtime. A streamed upload, a proxied message and a tunnel are pipes of this one kind.

mod core;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;

use self::core::{Core, Wakes};
pub use self::core::{Marks, Popped, Pushed};
use crate::error::{Error, Kind};

/// Who holds an end of a pipe.
#[derive(Debug, Clone)]
pub enum End {
    /// The engine: it is woken, and never waits.
    Engine(Waker),
    /// A seat: it waits for the other end on its own thread.
    Seat,
}

/// A pipe with its two ends.
pub fn pipe(marks: Marks, source: End, drain: End) -> (PipeSource, PipeDrain) {
    let shared = Arc::new(Shared { core: Mutex::new(Core::new(marks)), changed: Condvar::new(), source, drain });
    (PipeSource(Arc::clone(&shared)), PipeDrain(shared))
}

struct Shared {
    core: Mutex<Core>,
    /// A seat waits here.
    changed: Condvar,
    source: End,
    drain: End,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After the lock is released: a waker may take locks of its own.
    fn wake(&self, wakes: Wakes) {
        let end = match wakes {
            Wakes::Nobody => return,
            Wakes::Source => &self.source,
            Wakes::Drain => &self.drain,
        };
        match end {
            End::Engine(waker) => waker.wake_by_ref(),
            End::Seat => self.changed.notify_all(),
        }
    }

    /// Waits until `is_ready` or the time is over. True: it is ready.
    fn wait(&self, timeout: Duration, mut is_ready: impl FnMut(&mut Core) -> bool) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), timeout, |core| !is_ready(core));
        let (mut core, _) = waited.unwrap_or_else(PoisonError::into_inner);
        is_ready(&mut core)
    }
}

/// The end that content comes in by. Dropped before [`PipeSource::finish`], it fails the pipe.
pub struct PipeSource(Arc<Shared>);

impl PipeSource {
    /// Gives a piece. An empty one is skipped.
    pub fn push(&self, piece: Bytes) -> Pushed {
        let (pushed, wakes) = self.0.lock().push(piece);
        self.0.wake(wakes);
        pushed
    }

    /// Asks to be woken whenever the drain has taken all there was: for a source that must say how much was taken.
    pub fn tell_when_empty(&self) {
        self.0.lock().tell_when_empty();
    }

    /// Says that everything has been given.
    pub fn finish(&self) {
        let wakes = self.0.lock().finish();
        self.0.wake(wakes);
    }

    /// Says that no more comes, and why. The drain learns it after what came before.
    pub fn abort(&self, error: Error) {
        let wakes = self.0.lock().abort(error);
        self.0.wake(wakes);
    }

    /// Whether more may be given now.
    pub fn has_room(&self) -> bool {
        self.0.lock().has_room()
    }

    /// Whether the drain has asked for content while there was none. The source is woken when that happens first.
    pub fn is_wanted(&self) -> bool {
        self.0.lock().is_wanted()
    }

    /// Whether the drain takes no more.
    pub fn is_abandoned(&self) -> bool {
        self.0.lock().is_abandoned()
    }

    /// Bytes that the drain has taken since the beginning.
    pub fn taken_bytes(&self) -> u64 {
        self.0.lock().taken_bytes()
    }

    /// Waits for room, on a seat. False: there was none in time.
    pub fn wait_for_room(&self, timeout: Duration) -> bool {
        self.0.wait(timeout, |core| core.has_room() || core.is_abandoned())
    }
}

impl Drop for PipeSource {
    fn drop(&mut self) {
        self.abort(Error::client(Kind::ClientGone, "the content broke off"));
    }
}

/// The end that content is taken from. Dropped, it lets the source know that no more is wanted.
pub struct PipeDrain(Arc<Shared>);

impl PipeDrain {
    /// Takes the next piece, cut to `bytes_max`; never waits.
    pub fn pop(&self, bytes_max: usize) -> Popped {
        let (popped, wakes) = self.0.lock().pop(bytes_max.max(1));
        self.0.wake(wakes);
        popped
    }

    /// Waits until there is a piece or the end, on a seat. False: there was none in time.
    pub fn wait(&self, timeout: Duration) -> bool {
        self.0.wait(timeout, Core::await_news)
    }

    /// Whether [`PipeDrain::pop`] would give a piece or the end.
    pub fn has_news(&self) -> bool {
        self.0.lock().has_news()
    }

    /// What the pipe holds, in bytes; a piece counts a little more than its content.
    pub fn held_bytes(&self) -> usize {
        self.0.lock().held_bytes()
    }
}

impl Drop for PipeDrain {
    fn drop(&mut self) {
        let wakes = self.0.lock().abandon();
        self.0.wake(wakes);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_seat_drains_what_another_thread_gives() {
        let (source, drain) = pipe(Marks::with_high(1000), End::Seat, End::Seat);
        let giver = std::thread::spawn(move || {
            for number in 0..5000u32 {
                assert!(source.wait_for_room(Duration::from_secs(20)));
                source.push(Bytes::copy_from_slice(&number.to_be_bytes()));
            }
            source.finish();
        });
        let mut taken = Vec::new();
        loop {
            assert!(drain.wait(Duration::from_secs(20)));
            match drain.pop(7) {
                Popped::Piece(piece) => taken.extend_from_slice(&piece),
                Popped::End => break,
                Popped::Nothing | Popped::Failed(_) => panic!("it waited for news"),
            }
        }
        giver.join().expect("ends");
        assert!(taken.chunks(4).map(|four| u32::from_be_bytes([four[0], four[1], four[2], four[3]])).eq(0..5000));
    }

    #[test]
    fn a_source_that_goes_away_fails_the_pipe_and_wakes_the_engine() {
        let woken = Arc::new(Counted::default());
        let (source, drain) = pipe(Marks::with_high(1000), End::Seat, End::Engine(Waker::from(Arc::clone(&woken))));
        assert_eq!(drain.pop(1), Popped::Nothing);
        drop(source);
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        assert!(matches!(drain.pop(1), Popped::Failed(_)));
        assert_eq!(drain.pop(1), Popped::End);
    }
}
