//! The atoms of the access log's text form, with Gunicorn's names and values.

use farrier_http::{KnownField, Request, percent};

use super::exchange::{Exchange, peer_text, push_escaped, response_fields};
use super::user::user_of;
use crate::moment::Moment;

/// A value that a format can show of a request and its response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Atom {
    RemoteAddress,
    Dash,
    User,
    Time,
    RequestLine,
    Status,
    Method,
    Path,
    Query,
    Protocol,
    Bytes,
    Referer,
    UserAgent,
    Seconds,
    Milliseconds,
    Microseconds,
    DecimalSeconds,
    Pid,
    /// The name is in lower case, like the names below.
    RequestField(String),
    ResponseField(String),
    EnvironEntry(String),
}

impl Atom {
    pub(super) fn of(name: &str) -> Atom {
        match name {
            "h" => Atom::RemoteAddress,
            "u" => Atom::User,
            "t" => Atom::Time,
            "r" => Atom::RequestLine,
            "s" => Atom::Status,
            "m" => Atom::Method,
            "U" => Atom::Path,
            "q" => Atom::Query,
            "H" => Atom::Protocol,
            "b" | "B" => Atom::Bytes,
            "f" => Atom::Referer,
            "a" => Atom::UserAgent,
            "T" => Atom::Seconds,
            "M" => Atom::Milliseconds,
            "D" => Atom::Microseconds,
            "L" => Atom::DecimalSeconds,
            "p" => Atom::Pid,
            _ => match name.strip_prefix('{').and_then(|name| name.rsplit_once('}')) {
                Some((name, "i")) => Atom::RequestField(name.to_ascii_lowercase()),
                Some((name, "o")) => Atom::ResponseField(name.to_ascii_lowercase()),
                Some((name, "e")) => Atom::EnvironEntry(name.to_ascii_lowercase()),
                // Gunicorn shows a dash for an atom that it does not know.
                _ => Atom::Dash,
            },
        }
    }

    pub(super) fn write(&self, exchange: &Exchange<'_>, now: &Moment, line: &mut String) {
        let request = exchange.request;
        let micros = exchange.duration_ns / 1000;
        match self {
            Atom::RemoteAddress => line.push_str(&peer_text(request.origin.peer)),
            Atom::Dash => line.push('-'),
            Atom::User => push_or_dash(line, user_of(request).as_deref()),
            Atom::Time => line.push_str(&now.for_access_log()),
            Atom::RequestLine => {
                if request.method().is_empty() {
                    line.push('-');
                    return;
                }
                push_escaped(line, request.method());
                line.push(' ');
                push_escaped(line, request.target());
                line.push(' ');
                line.push_str(request.head.version.as_str());
            }
            Atom::Status => push_number(line, u64::from(exchange.status.0)),
            Atom::Method => push_or_dash(line, Some(request.method()).filter(|method| !method.is_empty())),
            Atom::Path => push_or_dash(line, Some(&*path_of(request)).filter(|path| !path.is_empty())),
            Atom::Query => push_escaped(line, request.query()),
            Atom::Protocol => line.push_str(request.head.version.as_str()),
            Atom::Bytes => push_number(line, exchange.content_bytes),
            Atom::Referer => push_or_dash(line, request.field(KnownField::Referer)),
            Atom::UserAgent => push_or_dash(line, request.field(KnownField::UserAgent)),
            Atom::Seconds => push_number(line, micros / 1_000_000),
            Atom::Milliseconds => push_number(line, micros / 1000),
            Atom::Microseconds => push_number(line, micros),
            Atom::DecimalSeconds => line.push_str(&decimal_seconds(micros)),
            Atom::Pid => line.push_str(&format!("<{}>", std::process::id())),
            Atom::RequestField(name) => {
                // The last of several lines wins, as in Gunicorn's dict.
                let value = request.fields().filter(|(_, field, _)| field.eq_ignore_ascii_case(name.as_bytes())).last();
                push_or_dash(line, value.map(|(_, _, value)| value));
            }
            Atom::ResponseField(name) => {
                let value = response_fields(exchange.response_lines)
                    .rfind(|(field, _)| field.eq_ignore_ascii_case(name.as_bytes()));
                push_or_dash(line, value.map(|(_, value)| value));
            }
            Atom::EnvironEntry(name) => {
                match request.notes.iter().find(|(key, _)| key == name) {
                    Some((_, value)) => push_escaped_text(line, value),
                    None => line.push('-'),
                };
            }
        }
    }
}

/// The path as `PATH_INFO` has it.
pub(super) fn path_of(request: &Request) -> Vec<u8> {
    if request.head.gateway.path_is_decoded {
        return request.path().to_vec();
    }
    let mut decoded = Vec::with_capacity(request.path().len());
    percent::decode(request.path(), &mut decoded);
    decoded
}

/// `1.234567`
pub(super) fn decimal_seconds(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

fn push_number(line: &mut String, number: u64) {
    line.push_str(itoa::Buffer::new().format(number));
}

fn push_or_dash(line: &mut String, value: Option<&[u8]>) {
    match value {
        Some(value) => push_escaped(line, value),
        None => line.push('-'),
    }
}

/// Writes text with the same escapes: an application may have put any text into environ.
fn push_escaped_text(line: &mut String, text: &str) {
    for char in text.chars() {
        match u8::try_from(char) {
            Ok(byte) => push_escaped(line, &[byte]),
            Err(_) => line.push(char),
        }
    }
}
