//! What happens to the head of every final response before it is encoded: names of files to be sent (`X-Sendfile`,
//! `X-Accel-Redirect`) that nothing here obeys are removed, and fields of the server added. Its lines are kept if the
//! access log asks for them.

use std::borrow::Cow;

use farrier_http::wire::ResponseAccount;
use farrier_http::{Error, ResponseHead};

/// What one answer does to its head.
#[derive(Debug)]
pub(crate) struct FinalHead {
    /// The head's field lines, if the access log asks for them.
    kept_lines: Option<Vec<u8>>,
    /// Fields that are added to every head.
    stamps: Vec<(Box<str>, Box<[u8]>)>,
}

impl FinalHead {
    /// Keeps the field lines of the head if `keep_lines`.
    pub(crate) fn new(keep_lines: bool) -> FinalHead {
        FinalHead { kept_lines: keep_lines.then(Vec::new), stamps: Vec::new() }
    }

    /// Adds a field to the head, unless it has one of that name.
    pub(crate) fn stamp(&mut self, name: &str, value: &[u8]) {
        self.stamps.push((name.into(), value.into()));
    }

    /// The head as the client gets it. `passes_file_names`: what is in front of this server obeys them.
    ///
    /// # Errors
    /// The head is not one of a final response.
    #[inline]
    pub(crate) fn prepare<'h>(
        &mut self,
        head: &'h ResponseHead,
        passes_file_names: bool,
        account: &mut ResponseAccount,
    ) -> Result<Cow<'h, ResponseHead>, Error> {
        head.check_final()?;
        let mut head = Cow::Borrowed(head);
        if head.names_file() && !passes_file_names {
            head = Cow::Owned(without_file_names(&head, account.fault_mut()));
        }
        if !self.stamps.is_empty() {
            head = Cow::Owned(head.stamped(&self.stamps));
        }
        if let Some(lines) = &mut self.kept_lines {
            lines.clear();
            lines.extend_from_slice(head.lines());
        }
        Ok(head)
    }

    /// The field lines of the last head, if they are kept.
    pub(crate) fn into_lines(self) -> Option<Vec<u8>> {
        self.kept_lines
    }

    /// As [`FinalHead::into_lines`]. Nothing is kept any more.
    pub(crate) fn take_lines(&mut self) -> Option<Vec<u8>> {
        self.kept_lines.take()
    }
}

/// The head without names of files, which clients must not see. The client gets less than the application meant: that is
/// logged as the application's fault, unless the log has a worse one.
fn without_file_names(head: &ResponseHead, fault: &mut Option<Error>) -> ResponseHead {
    fault.get_or_insert(Error::application(
        "the application names a file to be sent (X-Sendfile, X-Accel-Redirect), but no folder is declared for that (see the setting internal)",
    ));
    head.without_file_names()
}
