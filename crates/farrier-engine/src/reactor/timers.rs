//! Deadlines of connections. One lazy entry each, so that keep-alive traffic moves a deadline without touching the heap.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::reactor::token::Token;

/// A heap of (time, connection). An entry says when to look at the connection, not what its deadline is: that stands in the
/// connection, may have moved on, and is then entered again.
#[derive(Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(u64, Token)>>,
}

impl Timers {
    /// Looks at the connection at `at_ms`.
    pub(crate) fn look_at(&mut self, token: Token, at_ms: u64) {
        self.heap.push(Reverse((at_ms, token)));
    }

    /// The earliest entry's time.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// The next entry whose time has come.
    pub(crate) fn pop_due(&mut self, now_ms: u64) -> Option<Token> {
        if self.next_ms()? > now_ms {
            return None;
        }
        self.heap.pop().map(|Reverse((_, token))| token)
    }
}
