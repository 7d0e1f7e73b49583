//! A piece of a response's content on its way out, and the meter that knows how much of a stream's content is still here.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use bytes::Buf;

/// How much of one stream's content has been given to the connection and not been written.
#[derive(Default)]
pub(crate) struct Meter {
    unsent_bytes: AtomicU64,
    /// Bytes that have been written, or dropped with the stream.
    moved_bytes: AtomicU64,
    is_awaited: AtomicBool,
    /// Wakes below this mark.
    low_water_bytes: AtomicU64,
    waiter: Mutex<Option<Thread>>,
}

impl Meter {
    /// Bytes that wait.
    pub(crate) fn unsent_bytes(&self) -> u64 {
        self.unsent_bytes.load(Ordering::Acquire)
    }

    /// Bytes that have moved on since the beginning.
    pub(crate) fn moved_bytes(&self) -> u64 {
        self.moved_bytes.load(Ordering::Relaxed)
    }

    /// Waits until no more than `low_water_bytes` are unsent. False when for `timeout` nothing has moved, or `is_over` says
    /// that nothing will.
    pub(crate) fn wait_for(&self, low_water_bytes: u64, timeout: Duration, is_over: impl Fn() -> bool) -> bool {
        self.low_water_bytes.store(low_water_bytes, Ordering::Relaxed);
        *self.waiter.lock().unwrap_or_else(PoisonError::into_inner) = Some(std::thread::current());
        self.is_awaited.store(true, Ordering::SeqCst);
        let mut moved_bytes = self.moved_bytes();
        let mut since = Instant::now();
        let drained = loop {
            if self.unsent_bytes.load(Ordering::SeqCst) <= low_water_bytes {
                break true;
            }
            let now_moved_bytes = self.moved_bytes();
            if now_moved_bytes != moved_bytes {
                moved_bytes = now_moved_bytes;
                since = Instant::now();
            }
            let Some(left) = timeout.checked_sub(since.elapsed()).filter(|left| !left.is_zero()) else { break false };
            if is_over() {
                break false;
            }
            // Progress that does not reach the mark wakes nobody, and is looked for now and then.
            std::thread::park_timeout(left.min(Duration::from_secs(1)));
        };
        self.is_awaited.store(false, Ordering::Relaxed);
        drained
    }

    /// Wakes whoever waits: the stream has ended.
    pub(crate) fn wake(&self) {
        if self.is_awaited.load(Ordering::SeqCst)
            && let Some(waiter) = &*self.waiter.lock().unwrap_or_else(PoisonError::into_inner)
        {
            waiter.unpark();
        }
    }

    fn given(&self, bytes: usize) {
        self.unsent_bytes.fetch_add(bytes as u64, Ordering::Release);
    }

    fn left(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let bytes = bytes as u64;
        self.moved_bytes.fetch_add(bytes, Ordering::Relaxed);
        let unsent_bytes = self.unsent_bytes.fetch_sub(bytes, Ordering::SeqCst) - bytes;
        if unsent_bytes <= self.low_water_bytes.load(Ordering::Relaxed) {
            self.wake();
        }
    }
}

/// A piece of content. The meter counts it until it is written or dropped.
pub(crate) struct Piece {
    bytes: Vec<u8>,
    at: usize,
    meter: Option<Arc<Meter>>,
}

impl Piece {
    pub(crate) fn new(bytes: Vec<u8>, meter: &Arc<Meter>) -> Piece {
        if bytes.is_empty() {
            return Piece { bytes, at: 0, meter: None };
        }
        meter.given(bytes.len());
        Piece { bytes, at: 0, meter: Some(Arc::clone(meter)) }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    fn advance(&mut self, count: usize) {
        let count = count.min(self.remaining());
        self.at += count;
        if let Some(meter) = &self.meter {
            meter.left(count);
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if let Some(meter) = &self.meter {
            meter.left(self.bytes.len() - self.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_and_what_is_dropped_is_no_longer_unsent() {
        let meter = Arc::new(Meter::default());
        let mut piece = Piece::new(vec![0; 10], &meter);
        assert_eq!(meter.unsent_bytes(), 10);
        piece.advance(4);
        assert_eq!(meter.unsent_bytes(), 6);
        drop(piece);
        assert_eq!((meter.unsent_bytes(), meter.moved_bytes()), (0, 10));
    }

    #[test]
    fn a_wait_ends_when_enough_has_moved_or_nothing_moves() {
        let meter = Arc::new(Meter::default());
        let mut piece = Piece::new(vec![0; 10], &meter);
        assert!(!meter.wait_for(5, Duration::from_millis(5), || false));
        assert!(!meter.wait_for(5, Duration::from_secs(60), || true));
        let writer = std::thread::spawn(move || {
            piece.advance(5);
            piece
        });
        assert!(meter.wait_for(5, Duration::from_secs(60), || false));
        writer.join().expect("ends");
    }
}
