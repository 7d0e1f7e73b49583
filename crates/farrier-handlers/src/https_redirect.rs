//! Redirects requests over plain HTTP to the same URL with https.

use std::sync::Arc;

use farrier_http::{Error, Handler, Plan, Request, Respond, ResponseHead, Scheme, Status};

/// The path of ACME validations, which must be answered over plain HTTP (RFC 8555 §8.3).
const VALIDATION_PREFIX: &[u8] = b"/.well-known/acme-challenge/";

/// Answers requests over plain HTTP with 308 to the same host, path and query with https. `inner` answers the others.
///
/// # Arguments
///
/// `port` is the port for https. With `None` all requests go to `inner`.
pub fn around(inner: Arc<dyn Handler>, port: Option<u16>) -> Arc<dyn Handler> {
    match port {
        Some(port) => Arc::new(Redirected { port, inner }),
        None => inner,
    }
}

/// The handler around `inner`.
struct Redirected {
    port: u16,
    inner: Arc<dyn Handler>,
}

impl Redirected {
    fn is_redirected(request: &Request) -> bool {
        request.origin.scheme == Scheme::Http && !request.path().starts_with(VALIDATION_PREFIX)
    }
}

impl Handler for Redirected {
    fn plan(&self, request: &mut Request) -> Plan {
        if Redirected::is_redirected(request) { Plan::Now } else { self.inner.plan(request) }
    }

    fn handle(&self, request: &mut Request, respond: &mut dyn Respond) -> Result<(), Error> {
        if !Redirected::is_redirected(request) {
            return self.inner.handle(request, respond);
        }
        let host = without_port(request.host());
        if host.is_empty() {
            return Err(Error::bad_request("the request names no host for the redirect to https"));
        }
        // A client repeats method and content after 308 (RFC 9110 §15.4.9).
        let mut head = ResponseHead::new(Status::PERMANENT_REDIRECT);
        head.add(b"Location", &location(host, self.port, request.path(), request.query()))?;
        respond.head(&head, Some(0));
        respond.finish();
        Ok(())
    }
}

fn location(host: &[u8], port: u16, path: &[u8], query: &[u8]) -> Vec<u8> {
    let mut location = b"https://".to_vec();
    location.extend_from_slice(host);
    if port != 443 {
        location.extend_from_slice(format!(":{port}").as_bytes());
    }
    if !path.starts_with(b"/") {
        location.push(b'/');
    }
    // `OPTIONS *` has no path.
    location.extend_from_slice(if path == b"*" { b"" } else { path });
    if !query.is_empty() {
        location.push(b'?');
        location.extend_from_slice(query);
    }
    location
}

/// The host of `host[:port]`.
fn without_port(host: &[u8]) -> &[u8] {
    let bracket = host.iter().rposition(|&byte| byte == b']').unwrap_or(0);
    let colon = host[bracket..].iter().position(|&byte| byte == b':');
    colon.map_or(host, |colon| &host[..bracket + colon])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_keeps_host_path_and_query_and_uses_the_https_port() {
        for (host, port, path, query, expected) in [
            ("example.org", 443, "/a%20b", "c=d&e", "https://example.org/a%20b?c=d&e"),
            ("example.org:80", 443, "/", "", "https://example.org/"),
            ("example.org:8080", 8443, "//a", "", "https://example.org:8443//a"),
            ("[::1]:8080", 8443, "/", "", "https://[::1]:8443/"),
            ("[::1]", 443, "*", "", "https://[::1]/"),
        ] {
            let location = location(without_port(host.as_bytes()), port, path.as_bytes(), query.as_bytes());
            assert_eq!(String::from_utf8_lossy(&location), expected);
        }
    }
}
