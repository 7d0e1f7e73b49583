//! Decides which fields of a request go to the upstream, and what is added (RFC 9110 §7.6).

use farrier_http::field::{is_hop_by_hop, is_token, is_value};
use farrier_http::{Error, KnownField, Peer, Request};

use crate::client_fields::{self, ForwardedForm};
use crate::connection::Named;
use crate::sticky;
use crate::target::PathRule;
use crate::template::{Template, Variable};
use crate::via;

/// The Host that the upstream sees.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum HostRule {
    /// The client's.
    #[default]
    Client,
    /// The upstream's own authority.
    Upstream,
    /// A name of the configuration's.
    Fixed(Box<[u8]>),
}

/// What a mount does with requests on their way to its upstream. Made once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestPolicy {
    /// The Host field.
    pub host: HostRule,
    /// The path.
    pub path: PathRule,
    /// What is said of the client.
    pub forwarded: ForwardedForm,
    /// This proxy's pseudonym in Via, a token; empty for none, and then a loop is not noticed.
    pub via: Box<[u8]>,
    /// What the configuration sets and removes.
    pub edits: RequestEdits,
}

/// Fields of requests that a configuration sets or removes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestEdits {
    set: Vec<(Box<[u8]>, Template)>,
    removed: Vec<Box<[u8]>>,
}

/// What the policy must know of one request besides the request.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The connection's own peer, which may be a proxy; `Request::origin` has the client.
    pub peer: Peer,
    /// Whether the peer is a trusted proxy, so that what it says of the client is passed on.
    pub is_trusted: bool,
    /// The port that the client connected to here.
    pub port: Option<u16>,
    /// `host[:port]` of the upstream.
    pub authority: &'a [u8],
    /// Bytes of the path, as received, that are the mount's.
    pub mounted_bytes: usize,
    /// The front of the path that the upstream does not see; empty without [`PathRule::strip`]. See [`Facts::stripping`].
    pub stripped: &'a [u8],
    /// The content's length in bytes; `None` if it is not known yet.
    pub content_length: Option<u64>,
    /// The client waits for `100 Continue`, and the upstream shall decide (RFC 9110 §10.1.1).
    pub expect_continue: bool,
    /// Trailers of the response can be passed to the client.
    pub takes_trailers: bool,
    /// The protocol to switch to, from [`crate::Upgrades::asked`]; `None` for an ordinary request.
    pub upgrade: Option<&'a [u8]>,
    /// The key for a WebSocket handshake over HTTP/1.1 whose client speaks HTTP/2 and has none (RFC 8441): the method becomes GET.
    pub websocket_key: Option<&'a [u8]>,
    /// The connection to the upstream is for this request alone.
    pub is_last: bool,
    /// The id of the request; empty if it has none.
    pub request_id: &'a [u8],
    /// A cookie that is this server's own, so the upstream does not see it; empty for none.
    pub hidden_cookie: &'a [u8],
}

impl<'a> Facts<'a> {
    /// The facts of a request whose content has this length, where nothing else is special.
    pub fn new(request: &Request, authority: &'a [u8], content_length: Option<u64>) -> Facts<'a> {
        Facts {
            peer: request.forwarded.proxy.unwrap_or(request.origin.peer),
            is_trusted: request.forwarded.proxy.is_some(),
            port: None,
            authority,
            mounted_bytes: 0,
            stripped: b"",
            content_length,
            expect_continue: false,
            takes_trailers: false,
            upgrade: None,
            websocket_key: None,
            is_last: false,
            request_id: b"",
            hidden_cookie: b"",
        }
    }

    /// The same with the mount's part of the path, of which the rule decides whether the upstream sees it.
    #[must_use]
    pub fn stripping(self, request: &'a Request, rule: &PathRule, mounted_bytes: usize) -> Facts<'a> {
        let stripped = if rule.strip { request.path().get(..mounted_bytes).unwrap_or_default() } else { b"" };
        Facts { mounted_bytes, stripped, ..self }
    }
}

/// Why a request is not forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The client is at fault.
    Error(Error),
    /// `Max-Forwards: 0`: this server is to answer TRACE or OPTIONS itself (RFC 9110 §7.6.2).
    LastHop,
    /// The request has come through this proxy too often: [`crate::Failure::Loop`].
    Loop,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Refused {
        Refused::Error(error)
    }
}

impl RequestEdits {
    /// Sets a field instead of the client's and this server's own of that name. An empty value removes it. Of two values for a
    /// name the last counts.
    ///
    /// # Errors
    /// The name is no token, or one that the framing, the connection or [`RequestPolicy::host`] decides.
    pub fn set(&mut self, name: &str, value: Template) -> Result<(), String> {
        if name.eq_ignore_ascii_case("host") {
            return Err("the Host field has a setting of its own: host".to_owned());
        }
        let name = checked_name(name)?;
        self.set.retain(|(its, _)| !its.eq_ignore_ascii_case(&name));
        self.set.push((name, value));
        Ok(())
    }

    /// Removes a field, the client's and this server's own.
    ///
    /// # Errors
    /// As for [`RequestEdits::set`], and Host is required.
    pub fn remove(&mut self, name: &str) -> Result<(), String> {
        if name.eq_ignore_ascii_case("host") {
            return Err("the Host field cannot be removed: HTTP/1.1 requires it".to_owned());
        }
        self.removed.push(checked_name(name)?);
        Ok(())
    }

    /// Whether the configuration decides a field of this name.
    fn decides(&self, name: &[u8]) -> bool {
        self.set.iter().map(|(name, _)| name).chain(&self.removed).any(|its| its.eq_ignore_ascii_case(name))
    }
}

impl RequestPolicy {
    /// Gives all fields that are sent except those of framing and connection, Host first. `put` is given names and values,
    /// which are valid. `scratch` is memory that the caller reuses.
    ///
    /// # Errors
    /// The request is not forwarded. Some fields may have been given.
    pub fn fields(
        &self,
        request: &Request,
        facts: &Facts<'_>,
        scratch: &mut Vec<u8>,
        put: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), Refused> {
        let named = Named::of_request(values(request, KnownField::Connection))?;
        let forwards_left = self.check_hops(request)?;
        let is_set = |name: &[u8]| self.edits.decides(name);
        let host = self.host(request, facts);
        if !host.is_empty() {
            put(b"Host", host);
        }
        for (known, name, value) in request.fields() {
            let is_ours = match known {
                KnownField::Host | KnownField::ContentLength | KnownField::Expect | KnownField::Proxy => true,
                KnownField::Other => is_servers(name, forwards_left.is_some(), !self.via.is_empty()),
                _ => false,
            };
            if is_ours || named.has(name) || self.forwarded.replaces(known, name, facts) || is_set(name) {
                continue;
            }
            if known == KnownField::Cookie && !facts.hidden_cookie.is_empty() {
                scratch.clear();
                if sticky::append_without(scratch, value, facts.hidden_cookie) {
                    put(name, scratch);
                }
                continue;
            }
            put(name, value);
        }
        let mut put = |name: &[u8], value: &[u8]| {
            if !is_set(name) {
                put(name, value);
            }
        };
        self.forwarded.add(request, facts, scratch, &mut put);
        if let Some(left) = forwards_left {
            put(b"Max-Forwards", itoa::Buffer::new().format(left).as_bytes());
        }
        if facts.expect_continue {
            put(b"Expect", b"100-continue");
        }
        if !self.via.is_empty() {
            scratch.clear();
            for (index, value) in request.values("via").enumerate() {
                if index > 0 {
                    scratch.extend_from_slice(b", ");
                }
                scratch.extend_from_slice(value);
            }
            via::append(scratch, request.head.version, &self.via);
            put(b"Via", scratch);
        }
        Ok(())
    }

    /// Gives the fields that the configuration sets; they come last.
    ///
    /// # Errors
    /// A part of the request may not stand in a field value.
    pub fn set_fields(
        &self,
        request: &Request,
        facts: &Facts<'_>,
        scratch: &mut Vec<u8>,
        put: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), Refused> {
        for (name, template) in &self.edits.set {
            scratch.clear();
            template.append(scratch, |variable, out| append_variable(out, variable, request, facts));
            if !is_value(scratch) {
                return Err(Error::bad_request("a part of the request may not stand in a field").into());
            }
            if !scratch.is_empty() {
                put(name, scratch.trim_ascii());
            }
        }
        Ok(())
    }

    /// The Host that is sent. HTTP/1.0 clients may give none; then it is the upstream's.
    pub fn host<'a>(&'a self, request: &'a Request, facts: &Facts<'a>) -> &'a [u8] {
        match &self.host {
            HostRule::Fixed(host) => host,
            HostRule::Client if !request.host().is_empty() => request.host(),
            HostRule::Client | HostRule::Upstream => facts.authority,
        }
    }

    /// Looks for loops, and for the last hop of TRACE and OPTIONS. The value of Max-Forwards that is sent.
    fn check_hops(&self, request: &Request) -> Result<Option<u64>, Refused> {
        if !self.via.is_empty() && via::passages(request.values("via"), &self.via) > via::PASSAGES_MAX {
            return Err(Refused::Loop);
        }
        if !matches!(request.method(), b"OPTIONS" | b"TRACE") {
            return Ok(None);
        }
        let Some(value) = request.values("max-forwards").next() else { return Ok(None) };
        let told: Option<u64> =
            str::from_utf8(value).ok().filter(|text| !text.starts_with('+')).and_then(|n| n.parse().ok());
        match told {
            Some(0) => Err(Refused::LastHop),
            Some(left) => Ok(Some(left - 1)),
            None => Err(Error::bad_request("the Max-Forwards field is not a number").into()),
        }
    }
}

/// Fields that a client may not send to an upstream: they would set the program's own proxy (CVE-2016-5385), or talk to a
/// web server. `Max-Forwards` and `Via` are written anew where this server changes them.
fn is_servers(name: &[u8], has_max_forwards: bool, has_via: bool) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    let is_accel = || name.get(..8).is_some_and(|front| front.eq_ignore_ascii_case(b"x-accel-"));
    match name.len() {
        3 => has_via && is("via"),
        5 => is("proxy"),
        10 => is("x-sendfile") || is_accel(),
        12 if is("max-forwards") => has_max_forwards,
        _ => is_accel(),
    }
}

fn values(request: &Request, known: KnownField) -> impl Iterator<Item = &[u8]> {
    request.fields().filter(move |(its, ..)| *its == known).map(|(.., value)| value)
}

pub(crate) fn append_variable(out: &mut Vec<u8>, variable: Variable, request: &Request, facts: &Facts<'_>) {
    match variable {
        Variable::Host => out.extend_from_slice(client_fields::client_host(request)),
        Variable::Scheme => out.extend_from_slice(request.origin.scheme.as_str().as_bytes()),
        Variable::RemoteAddr => {
            if let Peer::Tcp(address) = request.origin.peer {
                client_fields::append_ip(out, address.ip());
            }
        }
        Variable::RequestId => out.extend_from_slice(facts.request_id),
        Variable::Path => out.extend_from_slice(request.path()),
        Variable::Query => out.extend_from_slice(request.query()),
    }
}

/// A name that a configuration may set or remove.
pub(crate) fn checked_name(name: &str) -> Result<Box<[u8]>, String> {
    if !is_token(name.as_bytes()) {
        return Err(format!("{name:?} is not the name of a field"));
    }
    let is_framing = name.eq_ignore_ascii_case("content-length") || name.eq_ignore_ascii_case("expect");
    if is_framing || is_hop_by_hop(name.as_bytes()) {
        return Err(format!("{name} belongs to the connection or the framing, which the server decides"));
    }
    Ok(name.as_bytes().into())
}
