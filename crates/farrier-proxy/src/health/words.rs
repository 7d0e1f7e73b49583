//! What all workers know of a server: a few words of memory, each of which is a state of its own.
//!
//! A word holds a time of 48 bits in ms, and above it a phase, a cause and a count. It changes by compare-exchange, so of two
//! workers that see the same only one makes the change, and logs it.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};

/// Words of a server: a cache line.
pub const SERVER_WORDS: usize = 8;

/// Which server it is; 0 is free. See [`super::table`].
pub(crate) const KEY: usize = 0;
/// What checks say.
pub const CHECKED: usize = 1;
/// What failures say.
pub const FAILED: usize = 2;
/// What the agent says.
pub const AGENT: usize = 3;

const TIME_BITS: u32 = 48;

/// Memory of a server: its own, or shared with other processes.
pub enum Words {
    /// Only this process sees it.
    Own(Box<[AtomicU64; SERVER_WORDS]>),
    /// All workers see it.
    Shared(&'static [AtomicU64; SERVER_WORDS]),
}

impl Default for Words {
    fn default() -> Words {
        Words::Own(Box::default())
    }
}

impl Deref for Words {
    type Target = [AtomicU64; SERVER_WORDS];

    fn deref(&self) -> &[AtomicU64; SERVER_WORDS] {
        match self {
            Words::Own(words) => words,
            Words::Shared(words) => words,
        }
    }
}

/// Why a server is not well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Cause {
    /// Nothing is known.
    #[default]
    Unknown,
    /// It refused the connection, or cannot be reached.
    Refused,
    /// The connection was not made in time.
    ConnectTimeout,
    /// TLS with it failed.
    Handshake,
    /// It did not answer in time.
    Timeout,
    /// It closed the connection without an answer.
    Closed,
    /// Its answer breaks the protocol.
    BadResponse,
    /// Its answer has a status that stands for a failure.
    Status,
    /// Its answer does not have the content that the check wants.
    Content,
    /// Its agent says so.
    Agent,
}

const CAUSES: [Cause; 10] = [
    Cause::Unknown,
    Cause::Refused,
    Cause::ConnectTimeout,
    Cause::Handshake,
    Cause::Timeout,
    Cause::Closed,
    Cause::BadResponse,
    Cause::Status,
    Cause::Content,
    Cause::Agent,
];

impl Cause {
    /// For the log, behind "because".
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Unknown => "it fails",
            Cause::Refused => "it refuses connections",
            Cause::ConnectTimeout => "it does not accept connections in time",
            Cause::Handshake => "TLS with it fails",
            Cause::Timeout => "it does not answer in time",
            Cause::Closed => "it closes connections without an answer",
            Cause::BadResponse => "its answers break the protocol",
            Cause::Status => "it answers with a status of failure",
            Cause::Content => "its answer does not have the expected content",
            Cause::Agent => "its agent says so",
        }
    }

    /// Whether no connection could be made.
    pub fn is_unreachable(self) -> bool {
        matches!(self, Cause::Refused | Cause::ConnectTimeout)
    }
}

/// A word, decoded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct State {
    /// What it is; 0 at first. Its meaning is the word's own.
    pub phase: u8,
    /// Why.
    pub cause: Cause,
    /// Its meaning is the word's own; up to 63.
    pub count: u8,
    /// A time in ms.
    pub at_ms: u64,
}

impl State {
    /// The state of a word.
    pub fn of(word: &AtomicU64) -> State {
        State::decode(word.load(Ordering::Acquire))
    }

    /// Decodes a word.
    pub fn decode(bits: u64) -> State {
        let cause = (bits >> (TIME_BITS + 2) & 0xf) as usize;
        State {
            phase: (bits >> TIME_BITS & 0x3) as u8,
            cause: CAUSES.get(cause).copied().unwrap_or_default(),
            count: (bits >> (TIME_BITS + 6) & 0x3f) as u8,
            at_ms: bits & ((1 << TIME_BITS) - 1),
        }
    }

    /// Encodes a word.
    pub fn encode(self) -> u64 {
        self.at_ms & ((1 << TIME_BITS) - 1)
            | u64::from(self.phase & 0x3) << TIME_BITS
            | u64::from(self.cause as u8) << (TIME_BITS + 2)
            | u64::from(self.count.min(0x3f)) << (TIME_BITS + 6)
    }

    /// Puts another state in the place of this one. False: it has changed in the meantime.
    pub fn replace(self, word: &AtomicU64, next: State) -> bool {
        word.compare_exchange(self.encode(), next.encode(), Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_as_it_was_written_and_nothing_is_zero() {
        assert_eq!(State::decode(0), State::default());
        for cause in CAUSES {
            for (phase, count, at_ms) in [(0, 0, 0), (3, 63, (1 << 48) - 1), (1, 7, 1_000_000_000_000)] {
                let state = State { phase, cause, count, at_ms };
                assert_eq!(State::decode(state.encode()), state);
            }
        }
    }

    #[test]
    fn of_two_that_change_the_same_state_one_does() {
        let word = AtomicU64::new(0);
        let seen = State::of(&word);
        let next = |at_ms| State { phase: 1, at_ms, ..State::default() };
        assert!(seen.replace(&word, next(1)) && !seen.replace(&word, next(2)));
        assert_eq!(State::of(&word).at_ms, 1);
    }
}
