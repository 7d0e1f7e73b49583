//! The access log's JSON form: one object per line. Values are escaped, so that no client can forge a line.

use farrier_http::KnownField;

use super::exchange::{Exchange, peer_text};
use super::user::user_of;
use crate::moment::Moment;

/// Query parameters whose values are replaced, because they look secret.
const SECRET_PARAMETERS: [&str; 9] =
    ["password", "passwd", "secret", "token", "api_key", "apikey", "signature", "session", "auth"];

/// Writes one exchange as a JSON object on one line.
pub(super) fn write_json(exchange: &Exchange<'_>, now: &Moment, line: &mut String) {
    let request = exchange.request;
    let mut object = JsonObject::begin(line);
    object.text("time", now.rfc3339().as_bytes());
    object.text("remote_addr", peer_text(request.origin.peer).as_bytes());
    if let Some(user) = user_of(request) {
        object.text("user", &user);
    }
    object.text("method", request.method());
    object.text("path", request.path());
    object.text("query", &redact(request.query()));
    object.text("protocol", request.head.version.as_str().as_bytes());
    object.text("host", request.host());
    object.number("status", u64::from(exchange.status.0));
    object.number("bytes", exchange.content_bytes);
    object.number("duration_us", exchange.duration_ns / 1000);
    object.text("referer", request.field(KnownField::Referer).unwrap_or_default());
    object.text("user_agent", request.field(KnownField::UserAgent).unwrap_or_default());
    object.number("pid", u64::from(std::process::id()));
    object.end();
}

/// The query with the values of parameters that look secret replaced.
fn redact(query: &[u8]) -> Vec<u8> {
    let mut redacted = Vec::with_capacity(query.len());
    for (index, parameter) in query.split(|&byte| byte == b'&').enumerate() {
        if index > 0 {
            redacted.push(b'&');
        }
        let equals = parameter.iter().position(|&byte| byte == b'=');
        let name = String::from_utf8_lossy(&parameter[..equals.unwrap_or(parameter.len())]).to_ascii_lowercase();
        match equals {
            Some(equals) if SECRET_PARAMETERS.iter().any(|secret| name.contains(secret)) => {
                redacted.extend_from_slice(&parameter[..=equals]);
                redacted.extend_from_slice(b"***");
            }
            _ => redacted.extend_from_slice(parameter),
        }
    }
    redacted
}

/// Writes one JSON object (RFC 8259), bytes being latin-1.
struct JsonObject<'a> {
    line: &'a mut String,
    first: bool,
}

impl<'a> JsonObject<'a> {
    fn begin(line: &'a mut String) -> JsonObject<'a> {
        line.push('{');
        JsonObject { line, first: true }
    }

    fn key(&mut self, key: &str) {
        if !std::mem::take(&mut self.first) {
            self.line.push(',');
        }
        self.line.push('"');
        self.line.push_str(key);
        self.line.push_str("\":");
    }

    fn text(&mut self, key: &str, value: &[u8]) {
        self.key(key);
        self.line.push('"');
        for &byte in value {
            match byte {
                b'"' => self.line.push_str("\\\""),
                b'\\' => self.line.push_str("\\\\"),
                0..0x20 | 0x7f..0xa0 => self.line.push_str(&format!("\\u{byte:04x}")),
                _ => self.line.push(char::from(byte)),
            }
        }
        self.line.push('"');
    }

    fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        self.line.push_str(itoa::Buffer::new().format(value));
    }

    fn end(self) {
        self.line.push('}');
    }
}
