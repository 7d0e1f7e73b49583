//! What can be wrong with a message, and on whose side. Which status that becomes is decided by the server's `rescue`.

use std::borrow::Cow;

use crate::status::Status;

/// Whose fault it is: decides the log level and, with the kind, the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The client broke a rule or left.
    Client,
    /// The application raised or broke PEP 3333.
    Application,
    /// The server lacks a resource or is overloaded.
    Server,
}

/// What happened. One row of `rescue`'s table each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request line, a field, the framing or the Host breaks the grammar (RFC 9112 §2.2, §3, §5, §6).
    BadRequest,
    /// The request line is above its bound.
    TargetTooLong,
    /// The head is above a bound.
    HeadTooLarge,
    /// The content is above its bound.
    BodyTooLarge,
    /// `Expect` names something unknown (RFC 9110 §10.1.1).
    ExpectationFailed,
    /// A transfer coding that is not implemented (RFC 9112 §6.1).
    UnknownCoding,
    /// A gateway protocol's packet of a kind that is not served.
    UnknownPacket,
    /// The peer may not speak this protocol here.
    Forbidden,
    /// A version other than 1.x (RFC 9110 §15.6.6).
    UnsupportedVersion,
    /// The client was too slow with its head or content.
    RequestTimeout,
    /// The client closed or reset the connection before its answer was complete.
    ClientGone,
    /// The client took no bytes for longer than the write time-out.
    WriteTimeout,
    /// The call of the application took longer than it may.
    Overdue,
    /// The queue is full, or the request waited in it too long.
    Overloaded,
    /// The client has sent more requests than it may (RFC 6585 §4).
    TooManyRequests,
    /// The server is stopping and takes no more work.
    Stopping,
    /// No room to keep the content: disk full, or descriptors exhausted.
    NoRoom,
    /// The application raised, or broke a rule of PEP 3333, before anything was sent.
    ApplicationFailed,
    /// A fault of the server's own, a caught panic among them.
    Internal,
    /// A handler's answer is this status and nothing else: the server says it in its own words, or with a site's page.
    Answer(Status),
}

/// An error as a value: it knows its side and its cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// What happened.
    pub kind: Kind,
    /// Whose fault it is.
    pub side: Side,
    /// One clause for the log: what was wrong, never a value the client sent. Empty where it has been logged already.
    pub cause: Cow<'static, str>,
}

impl Error {
    /// An error of the client's.
    pub const fn client(kind: Kind, cause: &'static str) -> Self {
        Error { kind, side: Side::Client, cause: Cow::Borrowed(cause) }
    }

    /// An error of the application's.
    pub fn application(cause: impl Into<Cow<'static, str>>) -> Self {
        Error { kind: Kind::ApplicationFailed, side: Side::Application, cause: cause.into() }
    }

    /// An error of the server's.
    pub fn server(kind: Kind, cause: impl Into<Cow<'static, str>>) -> Self {
        Error { kind, side: Side::Server, cause: cause.into() }
    }

    /// No fault: an answer of this status, in the server's words. It is not logged as an error.
    pub const fn answer(status: Status) -> Self {
        Error::client(Kind::Answer(status), "")
    }

    /// The grammar was broken.
    pub const fn bad_request(cause: &'static str) -> Self {
        Error::client(Kind::BadRequest, cause)
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.cause)
    }
}

impl std::error::Error for Error {}
