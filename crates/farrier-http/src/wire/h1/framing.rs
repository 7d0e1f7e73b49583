//! Decides framing: where a request's content ends and how a response's is delimited (RFC 9112 §6.3). Nowhere else does.

use crate::request::Version;
use crate::response::ResponseHead;

/// What a response must know of its request.
#[derive(Debug, Clone, Copy)]
pub struct RequestFacts {
    /// The method was HEAD.
    pub is_head: bool,
    /// The request's version.
    pub version: Version,
    /// The client and the server both want the connection to live on.
    pub keep_alive: bool,
}

/// How a response's content is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseFraming {
    /// No content follows (HEAD, 1xx, 204, 304); a Content-Length may still be told for HEAD and 304.
    NoContent(Option<u64>),
    /// Exactly so many bytes.
    Length(u64),
    /// The chunked coding.
    Chunked,
    /// The connection's end delimits it (HTTP/1.0 without a length).
    UntilClose,
}

/// Decides for one response. `length` is the content's whole length where the handler knows it.
pub fn response_framing(facts: RequestFacts, head: &ResponseHead, length: Option<u64>) -> ResponseFraming {
    let _ = (facts, head, length);
    ResponseFraming::UntilClose
}
