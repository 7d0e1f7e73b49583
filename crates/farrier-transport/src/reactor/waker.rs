//! Wakes the leader from its wait, for other threads: when a connection is returned to it, and when an HTTP/2 stream
//! has something to send.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Wake;

use super::poller::Poller;
use super::token::Token;

/// Wakes the leader, if it waits.
pub struct LeaderWaker {
    poller: Arc<Poller>,
    /// The leader is in its wait, or about to be.
    is_polling: AtomicBool,
}

impl LeaderWaker {
    /// A waker for the leader that waits at this poller.
    pub fn new(poller: Arc<Poller>) -> LeaderWaker {
        LeaderWaker { poller, is_polling: AtomicBool::new(false) }
    }

    /// The leader is about to wait, or has stopped waiting.
    pub fn set_polling(&self, is_polling: bool) {
        self.is_polling.store(is_polling, Ordering::SeqCst);
    }

    /// Ends the leader's wait. A leader that is not waiting looks for news before it waits.
    pub fn wake(&self) {
        if self.is_polling.load(Ordering::SeqCst) {
            self.poller.wake();
        }
    }
}

/// The connections whose streams have something to send.
#[derive(Default)]
pub struct WokenStreams {
    any: AtomicBool,
    tokens: Mutex<Vec<Token>>,
}

impl WokenStreams {
    /// Whether there are any.
    pub fn has_any(&self) -> bool {
        self.any.load(Ordering::SeqCst)
    }

    /// Takes all of them, each once.
    pub fn take(&self, into: &mut Vec<Token>) {
        {
            let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            self.any.store(false, Ordering::SeqCst);
            into.append(&mut tokens);
        }
        // A connection with many streams is entered by each of them, and has one turn.
        into.sort_unstable();
        into.dedup();
    }

    fn add(&self, token: Token) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.last() != Some(&token) {
            tokens.push(token);
        }
        self.any.store(true, Ordering::SeqCst);
    }
}

/// The waker of one HTTP/2 connection. The `h2` crate calls it while it holds a lock of its own: nothing in that crate
/// may be called here.
pub struct StreamWaker {
    /// The connections with something to send; this one is added.
    pub woken: Arc<WokenStreams>,
    /// Wakes the leader.
    pub leader: Arc<LeaderWaker>,
    /// The connection.
    pub token: Token,
}

impl Wake for StreamWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Once for each check by the leader: the `h2` crate drops the waker after its use.
        self.woken.add(self.token);
        // A leader that calls it itself is not waiting.
        self.leader.wake();
    }
}
