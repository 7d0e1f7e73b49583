//! Changes what a response says about addresses and paths: the upstream's become those that the client knows.

use crate::target::PathRule;

/// The rule of a mount.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// Whether `Location`, `Content-Location` and `Refresh` are changed.
    pub locations: bool,
    /// Whether the Path of cookies is changed.
    pub cookie_paths: bool,
    /// What domains of cookies become.
    pub cookie_domains: Vec<CookieDomain>,
    /// What the mount changed at the front of the path.
    pub path: PathRule,
}

/// What a domain of cookies becomes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CookieDomain {
    /// The upstream's domain, without a dot at the front.
    pub from: Box<[u8]>,
    /// The client's; empty to leave the attribute out.
    pub to: Box<[u8]>,
}

/// The client's side of an address, and the upstream's.
#[derive(Debug, Clone, Copy)]
pub struct Sides<'a> {
    /// `http` or `https`, as the client sees it.
    pub scheme: &'a [u8],
    /// `host[:port]` that the client asked for; empty if unknown.
    pub host: &'a [u8],
    /// `host[:port]` of the upstream.
    pub authority: &'a [u8],
    /// The prefix that the client sees before the upstream's paths: [`crate::Facts::stripped`], behind a prefix that a
    /// trusted proxy told.
    pub prefix: &'a [u8],
}

impl Rewrite {
    /// Appends the client's form of a Location. False, and nothing appended: it stays.
    pub fn location(&self, out: &mut Vec<u8>, value: &[u8], sides: &Sides<'_>) -> bool {
        if !self.locations {
            return false;
        }
        let Some((authority, path)) = split(value) else {
            // A path alone names no server. It is below the mount, unless the application knows the prefix already.
            let is_path = value.first() == Some(&b'/') && value.get(1) != Some(&b'/');
            return is_path && self.path_of_client(out, value, sides.prefix);
        };
        if sides.host.is_empty() || !(authority.eq_ignore_ascii_case(sides.authority) || is_mixed(authority, sides)) {
            return false;
        }
        out.extend_from_slice(sides.scheme);
        out.extend_from_slice(b"://");
        out.extend_from_slice(sides.host);
        // RFC 9110 §4.2.3: an empty path is the same as `/`.
        let path = if path.is_empty() { b"/" } else { path };
        if !self.path_of_client(out, path, sides.prefix) {
            out.extend_from_slice(path);
        }
        true
    }

    /// Appends the client's form of a Refresh field: `5; url=…`. False, and nothing appended: it stays.
    pub fn refresh(&self, out: &mut Vec<u8>, value: &[u8], sides: &Sides<'_>) -> bool {
        let Some(at) = value.windows(4).position(|window| window.eq_ignore_ascii_case(b"url=")) else { return false };
        let (front, url) = value.split_at(at + 4);
        let (quote, bare) = match url {
            [quote @ (b'"' | b'\''), bare @ ..] => (&[*quote][..], bare),
            _ => (&b""[..], url),
        };
        let start = out.len();
        out.extend_from_slice(front);
        out.extend_from_slice(quote);
        let changed = self.location(out, bare, sides);
        if !changed {
            out.truncate(start);
        }
        changed
    }

    /// Appends the client's form of a Set-Cookie field (RFC 6265 §4.1). False, and nothing appended: it stays.
    pub fn set_cookie(&self, out: &mut Vec<u8>, value: &[u8], sides: &Sides<'_>) -> bool {
        let start = out.len();
        let mut changed = false;
        for (index, part) in value.split(|&byte| byte == b';').enumerate() {
            let before = out.len();
            if index > 0 {
                out.push(b';');
            }
            let equals = part.iter().position(|&byte| byte == b'=').filter(|_| index > 0);
            let (name, argument) = match equals {
                Some(at) => (part[..at].trim_ascii(), part[at + 1..].trim_ascii()),
                None => (&b""[..], &b""[..]),
            };
            let mut replaced = false;
            if name.eq_ignore_ascii_case(b"path") && self.cookie_paths {
                out.extend_from_slice(b" Path=");
                replaced = self.path_of_client(out, argument, sides.prefix);
            } else if name.eq_ignore_ascii_case(b"domain")
                && let Some(domain) = self.domain_of_client(argument)
            {
                replaced = true;
                match domain {
                    [] => out.truncate(before),
                    domain => {
                        out.extend_from_slice(b" Domain=");
                        out.extend_from_slice(domain);
                    }
                }
            }
            changed |= replaced;
            if !replaced {
                out.truncate(before + usize::from(index > 0));
                out.extend_from_slice(part);
            }
        }
        if !changed {
            out.truncate(start);
        }
        changed
    }

    /// Appends the path as the client sees it. False, and nothing appended: it is the same, or not below the mount.
    fn path_of_client(&self, out: &mut Vec<u8>, path: &[u8], prefix: &[u8]) -> bool {
        let is_known = !prefix.is_empty() && is_below(path, prefix);
        if !self.path.strip || *self.path.put == *prefix || is_known {
            return false;
        }
        let Some(rest) = path.strip_prefix(&*self.path.put).filter(|_| is_below(path, &self.path.put)) else {
            return false;
        };
        out.extend_from_slice(prefix);
        out.extend_from_slice(rest);
        if prefix.is_empty() && rest.is_empty() {
            out.push(b'/');
        }
        true
    }

    fn domain_of_client(&self, domain: &[u8]) -> Option<&[u8]> {
        let domain = domain.strip_prefix(b".").unwrap_or(domain);
        self.cookie_domains.iter().find(|rule| rule.from.eq_ignore_ascii_case(domain)).map(|rule| &*rule.to)
    }
}

/// Authority and the rest of an absolute URL of `http` or `https`, or of a URL without a scheme.
fn split(url: &[u8]) -> Option<(&[u8], &[u8])> {
    let after = [&b"http://"[..], b"https://", b"//"].iter().find_map(|scheme| {
        url.get(..scheme.len()).filter(|front| front.eq_ignore_ascii_case(scheme)).map(|_| &url[scheme.len()..])
    })?;
    let end = after.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(after.len());
    Some(after.split_at(end))
}

/// Whether an authority has the client's host and the upstream's port: servers that are told the client's Host, such as
/// nginx, put their own port behind it.
fn is_mixed(authority: &[u8], sides: &Sides<'_>) -> bool {
    let (name, port) = split_port(authority);
    let (upstream_port, client_host) = (split_port(sides.authority).1, split_port(sides.host).0);
    !port.is_empty() && port == upstream_port && name.eq_ignore_ascii_case(client_host)
}

/// The host of an authority, and its port; empty if it has none.
fn split_port(authority: &[u8]) -> (&[u8], &[u8]) {
    match authority.iter().rposition(|&byte| byte == b':') {
        Some(at) if authority[at..].iter().all(|&byte| byte != b']') => (&authority[..at], &authority[at + 1..]),
        _ => (authority, b""),
    }
}

/// Whether the path is the prefix or below it. A path may end with a query or a fragment.
fn is_below(path: &[u8], prefix: &[u8]) -> bool {
    let ends = |rest: &[u8]| matches!(rest.first(), None | Some(b'/' | b'?' | b'#'));
    path.first() == Some(&b'/') && path.strip_prefix(prefix).is_some_and(ends)
}
