//! Limits the connections of one client, counted by all workers together.
//!
//! Each worker counts in a row of its own; a client's number is the sum over the rows of running workers. A row is
//! cleared when its worker has ended, for whatever reason, and when the next one begins: a killed worker leaves nothing
//! behind. A client's place in a row is one of the eight words of a line.

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};

use farrier_http::wire::h1::encode::encode_head;
use farrier_http::wire::h1::{RequestFacts, ResponseFraming};
use farrier_http::{Error, Kind, Peer, Version};
use rustix::net::{RecvFlags, SendFlags};

use crate::client_hash::{ClientHash, LINE_WORDS};
use crate::rescue;
use farrier_log::occasional::Occasional;
use farrier_transport::reactor::clock::Date;

/// Words of a row: room for four times as many clients as a worker has connections by default.
const ROW_WORDS: usize = 4096;

/// Bits of a word that count; the rest is the tag that identifies a client.
const COUNT_BITS: u32 = 16;

const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

/// Largest limit.
pub const LIMIT_MAX: u32 = COUNT_MASK as u32 - 1;

/// Words that this many rows need.
pub const fn words_for(rows: usize) -> usize {
    LINE_WORDS + rows.next_multiple_of(LINE_WORDS) + rows * ROW_WORDS
}

/// Clears the counts of the worker that had this row and has ended.
pub fn clear(words: &[AtomicU64], rows: usize, row: usize) {
    let Some(table) = Rows::of(words, rows) else { return };
    if let Some(flag) = table.flags.get(row)
        && flag.swap(0, Ordering::Relaxed) != 0
    {
        table.row(row).iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }
}

/// The connection limit of each client.
pub struct ConnectionLimit {
    most: u64,
    rows: Rows<'static>,
    row: usize,
    hash: ClientHash,
    is_exempt: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
    report: Occasional,
}

impl ConnectionLimit {
    /// A limit of `most` connections for each client, in a worker that begins.
    ///
    /// # Arguments
    ///
    /// `words` are shared by all workers, as many as [`words_for`] says for `rows`, with a key
    /// ([`crate::client_hash::seed`]); `row` is this worker's. `is_exempt` names addresses that are not limited.
    pub fn new(
        most: u32,
        words: &'static [AtomicU64],
        rows: usize,
        row: usize,
        is_exempt: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
        report: Occasional,
    ) -> Option<ConnectionLimit> {
        let hash = ClientHash::of(words)?;
        clear(words, rows, row);
        let rows = Rows::of(words, rows).filter(|rows| row < rows.flags.len())?;
        rows.flags[row].store(1, Ordering::Relaxed);
        let most = u64::from(most.clamp(1, LIMIT_MAX));
        Some(ConnectionLimit { most, rows, row, hash, is_exempt, report })
    }

    /// Counts a new connection. Peers on unix sockets are not counted.
    ///
    /// # Errors
    /// The client has reached its limit.
    pub fn count(&self, peer: Peer) -> Result<Option<Counted>, TooMany> {
        let Peer::Tcp(address) = peer else { return Ok(None) };
        let client = address.ip();
        if (self.is_exempt)(client) {
            return Ok(None);
        }
        let number = self.hash.number(client);
        // Before the sum: of two workers that count at the same time, at least one sees both.
        let counted = self.rows.add(self.row, number);
        if self.rows.sum(number) > self.most {
            drop(counted);
            self.report.refused(client);
            return Err(TooMany);
        }
        Ok(counted)
    }

    /// Sends a client that speaks HTTP the reason why its connection is closed: as much as is possible without waiting.
    pub fn tell(&self, socket: impl AsFd) {
        let error = Error::client(Kind::TooManyRequests, "this client has reached its connection limit");
        tell_without_waiting(socket, &whole_answer(&error, 1));
    }
}

/// Sends an answer before the socket is closed: as much as is possible without waiting.
pub fn tell_without_waiting(socket: impl AsFd, answer: &[u8]) {
    // Unread bytes would turn the close into a reset, which may overtake the answer.
    let _ = rustix::net::recv(&socket, &mut [0; 2048][..], RecvFlags::DONTWAIT);
    let _ = rustix::net::send(&socket, answer, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
}

/// The client has reached its connection limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

/// A connection that counts until this is dropped.
#[derive(Debug)]
pub struct Counted {
    word: &'static AtomicU64,
    tag: u64,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let fewer = |word: u64| match word & COUNT_MASK {
            // The row was cleared.
            _ if word & !COUNT_MASK != self.tag => None,
            0 | 1 => Some(0),
            _ => Some(word - 1),
        };
        // `None` means that there is nothing to change.
        let _ = self.word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer);
    }
}

/// The table: a line with the key, a flag for each row in use, and the rows.
#[derive(Clone, Copy)]
struct Rows<'w> {
    flags: &'w [AtomicU64],
    words: &'w [AtomicU64],
}

impl<'w> Rows<'w> {
    fn of(words: &'w [AtomicU64], rows: usize) -> Option<Rows<'w>> {
        let (_, rest) = words.split_at_checked(LINE_WORDS)?;
        let (flags, words) = rest.split_at_checked(rows.next_multiple_of(LINE_WORDS))?;
        (words.len() >= rows * ROW_WORDS).then_some(Rows { flags: &flags[..rows], words })
    }

    fn row(&self, row: usize) -> &'w [AtomicU64] {
        &self.words[row * ROW_WORDS..][..ROW_WORDS]
    }

    fn line(&self, row: usize, number: u64) -> &'w [AtomicU64] {
        let line = number as usize % (ROW_WORDS / LINE_WORDS);
        &self.row(row)[line * LINE_WORDS..][..LINE_WORDS]
    }

    /// How many connections the client has.
    fn sum(&self, number: u64) -> u64 {
        let in_use = self.flags.iter().enumerate().filter(|(_, flag)| flag.load(Ordering::Relaxed) != 0);
        let counts = in_use.flat_map(|(row, _)| self.line(row, number)).map(|word| word.load(Ordering::Relaxed));
        counts.filter(|word| word & !COUNT_MASK == tag(number)).map(|word| word & COUNT_MASK).sum()
    }
}

impl Rows<'static> {
    /// One more; `None` if there is no room for another client: then this connection does not count.
    fn add(&self, row: usize, number: u64) -> Option<Counted> {
        let tag = tag(number);
        let line = self.line(row, number);
        loop {
            let find = |wanted: &dyn Fn(u64) -> bool| line.iter().find(|word| wanted(word.load(Ordering::Relaxed)));
            let (word, known) = match find(&|word| word & !COUNT_MASK == tag && word & COUNT_MASK > 0) {
                Some(word) => (word, true),
                None => (find(&|word| word == 0)?, false),
            };
            let more = |value: u64| match (known, value & !COUNT_MASK == tag, value) {
                (true, true, _) if value & COUNT_MASK < COUNT_MASK => Some(value + 1),
                (false, _, 0) => Some(tag | 1),
                _ => None,
            };
            // It fails if another seat has meanwhile closed the last of them, or begun with another client.
            if word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok() {
                return Some(Counted { word, tag });
            }
            if known && word.load(Ordering::Relaxed) & COUNT_MASK == COUNT_MASK {
                return None;
            }
        }
    }
}

/// Never zero, whatever the number is.
fn tag(number: u64) -> u64 {
    (number & !COUNT_MASK) | (1 << COUNT_BITS)
}

/// The bytes of an answer that needs no request: it ends the connection.
pub fn whole_answer(error: &Error, retry_after_s: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some((head, content)) = rescue::response_to(error, retry_after_s, |_| None) {
        let facts = RequestFacts { is_head: false, version: Version::Http11, keep_alive: false };
        let framing = ResponseFraming::Length(content.len() as u64);
        let mut date = Date::default();
        encode_head(&mut bytes, &head, framing, facts, false, date.now().as_bytes(), b"");
        bytes.extend_from_slice(&content);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    use super::*;
    use crate::client_hash::seed;
    use farrier_log::error::{ErrorLog, Level};
    use farrier_log::writer::Target;

    const ROWS: usize = 3;

    fn words() -> &'static [AtomicU64] {
        let words: Vec<AtomicU64> = (0..words_for(ROWS)).map(|_| AtomicU64::new(0)).collect();
        seed(&words, [3, 5]);
        Box::leak(words.into_boxed_slice())
    }

    fn limit(words: &'static [AtomicU64], most: u32, row: usize) -> ConnectionLimit {
        let nowhere = Target::File("/dev/null".into()).direct(1 << 20).expect("opened");
        let log = Arc::new(ErrorLog::new(Level::Error, nowhere, None, None));
        let report = Occasional::new(log, "connection", "");
        ConnectionLimit::new(most, words, ROWS, row, Box::new(|address| address.is_loopback()), report).expect("room")
    }

    fn peer(number: u32) -> Peer {
        Peer::Tcp((Ipv4Addr::from(0xc000_0200 + number), 1).into())
    }

    #[test]
    fn workers_count_together_and_a_closed_connection_makes_room() {
        let words = words();
        let (first, second) = (limit(words, 3, 0), limit(words, 3, 2));
        let mut held = vec![first.count(peer(1)), second.count(peer(1)), first.count(peer(1))];
        assert!(held.iter().all(|counted| matches!(counted, Ok(Some(_)))));
        assert!(second.count(peer(1)).is_err() && first.count(peer(1)).is_err());
        assert!(first.count(peer(2)).is_ok());
        held.pop();
        assert!(second.count(peer(1)).is_ok());
    }

    #[test]
    fn what_a_worker_has_counted_ends_with_it() {
        let words = words();
        let (gone, other) = (limit(words, 2, 0), limit(words, 2, 1));
        let held = [gone.count(peer(1)), gone.count(peer(1))];
        assert!(other.count(peer(1)).is_err());
        clear(words, ROWS, 0);
        let kept = other.count(peer(1));
        assert!(kept.is_ok());
        // A successor counts from zero, and a late GOAWAY of the one before changes nothing.
        let successor = limit(words, 2, 0);
        let its = successor.count(peer(1));
        assert!(its.is_ok() && successor.count(peer(1)).is_err());
        drop(held);
        assert!(other.count(peer(7)).is_ok());
    }

    #[test]
    fn exempt_peers_and_peers_without_an_address_are_not_counted() {
        let limit = limit(words(), 1, 0);
        let local = Peer::Tcp((Ipv4Addr::LOCALHOST, 1).into());
        for peer in [local, Peer::Unix] {
            let held: Vec<_> = (0..5).map(|_| limit.count(peer)).collect();
            assert!(held.iter().all(|counted| matches!(counted, Ok(None))));
        }
    }

    #[test]
    fn where_there_is_no_room_to_count_a_client_is_not_limited() {
        let limit = limit(words(), 1, 0);
        let held: Vec<_> = (0..20_000).map(|number| limit.count(peer(number))).collect();
        assert!(held.iter().all(Result::is_ok));
        let counted = held.iter().flatten().flatten().count();
        assert!(counted > ROW_WORDS * 9 / 10 && counted <= ROW_WORDS, "{counted}");
        drop(held);
        assert!(limit.rows.words.iter().all(|word| word.load(Ordering::Relaxed) == 0));
    }

    #[test]
    fn threads_that_count_at_the_same_time_never_exceed_the_limit() {
        let words = words();
        let limits = [limit(words, 10, 0), limit(words, 10, 1)];
        std::thread::scope(|scope| {
            for limit in limits.iter().cycle().take(6) {
                scope.spawn(move || {
                    for _ in 0..500 {
                        let held: Vec<_> = (0..4).filter_map(|_| limit.count(peer(1)).ok()).collect();
                        // The sum includes at least those of this thread.
                        assert!(limit.rows.sum(limit.hash.number([192, 0, 2, 1].into())) >= held.len() as u64);
                    }
                });
            }
        });
        assert!(limits[0].rows.words.iter().all(|word| word.load(Ordering::Relaxed) == 0));
    }
}
