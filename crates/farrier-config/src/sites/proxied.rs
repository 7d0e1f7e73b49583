//! Finds contradictions in mounts that forward requests and in upstreams.

use std::net::IpAddr;
use std::time::Duration;

use super::{SitePlan, Target, balancing};
use crate::error::Problem;
use crate::table::Config;
use crate::tables::{Mount, Upstream, UpstreamServer};
use crate::value::{AccelField, BindAddress, ProxyTarget, ServerProtocol, ServerUrl, SourceAddress, Value};

/// The most servers of an upstream.
pub const SERVERS_MAX: usize = 256;

/// The keys of a mount that say how requests are forwarded.
const PROXY_KEYS: &[&str] = &[
    "strip_prefix",
    "rewrite_prefix",
    "host",
    "forwarded",
    "via",
    "set_headers",
    "remove_headers",
    "response_headers",
    "hide_headers",
    "pass_server",
    "rewrite_location",
    "cookie_path",
    "cookie_domain",
    "request_buffering",
    "response_buffer",
    "response_spool",
    "flush",
    "accel",
    "intercept_errors",
    "upgrade",
    "tunnel_timeout",
    "tunnel_max",
    "tunnel_fin_timeout",
    "methods",
    "fastcgi_root",
    "fastcgi_index",
    "fastcgi_split",
    "params",
];

/// Those of them that nothing obeys yet.
const AWAITED_OF_MOUNTS: &[&str] = &["response_buffer", "response_spool", "flush", "fastcgi_index", "fastcgi_split"];

/// The keys of an upstream that nothing obeys yet.
const AWAITED_OF_UPSTREAMS: &[&str] = &["proxy_protocol"];

/// The protocols that servers can be spoken to in.
const PROTOCOLS: &[ServerProtocol] = &[
    ServerProtocol::Http,
    ServerProtocol::Https,
    ServerProtocol::Uwsgi,
    ServerProtocol::Suwsgi,
    ServerProtocol::FastCgi,
];

/// A key that has no meaning in this mount, as a message.
pub(super) fn misplaced(mount: &Mount) -> Option<String> {
    let key = mount.keys_set().into_iter().find(|key| mount.proxy.is_none() && PROXY_KEYS.contains(key))?;
    Some(format!("`{key}` belongs to `proxy`: no request is forwarded here"))
}

pub(super) fn check(config: &Config, plans: &[SitePlan], problems: &mut Vec<Problem>) {
    for (index, upstream) in config.upstreams.iter().enumerate() {
        let mut found = Vec::new();
        if let Some(first) = config.upstreams[..index].iter().find(|other| other.name == upstream.name) {
            found.push(Problem::at(upstream.place.0.clone(), format!("there is one already ({})", first.place)));
        }
        check_upstream(config, upstream, &mut found);
        let name = upstream.name.text();
        problems.extend(found.into_iter().map(|each| of(&format!("upstream `{name}`"), each)));
    }
    for mount in plans.iter().flat_map(|site| &site.mounts) {
        let Target::Proxy(plan) = &mount.target else { continue };
        let mut found = Vec::new();
        match &plan.target {
            ProxyTarget::Upstream(name) if config.upstreams.iter().all(|upstream| upstream.name != *name) => {
                let names: Vec<String> = config.upstreams.iter().map(|known| known.name.text()).collect();
                let known = match names.is_empty() {
                    true => "there is none".to_owned(),
                    false => format!("there are `{}`", names.join("`, `")),
                };
                let name = name.text();
                found.push(Problem::at(
                    mount.place.0.clone(),
                    format!("`{name}` is not the name of an `[[upstream]]` ({known}); an address is `http://{name}`"),
                ));
            }
            ProxyTarget::Upstream(_) => {}
            ProxyTarget::Server(url) => {
                found.extend(wrong_address(config, url).map(|sentence| Problem::at(mount.place.0.clone(), sentence)))
            }
        }
        found.extend(
            wrong_keys(config, &plan.mount).into_iter().map(|sentence| Problem::at(mount.place.0.clone(), sentence)),
        );
        let path = mount.path.text();
        problems.extend(found.into_iter().map(|each| of(&format!("mount `{path}`"), each)));
    }
}

fn of(what: &str, problem: Problem) -> Problem {
    Problem { message: format!("{what}: {}", problem.message), ..problem }
}

fn awaited(what: &str) -> String {
    format!("{what} is not supported yet")
}

fn check_upstream(config: &Config, upstream: &Upstream, found: &mut Vec<Problem>) {
    let mut say = |sentence: String| found.push(Problem::at(upstream.place.0.clone(), sentence));
    let set = upstream.table().map(|table| table.entries).unwrap_or_default();
    for (key, _) in set.iter().filter(|(key, _)| AWAITED_OF_UPSTREAMS.contains(key)) {
        say(awaited(&format!("`{key}`")));
    }
    balancing::wrong(upstream, is_token).into_iter().for_each(&mut say);
    let times = [
        ("connect_timeout", upstream.connect_timeout),
        ("send_timeout", upstream.send_timeout),
        ("first_byte_timeout", upstream.first_byte_timeout),
        ("read_timeout", upstream.read_timeout),
        ("total_timeout", upstream.total_timeout),
    ];
    for (key, _) in times.iter().filter(|(_, time)| *time == Duration::ZERO) {
        say(format!("`{key}` must be above 0: no request could be answered"));
    }
    if upstream.max_requests == 0 {
        say("`max_requests` must be above 0: no request could be answered".to_owned());
    }
    match upstream.servers.len() {
        0 => say("it has no server: `servers` is empty".to_owned()),
        1..=SERVERS_MAX => {}
        many => say(format!("it has {many} servers; at most {SERVERS_MAX} are allowed")),
    }
    if upstream.tls.is_some() && !upstream.servers.iter().any(|server| server.url.protocol.is_secured()) {
        say("`tls` has no effect: no server is spoken to over TLS (`https://`, `suwsgi://`)".to_owned());
    }
    for (index, server) in upstream.servers.iter().enumerate() {
        let sentences = wrong_server(config, upstream, server, &upstream.servers[..index]);
        found.extend(sentences.into_iter().map(|sentence| {
            let text = format!("the server `{}`: {sentence}", server.url.text());
            Problem::at(server.place.0.clone(), text)
        }));
    }
}

fn wrong_server(
    config: &Config,
    upstream: &Upstream,
    server: &UpstreamServer,
    before: &[UpstreamServer],
) -> Vec<String> {
    let mut found: Vec<String> = wrong_address(config, &server.url).into_iter().collect();
    if let (Some(SourceAddress(own)), BindAddress::Tcp { host, .. }) = (upstream.source, &server.url.place)
        && host.parse::<IpAddr>().is_ok_and(|its| its.is_ipv4() != own.is_ipv4())
    {
        found.push(format!("it cannot be reached from the `source` {own}, which is of the other family of addresses"));
    }
    if server.weight == 0 {
        found.push("`weight` must be above 0; `down` takes a server out".to_owned());
    }
    found.extend(balancing::wrong_server(server, before));
    if let Some(first) = before.iter().find(|other| other.url == server.url) {
        found.push(format!("it is there already ({}); `weight` gives it more requests", first.place));
    }
    found
}

fn wrong_address(config: &Config, url: &ServerUrl) -> Option<String> {
    if !PROTOCOLS.contains(&url.protocol) {
        return Some(awaited(&format!("`{}://`", url.protocol.scheme())));
    }
    if let BindAddress::Abstract(_) = url.place {
        return Some(awaited("a socket in the abstract namespace"));
    }
    let own = config.bind.iter().find(|bind| is_same(bind.place(), &url.place))?;
    Some(format!("this server itself listens there (`bind` has `{own}`), so a request would never end"))
}

/// Whether a connection to a place comes to this listener, as far as their text shows it.
fn is_same(bind: &BindAddress, place: &BindAddress) -> bool {
    match (bind, place) {
        (BindAddress::Tcp { host: own, port }, BindAddress::Tcp { host, port: its }) => {
            let is_any = own.is_empty() || own.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified());
            let is_own = own.eq_ignore_ascii_case(host) || is_here(host) && (is_any || is_here(own));
            port == its && *port > 0 && is_own
        }
        (bind, place) => bind == place,
    }
}

fn is_here(host: &str) -> bool {
    let is_address = |address: IpAddr| address.is_loopback() || address.is_unspecified();
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(is_address)
}

fn wrong_keys(config: &Config, mount: &Mount) -> Vec<String> {
    let set = mount.keys_set();
    let mut found: Vec<String> =
        set.iter().filter(|key| AWAITED_OF_MOUNTS.contains(key)).map(|key| awaited(&format!("`{key}`"))).collect();
    if mount.accel.contains(&AccelField::Redirect) && config.internal.is_empty() {
        found.push("`redirect` in `accel` needs folders in `internal`: no other file may be sent".to_owned());
    }
    found.extend(
        mount
            .upgrade
            .iter()
            .filter(|protocol| protocol.eq_ignore_ascii_case("h2c"))
            .map(|_| "`h2c` in `upgrade`: its requests would pass all rules of this server".to_owned()),
    );
    if mount.strip_prefix && mount.rewrite_prefix.is_some() {
        found.push("`strip_prefix` and `rewrite_prefix` cannot both change the path".to_owned());
    }
    if mount.via.bytes().any(|byte| !is_token(byte)) {
        found.push(format!("`via`: `{}` is not a word of letters, digits and `-`", mount.via));
    }
    let is_method = |method: &String| !method.is_empty() && method.bytes().all(is_token);
    for method in &mount.methods {
        match method.as_str() {
            "CONNECT" | "TRACE" => found.push(format!("`methods`: {method} is never forwarded")),
            _ if !is_method(method) => found.push(format!("`methods`: `{method}` is not a method")),
            _ => {}
        }
    }
    found
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_this_server_is_recognised_in_every_form() {
        for (bind, url, same) in [
            ("127.0.0.1:8000", "127.0.0.1:8000", true),
            ("127.0.0.1:8000", "http://localhost:8000", true),
            ("localhost:8000", "http://[::1]:8000", true),
            (":8000", "http://127.0.0.2:8000", true),
            ("[::]:8000", "http://localhost:8000", true),
            ("0.0.0.0:80", "http://localhost", true),
            ("https://10.0.0.1:8443", "http://10.0.0.1:8443", true),
            ("Example.org:81", "http://example.org:81", true),
            ("unix:/run/a.sock", "http://unix:/run/a.sock", true),
            ("unix:@a", "unix:@a", true),
            ("127.0.0.1:8000", "127.0.0.1:8001", false),
            (":8000", "http://10.0.0.1:8000", false),
            ("127.0.0.1:0", "http://127.0.0.1:1", false),
            ("unix:/run/a.sock", "unix:/run/b.sock", false),
            ("fd://3", "http://127.0.0.1:8000", false),
        ] {
            let found = BindAddress::parse(bind).and_then(|bind| Ok((bind, ServerUrl::parse(url)?)));
            let is_found = found.map(|(bind, url)| is_same(bind.place(), &url.place));
            assert_eq!(is_found, Ok(same), "{bind} {url}");
        }
    }

    #[test]
    fn every_key_that_is_named_here_is_a_key() {
        let mounts: Vec<&str> = Mount::KEYS.iter().map(|key| key.name).collect();
        let upstreams: Vec<&str> = Upstream::KEYS.iter().map(|key| key.name).collect();
        assert!(PROXY_KEYS.iter().all(|key| mounts.contains(key)));
        assert!(AWAITED_OF_MOUNTS.iter().all(|key| PROXY_KEYS.contains(key)));
        assert!(AWAITED_OF_UPSTREAMS.iter().all(|key| upstreams.contains(key)));
    }
}
