//! Limits the response bytes that a worker keeps for slow clients: in memory, and beyond that in nameless files.

use std::sync::Arc;

use crate::account::{Account, Kept};

/// The unsent bytes of all responses of a worker, and their limits.
#[derive(Debug)]
pub struct ResponseBudget {
    memory: Arc<Account>,
    disk: Arc<Account>,
}

impl ResponseBudget {
    /// An empty budget with these limits.
    pub fn new(memory_max: u64, disk_max: u64) -> ResponseBudget {
        ResponseBudget { memory: Account::new(memory_max), disk: Account::new(disk_max) }
    }

    /// Counts bytes that wait in memory. `None` above the limit: they belong in a file.
    pub fn try_keep(&self, bytes: u64) -> Option<Kept> {
        self.memory.try_keep(bytes)
    }

    /// Counts bytes that wait in memory, even above the limit: the few of an answer that the server gives itself.
    pub fn keep(&self, bytes: u64) -> Kept {
        let mut kept = self.memory.keep_nothing();
        kept.grow(bytes);
        kept
    }

    /// An empty part of the memory account, for data that is kept in any case.
    pub fn keep_nothing(&self) -> Kept {
        self.memory.keep_nothing()
    }

    /// Whether no more may be kept in memory.
    pub fn is_used_up(&self) -> bool {
        !self.memory.has_room_for(1)
    }

    /// Counts bytes that wait in a file. `None` above the limit: the response cannot be kept.
    pub fn try_keep_on_disk(&self, bytes: u64) -> Option<Kept> {
        self.disk.try_keep(bytes)
    }

    /// Bytes that wait in memory.
    #[cfg(test)]
    pub fn memory_bytes(&self) -> u64 {
        self.memory.bytes()
    }

    /// Bytes that wait in files.
    #[cfg(test)]
    pub fn disk_bytes(&self) -> u64 {
        self.disk.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_disk_are_counted_separately() {
        let budget = ResponseBudget::new(10, 20);
        let in_memory = budget.try_keep(10).expect("there is room");
        assert!(budget.try_keep(1).is_none());
        let on_disk = budget.try_keep_on_disk(20).expect("there is room");
        assert!(budget.try_keep_on_disk(1).is_none());
        assert_eq!((budget.memory_bytes(), budget.disk_bytes()), (10, 20));
        drop((in_memory, on_disk));
        assert_eq!((budget.memory_bytes(), budget.disk_bytes()), (0, 0));
    }
}
