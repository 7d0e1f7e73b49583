//! Descriptors of the server that the application has closed, for example with `os.closerange()`. Nothing can be served
//! without them, so the worker says why and ends. The arbiter replaces it.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use super::lead::Lead;
use super::seat::Seat;
use farrier_log::error::Level;

/// Whether an error of accept(2) means that its descriptor no longer is a listener: it is closed, or its number names
/// another file.
pub(super) fn is_no_listener(error: Errno) -> bool {
    matches!(error, Errno::BADF | Errno::NOTSOCK | Errno::INVAL | Errno::OPNOTSUPP)
}

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

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::net::{SocketFlags, acceptfrom_with};

    use super::*;

    #[test]
    fn an_error_that_says_that_there_is_no_listener_is_not_one_of_a_client() {
        let file = std::fs::File::open("/dev/null").expect("opened");
        let error = acceptfrom_with(file.as_fd(), SocketFlags::CLOEXEC).expect_err("no socket");
        assert!(is_no_listener(error));
        assert!(is_no_listener(Errno::BADF));
        for error in [Errno::AGAIN, Errno::CONNABORTED, Errno::MFILE, Errno::PERM] {
            assert!(!is_no_listener(error), "{error}");
        }
    }
}
