//! What can be wrong with an upstream's answer. Retries depend on the kind.

use std::borrow::Cow;

/// The kind of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The connection ended before a byte of the answer came. On a reused connection this is the usual race with the
    /// upstream's idle time-out.
    Unanswered,
    /// The connection ended inside the head, or after an interim response.
    HeadIncomplete,
    /// The connection ended inside the content or the trailer section.
    ContentIncomplete,
    /// The status line or a field breaks the grammar (RFC 9112 §4, §5), or there were too many interim responses.
    Malformed,
    /// The head is above a limit.
    HeadTooLarge,
    /// The fields do not tell where the content ends, or the chunked coding is malformed (RFC 9112 §6.3, §7.1).
    Framing,
    /// A 101 that was not asked for, or whose handshake is wrong (RFC 9110 §15.2.2).
    Upgrade,
    /// A record or an end of request that the gateway protocol does not allow.
    Protocol,
    /// The upstream says that it is overloaded (FastCGI 1.0 §5.5).
    Overloaded,
}

/// A fault of an upstream, as a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Its kind.
    pub kind: FaultKind,
    /// A clause for the log. It never contains a value that the upstream sent.
    pub cause: Cow<'static, str>,
}

impl Fault {
    /// A fault.
    pub const fn new(kind: FaultKind, cause: &'static str) -> Self {
        Fault { kind, cause: Cow::Borrowed(cause) }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.cause)
    }
}

impl std::error::Error for Fault {}
