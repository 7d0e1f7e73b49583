//! The variables of a request for a gateway protocol (RFC 3875 §4.1): uwsgi and FastCGI.

use farrier_http::field::{Span, is_value};
use farrier_http::{Error, Kind, Peer, Request, Scheme, percent};

use crate::client_fields::{append_ip, client_host};
use crate::request::{Facts, Refused, RequestPolicy, append_variable};
use crate::target::{self, PathRule};
use crate::template::Template;

/// What makes a request one for FastCGI.
#[derive(Debug, Clone, Copy)]
pub struct FastCgiFacts<'a> {
    /// `SERVER_SOFTWARE`.
    pub software: &'a [u8],
    /// `DOCUMENT_ROOT`; empty for none.
    pub root: &'a [u8],
    /// The script, for applications that are files (PHP).
    pub script: Option<Script<'a>>,
}

/// A script below the root. The caller has made sure that the file exists and may be run: a FastCGI application believes it
/// (`cgi.fix_pathinfo`).
#[derive(Debug, Clone, Copy)]
pub struct Script<'a> {
    /// `SCRIPT_FILENAME`: the path of the file, as the application sees it.
    pub filename: &'a [u8],
    /// `SCRIPT_NAME`: the part of the decoded path that names the script.
    pub name: &'a [u8],
    /// `PATH_INFO`: the part behind it, perhaps empty.
    pub path_info: &'a [u8],
}

/// Variables that a configuration sets, instead of those of the same name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params(Vec<(Box<[u8]>, Template)>);

impl Params {
    /// Sets a variable. An empty value leaves it out. Of two values for a name the last counts.
    ///
    /// # Errors
    /// The name is not one of upper-case letters, digits, `_` and `.`, or it is one that this server decides.
    pub fn set(&mut self, name: &str, value: Template) -> Result<(), String> {
        let is_plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'.';
        if name.is_empty() || !name.bytes().all(is_plain) {
            return Err(format!("{name:?} is not the name of a variable"));
        }
        // UWSGI_FILE and others make uWSGI load programs. HTTP_* are fields, and the length is counted here.
        if name.starts_with("UWSGI_") || name.starts_with("HTTP_") || name == "CONTENT_LENGTH" {
            return Err(format!("{name} cannot be set: use set_headers for fields; the server decides the others"));
        }
        self.0.retain(|(its, _)| **its != *name.as_bytes());
        self.0.push((name.as_bytes().into(), value));
        Ok(())
    }

    fn decides(&self, name: &[u8]) -> bool {
        self.0.iter().any(|(its, _)| **its == *name)
    }
}

/// Takes names and values of variables.
pub type Put<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), Error> + 'a;

/// Gives the server's own variables, except those that the configuration decides.
struct Own<'a, 'p> {
    params: &'a Params,
    put: &'a mut Put<'p>,
}

impl Own<'_, '_> {
    fn put(&mut self, name: &[u8], value: &[u8]) -> Result<(), Error> {
        if self.params.decides(name) { Ok(()) } else { (self.put)(name, value) }
    }

    fn put_unless_empty(&mut self, name: &[u8], value: &[u8]) -> Result<(), Error> {
        if value.is_empty() { Ok(()) } else { self.put(name, value) }
    }
}

/// Makes variables. Its owner reuses the memory.
#[derive(Debug, Default)]
pub struct Variables {
    /// Names and values of fields, behind each other.
    bytes: Vec<u8>,
    fields: Vec<(Span, Span)>,
    path: Vec<u8>,
    value: Vec<u8>,
}

impl Variables {
    /// Gives all variables of a request, each name once, in the order of nginx's `uwsgi_params`, then `HTTP_*`, then those of the
    /// configuration. The content must have a known length.
    ///
    /// # Errors
    /// The request is not forwarded, or `put` refuses a variable.
    pub fn give(
        &mut self,
        request: &Request,
        policy: &RequestPolicy,
        params: &Params,
        facts: &Facts<'_>,
        fastcgi: Option<&FastCgiFacts<'_>>,
        put: &mut Put<'_>,
    ) -> Result<(), Refused> {
        let Some(content_length) = facts.content_length else {
            return Err(
                Error::server(Kind::Internal, "content without a length cannot go to a gateway protocol").into()
            );
        };
        self.collect(request, policy, facts)?;
        let mut own = Own { params, put };
        own.put(b"QUERY_STRING", request.query())?;
        own.put(b"REQUEST_METHOD", request.method())?;
        if let Some((_, value)) = self.named(b"content-type").next() {
            own.put_unless_empty(b"CONTENT_TYPE", self.slice(*value))?;
        }
        if content_length > 0 || matches!(request.method(), b"POST" | b"PUT" | b"PATCH") {
            own.put(b"CONTENT_LENGTH", itoa::Buffer::new().format(content_length).as_bytes())?;
        }
        self.put_paths(request, &policy.path, facts, fastcgi, &mut own)?;
        own.put(b"SERVER_PROTOCOL", request.head.version.as_str().as_bytes())?;
        own.put(b"REQUEST_SCHEME", request.origin.scheme.as_str().as_bytes())?;
        if request.origin.scheme == Scheme::Https {
            own.put(b"HTTPS", b"on")?;
        }
        if let Peer::Tcp(address) = request.origin.peer {
            self.value.clear();
            append_ip(&mut self.value, address.ip());
            own.put(b"REMOTE_ADDR", &self.value)?;
            // A proxy tells an address without a port.
            if address.port() > 0 {
                own.put(b"REMOTE_PORT", itoa::Buffer::new().format(address.port()).as_bytes())?;
            }
        }
        if let Some(port) = request.forwarded.port.or(facts.port) {
            own.put(b"SERVER_PORT", itoa::Buffer::new().format(port).as_bytes())?;
        }
        let host = client_host(request);
        own.put_unless_empty(b"SERVER_NAME", without_port(if host.is_empty() { facts.authority } else { host }))?;
        if let Some(fastcgi) = fastcgi {
            own.put(b"GATEWAY_INTERFACE", b"CGI/1.1")?;
            own.put_unless_empty(b"SERVER_SOFTWARE", fastcgi.software)?;
            // PHP refuses to run without it where it was built so (`cgi.force_redirect`).
            own.put(b"REDIRECT_STATUS", b"200")?;
        }
        self.put_fields(own.put)?;
        for (name, template) in &params.0 {
            self.value.clear();
            template.append(&mut self.value, |variable, out| append_variable(out, variable, request, facts));
            if !is_value(&self.value) {
                return Err(Error::bad_request("a part of the request may not stand in a variable").into());
            }
            if !self.value.is_empty() {
                (own.put)(name, &self.value)?;
            }
        }
        Ok(())
    }

    /// Collects the fields that are sent.
    fn collect(&mut self, request: &Request, policy: &RequestPolicy, facts: &Facts<'_>) -> Result<(), Refused> {
        let Variables { bytes, fields, value: scratch, .. } = self;
        bytes.clear();
        fields.clear();
        let mut note = |name: &[u8], value: &[u8]| {
            let start = bytes.len();
            bytes.extend_from_slice(name);
            let middle = bytes.len();
            bytes.extend_from_slice(value);
            fields.push((Span::new(start, middle), Span::new(middle, bytes.len())));
        };
        // There is no expectation in CGI: the content is complete.
        let facts = Facts { expect_continue: false, ..*facts };
        policy.fields(request, &facts, scratch, &mut note)?;
        policy.set_fields(request, &facts, scratch, &mut note)
    }

    fn slice(&self, span: Span) -> &[u8] {
        self.bytes.get(span.range()).unwrap_or_default()
    }

    fn named<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a (Span, Span)> {
        self.fields.iter().filter(move |(its, _)| self.slice(*its).eq_ignore_ascii_case(name))
    }

    /// `REQUEST_URI`, `PATH_INFO`, `SCRIPT_NAME` and the files of a script.
    fn put_paths(
        &mut self,
        request: &Request,
        rule: &PathRule,
        facts: &Facts<'_>,
        fastcgi: Option<&FastCgiFacts<'_>>,
        own: &mut Own<'_, '_>,
    ) -> Result<(), Refused> {
        // A path that was only cut is whole again in SCRIPT_NAME and PATH_INFO, so the URI is the client's.
        let is_mounted = rule.strip && rule.put.is_empty() && !facts.stripped.is_empty();
        self.value.clear();
        match is_mounted {
            true => target::append(&mut self.value, request, &PathRule::default(), 0)?,
            false => target::append(&mut self.value, request, rule, facts.mounted_bytes)?,
        }
        own.put(b"REQUEST_URI", &self.value)?;
        self.path.clear();
        if is_mounted {
            let below = request.path().get(facts.mounted_bytes..).unwrap_or_default();
            decode(request, below, &mut self.path);
        } else if request.head.gateway.path_is_decoded && !rule.strip {
            self.path.extend_from_slice(request.path());
        } else {
            let end = self.value.iter().position(|&byte| byte == b'?').unwrap_or(self.value.len());
            percent::decode(&self.value[..end], &mut self.path);
        }
        if self.path.contains(&0) {
            // Programs in C take it for the end of the path.
            return Err(Error::bad_request("the path contains an encoded NUL").into());
        }
        let fastcgi_root = fastcgi.map_or(&b""[..], |fastcgi| fastcgi.root);
        if !fastcgi_root.is_empty() {
            own.put(b"DOCUMENT_ROOT", fastcgi_root)?;
        }
        if let Some(script) = fastcgi.and_then(|fastcgi| fastcgi.script) {
            own.put(b"SCRIPT_FILENAME", script.filename)?;
            own.put(b"SCRIPT_NAME", script.name)?;
            own.put(b"PATH_INFO", script.path_info)?;
            own.put(b"DOCUMENT_URI", &self.path)?;
            return Ok(());
        }
        if is_mounted {
            self.value.clear();
            decode(request, facts.stripped, &mut self.value);
            own.put(b"SCRIPT_NAME", &self.value)?;
        } else if fastcgi.is_some() {
            // RFC 3875 §4.1.13: it must be set, and is empty for an application at the root.
            own.put(b"SCRIPT_NAME", b"")?;
        }
        own.put(b"PATH_INFO", &self.path)?;
        Ok(())
    }

    /// `HTTP_*`: each name once, with the values of equal fields joined (RFC 3875 §4.1.18).
    fn put_fields(&mut self, put: &mut Put<'_>) -> Result<(), Error> {
        let Variables { bytes, fields, path: variable, value: joined } = self;
        let slice = |span: Span| bytes.get(span.range()).unwrap_or_default();
        for (index, (name, value)) in fields.iter().enumerate() {
            let name = slice(*name);
            let is_it = |(its, _): &&(Span, Span)| slice(*its).eq_ignore_ascii_case(name);
            if !is_variable(name)
                || name.eq_ignore_ascii_case(b"content-type")
                || fields[..index].iter().any(|f| is_it(&f))
            {
                continue;
            }
            variable.clear();
            variable.extend_from_slice(b"HTTP_");
            variable.extend(name.iter().map(|byte| if *byte == b'-' { b'_' } else { byte.to_ascii_uppercase() }));
            joined.clear();
            joined.extend_from_slice(slice(*value));
            let separator: &[u8] = if name.eq_ignore_ascii_case(b"cookie") { b"; " } else { b", " };
            for (_, value) in fields[index + 1..].iter().filter(is_it) {
                joined.extend_from_slice(separator);
                joined.extend_from_slice(slice(*value));
            }
            put(variable, joined)?;
        }
        Ok(())
    }
}

/// Whether a field can be a variable without being taken for another one: `X_Y` would be `X-Y`.
fn is_variable(name: &[u8]) -> bool {
    name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-') && !name.eq_ignore_ascii_case(b"proxy")
}

/// Appends a part of the path, decoded unless it is so already.
fn decode(request: &Request, path: &[u8], out: &mut Vec<u8>) {
    match request.head.gateway.path_is_decoded {
        true => out.extend_from_slice(path),
        false => percent::decode(path, out),
    }
}

fn without_port(host: &[u8]) -> &[u8] {
    match host.iter().rposition(|&byte| byte == b':') {
        Some(colon) if !host[colon..].contains(&b']') => &host[..colon],
        _ => host,
    }
}
