//! A response that waits for its client to read: whoever schedules seats must know.

/// Tells the scheduler about the wait of one call.
pub(crate) trait ClientWait {
    /// The call is about to wait. False: too many do (`threads_waiting_max`), so the response is to be given up.
    fn begins(&self) -> bool;

    /// The wait is over.
    fn ended(&self);

    /// The call is about to wait for the disk, for the sake of its response.
    fn disk_begins(&self);
}
