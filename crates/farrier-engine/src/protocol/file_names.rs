//! Keeps the names of files to be sent (`X-Sendfile`, `X-Accel-Redirect`) from clients, where nobody here obeys them.

use farrier_http::{Error, ResponseHead};

/// The head without them. That the client gets less than the application meant is the application's fault, unless the log
/// knows of a worse one.
pub(crate) fn hide(head: &ResponseHead, fault: &mut Option<Error>) -> ResponseHead {
    fault.get_or_insert(Error::application(
        "the application names a file to be sent (X-Sendfile, X-Accel-Redirect), but no folder is declared for that (see the setting internal)",
    ));
    head.without_file_names()
}
