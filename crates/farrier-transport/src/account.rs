//! Counts bytes that a worker keeps for its clients, up to a limit. The owner of the bytes holds a [`Kept`]. Dropping
//! it gives the bytes back, however the request ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

/// Bytes of one kind that a worker keeps, and their limit.
#[derive(Debug)]
pub struct Account {
    bytes: AtomicU64,
    bytes_max: u64,
}

/// A part of an account, given back when it is dropped.
#[derive(Debug)]
pub struct Kept {
    account: Arc<Account>,
    bytes: u64,
}

impl Account {
    /// An empty account with a limit.
    pub fn new(bytes_max: u64) -> Arc<Account> {
        Arc::new(Account { bytes: AtomicU64::new(0), bytes_max })
    }

    /// Bytes that are kept now.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Counts bytes, if the limit leaves room for all of them.
    pub fn try_keep(self: &Arc<Account>, bytes: u64) -> Option<Kept> {
        self.try_add(bytes).then(|| Kept { account: Arc::clone(self), bytes })
    }

    /// An empty part of the account, which may grow.
    pub fn keep_nothing(self: &Arc<Account>) -> Kept {
        Kept { account: Arc::clone(self), bytes: 0 }
    }

    /// Whether this many more bytes may be kept now.
    pub fn has_room_for(&self, bytes: u64) -> bool {
        self.bytes().saturating_add(bytes) <= self.bytes_max
    }

    fn try_add(&self, bytes: u64) -> bool {
        let room_for = |kept: u64| kept.checked_add(bytes).filter(|&total| total <= self.bytes_max);
        self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room_for).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Kept {
    /// Bytes that this part counts.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Counts more bytes. If the limit leaves no room, it returns false and counts nothing.
    pub fn try_grow(&mut self, bytes: u64) -> bool {
        let has_grown = self.account.try_add(bytes);
        if has_grown {
            self.bytes += bytes;
        }
        has_grown
    }

    /// Counts bytes even above the limit: for content that is kept in any case.
    pub fn grow(&mut self, bytes: u64) {
        self.account.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
    }

    /// Gives some of the bytes back before the rest.
    #[allow(dead_code, reason = "for content that leaves in parts")]
    pub fn give_back(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.account.give_back(bytes);
    }

    /// Moves everything that it counts to a new part, and counts nothing any more.
    pub fn split(&mut self) -> Kept {
        Kept { account: Arc::clone(&self.account), bytes: std::mem::take(&mut self.bytes) }
    }

    /// Takes over the bytes that another part of the same account counts.
    pub fn absorb(&mut self, mut other: Kept) {
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.account.give_back(self.bytes);
    }
}

/// Bytes that are counted as kept until the last piece of them is dropped.
pub fn kept_bytes(content: impl AsRef<[u8]> + Send + 'static, kept: Kept) -> Bytes {
    Bytes::from_owner(Owner { content, _kept: kept })
}

struct Owner<T> {
    content: T,
    _kept: Kept,
}

impl<T: AsRef<[u8]>> AsRef<[u8]> for Owner<T> {
    fn as_ref(&self) -> &[u8] {
        self.content.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_counted_until_they_are_dropped() {
        let account = Account::new(10);
        let mut first = account.try_keep(4).expect("there is room");
        let second = account.try_keep(6).expect("there is room");
        assert!(account.try_keep(1).is_none());
        assert!(!first.try_grow(1));
        drop(second);
        assert!(first.try_grow(5));
        first.give_back(7);
        assert_eq!((account.bytes(), first.bytes()), (2, 2));
        first.give_back(7);
        drop(first);
        assert_eq!(account.bytes(), 0);
    }

    #[test]
    fn bytes_that_are_kept_in_any_case_may_pass_the_bound() {
        let account = Account::new(10);
        let mut kept = account.keep_nothing();
        kept.grow(12);
        assert_eq!(account.bytes(), 12);
        assert!(account.try_keep(1).is_none() && account.try_keep(u64::MAX).is_none());
        drop(kept);
        assert_eq!(account.bytes(), 0);
    }

    #[test]
    fn kept_bytes_are_given_back_with_their_last_piece() {
        let account = Account::new(10);
        let mut bytes = kept_bytes(vec![0; 10], account.try_keep(10).expect("there is room"));
        let first = bytes.split_to(4);
        drop(bytes);
        assert_eq!(account.bytes(), 10);
        drop(first);
        assert_eq!(account.bytes(), 0);
    }
}
