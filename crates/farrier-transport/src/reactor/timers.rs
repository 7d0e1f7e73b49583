//! Deadlines of connections: at most one entry each, which says when to check the connection.

use std::collections::BTreeSet;

use super::token::Token;

/// No check is due.
pub const NEVER_MS: u64 = u64::MAX;

/// An ordered set of (time, connection). An entry says when to check a connection. The deadline itself is stored in the
/// connection and may have changed since. A deadline that moves later, as with keep-alive traffic, changes nothing
/// here.
#[derive(Default)]
pub struct Timers {
    entries: BTreeSet<(u64, Token)>,
}

impl Timers {
    /// Makes sure that the connection is checked no later than `deadline_ms`.
    ///
    /// # Arguments
    ///
    /// `entered_ms` is the time of the connection's entry, or [`NEVER_MS`]. It is stored beside the connection, for
    /// this method alone.
    pub fn look_at(&mut self, token: Token, deadline_ms: u64, entered_ms: &mut u64) {
        if deadline_ms < *entered_ms {
            self.forget(token, entered_ms);
            self.entries.insert((deadline_ms, token));
            *entered_ms = deadline_ms;
        }
    }

    /// Removes the entry of a connection that is gone.
    pub fn forget(&mut self, token: Token, entered_ms: &mut u64) {
        if *entered_ms != NEVER_MS {
            self.entries.remove(&(*entered_ms, token));
            *entered_ms = NEVER_MS;
        }
    }

    /// The earliest entry's time.
    pub fn next_ms(&self) -> Option<u64> {
        self.entries.first().map(|&(at_ms, _)| at_ms)
    }

    /// Takes the next entry whose time has come. The time stored beside the connection is to be set to [`NEVER_MS`].
    pub fn pop_due(&mut self, now_ms: u64) -> Option<Token> {
        if self.next_ms()? > now_ms {
            return None;
        }
        self.entries.pop_first().map(|(_, token)| token)
    }

    /// Number of entries.
    #[cfg(test)]
    fn entries(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A simple random number generator with a seed.
    fn next(state: &mut u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *state >> 33
    }

    #[test]
    fn a_connection_never_has_more_than_one_entry_and_is_checked_in_time() {
        for seed in 0..2000 {
            let mut state = seed;
            let mut timers = Timers::default();
            let mut deadlines = [NEVER_MS; 8];
            let mut entered = [NEVER_MS; 8];
            let mut now_ms = 0;
            for _ in 0..60 {
                let one = next(&mut state) as usize % 8;
                let token = Token::new(one, 0);
                match next(&mut state) % 4 {
                    // A new deadline: nearer or farther than before.
                    0 | 1 => {
                        deadlines[one] = now_ms + 1 + next(&mut state) % 50;
                        timers.look_at(token, deadlines[one], &mut entered[one]);
                    }
                    2 => {
                        deadlines[one] = NEVER_MS;
                        timers.forget(token, &mut entered[one]);
                    }
                    _ => {
                        now_ms += next(&mut state) % 20;
                        while let Some(token) = timers.pop_due(now_ms) {
                            let one = token.index();
                            entered[one] = NEVER_MS;
                            if deadlines[one] > now_ms && deadlines[one] != NEVER_MS {
                                timers.look_at(token, deadlines[one], &mut entered[one]);
                            } else {
                                deadlines[one] = NEVER_MS;
                            }
                        }
                        assert!(deadlines.iter().all(|&deadline_ms| deadline_ms > now_ms));
                    }
                }
                assert!(timers.entries() <= entered.iter().filter(|&&at_ms| at_ms != NEVER_MS).count());
            }
        }
    }

    #[test]
    fn kept_connections_whose_deadlines_come_nearer_grow_a_heap_of_lazy_entries_and_not_the_timers() {
        let mut heap = std::collections::BinaryHeap::new();
        let mut timers = Timers::default();
        let mut entered = [NEVER_MS; 8];
        for request in 0..10_000u64 {
            let one = (request % 8) as usize;
            let token = Token::new(one, 0);
            // Far while it is idle, near while a head is incomplete.
            for deadline_ms in [1_000_000 - request, 500_000 - request] {
                // The former rule: a nearer deadline is entered beside the old one.
                heap.push((std::cmp::Reverse(deadline_ms), token));
                timers.look_at(token, deadline_ms, &mut entered[one]);
            }
        }
        assert!(heap.len() > 10_000);
        assert_eq!(timers.entries(), 8);
    }
}
