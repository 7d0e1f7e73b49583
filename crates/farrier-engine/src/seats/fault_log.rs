//! Logs why a request was not answered as its handler meant: one line, or a line a second while the server is overloaded.

use farrier_http::{BodyFraming, Error, Kind, Request, Side, field::is_token};
use farrier_log::access::{peer_text, printable};
use farrier_log::error::Level;

use super::seat::Seat;

/// Bytes of a client's text in a line of the error log.
const SHOWN_BYTES_MAX: usize = 200;

impl Seat {
    /// Logs a fault, unless its level is off.
    pub(super) fn log_fault(&self, request: &Request, fault: &Error) {
        let shared = &*self.shared;
        let level = match (fault.side, fault.kind) {
            (Side::Client, Kind::ClientGone | Kind::RequestTimeout | Kind::WriteTimeout) => Level::Debug,
            (Side::Client, _) => Level::Warning,
            (Side::Application | Side::Server | Side::Upstream, _) => Level::Error,
        };
        let log = &shared.error_log;
        if !log.is_on(level) {
            return;
        }
        let (who, what) = (peer_text(request.origin.peer), description(request));
        match (fault.side, fault.kind) {
            // Without a server of the upstream every request fails in the same way.
            (Side::Server, Kind::Overloaded) | (Side::Upstream, Kind::NoUpstream) => {
                let last = if what.is_empty() { format!("from ip={who}") } else { what };
                shared.overload.count(&fault.cause, last, shared.clock.now_ms(), log);
            }
            (Side::Client, kind) => {
                let size = match (kind, request.head.framing) {
                    (Kind::BodyTooLarge, BodyFraming::Length(length)) => format!(", Content-Length {length}"),
                    (Kind::BodyTooLarge, BodyFraming::Chunked) => ", chunked".to_owned(),
                    (Kind::TargetTooLong | Kind::HeadTooLarge, _) => {
                        format!(", {} bytes of the head were read", request.arena.filled().len())
                    }
                    _ => String::new(),
                };
                let what = if what.is_empty() { what } else { format!(" ({what}{size})") };
                log.write(level, &format!("Invalid request from ip={who}: {fault}{what}"));
            }
            _ => {
                let (method, target) = (printable(request.method()), printable(request.target()));
                log.write(level, &format!("Error handling request {method} {target}: {fault}"));
            }
        }
    }
}

/// The method and the path of a request, as far as they were understood. Empty if nothing was.
///
/// A query is left out: it may hold a secret.
fn description(request: &Request) -> String {
    let (method, path) = (request.method(), request.path());
    if !method.is_empty() && path.is_empty() {
        return shown(method);
    }
    if !method.is_empty() {
        return format!("{} {}", shown(method), shown(path));
    }
    // The head was refused before it was complete. It begins with the request line, unless it is no HTTP at all.
    let bytes = request.arena.filled();
    let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n' | b'?')).unwrap_or(bytes.len());
    let line = &bytes[..end];
    let is_http = line.split(|&byte| byte == b' ').next().is_some_and(is_token);
    if is_http { shown(line) } else { String::new() }
}

/// A client's text, escaped and cut.
fn shown(text: &[u8]) -> String {
    match text.get(..SHOWN_BYTES_MAX) {
        Some(front) if front.len() < text.len() => format!("{}...", printable(front)),
        _ => printable(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: &str) {
        let mut request = Request::with_room(1024);
        request.arena.append(bytes);
        assert_eq!(description(&request), expected);
    }

    /// A refusal of a head that is too large named no request.
    #[test]
    fn an_incomplete_head_is_described_by_its_first_line() {
        check(b"GET /a HTTP/1.1\r\nX: ", "GET /a HTTP/1.1");
        check(b"GET /a?token=secret HTTP/1.1\r\n", "GET /a");
        check(b"GET /\"\x1b[0m\\", "GET /\\\"\\x1b[0m\\\\");
        check(b"", "");
        check(b"\x16\x03\x01\x02", "");
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(shown(&[b'a'; 200]), "a".repeat(200));
        assert_eq!(shown(&[b'a'; 201]), format!("{}...", "a".repeat(200)));
    }
}
