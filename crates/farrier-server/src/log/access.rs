//! The access log: Gunicorn's format atoms, compiled once, and a JSON form whose lines no client can forge.

use std::time::Duration;

use farrier_http::{KnownField, Peer, Request, Status, percent};

use super::moment::Moment;
use super::writer::{Target, Writer};

/// How long lines are gathered before they are written.
const GATHER: Duration = Duration::from_millis(50);

/// Query parameters whose values the JSON form leaves out.
const SECRET_PARAMETERS: [&str; 9] =
    ["password", "passwd", "secret", "token", "api_key", "apikey", "signature", "session", "auth"];

/// One request and what became of it.
pub struct Exchange<'a> {
    /// The request, as far as it was understood.
    pub request: &'a Request,
    /// The status sent; 499 when the client had left.
    pub status: Status,
    /// Bytes of content sent.
    pub content_bytes: u64,
    /// From the call of the handler to the end of the response, in ns.
    pub duration_ns: u64,
    /// The response's field lines, where [`AccessLog::wants_response_fields`].
    pub response_lines: &'a [u8],
}

/// The access log.
pub struct AccessLog {
    format: Format,
    writer: Writer,
}

/// A compiled format.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Format {
    /// One JSON object a line.
    Json,
    /// Text with atoms.
    Text(Vec<Part>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Atom(Atom),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Atom {
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
    RequestField(String),
    ResponseField(String),
}

/// The common log format's preset.
pub const COMMON: &str = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s"#;

/// The combined log format's preset; Gunicorn's default.
pub const COMBINED: &str = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#;

impl AccessLog {
    /// Compiles the format (`json`, `common`, `combined`, or text with `%(atom)s`) and opens the target.
    ///
    /// # Errors
    /// The target cannot be opened, or no thread can be made.
    pub fn start(target: Target, format: &str, buffer_bytes_max: usize) -> std::io::Result<AccessLog> {
        Ok(AccessLog { format: Format::of(format), writer: Writer::start(target, buffer_bytes_max, GATHER)? })
    }

    /// Whether a line needs the response's fields.
    pub fn wants_response_fields(&self) -> bool {
        matches!(&self.format, Format::Text(parts)
            if parts.iter().any(|part| matches!(part, Part::Atom(Atom::ResponseField(_)))))
    }

    /// Takes a line.
    pub fn record(&self, exchange: &Exchange<'_>) {
        let mut line = String::with_capacity(256);
        self.format.write(exchange, &Moment::now(), &mut line);
        line.push('\n');
        self.writer.write(line.as_bytes());
    }

    /// Opens the file anew.
    pub fn reopen(&self) {
        self.writer.reopen();
    }

    /// Waits until all is written, at most a second.
    pub fn flush(&self) {
        self.writer.flush(Duration::from_secs(1));
    }
}

impl Format {
    fn of(format: &str) -> Format {
        let text = match format {
            "json" => return Format::Json,
            "common" => COMMON,
            "combined" => COMBINED,
            text => text,
        };
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(start) = rest.find('%') {
            literal.push_str(&rest[..start]);
            rest = &rest[start..];
            if let Some(after) = rest.strip_prefix("%%") {
                literal.push('%');
                rest = after;
                continue;
            }
            let named = rest.strip_prefix("%(").and_then(|named| named.split_once(')'));
            match named {
                Some((name, after)) => {
                    if !literal.is_empty() {
                        parts.push(Part::Literal(std::mem::take(&mut literal)));
                    }
                    parts.push(Part::Atom(Atom::of(name)));
                    rest = after.strip_prefix(['s', 'd', 'i']).unwrap_or(after);
                }
                None => {
                    literal.push('%');
                    rest = &rest[1..];
                }
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Format::Text(parts)
    }

    fn write(&self, exchange: &Exchange<'_>, now: &Moment, line: &mut String) {
        match self {
            Format::Json => write_json(exchange, now, line),
            Format::Text(parts) => {
                for part in parts {
                    match part {
                        Part::Literal(text) => line.push_str(text),
                        Part::Atom(atom) => atom.write(exchange, now, line),
                    }
                }
            }
        }
    }
}

impl Atom {
    fn of(name: &str) -> Atom {
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
            _ => match name.strip_prefix('{').and_then(|name| name.split_once('}')) {
                Some((name, "i")) => Atom::RequestField(name.to_ascii_lowercase()),
                Some((name, "o")) => Atom::ResponseField(name.to_ascii_lowercase()),
                // Gunicorn shows a dash for what it does not know.
                _ => Atom::Dash,
            },
        }
    }

    fn write(&self, exchange: &Exchange<'_>, now: &Moment, line: &mut String) {
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
            Atom::Method => push_or_dash(line, Some(request.method())),
            Atom::Path => push_or_dash(line, Some(&decode_percent(request.path()))),
            Atom::Query => push_escaped(line, request.query()),
            Atom::Protocol => line.push_str(request.head.version.as_str()),
            Atom::Bytes => push_number(line, exchange.content_bytes),
            Atom::Referer => push_or_dash(line, request.field(KnownField::Referer)),
            Atom::UserAgent => push_or_dash(line, request.field(KnownField::UserAgent)),
            Atom::Seconds => push_number(line, micros / 1_000_000),
            Atom::Milliseconds => push_number(line, micros / 1000),
            Atom::Microseconds => push_number(line, micros),
            Atom::DecimalSeconds => line.push_str(&format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)),
            Atom::Pid => line.push_str(&format!("<{}>", std::process::id())),
            Atom::RequestField(name) => {
                let value = request.fields().find(|(_, field, _)| field.eq_ignore_ascii_case(name.as_bytes()));
                push_or_dash(line, value.map(|(_, _, value)| value));
            }
            Atom::ResponseField(name) => push_or_dash(line, response_field(exchange.response_lines, name)),
        }
    }
}

/// The client's address as logs show it; empty for a unix socket, as Gunicorn has it.
pub fn peer_text(peer: Peer) -> String {
    match peer {
        Peer::Tcp(address) => address.ip().to_string(),
        Peer::Unix => String::new(),
    }
}

/// Bytes of a message as text without control characters.
pub fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    push_escaped(&mut text, bytes);
    text
}

fn push_number(line: &mut String, number: u64) {
    line.push_str(itoa::Buffer::new().format(number));
}

fn push_or_dash(line: &mut String, value: Option<&[u8]>) {
    match value {
        Some(value) if !value.is_empty() => push_escaped(line, value),
        _ => line.push('-'),
    }
}

/// Latin-1 to text; a quote is escaped, and control characters cannot break the line.
fn push_escaped(line: &mut String, bytes: &[u8]) {
    for &byte in bytes {
        match byte {
            b'"' => line.push_str("\\\""),
            0..0x20 | 0x7f..0xa0 => line.push_str(&format!("\\x{byte:02x}")),
            _ => line.push(char::from(byte)),
        }
    }
}

fn response_field<'a>(lines: &'a [u8], name: &str) -> Option<&'a [u8]> {
    lines.split(|&byte| byte == b'\n').find_map(|line| {
        let colon = line.iter().position(|&byte| byte == b':')?;
        line[..colon].eq_ignore_ascii_case(name.as_bytes()).then(|| line[colon + 1..].trim_ascii())
    })
}

/// The user of Basic authentication (RFC 7617).
fn user_of(request: &Request) -> Option<Vec<u8>> {
    let value = request.field(KnownField::Authorization)?;
    let (scheme, credentials) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = decode_base64(credentials.trim_ascii())?;
    let end = decoded.iter().position(|&byte| byte == b':')?;
    Some(decoded[..end].to_vec())
}

fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0u32, 0);
    for &byte in text {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => break,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            decoded.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(decoded)
}

fn decode_percent(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    percent::decode(path, &mut decoded);
    decoded
}

fn write_json(exchange: &Exchange<'_>, now: &Moment, line: &mut String) {
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
        push_number(self.line, value);
    }

    fn end(self) {
        self.line.push('}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use farrier_http::Limits;
    use farrier_http::wire::h1::HeadDecoder;

    fn request(head: &str) -> Request {
        let mut request = Request::with_room(4096);
        request.arena.append(head.as_bytes());
        let complete = HeadDecoder::default().decode(request.arena.filled(), &Limits::default(), &mut request.head);
        assert_eq!(complete, Ok(true));
        request
    }

    fn line(format: &str, head: &str) -> String {
        let request = request(head);
        let exchange = Exchange {
            request: &request,
            status: Status(200),
            content_bytes: 13,
            duration_ns: 1_234_567_000,
            response_lines: b"Content-Type: text/plain\r\nX-Id: 7\r\n",
        };
        let mut line = String::new();
        Format::of(format).write(&exchange, &Moment::at(951_782_400, 5), &mut line);
        line
    }

    const HEAD: &str = "GET /a%20b?x=1&token=abc HTTP/1.1\r\nHost: h\r\nUser-Agent: say \"hi\"\r\n\
                        Authorization: Basic dXNlcjpwYXNz\r\n\r\n";

    #[test]
    fn the_combined_format_is_gunicorns_default() {
        assert_eq!(
            line("combined", HEAD),
            " - user [29/Feb/2000:00:00:00 +0000] \"GET /a%20b?x=1&token=abc HTTP/1.1\" 200 13 \"-\" \"say \\\"hi\\\"\""
        );
    }

    #[test]
    fn every_atom_has_gunicorns_meaning() {
        let cases = [
            ("%(m)s %(U)s %(q)s %(H)s", "GET /a b x=1&token=abc HTTP/1.1"),
            ("%(T)s %(M)s %(D)s %(L)s", "1 1234 1234567 1.234567"),
            ("%({host}i)s %({X-ID}o)s %({nothing}i)s", "h 7 -"),
            ("%(s)s %(B)s 100%% %(unknown)s", "200 13 100% -"),
        ];
        for (format, expected) in cases {
            assert_eq!(line(format, HEAD), expected);
        }
    }

    #[test]
    fn no_client_can_forge_a_json_line() {
        let hostile =
            "GET /%22,%22status%22:1?a=\"},{\"&password=p HTTP/1.1\r\nHost: h\r\nReferer: \\\"\u{e9}\t\r\n\r\n";
        assert_eq!(
            line("json", hostile).replace(&std::process::id().to_string(), "1"),
            "{\"time\":\"2000-02-29T00:00:00.005Z\",\"remote_addr\":\"\",\"method\":\"GET\",\
             \"path\":\"/%22,%22status%22:1\",\"query\":\"a=\\\"},{\\\"&password=***\",\"protocol\":\"HTTP/1.1\",\
             \"host\":\"h\",\"status\":200,\"bytes\":13,\"duration_us\":1234567,\
             \"referer\":\"\\\\\\\"\u{c3}\u{a9}\",\"user_agent\":\"\",\"pid\":1}"
        );
    }
}
