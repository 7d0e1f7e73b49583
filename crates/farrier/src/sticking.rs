//! Makes what binds clients to a server of an upstream, from its table.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use farrier_config::value::{CookieSecure, SameSite, Value};
use farrier_config::{Upstream, UpstreamSticky};
use farrier_proxy::sticky::{CookieRule, Learned, Secure, Sticky};

use crate::shared_upstreams::SharedUpstreams;

/// What binds the clients of an upstream, if anything does.
pub(crate) fn sticky(upstream: &Upstream, shared: &SharedUpstreams) -> Option<Sticky> {
    let sticky = upstream.sticky.as_ref()?;
    if let Some(name) = &sticky.learn {
        return Some(Sticky::Learn(Learned::new(name.clone(), sticky.strict)));
    }
    // The name of the upstream is in the key: the cookie of one says nothing to another.
    let key = hmac::Key::new(hmac::HMAC_SHA256, &[&shared.secret(), upstream.name.text().as_bytes()].concat());
    Some(Sticky::Cookie(Box::new(CookieRule {
        name: sticky.cookie.clone()?,
        ttl_s: sticky.ttl.as_secs(),
        secure: match sticky.secure {
            CookieSecure::Auto => Secure::Auto,
            CookieSecure::On => Secure::Fixed(true),
            CookieSecure::Off => Secure::Fixed(false),
        },
        attributes: attributes(sticky),
        is_strict: sticky.strict,
        key,
        now_s: || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
    })))
}

fn attributes(sticky: &UpstreamSticky) -> String {
    let same_site = match sticky.same_site {
        SameSite::Lax => "Lax",
        SameSite::Strict => "Strict",
        SameSite::Unrestricted => "None",
    };
    let http_only = if sticky.http_only { "; HttpOnly" } else { "" };
    format!("; Path={}{http_only}; SameSite={same_site}", sticky.path)
}
