//! Reports to the scheduler that a response waits for its client to read.

/// Tells the scheduler about the wait of one call.
pub trait ClientWait {
    /// The call is about to wait. False: too many calls wait (`threads_waiting_max`), so the response must be given up.
    fn begins(&self) -> bool;

    /// The wait is over.
    fn ended(&self);

    /// The call is about to wait for the disk, to write its response there.
    fn disk_begins(&self);
}
