//! The request target: its form, path and query (RFC 9112 §3.2).

use std::ops::Range;

use super::host;
use crate::error::Error;
use crate::origin::Scheme;
use crate::request::TargetForm;

/// A target's parts, as ranges of the target.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) form: TargetForm,
    pub(super) path: Range<usize>,
    pub(super) query: Range<usize>,
}

/// Parses a target. The method decides which forms are right.
pub(super) fn parse(method: &[u8], target: &[u8]) -> Result<Target, Error> {
    // RFC 9112 §3.2.3: CONNECT and authority-form go together, and with nothing else.
    if method == b"CONNECT" {
        return if host::is_host_with_port(target) {
            Ok(Target { form: TargetForm::Authority, path: 0..0, query: 0..0 })
        } else {
            Err(Error::bad_request("the target of CONNECT must be host:port"))
        };
    }
    match target {
        [b'/', ..] => {
            let (path, query) = split(target, 0)?;
            Ok(Target { form: TargetForm::Origin, path, query })
        }
        b"*" if method == b"OPTIONS" => Ok(Target { form: TargetForm::Asterisk, path: 0..1, query: 1..1 }),
        _ => {
            let Some((_, authority)) = authority(target) else {
                return Err(Error::bad_request("the target's form is not right for its method"));
            };
            if !host::is_host(&target[authority.clone()]) {
                return Err(Error::bad_request("the target's authority is not a valid host"));
            }
            let (path, query) = split(target, authority.end)?;
            Ok(Target { form: TargetForm::Absolute, path, query })
        }
    }
}

/// Scheme and authority of an absolute-form target; `None` when it is none, or not of a scheme that is served.
pub(super) fn authority(target: &[u8]) -> Option<(Scheme, Range<usize>)> {
    let (scheme, start) = if target.get(..7)?.eq_ignore_ascii_case(b"http://") {
        (Scheme::Http, 7)
    } else if target.get(..8)?.eq_ignore_ascii_case(b"https://") {
        (Scheme::Https, 8)
    } else {
        return None;
    };
    let end =
        target[start..].iter().position(|b| matches!(b, b'/' | b'?' | b'#')).map_or(target.len(), |at| start + at);
    Some((scheme, start..end))
}

/// Path and query of what begins at `start`. A fragment is not part of any form, so `#` is refused.
fn split(target: &[u8], start: usize) -> Result<(Range<usize>, Range<usize>), Error> {
    let end = target.len();
    let mut mark = end;
    for (at, &byte) in target.iter().enumerate().skip(start) {
        match CLASS[byte as usize] {
            Class::Plain => {}
            Class::Question => mark = mark.min(at),
            Class::Bad => return Err(Error::bad_request("the target contains a byte that may not stand in it")),
        }
    }
    Ok((start..mark, (mark + 1).min(end)..end))
}

#[derive(Clone, Copy)]
enum Class {
    Bad,
    Plain,
    Question,
}

const fn class_table() -> [Class; 256] {
    let mut table = [Class::Bad; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        table[byte as usize] = Class::Plain;
        byte += 1;
    }
    table[b'#' as usize] = Class::Bad;
    table[b'?' as usize] = Class::Question;
    table
}

static CLASS: [Class; 256] = class_table();
