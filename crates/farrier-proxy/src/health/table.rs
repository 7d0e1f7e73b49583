//! The memory that all workers of a server share about the servers of upstreams: a line of words for each, found by its key, and
//! the lease of the worker that checks for all.
//!
//! The laws:
//!
//! - Two workers that ask for one key get the same words. A line that was taken is never taken for another key, so what is known
//!   of a server outlives a reload. When the table is full, a worker judges for itself.
//! - Of the workers one at most has the lease at a time. It must renew it before the lease ends. A worker of a newer generation
//!   takes it at once, because only it knows the present configuration; anyone takes it after its end.

use std::sync::atomic::{AtomicU64, Ordering};

use super::words::{KEY, SERVER_WORDS, Words};

/// Servers that there is room for.
pub const SERVERS: usize = 4096;

/// So many lines are looked at for a key.
const LOOKED_AT_MAX: usize = 256;

/// The words of a table.
pub const TABLE_WORDS: usize = (SERVERS + 1) * SERVER_WORDS;

/// Where the lease stands in the first line.
const LEASE: usize = 0;
/// Where the secret begins, of four words.
const SECRET: usize = 1;

/// A table in memory that was zero at first.
#[derive(Clone, Copy)]
pub struct Table(&'static [AtomicU64]);

impl Table {
    /// The table in [`TABLE_WORDS`] words.
    pub fn new(words: &'static [AtomicU64]) -> Table {
        Table(words)
    }

    /// Sets the secret by which cookies are signed. Done once, before the workers begin.
    pub fn seed(self, secret: [u64; 4]) {
        for (word, part) in self.0.iter().skip(SECRET).zip(secret) {
            word.store(part, Ordering::Relaxed);
        }
    }

    /// The secret.
    pub fn secret(self) -> [u8; 32] {
        let mut secret = [0; 32];
        for (into, word) in secret.chunks_mut(8).zip(self.0.iter().skip(SECRET)) {
            into.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
        }
        secret
    }

    /// The words of the server with this key.
    pub fn words(self, key: u64) -> Words {
        let (key, lines) = (key.max(1), self.0.len() / SERVER_WORDS);
        for step in 0..LOOKED_AT_MAX.min(lines.saturating_sub(1)) {
            let line = 1 + (key as usize).wrapping_add(step) % (lines - 1);
            let words = self.0.get(line * SERVER_WORDS..).and_then(|words| words.first_chunk::<SERVER_WORDS>());
            let Some(words) = words else { break };
            match words[KEY].compare_exchange(0, key, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Words::Shared(words),
                Err(its) if its == key => return Words::Shared(words),
                Err(_) => {}
            }
        }
        Words::default()
    }

    /// Takes or renews the lease for `lease_ms`. True: this worker has it.
    pub fn lead(self, worker: Worker, lease_ms: u64, now_ms: u64) -> bool {
        let Some(word) = self.0.get(LEASE) else { return true };
        let before = word.load(Ordering::Acquire);
        let (until, its) = Worker::decode(before);
        let is_over = until <= now_ms / UNIT_MS;
        if before != 0 && !is_over && its != worker && !its.is_older_than(worker) {
            return false;
        }
        let next = worker.encode((now_ms + lease_ms).div_ceil(UNIT_MS));
        word.compare_exchange(before, next, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

/// The lease's end is counted in these.
const UNIT_MS: u64 = 100;

const NUMBER_BITS: u32 = 22;
const GENERATION_BITS: u32 = 12;

/// Who asks for the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Worker {
    number: u64,
    generation: u64,
}

impl Worker {
    /// A worker with a number of its own, such as its process id, and the generation of its configuration.
    pub fn new(number: u32, generation: u32) -> Worker {
        let low = |number: u32, bits: u32| u64::from(number) & ((1 << bits) - 1);
        Worker { number: low(number, NUMBER_BITS), generation: low(generation, GENERATION_BITS) }
    }

    fn is_older_than(self, other: Worker) -> bool {
        // Numbers of generations begin anew after 4096.
        let ahead = other.generation.wrapping_sub(self.generation) & ((1 << GENERATION_BITS) - 1);
        ahead > 0 && ahead < 1 << (GENERATION_BITS - 1)
    }

    fn encode(self, until: u64) -> u64 {
        until << (NUMBER_BITS + GENERATION_BITS) | self.generation << NUMBER_BITS | self.number
    }

    fn decode(bits: u64) -> (u64, Worker) {
        let number = bits & ((1 << NUMBER_BITS) - 1);
        let generation = bits >> NUMBER_BITS & ((1 << GENERATION_BITS) - 1);
        (bits >> (NUMBER_BITS + GENERATION_BITS), Worker { number, generation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(lines: usize) -> Table {
        Table::new(Box::leak((0..(lines + 1) * SERVER_WORDS).map(|_| AtomicU64::new(0)).collect()))
    }

    fn is_shared(words: &Words) -> bool {
        matches!(words, Words::Shared(_))
    }

    #[test]
    fn one_key_has_the_same_words_for_all_and_two_keys_have_different_ones() {
        let table = table(8);
        let (a, b, again) = (table.words(9), table.words(17), table.words(9));
        a[1].store(5, Ordering::Relaxed);
        assert_eq!((again[1].load(Ordering::Relaxed), b[1].load(Ordering::Relaxed)), (5, 0));
    }

    #[test]
    fn a_server_without_room_in_the_table_has_words_of_its_own() {
        let table = table(2);
        assert!(is_shared(&table.words(1)) && is_shared(&table.words(2)) && !is_shared(&table.words(3)));
        assert!(is_shared(&table.words(1)));
        assert!(!is_shared(&Table::new(&[]).words(1)));
    }

    #[test]
    fn one_worker_checks_until_it_stops_renewing() {
        let table = table(1);
        let (a, b) = (Worker::new(11, 1), Worker::new(12, 1));
        assert!(table.lead(a, 10_000, 1) && !table.lead(b, 10_000, 5_000));
        assert!(table.lead(a, 10_000, 9_000) && !table.lead(b, 10_000, 18_900));
        assert!(table.lead(b, 10_000, 19_100) && !table.lead(a, 10_000, 19_200));
    }

    #[test]
    fn a_newer_generation_takes_the_lease_at_once() {
        let table = table(1);
        assert!(table.lead(Worker::new(11, 4095), 10_000, 1));
        assert!(table.lead(Worker::new(12, 4096), 10_000, 2), "numbers begin anew");
        assert!(!table.lead(Worker::new(11, 4095), 10_000, 3));
        assert!(table.lead(Worker::new(11, 4095), 10_000, 20_000), "the newer one may have been given up");
    }
}
