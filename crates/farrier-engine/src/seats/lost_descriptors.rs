//! Descriptors of the server that the application has closed, for example with `os.closerange()`. Nothing can be served
//! without them, so the worker says why and ends. The arbiter replaces it.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use super::lead::Lead;
use super::seat::Seat;
use farrier_log::error::Level;

impl Seat {
    /// Ends the worker, because it has lost `what`.
    pub(super) fn lose(&self, what: &str, error: &io::Error) {
        let shared = &self.shared;
        shared.error_log.write(
            Level::Critical,
            &format!(
                "The worker has lost its {what} ({error}), and ends: the application must not close descriptors that it \
                 has not opened (see os.closerange)"
            ),
        );
        shared.error_log.flush();
        (shared.fail)();
    }

    /// Looks whether the descriptors are still open. Called when the arbiter asks, because a closed descriptor of an idle
    /// worker reports nothing.
    pub(super) fn check_descriptors(&self, lead: &Lead) {
        let control = lead.control.as_ref().map(|control| control.descriptors()).unwrap_or_default();
        let [epoll, wake] = self.shared.poller.descriptors();
        let closed = |fd: &BorrowedFd<'_>| rustix::io::fcntl_getfd(fd).is_err();
        let what = if closed(&epoll) || closed(&wake) {
            "poller"
        } else if control.iter().any(closed) {
            "pipe of commands"
        } else if lead.listeners.iter().any(|listener| rustix::io::fcntl_getfd(listener).is_err()) {
            "listener"
        } else {
            return;
        };
        drop(control);
        self.lose(what, &Errno::BADF.into());
    }
}
