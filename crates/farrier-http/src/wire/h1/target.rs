//! The request target: its form, path and query (RFC 9112 §3.2).

use std::ops::Range;

use super::host;
use crate::error::Error;
use crate::origin::Scheme;
use crate::request::TargetForm;

/// A target's parts, as ranges of the target.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) form: TargetForm,
    pub(crate) path: Range<usize>,
    pub(crate) query: Range<usize>,
}

/// How many bytes at the front are allowed in a target, and where the first `?` in them is.
///
/// Allowed are all visible characters except `#`: a fragment is not part of any form. Clients send many bytes unescaped
/// that RFC 3986 wants escaped (`|`, `{`, `"`). They do not affect framing and are accepted.
#[inline]
pub(crate) fn prefix(bytes: &[u8]) -> (usize, Option<usize>) {
    let until = |start: usize, stop: u8| {
        let rest = &bytes[start..];
        start + rest.iter().position(|&b| b == stop || !TARGET[b as usize]).unwrap_or(rest.len())
    };
    let mark = until(0, b'?');
    if bytes.get(mark) == Some(&b'?') { (until(mark, b' '), Some(mark)) } else { (mark, None) }
}

/// Parses a target, whose first `?` is at `question`. The method decides which forms are valid.
#[inline]
pub(crate) fn parse(method: &[u8], target: &[u8], question: Option<usize>) -> Result<Target, Error> {
    let end = target.len();
    let mark = question.unwrap_or(end);
    let query = (mark + 1).min(end)..end;
    match target {
        [b'/', ..] => Ok(Target { form: TargetForm::Origin, path: 0..mark, query }),
        b"*" if method == b"OPTIONS" => Ok(Target { form: TargetForm::Asterisk, path: 0..1, query }),
        _ => match authority(target) {
            Some((_, authority)) if host::is_host(&target[authority.clone()]) => {
                Ok(Target { form: TargetForm::Absolute, path: authority.end..mark, query })
            }
            Some(_) => Err(Error::bad_request("the target's authority is not a valid host")),
            None => Err(Error::bad_request("the target's form is not right for its method")),
        },
    }
}

/// Scheme and authority of an absolute-form target; `None` if it is in another form or of an unsupported scheme.
pub(crate) fn authority(target: &[u8]) -> Option<(Scheme, Range<usize>)> {
    let (scheme, start) = if target.get(..7)?.eq_ignore_ascii_case(b"http://") {
        (Scheme::Http, 7)
    } else if target.get(..8)?.eq_ignore_ascii_case(b"https://") {
        (Scheme::Https, 8)
    } else {
        return None;
    };
    let end = target[start..].iter().position(|b| matches!(b, b'/' | b'?')).map_or(target.len(), |at| start + at);
    Some((scheme, start..end))
}

const fn target_table() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        table[byte as usize] = byte != b'#';
        byte += 1;
    }
    table
}

static TARGET: [bool; 256] = target_table();
