//! The access log: one line per request, in Gunicorn's form or as JSON, or an entry for a logging framework.

mod atom;
pub(crate) mod entry;
mod exchange;
mod format;
mod json;
mod user;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use self::format::Format;
use super::moment::Moment;
use super::outbox::Outbox;
use super::recorder::Recorder;
use super::syslog::Syslog;
use super::writer::Target;
use crate::level::Level;

pub use self::entry::Entry;
pub use self::exchange::{Exchange, peer_text, printable};
pub use self::format::{COMBINED, COMMON, environ_names};

/// How long lines are gathered before they are written.
pub const GATHER: Duration = Duration::from_millis(50);

/// The access log.
pub struct AccessLog {
    format: Format,
    out: Option<Outbox>,
    syslog: Option<Syslog>,
    /// Takes the entries in place of `out` and `syslog`, once it is set.
    recorder: OnceLock<Arc<dyn Recorder>>,
}

impl AccessLog {
    /// A log of lines in this format: `json`, `common`, `combined`, or text with `%(atom)s`. Lines are discarded until
    /// a target or a recorder is set.
    pub fn new(format: &str) -> AccessLog {
        AccessLog { format: Format::of(format), out: None, syslog: None, recorder: OnceLock::new() }
    }

    /// Writes the lines into a file or stream, on a thread.
    ///
    /// # Errors
    /// The target cannot be opened, or no thread can be started.
    pub fn with_target(self, target: Target, buffer_bytes_max: usize) -> std::io::Result<AccessLog> {
        Ok(AccessLog { out: Some(target.buffered(buffer_bytes_max, GATHER)?), ..self })
    }

    /// Sends the lines to syslog too, if it is given.
    #[must_use]
    pub fn with_syslog(self, syslog: Option<Syslog>) -> AccessLog {
        AccessLog { syslog, ..self }
    }

    /// Passes all further entries to a logging framework. Only the first call has an effect.
    pub fn divert(&self, recorder: Arc<dyn Recorder>) {
        // An error means that a recorder is set already, which stays.
        let _ = self.recorder.set(recorder);
    }

    /// Whether a line needs the response's fields.
    pub fn wants_response_fields(&self) -> bool {
        self.format.wants_response_fields() || self.recorder.get().is_some()
    }

    /// Writes the line, or passes on the entry, of one request.
    pub fn record(&self, exchange: &Exchange<'_>) {
        let now = Moment::now();
        if let Some(recorder) = self.recorder.get() {
            let mut entry = Entry::of(exchange, &now);
            if self.format == Format::Json {
                let mut line = String::with_capacity(256);
                self.format.write(exchange, &now, &mut line);
                entry.line = Some(line);
            }
            recorder.entry(entry);
            return;
        }
        let mut line = String::with_capacity(256);
        self.format.write(exchange, &now, &mut line);
        if let Some(syslog) = &self.syslog {
            syslog.send(Level::Info, &line);
        }
        if let Some(out) = &self.out {
            line.push('\n');
            out.put(line.as_bytes());
        }
    }

    /// Writes text unchanged to the log's stream or file. It is what an application logs there itself.
    pub fn put(&self, text: &str) {
        if let Some(out) = &self.out {
            out.put(text.as_bytes());
        }
    }

    /// Sends text to syslog alone, if the log has syslog.
    pub fn put_syslog(&self, level: Level, text: &str) {
        if let Some(syslog) = &self.syslog {
            syslog.send(level, text);
        }
    }

    /// Reopens the file.
    pub fn reopen(&self) {
        if let Some(out) = &self.out {
            out.reopen();
        }
    }

    /// Waits until everything is written, at most a second for each target.
    pub fn flush(&self) {
        if let Some(recorder) = self.recorder.get() {
            recorder.flush();
        }
        if let Some(out) = &self.out {
            out.flush(Duration::from_secs(1));
        }
        if let Some(syslog) = &self.syslog {
            syslog.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use farrier_http::Limits;
    use farrier_http::wire::h1::HeadDecoder;
    use farrier_http::{Request, Status};

    fn request(head: &str) -> Request {
        let mut request = Request::with_room(4096);
        request.arena.append(head.as_bytes());
        let complete = HeadDecoder::default().decode(request.arena.filled(), &Limits::default(), &mut request.head);
        assert_eq!(complete, Ok(true));
        request
    }

    fn line(format: &str, head: &str) -> String {
        let mut request = request(head);
        request.notes.push(("my.key".to_owned(), "\n\u{20ac}\"".to_owned()));
        let exchange = Exchange {
            request: &request,
            status: Status(200),
            content_bytes: 13,
            duration_ns: 1_234_567_000,
            response_lines: b"Content-Type: text/plain\r\nX-Id: 7\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n",
        };
        let mut line = String::new();
        Format::of(format).write(&exchange, &Moment::at(951_782_400, 5, 0), &mut line);
        line
    }

    const HEAD: &str = "GET /a%20b?x=1&token=abc HTTP/1.1\r\nHost: h\r\nUser-Agent: say \"hi\"\r\n\
                        Authorization: Basic dXNlcjpwYXNz\r\nX-Empty:\r\nCookie: c1\r\nCookie: c2\r\n\r\n";

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
            (
                "[%(B)5d] [%(B)05d] [%(m)-5s] [%(a).3s] [%(b)8s] [%(b)08s]",
                "[   13] [00013] [GET  ] [say] [      13] [      13]",
            ),
            ("%({raw_uri}e)s %({My.Key}e)s", "- \\x0a\u{20ac}\\\""),
            ("%({set-cookie}o)s %({x-empty}i)s|%({cookie}i)s %(h", "b=2 |c2 %(h"),
        ];
        for (format, expected) in cases {
            assert_eq!(line(format, HEAD), expected);
        }
    }

    #[test]
    fn a_backslash_is_escaped_so_that_no_value_closes_its_quotes() {
        let hostile = "GET / HTTP/1.1\r\nHost: h\r\nReferer: \\\" 200\r\n\r\n";
        assert_eq!(line("\"%(f)s\"", hostile), r#""\\\" 200""#);
    }

    #[test]
    fn a_format_names_the_environ_entries_it_needs() {
        assert_eq!(environ_names("%(h)s %({My.Key}e)s %({x}i)s"), ["my.key"]);
        assert!(environ_names("json").is_empty());
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
