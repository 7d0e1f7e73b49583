//! Fields (RFC 9110 §5): spans, well-known names, and the syntax of names and values.

use std::ops::Range;

use crate::octets;

/// A range of an arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// Number of bytes.
    pub len: u32,
}

impl Span {
    /// The span from `start` up to `end`. Arenas are bounded far below 4 GiB by the limits on heads and bodies.
    pub fn new(start: usize, end: usize) -> Self {
        Span { start: start as u32, len: (end.saturating_sub(start)) as u32 }
    }

    /// As an index range.
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.start as usize + self.len as usize
    }

    /// Whether it is empty.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }
}

/// One field line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Which well-known field it is, if any.
    pub known: KnownField,
    /// The name as received.
    pub name: Span,
    /// The value without surrounding white space.
    pub value: Span,
}

macro_rules! known_fields {
    ($($variant:ident = $name:literal,)*) => {
        /// Field names that the server or nearly every application reads; a row here saves a hash and a lookup.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum KnownField {
            /// Any other name.
            Other,
            $(#[doc = $name] $variant,)*
        }

        impl KnownField {
            /// Every row, in order; `Other` is not among them.
            pub const ALL: &'static [KnownField] = &[$(KnownField::$variant,)*];

            /// The name in lower case; empty for `Other`.
            pub const fn name(self) -> &'static str {
                match self {
                    KnownField::Other => "",
                    $(KnownField::$variant => $name,)*
                }
            }
        }
    };
}

known_fields! {
    Accept = "accept",
    AcceptEncoding = "accept-encoding",
    AcceptLanguage = "accept-language",
    Authorization = "authorization",
    CacheControl = "cache-control",
    Connection = "connection",
    ContentLength = "content-length",
    ContentType = "content-type",
    Cookie = "cookie",
    Expect = "expect",
    Forwarded = "forwarded",
    Host = "host",
    IfMatch = "if-match",
    IfModifiedSince = "if-modified-since",
    IfNoneMatch = "if-none-match",
    IfRange = "if-range",
    IfUnmodifiedSince = "if-unmodified-since",
    KeepAlive = "keep-alive",
    Origin = "origin",
    Pragma = "pragma",
    Proxy = "proxy",
    ProxyConnection = "proxy-connection",
    Range = "range",
    Referer = "referer",
    SecFetchDest = "sec-fetch-dest",
    SecFetchMode = "sec-fetch-mode",
    SecFetchSite = "sec-fetch-site",
    SecFetchUser = "sec-fetch-user",
    Te = "te",
    Trailer = "trailer",
    TransferEncoding = "transfer-encoding",
    Upgrade = "upgrade",
    UpgradeInsecureRequests = "upgrade-insecure-requests",
    UserAgent = "user-agent",
    XForwardedFor = "x-forwarded-for",
    XForwardedHost = "x-forwarded-host",
    XForwardedPort = "x-forwarded-port",
    XForwardedPrefix = "x-forwarded-prefix",
    XForwardedProto = "x-forwarded-proto",
    XForwardedProtocol = "x-forwarded-protocol",
    XForwardedSsl = "x-forwarded-ssl",
    XRealIp = "x-real-ip",
    XRequestedWith = "x-requested-with",
}

impl KnownField {
    /// The row for a name in any case, `Other` when there is none.
    pub fn of(name: &[u8]) -> KnownField {
        use KnownField::*;
        // A name's length and one of its letters determine the only candidate, which is compared.
        let letter = |at: usize| name[at] | 0x20;
        let candidate = match name.len() {
            2 => Te,
            4 => Host,
            5 => match letter(0) {
                b'p' => Proxy,
                _ => Range,
            },
            6 => match letter(0) {
                b'a' => Accept,
                b'c' => Cookie,
                b'e' => Expect,
                b'o' => Origin,
                _ => Pragma,
            },
            7 => match letter(0) {
                b'r' => Referer,
                b't' => Trailer,
                _ => Upgrade,
            },
            8 => match letter(3) {
                b'm' => IfMatch,
                _ => IfRange,
            },
            9 => match letter(0) {
                b'f' => Forwarded,
                _ => XRealIp,
            },
            10 => match letter(0) {
                b'u' => UserAgent,
                b'c' => Connection,
                _ => KeepAlive,
            },
            12 => ContentType,
            13 => match letter(0) {
                b'c' => CacheControl,
                b'a' => Authorization,
                _ => IfNoneMatch,
            },
            14 => match letter(10) {
                b'n' => ContentLength,
                b'd' => SecFetchDest,
                b'm' => SecFetchMode,
                b's' => SecFetchSite,
                _ => SecFetchUser,
            },
            15 => match letter(7) {
                b'e' => AcceptEncoding,
                b'l' => AcceptLanguage,
                _ if letter(12) == b's' => XForwardedSsl,
                _ => XForwardedFor,
            },
            16 => match letter(12) {
                b'h' => XForwardedHost,
                b'p' => XForwardedPort,
                b'w' => XRequestedWith,
                _ => ProxyConnection,
            },
            17 => match letter(0) {
                b'i' => IfModifiedSince,
                b't' => TransferEncoding,
                _ => XForwardedProto,
            },
            18 => XForwardedPrefix,
            19 => IfUnmodifiedSince,
            20 => XForwardedProtocol,
            25 => UpgradeInsecureRequests,
            _ => return Other,
        };
        if octets::is_lower_case_of(candidate.name().as_bytes(), name) { candidate } else { Other }
    }
}

/// The kinds of fields in a head, collected while it is decoded. There is one bit for each well-known field, and for
/// properties that need a decision before a handler may see the field. So a single test shows that there is nothing to
/// decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen(u64);

impl Seen {
    /// No field, but the scheme that the request's target or `:scheme` names.
    pub const SCHEME: Seen = Seen(1 << 61);
    /// A name that is not in the table and contains an underscore.
    pub const UNDERSCORE: Seen = Seen(1 << 62);
    /// A value that is folded over several lines (RFC 9112 §5.2).
    pub const FOLDED: Seen = Seen(1 << 63);

    /// The bit of a well-known field; all others share one.
    pub const fn of(known: KnownField) -> Seen {
        Seen(1 << known as u8)
    }

    /// Both.
    #[must_use]
    pub const fn with(self, other: Seen) -> Seen {
        Seen(self.0 | other.0)
    }

    /// The bits that are not in `others`.
    #[must_use]
    pub const fn without(self, others: Seen) -> Seen {
        Seen(self.0 & !others.0)
    }

    /// Whether it has any bit of `others`.
    pub const fn has_any(self, others: Seen) -> bool {
        self.0 & others.0 != 0
    }
}

// The bits that name no field are above those that do.
const _: () = assert!(KnownField::ALL.len() < 61);

const fn token_table() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            );
        byte += 1;
    }
    table
}

static TOKEN: [bool; 256] = token_table();

/// Whether the bytes are a token (RFC 9110 §5.6.2), and not empty.
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&b| TOKEN[b as usize])
}

/// Whether the bytes are allowed in a field value (RFC 9110 §5.5): no control character except tab; obs-text is
/// accepted.
pub fn is_value(bytes: &[u8]) -> bool {
    octets::text_prefix(bytes) == bytes.len()
}

/// How many bytes at the front are token characters.
pub(crate) fn token_prefix(bytes: &[u8]) -> usize {
    bytes.iter().position(|&b| !TOKEN[b as usize]).unwrap_or(bytes.len())
}

/// Fields that belong to one connection (RFC 9110 §7.6.1) and that an application may not set (PEP 3333).
pub fn is_hop_by_hop(name: &[u8]) -> bool {
    match name.len() {
        2 => name.eq_ignore_ascii_case(b"te"),
        7 => name.eq_ignore_ascii_case(b"upgrade") || name.eq_ignore_ascii_case(b"trailer"),
        8 => name.eq_ignore_ascii_case(b"trailers"),
        10 => name.eq_ignore_ascii_case(b"connection") || name.eq_ignore_ascii_case(b"keep-alive"),
        16 => name.eq_ignore_ascii_case(b"proxy-connection"),
        17 => name.eq_ignore_ascii_case(b"transfer-encoding"),
        18 => name.eq_ignore_ascii_case(b"proxy-authenticate"),
        19 => name.eq_ignore_ascii_case(b"proxy-authorization"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_field_is_found_by_its_name_in_any_case() {
        for &known in KnownField::ALL {
            assert_eq!(KnownField::of(known.name().as_bytes()), known);
            assert_eq!(KnownField::of(known.name().to_uppercase().as_bytes()), known);
        }
        assert_eq!(KnownField::of(b"x-unheard-of"), KnownField::Other);
    }
}
