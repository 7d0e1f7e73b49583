//! Interprets a complete head: its host, framing, expectation and persistence.

use super::{framing, host, list, target};
use crate::error::{Error, Kind};
use crate::field::{KnownField, Seen, Span};
use crate::origin::Scheme;
use crate::request::{BodyFraming, RequestHead, TargetForm, Version};

/// RFC 9110 §8.3: whoever reads one of two types sees other content than whoever reads the other.
pub(crate) const TYPE_GIVEN_TWICE: &str = "the Content-Type is given twice";

/// Fills the parts of `head` that follow from its lines. Errors are checked in this order: Host, framing, Expect, Content-Type.
pub(super) fn understand(bytes: &[u8], head: &mut RequestHead) -> Result<(), Error> {
    let (mut hosts, mut types) = (0, 0);
    let mut expectation = None;
    let mut connection = Connection::default();
    for field in &head.fields {
        match field.known {
            KnownField::Host => {
                hosts += 1;
                head.host = field.value;
            }
            KnownField::Expect => {
                let expected = bytes[field.value.range()].eq_ignore_ascii_case(b"100-continue");
                expectation = Some(expected && expectation != Some(false));
            }
            KnownField::ContentType => types += 1,
            KnownField::Connection => connection.read(&bytes[field.value.range()]),
            _ => {}
        }
    }
    check_host(bytes, head, hosts)?;
    head.framing = framing::request_framing(bytes, head.version, &head.fields)?;
    if expectation == Some(false) {
        return Err(Error::client(Kind::ExpectationFailed, "Expect names something other than 100-continue"));
    }
    if types > 1 {
        return Err(Error::bad_request(TYPE_GIVEN_TWICE));
    }
    // RFC 9110 §10.1.1: ignored in HTTP/1.0, and pointless if no content follows.
    head.expect_continue = expectation == Some(true)
        && head.version != Version::Http10
        && !matches!(head.framing, BodyFraming::None | BodyFraming::Length(0));
    // RFC 9112 §9.3
    head.keep_alive = !connection.close && (connection.keep_alive || head.version != Version::Http10);
    Ok(())
}

/// Fills only the client's expectation in `head`. The framing is decided already.
pub(crate) fn understand_expectation(bytes: &[u8], head: &mut RequestHead) -> Result<(), Error> {
    let mut expects = false;
    for field in head.fields.iter().filter(|field| field.known == KnownField::Expect) {
        if !bytes[field.value.range()].eq_ignore_ascii_case(b"100-continue") {
            return Err(Error::client(Kind::ExpectationFailed, "Expect names something other than 100-continue"));
        }
        expects = true;
    }
    head.expect_continue = expects && head.framing != BodyFraming::Length(0);
    Ok(())
}

/// RFC 9112 §3.2: there must be exactly one valid Host, and a target's authority must not contradict it. HTTP/1.0 may
/// omit it.
fn check_host(bytes: &[u8], head: &mut RequestHead, hosts: usize) -> Result<(), Error> {
    let absolute = absolute(bytes, head);
    if let Some((scheme, _)) = absolute {
        head.told_scheme = Some(scheme);
        head.seen = head.seen.with(Seen::SCHEME);
    }
    match hosts {
        0 if head.version == Version::Http10 => {
            if let Some((_, authority)) = absolute {
                head.host = authority;
            }
            return Ok(());
        }
        0 => return Err(Error::bad_request("the Host field is missing")),
        1 => {}
        _ => return Err(Error::bad_request("the Host field is given twice")),
    }
    let value = &bytes[head.host.range()];
    if !host::is_host(value) {
        return Err(Error::bad_request("the Host field is not a valid host"));
    }
    match absolute {
        Some((scheme, authority)) if !host::same_authority(&bytes[authority.range()], value, scheme) => {
            Err(Error::bad_request("the target's authority differs from the Host field"))
        }
        _ => Ok(()),
    }
}

/// Scheme and authority of an absolute-form target.
fn absolute(bytes: &[u8], head: &RequestHead) -> Option<(Scheme, Span)> {
    if head.form != TargetForm::Absolute {
        return None;
    }
    let (scheme, authority) = target::authority(&bytes[head.target.range()])?;
    let start = head.target.start as usize;
    Some((scheme, Span::new(start + authority.start, start + authority.end)))
}

/// Reads persistence from the Connection fields (RFC 9110 §7.6.1); `close` wins.
#[derive(Default)]
struct Connection {
    close: bool,
    keep_alive: bool,
}

impl Connection {
    fn read(&mut self, value: &[u8]) {
        for option in list::elements(value) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }
}
