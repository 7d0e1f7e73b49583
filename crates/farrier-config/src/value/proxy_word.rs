//! Settings of the reverse proxy that are one word of a few.

use super::word::words;
use super::{Completes, Rejected, Value};

words! {
    /// Which of an upstream's servers gets a request.
    enum Balance takes "WORD" expects "`least`, `round_robin`, `least_time`, `hash`, `random` or `first`" {
        /// The one with the fewest requests in flight for its weight.
        Least = "least",
        /// One after the other, by weight.
        RoundRobin = "round_robin",
        /// The one that answers soonest.
        LeastTime = "least_time",
        /// By a part of the request.
        Hash = "hash",
        /// By chance, by weight.
        Random = "random",
        /// The first that has room.
        First = "first",
    }
}

words! {
    /// After which failures another server is asked.
    enum RetryCause takes "WORDS"
        expects "`connect`, `stale`, `reset`, `timeout`, `bad_response`, `429`, `500`, `502`, `503` or `504`" {
        /// The server was not reached.
        Connect = "connect",
        /// A connection that had been idle was closed before it answered.
        Stale = "stale",
        /// A new connection was reset before the head.
        Reset = "reset",
        /// The head did not come in time.
        Timeout = "timeout",
        /// The answer breaks the protocol.
        BadResponse = "bad_response",
        /// The status 429.
        S429 = "429",
        /// The status 500.
        S500 = "500",
        /// The status 502.
        S502 = "502",
        /// The status 503.
        S503 = "503",
        /// The status 504.
        S504 = "504",
    }
}

impl RetryCause {
    /// The status, if it is one.
    pub fn status(self) -> Option<u16> {
        match self {
            RetryCause::S429 => Some(429),
            RetryCause::S500 => Some(500),
            RetryCause::S502 => Some(502),
            RetryCause::S503 => Some(503),
            RetryCause::S504 => Some(504),
            _ => None,
        }
    }
}

words! {
    /// Which addresses of a name are used.
    enum ResolveFamily takes "FAMILY" expects "`any`, `v4` or `v6`" {
        /// All.
        Any = "any",
        /// IPv4.
        V4 = "v4",
        /// IPv6.
        V6 = "v6",
    }
}

words! {
    /// The PROXY header at the beginning of a connection to a server.
    enum SentProxyHeader takes "VERSION" expects "`off`, `v1` or `v2`" {
        /// None.
        Off = "off",
        /// Version 1.
        V1 = "v1",
        /// Version 2.
        V2 = "v2",
    }
}

words! {
    /// Which fields tell a server of the client.
    enum Forwarded takes "WORD" expects "`x`, `rfc7239`, `both` or `none`" {
        /// `X-Forwarded-For` and its relatives.
        X = "x",
        /// `Forwarded`.
        Rfc7239 = "rfc7239",
        /// Both.
        Both = "both",
        /// None.
        Nothing = "none",
    }
}

words! {
    /// Whether the Path of cookies is changed.
    enum CookiePath takes "WORD" expects "`auto` or `off`" {
        /// As `strip_prefix` and `rewrite_prefix` change paths.
        Auto = "auto",
        /// It stays.
        Off = "off",
    }
}

words! {
    /// When content is sent on.
    enum Flush takes "WORD" expects "`auto`, `on` or `off`" {
        /// At once where it seems needed.
        Auto = "auto",
        /// At once.
        On = "on",
        /// In full pieces.
        Off = "off",
    }
}

words! {
    /// An `X-Accel-*` field that is obeyed.
    enum AccelField takes "WORDS" expects "`buffering`, `expires`, `charset` or `redirect`" {
        /// `X-Accel-Buffering`.
        Buffering = "buffering",
        /// `X-Accel-Expires`.
        Expires = "expires",
        /// `X-Accel-Charset`.
        Charset = "charset",
        /// `X-Accel-Redirect`.
        Redirect = "redirect",
    }
}

words! {
    /// What a check of a server does.
    enum CheckKind takes "WORD" expects "`http`, `tcp`, `uwsgi` or `fastcgi`" {
        /// It requests a path.
        Http = "http",
        /// It connects.
        Tcp = "tcp",
        /// It sends a uwsgi ping.
        Uwsgi = "uwsgi",
        /// It asks for the values of a FastCGI server.
        FastCgi = "fastcgi",
    }
}

words! {
    /// What a server is before its first check.
    enum InitialHealth takes "WORD" expects "`up` or `down`" {
        /// It gets requests.
        Up = "up",
        /// It gets none.
        Down = "down",
    }
}

words! {
    /// Whether a cookie has the attribute Secure.
    enum CookieSecure takes "WORD" expects "`auto`, `on` or `off`" {
        /// With HTTPS.
        Auto = "auto",
        /// Always.
        On = "on",
        /// Never.
        Off = "off",
    }
}

words! {
    /// The attribute SameSite of a cookie.
    enum SameSite takes "WORD" expects "`Lax`, `Strict` or `None`" {
        /// Also when a link leads here.
        Lax = "lax",
        /// Only from pages of the same site.
        Strict = "strict",
        /// From everywhere.
        Unrestricted = "none",
    }
}
