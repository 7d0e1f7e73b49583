//! What all workers know together of the servers of upstreams: the memory, its clock, and who checks.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::time::Instant;

use farrier_proxy::health::Words;
use farrier_proxy::health::table::{TABLE_WORDS, Table, Worker};
use farrier_supervisor::SharedWords;

/// The memory. It is always mapped before the first fork, because a reload may need it. Unused pages take no memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SharedUpstreams {
    words: SharedWords,
    /// Processes that were forked see the same time.
    began: Instant,
    /// This worker's number, which no other worker has at the same time.
    slot: u32,
    generation: u32,
}

impl SharedUpstreams {
    /// Maps the memory.
    ///
    /// # Errors
    /// The kernel's: no memory.
    pub(crate) fn new() -> io::Result<SharedUpstreams> {
        let words = SharedWords::new(TABLE_WORDS)?;
        Table::new(words.words()).seed([0; 4].map(|part: u64| RandomState::new().hash_one(part)));
        Ok(SharedUpstreams { words, began: Instant::now(), slot: 0, generation: 0 })
    }

    /// The same for a worker.
    pub(crate) fn of_worker(self, slot: u32, generation: u32) -> SharedUpstreams {
        SharedUpstreams { slot, generation, ..self }
    }

    fn table(&self) -> Table {
        Table::new(self.words.words())
    }

    /// The words of the server with this key.
    pub(crate) fn words(&self, key: u64) -> Words {
        self.table().words(key)
    }

    /// The secret by which cookies are signed. A restart makes another.
    pub(crate) fn secret(&self) -> [u8; 32] {
        self.table().secret()
    }

    /// This worker's number.
    pub(crate) fn slot(&self) -> u32 {
        self.slot
    }

    /// The time that all workers share, in ms. It begins above 0, which stands for "never".
    pub(crate) fn now_ms(&self) -> u64 {
        1 + u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX >> 16)
    }

    /// Takes or renews the lease of the worker that checks for all. True: this one has it.
    pub(crate) fn lead(&self, lease_ms: u64) -> bool {
        self.table().lead(Worker::new(std::process::id(), self.generation), lease_ms, self.now_ms())
    }
}
