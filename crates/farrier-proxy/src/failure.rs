//! What a failure of an upstream means: the kind of error for the client, whether another attempt may help, and its name in
//! `Proxy-Status` (RFC 9209).

use std::borrow::Cow;

use farrier_http::wire::client::{Fault, FaultKind};
use farrier_http::{Error, Kind, Request, Side};

use crate::health::Cause;

/// A failure of an upstream, or of the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// No server is available: all are down or ejected.
    NoServer,
    /// The queue of waiting requests is full, or the request waited too long.
    QueueFull,
    /// The name does not exist or cannot be looked up.
    NameUnknown,
    /// The look-up of the name took too long.
    NameTimeout,
    /// The server refused the connection, or cannot be reached.
    Refused,
    /// The connection was not made in time.
    ConnectTimeout,
    /// The TLS handshake failed, and why.
    Handshake(Box<str>),
    /// The server's certificate is not accepted, and why.
    Certificate(Box<str>),
    /// The connection broke while the request was sent, and no answer came.
    SendBroken,
    /// The server did not take the request in time.
    SendTimeout,
    /// The head did not come in time.
    HeadTimeout,
    /// The content did not come in time.
    ContentTimeout,
    /// The answer is wrong or incomplete.
    Answer(Fault),
    /// The request came back to this server too often.
    Loop,
    /// The server answered with a status after which another one is asked.
    Status(u16),
}

/// Whether a method may be repeated without harm (RFC 9110 §9.2.2).
pub(crate) fn is_idempotent(request: &Request) -> bool {
    // An extended CONNECT is sent as a GET.
    request.protocol().is_some()
        || matches!(request.method(), b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE")
}

/// Whether another attempt is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// For every method: the server has seen nothing of the request.
    Unsent,
    /// The connection was closed before an answer. On a reused one that is the race with the server's idle time-out: at once, on
    /// a fresh connection (`stale`). Otherwise as [`Retry::Reset`]. For idempotent methods, or if no byte was sent.
    Unanswered,
    /// For idempotent methods, if `retry_on` has `reset`.
    Reset,
    /// For idempotent methods, if `retry_on` has `timeout`.
    Timeout,
    /// For idempotent methods, if `retry_on` has `bad_response`, and only before a head was passed on.
    BadResponse,
    /// For idempotent methods; the caller has checked that `retry_on` has the status.
    Status,
    /// Never.
    No,
}

/// A row of the table of failures.
struct Row {
    kind: Kind,
    /// RFC 9209 §2.3.
    name: &'static str,
    cause: &'static str,
    retry: Retry,
    /// Whether it counts against the server's health.
    counts: bool,
}

const fn row(kind: Kind, name: &'static str, retry: Retry, counts: bool, cause: &'static str) -> Row {
    Row { kind, name, cause, retry, counts }
}

impl Failure {
    /// An answer that cannot be passed on.
    pub const MALFORMED: Failure =
        Failure::Answer(Fault::new(FaultKind::Malformed, "the upstream's head cannot be passed on"));

    fn row(&self) -> Row {
        use Kind::{BadGateway, GatewayTimeout, NoUpstream};
        match self {
            Failure::NoServer => {
                row(NoUpstream, "destination_unavailable", Retry::No, false, "no server of the upstream is available")
            }
            Failure::QueueFull => {
                row(NoUpstream, "connection_limit_reached", Retry::No, false, "all servers of the upstream are busy")
            }
            Failure::NameUnknown => row(BadGateway, "dns_error", Retry::Unsent, true, "the upstream's name is unknown"),
            Failure::NameTimeout => {
                row(GatewayTimeout, "dns_timeout", Retry::Unsent, true, "the upstream's name was not found in time")
            }
            Failure::Refused => {
                row(BadGateway, "connection_refused", Retry::Unsent, true, "the upstream refused the connection")
            }
            Failure::ConnectTimeout => row(
                GatewayTimeout,
                "connection_timeout",
                Retry::Unsent,
                true,
                "the upstream did not accept the connection in time",
            ),
            Failure::Handshake(_) => {
                row(BadGateway, "tls_protocol_error", Retry::Unsent, true, "the TLS handshake with the upstream failed")
            }
            Failure::Certificate(_) => {
                row(BadGateway, "tls_certificate_error", Retry::No, true, "the upstream's certificate is not accepted")
            }
            Failure::SendBroken => row(
                BadGateway,
                "connection_terminated",
                Retry::Unanswered,
                true,
                "the upstream closed the connection before it took the request",
            ),
            Failure::SendTimeout => row(
                GatewayTimeout,
                "connection_write_timeout",
                Retry::Timeout,
                true,
                "the upstream did not take the request in time",
            ),
            Failure::HeadTimeout => row(
                GatewayTimeout,
                "http_response_timeout",
                Retry::Timeout,
                true,
                "the upstream did not answer in time",
            ),
            Failure::ContentTimeout => {
                row(GatewayTimeout, "connection_read_timeout", Retry::No, true, "the upstream stopped in its answer")
            }
            Failure::Loop => row(
                BadGateway,
                "proxy_loop_detected",
                Retry::No,
                false,
                "the request came back to this server too often",
            ),
            Failure::Status(_) => row(
                BadGateway,
                "http_protocol_error",
                Retry::Status,
                // What a status means for the server's health is a setting of its own.
                false,
                "the upstream answered with a status after which another server is asked",
            ),
            Failure::Answer(fault) => answer_row(fault.kind),
        }
    }

    /// The error for the client. The cause goes to the log.
    pub fn error(&self) -> Error {
        let Row { kind, cause, .. } = self.row();
        let cause = match self {
            Failure::Answer(fault) => fault.cause.clone(),
            Failure::Handshake(reason) | Failure::Certificate(reason) => Cow::Owned(format!("{cause}: {reason}")),
            _ => Cow::Borrowed(cause),
        };
        Error { kind, side: Side::Upstream, cause }
    }

    /// Whether another attempt is allowed.
    pub fn retry(&self) -> Retry {
        self.row().retry
    }

    /// Whether it counts against the health of the server. `is_reused` is whether the connection had carried a request before:
    /// that it was closed then says nothing.
    pub fn counts_against_server(&self, is_reused: bool) -> bool {
        let Row { counts, retry, .. } = self.row();
        counts && !(is_reused && retry == Retry::Unanswered)
    }

    /// What it says of the server.
    pub fn cause(&self) -> Cause {
        match self {
            Failure::Refused => Cause::Refused,
            Failure::ConnectTimeout => Cause::ConnectTimeout,
            Failure::Handshake(_) | Failure::Certificate(_) => Cause::Handshake,
            Failure::SendTimeout | Failure::HeadTimeout | Failure::ContentTimeout => Cause::Timeout,
            Failure::SendBroken => Cause::Closed,
            Failure::Status(_) => Cause::Status,
            Failure::Answer(fault) => match fault.kind {
                FaultKind::Unanswered | FaultKind::HeadIncomplete | FaultKind::ContentIncomplete => Cause::Closed,
                _ => Cause::BadResponse,
            },
            _ => Cause::Unknown,
        }
    }

    /// The error type of `Proxy-Status` (RFC 9209 §2.3).
    pub fn proxy_status_error(&self) -> &'static str {
        self.row().name
    }

    /// Appends a value of `Proxy-Status`: `farrier; error=connection_refused`. `pseudonym` is a token that begins with a letter.
    pub fn append_proxy_status(&self, out: &mut Vec<u8>, pseudonym: &[u8]) {
        out.extend_from_slice(pseudonym);
        out.extend_from_slice(b"; error=");
        out.extend_from_slice(self.proxy_status_error().as_bytes());
    }
}

fn answer_row(kind: FaultKind) -> Row {
    use Kind::{BadGateway, NoUpstream};
    match kind {
        FaultKind::Unanswered => row(BadGateway, "connection_terminated", Retry::Unanswered, true, ""),
        FaultKind::HeadIncomplete => row(BadGateway, "http_response_incomplete", Retry::Reset, true, ""),
        FaultKind::ContentIncomplete => row(BadGateway, "http_response_incomplete", Retry::No, true, ""),
        FaultKind::Malformed => row(BadGateway, "http_protocol_error", Retry::BadResponse, true, ""),
        FaultKind::HeadTooLarge => row(BadGateway, "http_response_header_section_size", Retry::BadResponse, false, ""),
        FaultKind::Framing => row(BadGateway, "http_response_transfer_coding", Retry::BadResponse, true, ""),
        FaultKind::Upgrade => row(BadGateway, "http_upgrade_failed", Retry::No, false, ""),
        FaultKind::Protocol => row(BadGateway, "http_protocol_error", Retry::BadResponse, true, ""),
        FaultKind::Overloaded => row(NoUpstream, "destination_unavailable", Retry::Unsent, true, ""),
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Failure {
        Failure::Answer(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_connection_that_was_closed_says_nothing_of_the_server() {
        let unanswered = Failure::from(Fault::new(FaultKind::Unanswered, "closed"));
        assert!(!unanswered.counts_against_server(true) && unanswered.counts_against_server(false));
        assert!(Failure::from(Fault::new(FaultKind::HeadIncomplete, "cut")).counts_against_server(true));
        assert!(!Failure::QueueFull.counts_against_server(false));
    }

    #[test]
    fn what_was_sent_decides_whether_another_attempt_is_allowed() {
        for (failure, retry) in [
            (Failure::Refused, Retry::Unsent),
            (Failure::ConnectTimeout, Retry::Unsent),
            (Failure::Certificate("expired".into()), Retry::No),
            (Failure::SendBroken, Retry::Unanswered),
            (Failure::HeadTimeout, Retry::Timeout),
            (Failure::Loop, Retry::No),
            (Fault::new(FaultKind::ContentIncomplete, "").into(), Retry::No),
            (Fault::new(FaultKind::Framing, "").into(), Retry::BadResponse),
        ] {
            assert_eq!(failure.retry(), retry, "{failure:?}");
        }
    }

    #[test]
    fn an_error_has_the_cause_of_its_fault_and_the_side_of_the_upstream() {
        let error = Failure::from(Fault::new(FaultKind::Framing, "two lengths")).error();
        assert_eq!((error.kind, error.side, &*error.cause), (Kind::BadGateway, Side::Upstream, "two lengths"));
        let refused = Failure::Certificate("it has expired".into()).error();
        assert_eq!(refused.cause, "the upstream's certificate is not accepted: it has expired");
        assert_eq!((refused.kind, refused.side), (Kind::BadGateway, Side::Upstream));
        assert_eq!(Failure::HeadTimeout.error().kind, Kind::GatewayTimeout);
        assert_eq!(Failure::NoServer.error().kind, Kind::NoUpstream);
    }

    #[test]
    fn proxy_status_names_the_error_as_rfc_9209_does() {
        let mut out = Vec::new();
        Failure::Refused.append_proxy_status(&mut out, b"farrier");
        assert_eq!(String::from_utf8_lossy(&out), "farrier; error=connection_refused");
    }
}
