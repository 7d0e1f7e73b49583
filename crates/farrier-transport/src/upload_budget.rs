//! Limits the request content that a worker keeps: in memory, waiting for the disk, and in temporary files.

use std::sync::Arc;

use farrier_http::{Error, Kind};

use crate::account::{Account, Kept};

/// Bytes that may wait for the disk thread, for all uploads of a worker. Above this each upload may still have one
/// small piece waiting, so that none stalls.
const WAITING_MAX: u64 = 8 << 20;

/// Content of all requests of a worker, and its limits.
#[derive(Debug, Clone)]
pub struct UploadBudget {
    /// Content in memory.
    pub memory: Arc<Account>,
    /// What waits for the disk thread.
    pub waiting: Arc<Account>,
    /// Content in temporary files.
    pub disk: Arc<Account>,
    connection_max: u64,
}

/// Request content that one connection keeps, if it can send several requests at once.
#[derive(Debug, Clone)]
pub struct ConnectionUploads(Arc<Account>);

impl UploadBudget {
    /// A budget with a limit for memory and one for files, in bytes.
    pub fn new(memory_max: u64, disk_max: u64, connection_max: u64) -> UploadBudget {
        UploadBudget {
            memory: Account::new(memory_max),
            waiting: Account::new(WAITING_MAX),
            disk: Account::new(disk_max),
            connection_max,
        }
    }

    /// Whether the content that waits for the disk thread has reached its limit.
    pub fn is_disk_behind(&self) -> bool {
        !self.waiting.has_room_for(1)
    }

    /// The share of a new connection.
    pub fn of_connection(&self) -> ConnectionUploads {
        ConnectionUploads(Account::new(self.connection_max))
    }
}

impl ConnectionUploads {
    /// The part of a new request.
    pub fn begin(&self) -> ConnectionShare {
        ConnectionShare { account: Arc::clone(&self.0), kept: self.0.keep_nothing() }
    }
}

/// One request's part of its connection's share.
#[derive(Debug)]
pub struct ConnectionShare {
    account: Arc<Account>,
    kept: Kept,
}

impl ConnectionShare {
    /// Counts more content. The only request of a connection is not limited here.
    ///
    /// # Errors
    /// The connection's requests have reached their limit.
    pub fn grow(&mut self, bytes: u64) -> Result<(), Error> {
        if self.kept.try_grow(bytes) {
            return Ok(());
        }
        if self.kept.bytes() < self.account.bytes() {
            let cause = "the requests of this connection have too much content at once (see upload_connection_max)";
            return Err(Error::client(Kind::Overloaded, cause));
        }
        self.kept.grow(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_has_a_share_and_a_request_alone_may_pass_it() {
        let uploads = UploadBudget::new(1, 1, 10).of_connection();
        let (mut first, mut second) = (uploads.begin(), uploads.begin());
        assert!(first.grow(6).is_ok() && second.grow(4).is_ok());
        assert_eq!(second.grow(1).expect_err("above the share").kind, Kind::Overloaded);
        drop(second);
        assert!(first.grow(100).is_ok());
        let mut third = uploads.begin();
        assert!(third.grow(1).is_err());
        drop(first);
        assert!(third.grow(1).is_ok());
    }
}
