//! Makes a request's head from the variables of a web server (RFC 3875 §4.1), for every gateway protocol. HTTP_* become
//! fields again. Others set method, target and framing, and the rest is kept for the environ.

use std::net::{IpAddr, SocketAddr};

use super::h1::{host, request_line, target};
use crate::error::{Error, Kind};
use crate::field::{Field, KnownField, Seen, Span, is_token, is_value};
use crate::gateway::{Variable, Via};
use crate::limits::Limits;
use crate::origin::Scheme;
use crate::request::{BodyFraming, RequestHead, TargetForm, Version};
use crate::response::parse_length;

/// The most variables besides HTTP_* of a request; web servers send about twenty, and configurations add some.
const VARIABLES_MAX: usize = 256;

/// How SCRIPT_NAME and PATH_INFO are related.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mounting {
    /// PATH_INFO is the part after SCRIPT_NAME, as RFC 3875 §4.1.5 says.
    AsTold,
    /// PATH_INFO still begins with SCRIPT_NAME, which must be removed (uwsgi's modifier 30).
    StripScriptName,
}

/// Names to which the server itself gives a meaning in the environ; a web server's configuration may not set them.
const SERVERS_OWN: [&[u8]; 4] = [b"wsgi.", b"farrier.", b"gunicorn.", b"uwsgi."];

/// Takes variables one by one, then makes a head of them.
///
/// `bytes` is the buffer of the spans; names of fields are rewritten in it in HTTP's spelling.
pub(super) struct Variables<'a> {
    bytes: &'a mut [u8],
    head: &'a mut RequestHead,
    limits: &'a Limits,
    hosts: usize,
    request_uri: Option<Span>,
    path_info: Option<Span>,
    query_string: Option<Span>,
    remote_addr: Span,
    remote_port: Span,
    content_length: Option<u64>,
}

impl<'a> Variables<'a> {
    /// Begins a head.
    pub(super) fn new(bytes: &'a mut [u8], head: &'a mut RequestHead, limits: &'a Limits, via: Via) -> Self {
        head.clear();
        head.gateway.via = via;
        Variables {
            bytes,
            head,
            limits,
            hosts: 0,
            request_uri: None,
            path_info: None,
            query_string: None,
            remote_addr: Span::default(),
            remote_port: Span::default(),
            content_length: None,
        }
    }

    /// The bytes that the spans point into.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes
    }

    /// Takes one variable. Of two with the same name the last counts. Exceptions are fields, which HTTP may repeat, and
    /// the length, the path and the content's type, of which there can be only one.
    ///
    /// # Errors A limit is exceeded, or a variable that decides framing or routing is invalid.
    #[inline]
    pub(super) fn take(&mut self, name: Span, value: Span) -> Result<(), Error> {
        let key = &self.bytes[name.range()];
        let text = &self.bytes[value.range()];
        if key.starts_with(b"HTTP_") {
            return self.http_variable(Span::new(name.start as usize + 5, name.range().end), value);
        }
        match key {
            b"" => return Err(Error::bad_request("a variable has no name")),
            b"REQUEST_METHOD" => self.head.method = value,
            b"REQUEST_URI" => self.request_uri = Some(value),
            b"PATH_INFO" => return self.path_info(value),
            b"QUERY_STRING" => self.query_string = Some(value),
            b"SCRIPT_NAME" => self.head.gateway.script_name = value,
            b"REMOTE_ADDR" => self.remote_addr = value,
            b"REMOTE_PORT" => self.remote_port = value,
            // Web servers send these even if the request has none (RFC 3875 §4.1.2, §4.1.3).
            b"CONTENT_LENGTH" | b"CONTENT_TYPE" | b"HTTPS" if text.is_empty() => {}
            b"CONTENT_LENGTH" => return self.content_length(name, value),
            b"CONTENT_TYPE" => return self.content_type(name, value),
            b"HTTPS" => self.scheme(is_on(text)),
            b"REQUEST_SCHEME" => {
                self.scheme(text.eq_ignore_ascii_case(b"https"));
                return self.keep(name, value);
            }
            b"SERVER_PROTOCOL" => {
                self.head.version = version(text)?;
                return self.keep(name, value);
            }
            // PEP 3333: they may not be empty. The listener's name replaces them.
            b"SERVER_NAME" | b"SERVER_PORT" if text.is_empty() => {}
            b"SERVER_NAME" => {
                self.head.gateway.has_server_name = true;
                return self.keep(name, value);
            }
            // They would load files, change the application or override the server's own values.
            key if key.starts_with(b"UWSGI_") => self.head.gateway.had_uwsgi_variables = true,
            key if SERVERS_OWN.iter().any(|prefix| key.starts_with(prefix)) => {}
            _ => return self.keep(name, value),
        }
        Ok(())
    }

    fn keep(&mut self, name: Span, value: Span) -> Result<(), Error> {
        if self.head.gateway.variables.len() >= VARIABLES_MAX {
            return Err(Error::client(Kind::HeadTooLarge, "the request has too many variables"));
        }
        self.head.gateway.variables.push(Variable { name, value });
        Ok(())
    }

    /// Once https, always https: HTTPS and REQUEST_SCHEME may both be there.
    fn scheme(&mut self, is_https: bool) {
        let scheme = &mut self.head.gateway.scheme;
        if is_https {
            *scheme = Some(Scheme::Https);
        } else {
            scheme.get_or_insert(Scheme::Http);
        }
    }

    /// A variable that was a field of the client; `name` is without HTTP_.
    fn http_variable(&mut self, name: Span, value: Span) -> Result<(), Error> {
        let bytes = self.with_hyphens(name);
        if !is_token(bytes) {
            return Err(Error::bad_request("a field's name is not a token"));
        }
        let known = KnownField::of(bytes);
        match known {
            // The web server has decided about framing, and these two have variables of their own (RFC 3875 §4.1.18).
            KnownField::TransferEncoding | KnownField::ContentLength | KnownField::ContentType => return Ok(()),
            KnownField::Host => {
                self.hosts += 1;
                self.head.host = value;
            }
            _ => {}
        }
        self.field(known, name, value)
    }

    /// The name in HTTP's spelling.
    fn with_hyphens(&mut self, name: Span) -> &[u8] {
        let bytes = &mut self.bytes[name.range()];
        for byte in bytes.iter_mut().filter(|byte| **byte == b'_') {
            *byte = b'-';
        }
        bytes
    }

    fn field(&mut self, known: KnownField, name: Span, value: Span) -> Result<(), Error> {
        if self.head.fields.len() >= self.limits.fields_max {
            return Err(Error::client(Kind::HeadTooLarge, "the head has too many fields (see limit_request_fields)"));
        }
        // As long as the line was.
        if name.len as usize + value.len as usize + 2 > self.limits.field_bytes_max {
            return Err(Error::client(Kind::HeadTooLarge, "a field is above its bound (see limit_request_field_size)"));
        }
        if !is_value(&self.bytes[value.range()]) {
            return Err(Error::bad_request("a field's value contains a control character"));
        }
        self.head.seen = self.head.seen.with(Seen::of(known));
        self.head.fields.push(Field { known, name, value });
        Ok(())
    }

    /// The path decides routing: of two that differ, the web server and the application may each mean another.
    fn path_info(&mut self, value: Span) -> Result<(), Error> {
        let path = &self.bytes[value.range()];
        if path.contains(&0) {
            return Err(Error::bad_request("PATH_INFO contains a NUL byte"));
        }
        match self.path_info.replace(value) {
            Some(before) if self.bytes[before.range()] != *path => {
                Err(Error::bad_request("PATH_INFO is given twice, and differently"))
            }
            _ => Ok(()),
        }
    }

    fn content_type(&mut self, name: Span, value: Span) -> Result<(), Error> {
        let mut fields = self.head.fields.iter();
        match fields.find(|field| field.known == KnownField::ContentType) {
            None => {
                self.with_hyphens(name);
                self.field(KnownField::ContentType, name, value)
            }
            Some(before) if self.bytes[before.value.range()] == self.bytes[value.range()] => Ok(()),
            Some(_) => Err(Error::bad_request("CONTENT_TYPE is given twice, and differently")),
        }
    }

    fn content_length(&mut self, name: Span, value: Span) -> Result<(), Error> {
        let length = parse_length(&self.bytes[value.range()])
            .ok_or(Error::bad_request("CONTENT_LENGTH is not digits only, or too large"))?;
        match self.content_length.replace(length) {
            None => {
                self.with_hyphens(name);
                self.field(KnownField::ContentLength, name, value)
            }
            Some(before) if before == length => Ok(()),
            Some(_) => Err(Error::bad_request("CONTENT_LENGTH is given twice, and differently")),
        }
    }

    /// Completes the head, whose content begins at `bytes`. Errors are checked in this order: method, host, target,
    /// length of the request line.
    ///
    /// # Errors Something is missing, malformed or above its limit.
    pub(super) fn finish(mut self, mounting: Mounting, bytes: usize) -> Result<(), Error> {
        let method = &self.bytes[self.head.method.range()];
        if !is_token(method) {
            return Err(Error::bad_request("REQUEST_METHOD is missing or not a token"));
        }
        request_line::check_method(method, self.limits)?;
        if self.hosts > 1 {
            return Err(Error::bad_request("the Host field is given twice"));
        }
        if self.hosts == 1 && !host::is_host(&self.bytes[self.head.host.range()]) {
            return Err(Error::bad_request("the Host field is not a valid host"));
        }
        self.target(mounting)?;
        let head = self.head;
        // As long as the line was, with two spaces and a version.
        if head.method.len as usize + head.target.len as usize + 10 > self.limits.request_line_bytes_max {
            return Err(Error::client(
                Kind::TargetTooLong,
                "the request line is above its bound (see limit_request_line)",
            ));
        }
        head.framing = self.content_length.map_or(BodyFraming::None, BodyFraming::Length);
        head.gateway.client = client(&self.bytes[self.remote_addr.range()], &self.bytes[self.remote_port.range()]);
        head.bytes = bytes;
        Ok(())
    }

    /// Target, path and query, from their variables.
    fn target(&mut self, mounting: Mounting) -> Result<(), Error> {
        let Variables { bytes, head, .. } = self;
        let Some(target) = self.request_uri.filter(|uri| !uri.is_empty()).or(self.path_info) else {
            return Err(Error::bad_request("neither REQUEST_URI nor PATH_INFO is given"));
        };
        let text = &bytes[target.range()];
        if !is_value(text) && Some(target) != self.path_info {
            return Err(Error::bad_request("REQUEST_URI contains a control character"));
        }
        head.target = target;
        head.form = match text {
            b"*" if &bytes[head.method.range()] == b"OPTIONS" => TargetForm::Asterisk,
            _ => TargetForm::Origin,
        };
        let script_name = without_slashes(bytes, head.gateway.script_name);
        head.gateway.script_name = script_name;
        let prefix = &bytes[script_name.range()];
        let start = target.start as usize;
        let question = text.iter().position(|&byte| byte == b'?').unwrap_or(text.len());
        match self.path_info {
            Some(path) => {
                let strip = mounting == Mounting::StripScriptName && is_below(&bytes[path.range()], prefix);
                let start = path.start as usize + if strip { prefix.len() } else { 0 };
                head.path = Span::new(start, path.range().end);
                head.gateway.path_is_decoded = true;
            }
            // Some send only SCRIPT_NAME, with the whole path (nginx's fastcgi_params): then nothing is mounted.
            None => {
                let parts =
                    target::parse(&bytes[head.method.range()], text, Some(question).filter(|&at| at < text.len()))?;
                head.form = parts.form;
                let path = &text[parts.path.clone()];
                let is_mounted = is_below(path, prefix) && path.len() > prefix.len();
                let skipped = if is_mounted { prefix.len() } else { 0 };
                if !is_mounted {
                    head.gateway.script_name = Span::default();
                }
                head.path = Span::new(start + parts.path.start + skipped, start + parts.path.end);
            }
        }
        head.query = match self.query_string {
            Some(query) => query,
            None => Span::new(start + (question + 1).min(text.len()), start + text.len()),
        };
        if !is_value(&bytes[head.query.range()]) {
            return Err(Error::bad_request("QUERY_STRING contains a control character"));
        }
        Ok(())
    }
}

/// Whether the path is the prefix or below it.
fn is_below(path: &[u8], prefix: &[u8]) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
}

fn without_slashes(bytes: &[u8], span: Span) -> Span {
    let length = bytes[span.range()].iter().rposition(|&byte| byte != b'/').map_or(0, |last| last + 1);
    Span { start: span.start, len: length as u32 }
}

fn is_on(value: &[u8]) -> bool {
    [&b"on"[..], b"1", b"true", b"yes", b"https"].iter().any(|on| value.eq_ignore_ascii_case(on))
}

fn version(protocol: &[u8]) -> Result<Version, Error> {
    match protocol {
        b"HTTP/1.1" | b"" => Ok(Version::Http11),
        b"HTTP/1.0" | b"HTTP/0.9" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', b'2' | b'3', ..] => Ok(Version::Http2),
        _ => Err(Error::bad_request("SERVER_PROTOCOL is no version of HTTP")),
    }
}

fn client(address: &[u8], port: &[u8]) -> Option<SocketAddr> {
    let ip: IpAddr = str::from_utf8(address).ok()?.parse().ok()?;
    let port = str::from_utf8(port).ok().and_then(|port| port.parse().ok()).unwrap_or(0);
    Some(SocketAddr::new(ip.to_canonical(), port))
}
