//! An access-log entry for a logging framework. It owns all its values, so that it can be sent to another thread.

use farrier_http::KnownField;

use super::atom::{decimal_seconds, path_of};
use super::exchange::{Exchange, peer_text, response_fields};
use super::user::user_of;
use crate::moment::Moment;

/// One entry of the access log. Text is the latin-1 of the wire, not escaped; the code that writes it must escape it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Atoms with text, by their names: `h`, `l`, `u`, `t`, `r`, `s`, `m`, `U`, `q`, `H`, `b`, `f`, `a`, `L`, `p`.
    pub texts: Vec<(&'static str, String)>,
    /// Atoms with numbers: `B`, `T`, `M`, `D`.
    pub numbers: [(&'static str, u64); 4],
    /// The request's fields, names in lower case.
    pub request_fields: Vec<(String, String)>,
    /// The response's fields, names in lower case.
    pub response_fields: Vec<(String, String)>,
    /// The notes on the request: entries of environ, names in lower case.
    pub notes: Vec<(String, String)>,
    /// The whole line, if the format is not made of atoms.
    pub line: Option<String>,
}

impl Entry {
    /// The entry of an exchange that ended `now`.
    pub fn of(exchange: &Exchange<'_>, now: &Moment) -> Entry {
        let request = exchange.request;
        let micros = exchange.duration_ns / 1000;
        let or_dash = |value: Option<&[u8]>| value.map_or_else(|| "-".to_owned(), text);
        let version = request.head.version.as_str();
        let line = format!("{} {} {version}", text(request.method()), text(request.target()));
        let field = |(name, value): (&[u8], &[u8])| (text(name).to_ascii_lowercase(), text(value));
        Entry {
            texts: vec![
                ("h", peer_text(request.origin.peer)),
                ("l", "-".to_owned()),
                ("u", or_dash(user_of(request).as_deref())),
                ("t", now.for_access_log()),
                ("r", if request.method().is_empty() { "-".to_owned() } else { line }),
                ("s", exchange.status.0.to_string()),
                ("m", text(request.method())),
                ("U", text(&path_of(request))),
                ("q", text(request.query())),
                ("H", version.to_owned()),
                ("b", exchange.content_bytes.to_string()),
                ("f", or_dash(request.field(KnownField::Referer))),
                ("a", or_dash(request.field(KnownField::UserAgent))),
                ("L", decimal_seconds(micros)),
                ("p", format!("<{}>", std::process::id())),
            ],
            numbers: [("B", exchange.content_bytes), ("T", micros / 1_000_000), ("M", micros / 1000), ("D", micros)],
            request_fields: request.fields().map(|(_, name, value)| field((name, value))).collect(),
            response_fields: response_fields(exchange.response_lines).map(field).collect(),
            notes: request.notes.clone(),
            line: None,
        }
    }
}

impl Entry {
    /// About how many bytes of memory the entry takes.
    pub fn bytes(&self) -> usize {
        let texts: usize = self.texts.iter().map(|(_, text)| text.len()).sum();
        let pairs = self.request_fields.iter().chain(&self.response_fields).chain(&self.notes);
        texts + pairs.map(|(name, value)| name.len() + value.len() + 48).sum::<usize>() + 512
    }
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}
