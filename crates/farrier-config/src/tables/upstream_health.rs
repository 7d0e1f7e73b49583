//! `[upstream.health]` and `sticky`: how the servers of an upstream are checked, and which clients stay with one.

use std::time::Duration;

use super::macros::record;
use crate::value::{CheckKind, CookieSecure, InitialHealth, Rejected, SameSite, StatusRange};

record! {
    /// How the servers of an upstream are checked.
    UpstreamHealth, "TABLE", "a table with `path` or `type`";

    /// Path that is requested, with a query if it is to have one. The response decides.
    path: Option<String> = none;

    /// What is checked: `http` requests `path`, `tcp` connects, `uwsgi` and `fastcgi` ask in their protocol. With `path` it is
    /// `http`.
    kind as "type": Option<CheckKind> = none;

    /// Time from one check of a server to the next, with a tenth more or less by chance.
    interval: Duration = 5s;

    /// The same while a server is about to change between up and down.
    fast_interval: Duration = 1s;

    /// A check that takes longer has failed.
    timeout: Duration = 2s;

    /// Checks that must pass, one after the other, until a server is up again.
    up: u32 = 2;

    /// Checks that must fail, one after the other, until a server is down.
    down: u32 = 3;

    /// Statuses of responses that pass. Redirects are not followed.
    status: Vec<StatusRange> = "200-399";

    /// Text that the response must contain, in its first 64 KiB.
    body: Option<String> = none;

    /// Host that is asked for; the server's own by default.
    host: Option<String> = none;

    /// Method of the request.
    method: String = "GET";

    /// Port that is checked instead of the server's own.
    port: Option<u32> = none;

    /// What a server is before its first check: `up`, or `down`; then requests wait for it in the queue.
    start: InitialHealth = up;
}

impl UpstreamHealth {
    fn from_text(text: &str) -> Result<UpstreamHealth, Rejected> {
        Err(Rejected::unexpected(text))
    }

    fn to_text(&self) -> String {
        String::new()
    }
}

record! {
    /// Which clients stay with a server.
    UpstreamSticky, "TABLE", "a table with `cookie` or `learn`";

    /// Name of a cookie of this server's own that names the client's server. It is signed, and servers do not see it.
    cookie: Option<String> = none;

    /// Name of a cookie that the servers set. The server that has set it gets the client's further requests.
    learn: Option<String> = none;

    /// How long `cookie` binds; 0 binds until the browser is closed.
    ttl: Duration = 0s;

    /// Whether `cookie` has the attribute Secure: `auto` is with HTTPS, or `on` or `off`.
    secure: CookieSecure = auto;

    /// Whether `cookie` has the attribute HttpOnly.
    http_only: bool = true;

    /// The attribute SameSite of `cookie`: `Lax`, `Strict` or `None`.
    same_site: SameSite = lax;

    /// The attribute Path of `cookie`.
    path: String = "/";

    /// Answer with 503 if the client's server is out, instead of asking another.
    strict: bool = false;
}

impl UpstreamSticky {
    fn from_text(text: &str) -> Result<UpstreamSticky, Rejected> {
        Err(Rejected::unexpected(text))
    }

    fn to_text(&self) -> String {
        String::new()
    }
}
