//! A piece of a response's content to be sent, and the meter that counts how much of a stream's content is unsent.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};

use farrier_transport::pace::{PaceRules, Progress};

/// How much content one stream was given that is not written yet.
#[derive(Default)]
pub struct Meter {
    unsent_bytes: AtomicU64,
    /// Bytes that have been written, or dropped with the stream.
    moved_bytes: AtomicU64,
    is_awaited: AtomicBool,
    /// Wakes the waiting thread below this mark.
    low_water_bytes: AtomicU64,
    waiter: Mutex<Option<Thread>>,
}

impl Meter {
    /// Bytes that wait.
    pub fn unsent_bytes(&self) -> u64 {
        self.unsent_bytes.load(Ordering::Acquire)
    }

    /// Bytes that have been written or dropped since the beginning.
    pub fn moved_bytes(&self) -> u64 {
        self.moved_bytes.load(Ordering::Relaxed)
    }

    /// Waits until no more than `low_water_bytes` are unsent. False when the client falls behind the pace, or `is_over` says
    /// that nothing will move.
    pub fn wait_for(&self, low_water_bytes: u64, pace: PaceRules, is_over: impl Fn() -> bool) -> bool {
        self.low_water_bytes.store(low_water_bytes, Ordering::Relaxed);
        *self.waiter.lock().unwrap_or_else(PoisonError::into_inner) = Some(std::thread::current());
        self.is_awaited.store(true, Ordering::SeqCst);
        let since = Instant::now();
        let mut progress = Progress::new(self.moved_bytes(), 0);
        let drained = loop {
            if self.unsent_bytes.load(Ordering::SeqCst) <= low_water_bytes {
                break true;
            }
            let now_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
            let Ok(next_ms) = progress.judge(pace, self.moved_bytes(), now_ms) else { break false };
            if is_over() {
                break false;
            }
            // Progress that does not reach the mark wakes no thread; it is checked now and then.
            let left_ms = next_ms.saturating_sub(now_ms).clamp(1, 1000);
            std::thread::park_timeout(Duration::from_millis(left_ms));
        };
        self.is_awaited.store(false, Ordering::Relaxed);
        drained
    }

    /// Wakes the thread that waits: the stream has ended.
    pub fn wake(&self) {
        if self.is_awaited.load(Ordering::SeqCst)
            && let Some(waiter) = &*self.waiter.lock().unwrap_or_else(PoisonError::into_inner)
        {
            waiter.unpark();
        }
    }

    fn left(&self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        self.moved_bytes.fetch_add(bytes, Ordering::Relaxed);
        let unsent_bytes = self.unsent_bytes.fetch_sub(bytes, Ordering::SeqCst) - bytes;
        if unsent_bytes <= self.low_water_bytes.load(Ordering::Relaxed) {
            self.wake();
        }
    }
}

/// Bytes that a meter counts as unsent, until they have left or this is dropped.
pub struct Unsent {
    meter: Arc<Meter>,
    bytes: u64,
}

impl Unsent {
    /// `bytes` counted as unsent in the meter.
    pub fn new(meter: &Arc<Meter>, bytes: u64) -> Unsent {
        meter.unsent_bytes.fetch_add(bytes, Ordering::Release);
        Unsent { meter: Arc::clone(meter), bytes }
    }

    /// The first bytes of it, counted separately.
    pub fn split_to(&mut self, bytes: u64) -> Unsent {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Unsent { meter: Arc::clone(&self.meter), bytes }
    }

    fn absorb(&mut self, mut other: Unsent) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    fn left(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.meter.left(bytes);
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        self.meter.left(self.bytes);
    }
}

/// A piece of content: the `h2` crate has it, or it waits to be passed to the crate.
pub struct Piece {
    bytes: Bytes,
    unsent: Option<Unsent>,
}

impl Piece {
    /// Data that is counted until it is dropped.
    pub fn new(bytes: Bytes, unsent: Unsent) -> Piece {
        Piece { bytes, unsent: Some(unsent) }
    }

    /// A piece without content: what ends a stream.
    pub fn empty() -> Piece {
        Piece { bytes: Bytes::new(), unsent: None }
    }

    /// The first bytes as a separate piece. They are not copied.
    pub fn split_to(&mut self, count: usize) -> Piece {
        let count = count.min(self.bytes.len());
        let unsent = self.unsent.as_mut().map(|unsent| unsent.split_to(count as u64));
        Piece { bytes: self.bytes.split_to(count), unsent }
    }

    /// One piece of two, of the same stream. Both are copied.
    pub fn join(self, then: Piece) -> Piece {
        let bytes = match self.bytes.try_into_mut() {
            Ok(mut bytes) => {
                bytes.extend_from_slice(&then.bytes);
                bytes
            }
            Err(shared) => [&*shared, &*then.bytes].concat().as_slice().into(),
        };
        let unsent = match (self.unsent, then.unsent) {
            (Some(mut first), Some(then)) => {
                first.absorb(then);
                Some(first)
            }
            (first, then) => first.or(then),
        };
        Piece { bytes: bytes.freeze(), unsent }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        let count = count.min(self.bytes.len());
        self.bytes.advance(count);
        if let Some(unsent) = &mut self.unsent {
            unsent.left(count as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: PaceRules = PaceRules { timeout_ms: 60_000, rate_min: 0 };

    fn piece(meter: &Arc<Meter>) -> Piece {
        Piece::new(Bytes::from(vec![0; 10]), Unsent::new(meter, 10))
    }

    #[test]
    fn what_is_written_and_what_is_dropped_is_no_longer_unsent() {
        let meter = Arc::new(Meter::default());
        let mut piece = piece(&meter);
        assert_eq!(meter.unsent_bytes(), 10);
        piece.advance(4);
        let first = piece.split_to(1);
        assert_eq!((meter.unsent_bytes(), piece.remaining()), (6, 5));
        drop(first);
        assert_eq!(meter.unsent_bytes(), 5);
        let second = piece.split_to(2).join(piece.split_to(1));
        assert_eq!((meter.unsent_bytes(), second.remaining(), piece.remaining()), (5, 3, 2));
        drop(second);
        assert_eq!(meter.unsent_bytes(), 2);
        drop(piece);
        assert_eq!((meter.unsent_bytes(), meter.moved_bytes()), (0, 10));
    }

    #[test]
    fn a_wait_ends_when_enough_has_moved_or_nothing_moves() {
        let meter = Arc::new(Meter::default());
        let mut piece = piece(&meter);
        assert!(!meter.wait_for(5, PaceRules { timeout_ms: 5, rate_min: 0 }, || false));
        assert!(!meter.wait_for(5, PACE, || true));
        let writer = std::thread::spawn(move || {
            piece.advance(5);
            piece
        });
        assert!(meter.wait_for(5, PACE, || false));
        writer.join().expect("ends");
    }
}
