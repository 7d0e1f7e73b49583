//! Finds contradictions in how the servers of an upstream are chosen, checked and kept for a client.

use std::net::IpAddr;

use crate::tables::{Upstream, UpstreamServer};
use crate::value::{
    Balance, BindAddress, CheckKind, CookieSecure, ProxyHost, SameSite, ServerProtocol, ServerUrl, Value,
};

/// The most checks one after the other that decide.
const CHECKS_MAX: u32 = 60;

/// The sentences on an upstream. `is_token` is whether bytes make a token.
pub(super) fn wrong(upstream: &Upstream, is_token: fn(u8) -> bool) -> Vec<String> {
    let set = upstream.table().map(|table| table.entries).unwrap_or_default();
    let mut found = Vec::new();
    if upstream.balance != Balance::Hash && set.iter().any(|(key, _)| *key == "hash_on") {
        found.push("`hash_on` belongs to `balance = \"hash\"`".to_owned());
    }
    if let Some(fail) = &upstream.fail
        && fail.max > 0
        && (fail.window.is_zero() || fail.eject.is_zero())
    {
        found.push("`fail`: `window` and `eject` must be above 0; `max = 0` leaves no server out".to_owned());
    }
    if upstream.agent_interval.is_zero() {
        found.push("`agent_interval` must be above 0".to_owned());
    }
    wrong_health(upstream, is_token, &mut found);
    wrong_sticky(upstream, is_token, &mut found);
    found
}

fn wrong_health(upstream: &Upstream, is_token: fn(u8) -> bool, found: &mut Vec<String>) {
    let Some(health) = &upstream.health else { return };
    let mut say = |sentence: String| found.push(format!("`health`: {sentence}"));
    match (&health.path, health.kind) {
        (None, None | Some(CheckKind::Http)) => say("`path` says what is requested".to_owned()),
        (Some(_), Some(kind)) if kind != CheckKind::Http => {
            say(format!("`path` does not belong to `type = \"{}\"`", kind.text()));
        }
        (Some(path), _) if !is_path(path) => say(format!("`path`: `{path}` is not a path")),
        _ => {}
    }
    let times = [("interval", health.interval), ("fast_interval", health.fast_interval), ("timeout", health.timeout)];
    for (key, _) in times.iter().filter(|(_, time)| time.is_zero()) {
        say(format!("`{key}` must be above 0"));
    }
    for (key, count) in [("up", health.up), ("down", health.down)] {
        if !(1..=CHECKS_MAX).contains(&count) {
            say(format!("`{key}` must be between 1 and {CHECKS_MAX}"));
        }
    }
    if health.port.is_some_and(|port| !(1..=65_535).contains(&port)) {
        say("`port` must be between 1 and 65535".to_owned());
    }
    if health.method.is_empty() || !health.method.bytes().all(is_token) {
        say(format!("`method`: `{}` is not a method", health.method));
    }
    if health.host.as_ref().is_some_and(|host| ProxyHost::parse(host).is_err()) {
        say("`host` is not a host".to_owned());
    }
}

fn wrong_sticky(upstream: &Upstream, is_token: fn(u8) -> bool, found: &mut Vec<String>) {
    let Some(sticky) = &upstream.sticky else { return };
    let mut say = |sentence: String| found.push(format!("`sticky`{sentence}"));
    let name = match (&sticky.cookie, &sticky.learn) {
        (Some(name), None) | (None, Some(name)) => name,
        _ => return say(" needs either `cookie` or `learn`".to_owned()),
    };
    if name.is_empty() || !name.bytes().all(is_token) {
        say(format!(": `{name}` is not the name of a cookie"));
    }
    if !is_path(&sticky.path) || sticky.path.contains(';') {
        say(format!(": `path`: `{}` is not a path", sticky.path));
    }
    if sticky.same_site == SameSite::Unrestricted && sticky.secure == CookieSecure::Off {
        say(": browsers take `same_site = \"None\"` only with `secure`".to_owned());
    }
}

fn is_path(path: &str) -> bool {
    path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The sentences on one of its servers. `before` are those in front of it.
pub(super) fn wrong_server(server: &UpstreamServer, before: &[UpstreamServer]) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(first) = before.iter().find(|other| server.id.is_some() && other.id == server.id) {
        found.push(format!("`id` is that of another server already ({})", first.place));
    }
    if let Some(agent) = &server.agent
        && !is_address(agent)
    {
        found.push(format!("`agent`: `{}` is no address; names are not looked up for it", agent.text()));
    }
    found
}

fn is_address(agent: &ServerUrl) -> bool {
    let is_place = match &agent.place {
        BindAddress::Tcp { host, .. } => host.parse::<IpAddr>().is_ok(),
        place => matches!(place, BindAddress::Unix(_)),
    };
    is_place && agent.protocol == ServerProtocol::Http
}
