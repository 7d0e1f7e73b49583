//! A table of fixed size with one word per client, shared by all workers. Words are changed by compare-exchange. So a
//! limit is exact across workers, and a worker that is killed leaves nothing locked or half-written.
//!
//! A word holds a tag, which identifies a client, and the client's arrival time in ticks. A client can be in any of
//! eight words, which are one line of the processor's cache. Two clients with the same line and tag share one limit.
//! Nobody outside can compute the hash; the chance is one in two million if the line is full.
//!
//! If a line is full, a new client replaces the one whose arrival time is least ahead, which then starts afresh. So a
//! flood of addresses makes the limit more lenient for others, never stricter.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use super::gcra::Pace;
use farrier_protocol::client_hash::{ClientHash, LINE_WORDS};

/// Bits of a word that hold the time. The rest is the tag.
const TIME_BITS: u32 = 40;

const TIME_MASK: u64 = (1 << TIME_BITS) - 1;

/// The number of words that a table for `clients` clients needs.
pub const fn words_for(clients: usize) -> usize {
    LINE_WORDS + clients.next_power_of_two().next_multiple_of(LINE_WORDS)
}

/// A table in shared words.
pub(super) struct Table {
    lines: &'static [AtomicU64],
    /// The mask for a line's number: the number of lines less one.
    mask: u64,
    hash: ClientHash,
}

impl Table {
    /// The table in these words. `None` if there are too few.
    pub(super) fn new(words: &'static [AtomicU64]) -> Option<Table> {
        let (_, lines) = words.split_at_checked(LINE_WORDS)?;
        let count = lines.len() / LINE_WORDS;
        if !count.is_power_of_two() {
            return None;
        }
        Some(Table { lines, mask: count as u64 - 1, hash: ClientHash::of(words)? })
    }

    /// Whether a request of this client is admitted now.
    ///
    /// # Errors
    /// The request comes too early, by this many nanoseconds.
    pub(super) fn admit(&self, client: IpAddr, pace: &Pace, now_ns: u64) -> Result<(), u64> {
        let hash = self.hash.number(client);
        // A tag of zero would look like an empty word.
        let tag = (hash >> TIME_BITS).max(1) << TIME_BITS;
        let first = (hash & self.mask) as usize * LINE_WORDS;
        let line = &self.lines[first..first + LINE_WORDS];
        let now = pace.ticks(now_ns) & TIME_MASK;
        // The clock wraps around. A time further ahead than any client can be is therefore in the past.
        let ahead_of = |word: u64| match (word & TIME_MASK).wrapping_sub(now) & TIME_MASK {
            ahead if ahead > pace.ahead_max() => 0,
            ahead => ahead,
        };
        loop {
            let (mut place, mut found, mut least) = (&line[0], 0, u64::MAX);
            for slot in line {
                let word = slot.load(Ordering::Relaxed);
                if word & !TIME_MASK == tag {
                    (place, found) = (slot, word);
                    break;
                }
                let ahead = if word == 0 { 0 } else { ahead_of(word) };
                if ahead < least {
                    (place, found, least) = (slot, word, ahead);
                }
            }
            let ahead = if found & !TIME_MASK == tag { ahead_of(found) } else { 0 };
            let arrival = (now + pace.admit(ahead)?) & TIME_MASK;
            // Relaxed is enough, as no other memory depends on the word. If another request came in between, the
            // exchange fails and the line is read again.
            if place.compare_exchange(found, tag | arrival, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::super::gcra::Rate;
    use super::*;
    use farrier_protocol::client_hash::seed;

    const SECOND_NS: u64 = 1_000_000_000;

    fn table(clients: usize) -> Table {
        let words: Vec<AtomicU64> = (0..words_for(clients)).map(|_| AtomicU64::new(0)).collect();
        let words: &'static [AtomicU64] = Box::leak(words.into_boxed_slice());
        seed(words, [17, 42]);
        Table::new(words).expect("room")
    }

    fn pace(requests: u64, burst: u64) -> Pace {
        Pace::of(Rate { requests, period_ns: SECOND_NS, burst })
    }

    fn admitted(table: &Table, client: IpAddr, pace: &Pace, tries: usize, now_ns: u64) -> usize {
        (0..tries).filter(|_| table.admit(client, pace, now_ns).is_ok()).count()
    }

    #[test]
    fn each_client_has_a_limit_of_its_own_and_recovers() {
        let (table, pace) = (table(1024), pace(10, 5));
        let now_ns = 1_234_567 * SECOND_NS;
        let clients: Vec<IpAddr> = (0..50u32).map(|number| Ipv4Addr::from(number).into()).collect();
        for &client in &clients {
            assert_eq!(admitted(&table, client, &pace, 9, now_ns), 5);
        }
        for &client in &clients {
            assert_eq!(admitted(&table, client, &pace, 9, now_ns + SECOND_NS / 5 + 1_000_000), 2);
            assert_eq!(admitted(&table, client, &pace, 9, now_ns + 100 * SECOND_NS), 5);
        }
    }

    #[test]
    fn the_limit_holds_when_the_clock_wraps_or_a_client_returns_after_years() {
        let pace = pace(10, 5);
        let round_ns = (TIME_MASK + 1) * (SECOND_NS / 10 / 1024);
        for now_ns in [0, round_ns - 1, round_ns - 200_000_000, round_ns, 3 * round_ns + 5] {
            let table = table(64);
            let client = Ipv4Addr::LOCALHOST.into();
            assert_eq!(admitted(&table, client, &pace, 9, now_ns), 5, "{now_ns}");
            assert_eq!(admitted(&table, client, &pace, 9, now_ns + 300_000_000 + 1_000_000), 3);
            assert_eq!(admitted(&table, client, &pace, 9, now_ns + round_ns / 2), 5);
        }
    }

    #[test]
    fn ipv6_clients_are_counted_by_network_and_ipv4_clients_by_address() {
        let (table, pace) = (table(1024), pace(1, 1));
        let admits = |text: &str| table.admit(text.parse().expect("an address"), &pace, 0).is_ok();
        assert!(admits("2001:db8::1") && !admits("2001:db8::2") && !admits("2001:db8:0:0:ffff::"));
        assert!(admits("2001:db8:0:1::1"));
        assert!(admits("192.0.2.1") && admits("192.0.2.2") && !admits("::ffff:192.0.2.1"));
        assert!(admits("::ffff:192.0.2.3") && !admits("192.0.2.3"));
    }

    #[test]
    fn a_flood_of_addresses_makes_the_limit_lenient_and_never_strict() {
        let (table, pace) = (table(256), pace(1, 3));
        let now_ns = 99 * SECOND_NS;
        let offender = Ipv4Addr::new(192, 0, 2, 1).into();
        assert_eq!(admitted(&table, offender, &pace, 9, now_ns), 3);
        for number in 0..10_000u128 {
            let client = Ipv6Addr::from(number << 64).into();
            assert_eq!(admitted(&table, client, &pace, 1, now_ns), 1, "each client's first request is admitted");
        }
        // A client that has used up its burst is replaced last.
        assert_eq!(admitted(&table, offender, &pace, 9, now_ns), 0);
    }

    #[test]
    fn concurrent_threads_get_no_more_than_the_limit() {
        let (table, pace) = (table(64), pace(1, 1000));
        let client = Ipv4Addr::LOCALHOST.into();
        // The client is in the table before the threads begin.
        assert_eq!(admitted(&table, client, &pace, 1, 0), 1);
        let total: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| admitted(&table, client, &pace, 500, 0))).collect();
            threads.into_iter().map(|thread| thread.join().expect("ends")).sum()
        });
        assert_eq!(total, 999);
    }
}
