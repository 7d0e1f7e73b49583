//! Decodes a request's head: the request line and the field section (RFC 9112 §2 to §5).

use crate::error::Error;
use crate::limits::Limits;
use crate::request::RequestHead;

/// Decodes one head, resuming where it stopped when more bytes arrive, so that the work is linear in the head's length
/// however it was split.
#[derive(Debug, Default)]
pub struct HeadDecoder {}

impl HeadDecoder {
    /// Looks at all bytes received for this message so far (`bytes` begins at the message's first byte and only grows
    /// between calls). True when the head is complete and `head` is filled.
    ///
    /// # Errors
    /// The head is refused (RFC 9112; `Limits`). No further byte of the connection may be parsed.
    pub fn decode(&mut self, bytes: &[u8], limits: &Limits, head: &mut RequestHead) -> Result<bool, Error> {
        let _ = (bytes, limits, head);
        Err(Error::bad_request("not built yet"))
    }
}
