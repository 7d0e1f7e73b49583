//! Errors of a message, with the side at fault. The server's `rescue` decides the status.

use std::borrow::Cow;

use crate::status::Status;

/// The side at fault: decides the log level and, with the kind, the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The client broke a rule or disconnected.
    Client,
    /// The application raised or broke PEP 3333.
    Application,
    /// The server lacks a resource or is overloaded.
    Server,
    /// A server that requests are forwarded to failed.
    Upstream,
}

/// The kind of error; each is a row of `rescue`'s table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request line, a field, the framing or the Host breaks the grammar (RFC 9112 §2.2, §3, §5, §6).
    BadRequest,
    /// The request line is above its limit.
    TargetTooLong,
    /// The head is above a limit.
    HeadTooLarge,
    /// The content is above its limit.
    BodyTooLarge,
    /// A method that is not served (RFC 9110 §15.6.2).
    UnknownMethod,
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
    /// The client accepted no bytes for longer than the write timeout.
    WriteTimeout,
    /// The call of the application took longer than `request_timeout`.
    Overdue,
    /// The queue is full, or the request waited in it too long.
    Overloaded,
    /// The client has exceeded its request rate (RFC 6585 §4).
    TooManyRequests,
    /// The server is stopping and accepts no more requests.
    Stopping,
    /// No room to keep the content: disk full, or descriptors exhausted.
    NoRoom,
    /// The application raised, or broke a rule of PEP 3333, before anything was sent.
    ApplicationFailed,
    /// An upstream could not be reached, or its answer is wrong or incomplete (RFC 9110 §15.6.3).
    BadGateway,
    /// An upstream did not answer in time (RFC 9110 §15.6.5).
    GatewayTimeout,
    /// No server of an upstream is available.
    NoUpstream,
    /// An internal error, such as a caught panic.
    Internal,
    /// A handler answers with a status only: the server adds its own text, or a site's error page.
    Answer(Status),
}

/// An error as a value, with its side and cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The kind of error.
    pub kind: Kind,
    /// The side at fault.
    pub side: Side,
    /// A clause for the log that describes the error. It never contains a value that the client sent. Empty if the
    /// error has been logged already.
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

    /// Not an error: a response with this status and the server's own text. It is not logged as an error.
    pub const fn answer(status: Status) -> Self {
        Error::client(Kind::Answer(status), "")
    }

    /// A syntax error.
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
