//! Makes the response for the client from that of an upstream (RFC 9110 §7.6): which fields stay, which are changed, and what
//! the upstream says to this server alone.

use farrier_http::field::is_token;
use farrier_http::wire::client::ReceivedHead;
use farrier_http::{Error, Request, ResponseHead, Status, Version};

use crate::client_fields::client_host;
use crate::connection::Named;
use crate::failure::Failure;
use crate::request::{Facts, checked_name};
use crate::rewrite::{Rewrite, Sides};

/// Which of an upstream's `X-Accel-*` fields are obeyed. All of them are removed from the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Accel {
    /// `X-Accel-Buffering: no`: each piece is sent at once.
    pub buffering: bool,
    /// `X-Accel-Expires`: how long a cache may keep the response.
    pub expires: bool,
    /// `X-Accel-Charset`: the charset of the Content-Type.
    pub charset: bool,
    /// `X-Accel-Redirect`: an internal file is sent instead.
    pub redirect: bool,
}

/// What an upstream says to this server alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signals {
    /// `X-Accel-Buffering`: whether the response may be collected into larger pieces.
    pub buffering: Option<bool>,
    /// `X-Accel-Expires`, not interpreted: seconds, or `@` and a time in seconds since 1970.
    pub expires: Option<Vec<u8>>,
    /// `X-Accel-Redirect`, not interpreted: a path below an internal root.
    pub redirect: Option<Vec<u8>>,
}

/// What a mount does with its upstream's responses. Made once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResponsePolicy {
    /// Which `X-Accel-*` are obeyed.
    pub accel: Accel,
    /// Whether the upstream's Server field is passed on.
    pub passes_server: bool,
    /// What is changed in addresses and cookies.
    pub rewrite: Rewrite,
    /// What the configuration sets and hides.
    pub edits: ResponseEdits,
}

/// Fields of responses that a configuration sets or hides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResponseEdits {
    hidden: Vec<Box<[u8]>>,
    set: Vec<SetField>,
}

/// Name and value.
type SetField = (Box<[u8]>, Box<[u8]>);

impl ResponseEdits {
    /// Hides a field from clients.
    ///
    /// # Errors
    /// The name is no token, or one that the framing or the connection decides.
    pub fn hide(&mut self, name: &str) -> Result<(), String> {
        self.hidden.push(checked_name(name)?);
        Ok(())
    }

    /// Sets a field instead of the upstream's. An empty value removes it. Of two values for a name the last counts.
    ///
    /// # Errors
    /// As for [`ResponseEdits::hide`], or the value contains a control character.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        if !farrier_http::field::is_value(value.as_bytes()) {
            return Err(format!("the value of {name} contains a control character"));
        }
        let name = checked_name(name)?;
        self.set.retain(|(its, _)| !its.eq_ignore_ascii_case(&name));
        self.set.push((name, value.as_bytes().into()));
        Ok(())
    }

    fn decides(&self, name: &[u8]) -> bool {
        self.set.iter().map(|(name, _)| name).chain(&self.hidden).any(|its| its.eq_ignore_ascii_case(name))
    }
}

impl ResponsePolicy {
    /// Fills the response's head from a final head or an interim one. For a 101 see [`crate::upgrade::encode_switched`].
    ///
    /// # Errors
    /// The upstream's head cannot be passed on: [`Failure::Answer`].
    pub fn fill(
        &self,
        received: &ReceivedHead,
        request: &Request,
        facts: &Facts<'_>,
        head: &mut ResponseHead,
        scratch: &mut Vec<u8>,
    ) -> Result<Signals, Failure> {
        let failed = |_: Error| Failure::MALFORMED;
        head.restart_received(received.status(), received.reason()).map_err(failed)?;
        let named = Named::read(received.fields().values("connection")).ok_or(Failure::MALFORMED)?;
        let prefix = [request.arena.slice(request.forwarded.prefix), facts.stripped].concat();
        let sides = Sides {
            scheme: request.origin.scheme.as_str().as_bytes(),
            host: client_host(request),
            authority: facts.authority,
            prefix: &prefix,
        };
        let mut signals = Signals::default();
        let charset = received.fields().values("x-accel-charset").next().filter(|_| self.accel.charset);
        for (_, name, value) in received.fields().iter() {
            // Of framing, only a length that is certain is passed on, below.
            if named.has(name) || name.eq_ignore_ascii_case(b"content-length") {
                continue;
            }
            if let Some(name) = for_this_server(name) {
                self.note(&mut signals, name, value);
                continue;
            }
            if self.is_dropped(name) {
                continue;
            }
            scratch.clear();
            let is_changed = match name.len() {
                8 if name.eq_ignore_ascii_case(b"location") => self.rewrite.location(scratch, value, &sides),
                16 if name.eq_ignore_ascii_case(b"content-location") => self.rewrite.location(scratch, value, &sides),
                7 if name.eq_ignore_ascii_case(b"refresh") => self.rewrite.refresh(scratch, value, &sides),
                10 if name.eq_ignore_ascii_case(b"set-cookie") => self.rewrite.set_cookie(scratch, value, &sides),
                12 if name.eq_ignore_ascii_case(b"content-type") => with_charset(scratch, value, charset),
                _ => false,
            };
            head.add(name, if is_changed { scratch } else { value }).map_err(failed)?;
        }
        if let Some(length) = received.content_length() {
            head.add(b"Content-Length", itoa::Buffer::new().format(length).as_bytes()).map_err(failed)?;
        }
        if received.status() == UPGRADE_REQUIRED && request.head.version == Version::Http11 {
            for protocols in received.fields().values("upgrade").filter(|value| !value.is_empty()) {
                head.offer_upgrade(protocols).map_err(failed)?;
            }
        }
        for (name, value) in self.edits.set.iter().filter(|(_, value)| !value.is_empty()) {
            head.add(name, value).map_err(failed)?;
        }
        Ok(signals)
    }

    /// Fills the fields behind the content (RFC 9110 §6.5). The reader has dropped those that may not stand there.
    pub fn fill_trailers(&self, trailers: &farrier_http::wire::client::FieldLines, head: &mut ResponseHead) {
        for (_, name, value) in trailers.iter() {
            if for_this_server(name).is_none() && !self.is_dropped(name) {
                // Names and values were checked by the reader; what is refused is left out.
                let _ = head.add(name, value);
            }
        }
    }

    fn is_dropped(&self, name: &[u8]) -> bool {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        // Alt-Svc would lead clients to the upstream, past this server (RFC 7838).
        is("alt-svc") || (is("server") && !self.passes_server) || self.edits.decides(name)
    }

    fn note(&self, signals: &mut Signals, name: &[u8], value: &[u8]) {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        if is("buffering") && self.accel.buffering {
            signals.buffering = match value {
                value if value.eq_ignore_ascii_case(b"no") => Some(false),
                value if value.eq_ignore_ascii_case(b"yes") => Some(true),
                _ => signals.buffering,
            };
        } else if is("expires") && self.accel.expires {
            signals.expires = Some(value.to_vec());
        } else if is("redirect") && self.accel.redirect {
            signals.redirect = Some(value.to_vec());
        }
    }
}

/// Upgrade Required, the only final response whose Upgrade field is for the client (RFC 9110 §15.5.22).
const UPGRADE_REQUIRED: Status = Status(426);

/// The name behind `X-Accel-`. `X-Sendfile` would make this server send a file of its own; no upstream may ask for one so.
fn for_this_server(name: &[u8]) -> Option<&[u8]> {
    if name.eq_ignore_ascii_case(b"x-sendfile") {
        return Some(b"");
    }
    let (front, rest) = name.split_at_checked(8)?;
    front.eq_ignore_ascii_case(b"x-accel-").then_some(rest)
}

/// Appends a media type with a charset, unless it has one or is no text. False: it stays.
fn with_charset(out: &mut Vec<u8>, media_type: &[u8], charset: Option<&[u8]>) -> bool {
    let Some(charset) = charset.filter(|charset| is_token(charset)) else { return false };
    let has_charset = media_type.windows(8).any(|window| window.eq_ignore_ascii_case(b"charset="));
    let is_text = media_type.get(..5).is_some_and(|front| front.eq_ignore_ascii_case(b"text/"));
    if has_charset || !is_text {
        return false;
    }
    out.extend_from_slice(media_type);
    out.extend_from_slice(b"; charset=");
    out.extend_from_slice(charset);
    true
}
