//! Redirects: the URL is made from the setting's text and the request.

use farrier_http::{Error, Flush, Handler, Plan, Request, Respond, ResponseHead, Scheme, Status};

use super::{asked_host, hosts, paths};

/// A part of a redirect's URL. It has the variants of farrier-config's `Piece`, as this crate does not depend on the
/// configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// This text.
    Text(String),
    /// The request's path, as the client sent it.
    Path,
    /// The rest of the path, below the mount.
    Rest,
    /// The query with its `?`. Nothing if the request has none.
    Query,
    /// The request's host, with its port.
    Host,
    /// The scheme that the client uses.
    Scheme,
}

/// Redirects clients to another URL.
pub struct Redirect {
    target: Vec<Part>,
    status: Status,
    /// The path of the mount, which `$rest` leaves out.
    mount: Vec<u8>,
}

impl Redirect {
    /// A redirect for the paths below `mount`.
    pub fn new(target: Vec<Part>, status: u16, mount: &str) -> Redirect {
        Redirect { target, status: Status(status), mount: mount.as_bytes().to_vec() }
    }

    fn location(&self, request: &Request) -> Result<Vec<u8>, Error> {
        let mut location = Vec::new();
        for part in &self.target {
            match part {
                Part::Text(text) => location.extend_from_slice(text.as_bytes()),
                Part::Path => escape(path_of(request), &mut location),
                Part::Rest => {
                    let (path, is_decoded) = (path_of(request), request.head.gateway.path_is_decoded);
                    let bytes = paths::sent_bytes_of(&self.mount, path, is_decoded);
                    escape(path.get(bytes..).unwrap_or_default(), &mut location);
                }
                Part::Query => query(request, &mut location),
                Part::Host => match asked_host(request) {
                    [] => return Err(Error::bad_request("the request names no host for the redirect")),
                    host => location.extend_from_slice(host),
                },
                Part::Scheme => location.extend_from_slice(scheme(request)),
            }
        }
        // A URL that begins with `//` names another host (RFC 3986 §4.2), and a client can send such a path.
        let slashes = location.iter().take_while(|&&byte| byte == b'/').count();
        if slashes > 1 {
            location.drain(..slashes - 1);
        }
        Ok(location)
    }
}

impl Handler for Redirect {
    fn plan(&self, _: &mut Request) -> Plan {
        Plan::Now
    }

    fn handle(&self, request: &mut Request, respond: &mut dyn Respond) -> Result<(), Error> {
        send(self.status, &self.location(request)?, respond)
    }
}

/// Redirects a client to the same path under the site's canonical name.
pub(super) fn to_host(name: &[u8], request: &Request, respond: &mut dyn Respond) -> Result<(), Error> {
    let mut location = scheme(request).to_vec();
    location.extend_from_slice(b"://");
    location.extend_from_slice(name);
    location.extend_from_slice(hosts::port_of(asked_host(request)));
    escape(path_of(request), &mut location);
    query(request, &mut location);
    send(Status::PERMANENT_REDIRECT, &location, respond)
}

fn send(status: Status, location: &[u8], respond: &mut dyn Respond) -> Result<(), Error> {
    let mut head = ResponseHead::new(status);
    head.add(b"Location", location)?;
    head.add(b"Content-Type", b"text/plain; charset=utf-8")?;
    let content = format!("{} {}\n", status.0, status.reason());
    respond.head(&head, Some(content.len() as u64));
    // An error means that the client has disconnected: nothing is left to do.
    let _ = respond.send(content.as_bytes(), Flush::Later);
    respond.finish();
    Ok(())
}

/// The path. `/` for a target that has none.
fn path_of(request: &Request) -> &[u8] {
    match request.path() {
        path @ [b'/', ..] => path,
        _ => b"/",
    }
}

fn query(request: &Request, location: &mut Vec<u8>) {
    if !request.query().is_empty() {
        location.push(b'?');
        escape(request.query(), location);
    }
}

fn scheme(request: &Request) -> &'static [u8] {
    match request.origin.scheme {
        Scheme::Http => b"http",
        Scheme::Https => b"https",
    }
}

/// Appends bytes that a URL allows unchanged, and others percent-encoded: a web server in front may have decoded them.
fn escape(text: &[u8], location: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in text {
        if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}') {
            location.push(byte);
        } else {
            location.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}
