//! Makes the servers and the bounds of an upstream from its table.

use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use farrier_config::value::{self, CheckKind, InitialHealth, RetryCause, ServerProtocol, SourceAddress, Value};
use farrier_config::{BindAddress, Upstream, UpstreamHealth};
use farrier_http::upstream::{ServerAddress, Target};
use farrier_proxy::group::{GroupPolicy, RetryOn};
use farrier_proxy::health::HealthPolicy;
use farrier_proxy::health::checks::CheckPolicy;
use farrier_proxy::health::probe::{HttpProbe, Probe};
use farrier_proxy::server::{Protocol, Server};
use farrier_proxy::{Balance, HashOn};

use crate::shared_upstreams::SharedUpstreams;
use farrier_tls::client::Peer;

/// The local address of connections to an address, if it is of the same family.
fn source(upstream: &Upstream, address: &ServerAddress) -> Option<SocketAddr> {
    let SourceAddress(ip) = upstream.source?;
    match address {
        ServerAddress::Tcp(address) if address.is_ipv4() == matches!(ip, IpAddr::V4(_)) => Some((ip, 0).into()),
        _ => None,
    }
}

/// The server of an upstream that has this address. `peer` is how TLS knows it, if it is used.
pub(crate) fn server(
    upstream: &Upstream,
    place: usize,
    address: ServerAddress,
    peer: Option<Arc<Peer>>,
    shared: &SharedUpstreams,
    is_late: bool,
) -> Server {
    let configured = &upstream.servers[place];
    static NEXT: AtomicU64 = AtomicU64::new(1);
    // Invariant: every server that is spoken to over TLS has a peer. Without one it is never asked.
    let lacks_peer = configured.url.protocol.is_secured() && peer.is_none();
    let target = Target {
        id: NEXT.fetch_add(1, Ordering::Relaxed),
        source: source(upstream, &address),
        address,
        security: peer.map(|peer| peer as Arc<dyn Any + Send + Sync>),
        idle_max: upstream.keepalive as usize,
    };
    let url = &configured.url;
    let protocol = match url.protocol {
        ServerProtocol::Uwsgi | ServerProtocol::Suwsgi => Protocol::Uwsgi,
        ServerProtocol::FastCgi => Protocol::FastCgi,
        _ => Protocol::Http1,
    };
    let authority = url.authority().into_bytes().into();
    let name = match (&target.address, &url.place) {
        // One of several addresses of a name.
        (ServerAddress::Tcp(address), BindAddress::Tcp { host, .. }) if host.parse::<IpAddr>().is_err() => {
            format!("{url} at {address}")
        }
        _ => url.to_string(),
    };
    let label = configured.id.clone().unwrap_or_else(|| url.to_string());
    // One of several addresses of a name with an id is another server.
    let key = Server::key_of(&[&label, &if configured.id.is_some() { String::new() } else { name.clone() }]);
    let words_key = Server::key_of(&[&upstream.name.text(), &label, &name]);
    let mut server = Server::new(target, name, authority, protocol, ms(upstream.keepalive_timeout));
    (server.label, server.place, server.key) = (label, place, key);
    server.words = shared.words(words_key);
    server.added_ms = if is_late { shared.now_ms() } else { 0 };
    server.weight = configured.weight;
    server.is_backup = configured.backup;
    server.is_down = configured.down || lacks_peer;
    server.max_requests = configured.max_requests;
    server.is_draining.store(configured.drain, Ordering::Relaxed);
    server
}

/// The bounds of an upstream.
pub(crate) fn group_policy(upstream: &Upstream) -> GroupPolicy {
    let retries_on = |cause: RetryCause| upstream.retry_on.contains(&cause);
    GroupPolicy {
        balance: balance(upstream),
        health: health_policy(upstream),
        max_requests: upstream.max_requests,
        queue_max: upstream.queue as usize,
        queue_timeout_ms: ms(upstream.queue_timeout),
        connect_timeout_ms: ms(upstream.connect_timeout),
        send_timeout_ms: ms(upstream.send_timeout),
        first_byte_timeout_ms: ms(upstream.first_byte_timeout),
        read_timeout_ms: ms(upstream.read_timeout),
        total_timeout_ms: ms(upstream.total_timeout),
        keepalive_requests: upstream.keepalive_requests,
        keepalive_time_ms: ms(upstream.keepalive_time),
        retries: upstream.retries,
        retry_on: RetryOn {
            connect: retries_on(RetryCause::Connect),
            stale: retries_on(RetryCause::Stale),
            reset: retries_on(RetryCause::Reset),
            timeout: retries_on(RetryCause::Timeout),
            bad_response: retries_on(RetryCause::BadResponse),
            statuses: upstream.retry_on.iter().filter_map(|cause| cause.status()).collect(),
        },
        retry_unsafe: upstream.retry_unsafe,
        retry_budget_percent: upstream.retry_budget,
        retry_timeout_ms: ms(upstream.retry_timeout),
    }
}

fn balance(upstream: &Upstream) -> Balance {
    match upstream.balance {
        value::Balance::Least => Balance::Least,
        value::Balance::RoundRobin => Balance::RoundRobin,
        value::Balance::LeastTime => Balance::LeastTime,
        value::Balance::Random => Balance::Random,
        value::Balance::First => Balance::First,
        value::Balance::Hash => Balance::Hash(match &upstream.hash_on {
            value::HashOn::Uri => HashOn::Uri,
            value::HashOn::Path => HashOn::Path,
            value::HashOn::Client => HashOn::Client,
            value::HashOn::Header(name) => HashOn::Header(name.clone()),
            value::HashOn::Cookie(name) => HashOn::Cookie(name.clone()),
            value::HashOn::Query(name) => HashOn::Query(name.clone()),
        }),
    }
}

fn health_policy(upstream: &Upstream) -> HealthPolicy {
    let mut policy = HealthPolicy {
        slow_start_ms: ms(upstream.slow_start),
        is_checked: upstream.health.is_some(),
        starts_down: upstream.health.as_ref().is_some_and(|health| health.start == InitialHealth::Down),
        has_agents: upstream.servers.iter().any(|server| server.agent.is_some()),
        ..HealthPolicy::default()
    };
    if let Some(fail) = &upstream.fail {
        policy.fail_max = fail.max;
        policy.window_ms = ms(fail.window);
        policy.eject_ms = ms(fail.eject);
        policy.fail_on = fail.on.iter().flat_map(|range| range.first..=range.last).collect();
    }
    policy
}

/// How often servers are checked, and what decides.
pub(crate) fn check_policy(health: &UpstreamHealth) -> CheckPolicy {
    CheckPolicy {
        interval_ms: ms(health.interval),
        fast_interval_ms: ms(health.fast_interval.min(health.interval)),
        timeout_ms: ms(health.timeout),
        up: health.up,
        down: health.down,
    }
}

/// What a check does.
pub(crate) fn probe(health: &UpstreamHealth) -> Probe {
    match health.kind {
        Some(CheckKind::Tcp) => Probe::Tcp,
        Some(CheckKind::Uwsgi) => Probe::Uwsgi,
        Some(CheckKind::FastCgi) => Probe::FastCgi,
        Some(CheckKind::Http) | None => Probe::Http(HttpProbe {
            method: health.method.clone(),
            path: health.path.clone().unwrap_or_else(|| "/".to_owned()),
            host: health.host.clone(),
            statuses: health.status.iter().map(|range| (range.first, range.last)).collect(),
            body: health.body.clone().map(String::into_bytes),
        }),
    }
}

/// The address of a place that is no name.
pub(crate) fn fixed(place: &BindAddress) -> Option<ServerAddress> {
    match place {
        BindAddress::Tcp { host, port } => {
            host.parse::<IpAddr>().ok().map(|ip| ServerAddress::Tcp(SocketAddr::new(ip, *port)))
        }
        BindAddress::Unix(path) => Some(ServerAddress::Unix(path.clone())),
        // Invariant: the configuration accepts no other place.
        _ => None,
    }
}

/// A duration in ms, rounded up: what is not 0 stays so.
pub(crate) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
