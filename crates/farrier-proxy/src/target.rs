//! The target of a forwarded request (RFC 9112 §3.2). It is neither decoded nor encoded, unless a web server decoded it before.

use farrier_http::{Error, Request, TargetForm};

/// What a mount changes at the front of the path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathRule {
    /// Whether the mount's own path is taken away.
    pub strip: bool,
    /// What takes its place; no slash at its end. Only with `strip`.
    pub put: Box<[u8]>,
}

/// How many bytes of the path, as received, are the mount's. The mount's path is decoded, and the client may have encoded any
/// byte of it: `/%61pi` is below `/api`.
pub fn mounted_bytes(request: &Request, mount: &[u8]) -> usize {
    let path = request.path();
    if path.starts_with(mount) {
        return mount.len();
    }
    let mut at = 0;
    for &byte in mount {
        let (read, bytes) = match path.get(at..) {
            Some([b'%', high, low, ..]) => (hex(*high, *low), 3),
            Some([read, ..]) => (Some(*read), 1),
            _ => (None, 0),
        };
        if read != Some(byte) {
            // Invariant: the path is below the mount, or the request would not be here. Nothing is taken away.
            return 0;
        }
        at += bytes;
    }
    at
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

/// Appends the target in origin-form, or `*`. `mounted_bytes` is how many bytes of the path, as received, are the mount's.
///
/// # Errors
/// A path that a web server decoded cannot be written as a target.
pub fn append(out: &mut Vec<u8>, request: &Request, rule: &PathRule, mounted_bytes: usize) -> Result<(), Error> {
    let path = request.path();
    match request.head.form {
        TargetForm::Asterisk => {
            out.push(b'*');
            return Ok(());
        }
        // RFC 9112 §3.2.4: OPTIONS of a whole server in absolute-form becomes the asterisk-form.
        TargetForm::Absolute if request.method() == b"OPTIONS" && path.is_empty() && request.query().is_empty() => {
            out.push(b'*');
            return Ok(());
        }
        TargetForm::Origin | TargetForm::Absolute => {}
    }
    let is_decoded = request.head.gateway.path_is_decoded;
    let below = if rule.strip {
        out.extend_from_slice(&rule.put);
        without_slashes(path.get(mounted_bytes..).unwrap_or_default(), is_decoded)
    } else {
        path.strip_prefix(b"/").unwrap_or(path)
    };
    if !below.is_empty() || !rule.strip || rule.put.is_empty() || path.ends_with(b"/") {
        out.push(b'/');
    }
    escape(out, below, |byte| if is_decoded { is_path(byte) } else { is_target(byte) });
    let has_query = !request.query().is_empty() || (!is_decoded && request.target().contains(&b'?'));
    if has_query {
        out.push(b'?');
        escape(out, request.query(), is_target);
    }
    Ok(())
}

/// The path without the slashes at its front. `/api//host/` must not become `//host/`, which some read as an authority
/// (RFC 3986 §4.2). The first one may be encoded, as the mount was found by the decoded path.
fn without_slashes(mut path: &[u8], is_decoded: bool) -> &[u8] {
    loop {
        path = match path {
            [b'/', rest @ ..] => rest,
            [b'%', b'2', b'f' | b'F', rest @ ..] if !is_decoded => rest,
            _ => return path,
        };
    }
}

/// Appends the text, with all bytes percent-encoded that may not stand there.
fn escape(out: &mut Vec<u8>, text: &[u8], may_stand: impl Fn(u8) -> bool) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if text.iter().all(|&byte| may_stand(byte)) {
        out.extend_from_slice(text);
        return;
    }
    for &byte in text {
        match may_stand(byte) {
            true => out.push(byte),
            false => out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]),
        }
    }
}

/// What the codec of requests accepts in a target.
fn is_target(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'#'
}

/// What stands for itself in a path (RFC 3986 §3.3).
fn is_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte)
}
