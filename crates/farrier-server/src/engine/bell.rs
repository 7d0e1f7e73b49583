//! Tells the leader that a seat has given a stream of an HTTP/2 connection something to send.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Wake;

use super::shared::Shared;
use super::slots::Token;

/// The connections whose bells have rung.
#[derive(Default)]
pub(crate) struct Rung {
    any: AtomicBool,
    tokens: Mutex<Vec<Token>>,
}

impl Rung {
    /// Whether there are any.
    pub(crate) fn has_any(&self) -> bool {
        self.any.load(Ordering::SeqCst)
    }

    /// Takes all of them.
    pub(crate) fn take(&self, into: &mut Vec<Token>) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        self.any.store(false, Ordering::SeqCst);
        into.append(&mut tokens);
    }

    fn add(&self, token: Token) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.push(token);
        self.any.store(true, Ordering::SeqCst);
    }
}

/// The bell of one connection. The `h2` crate rings it while it holds a lock of its own: nothing may be asked of it here.
pub(crate) struct Bell {
    pub(crate) shared: Arc<Shared>,
    pub(crate) token: Token,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Once per look of the leader's: the `h2` crate forgets the waker when it has used it.
        self.shared.rung.add(self.token);
        // A leader that rings it itself is not waiting.
        self.shared.wake_leader();
    }
}
