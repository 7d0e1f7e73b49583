//! Removes the names of files to be sent (`X-Sendfile`, `X-Accel-Redirect`) from responses, if nothing here obeys them:
//! clients must not see them.

use farrier_http::{Error, ResponseHead};

/// The head without them. The client gets less than the application meant: that is logged as the application's fault,
/// unless the log has a worse one.
pub fn hide(head: &ResponseHead, fault: &mut Option<Error>) -> ResponseHead {
    fault.get_or_insert(Error::application(
        "the application names a file to be sent (X-Sendfile, X-Accel-Redirect), but no folder is declared for that (see the setting internal)",
    ));
    head.without_file_names()
}
