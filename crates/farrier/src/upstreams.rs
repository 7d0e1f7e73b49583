//! Makes the servers and the bounds of an upstream from its table.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use farrier_config::value::{RetryCause, ServerProtocol, SourceAddress};
use farrier_config::{BindAddress, Upstream, UpstreamServer};
use farrier_http::upstream::{ServerAddress, Target};
use farrier_proxy::Balance;
use farrier_proxy::group::{GroupPolicy, RetryOn};
use farrier_proxy::server::{Protocol, Server};

/// The local address of connections to an address, if it is of the same family.
fn source(upstream: &Upstream, address: &ServerAddress) -> Option<SocketAddr> {
    let SourceAddress(ip) = upstream.source?;
    match address {
        ServerAddress::Tcp(address) if address.is_ipv4() == matches!(ip, IpAddr::V4(_)) => Some((ip, 0).into()),
        _ => None,
    }
}

/// The server of an upstream that has this address.
pub(crate) fn server(upstream: &Upstream, configured: &UpstreamServer, address: ServerAddress) -> Server {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let url = &configured.url;
    let protocol = match url.protocol {
        ServerProtocol::Uwsgi | ServerProtocol::Suwsgi => Protocol::Uwsgi,
        ServerProtocol::FastCgi => Protocol::FastCgi,
        _ => Protocol::Http1,
    };
    // A process of php-fpm serves a connection until it is closed, also while it is idle, and others wait.
    let idle_max = upstream.keepalive.unwrap_or(if protocol == Protocol::FastCgi { 0 } else { 32 });
    let target = Target {
        id: NEXT.fetch_add(1, Ordering::Relaxed),
        source: source(upstream, &address),
        address,
        security: None,
        idle_max: idle_max as usize,
    };
    let authority = url.authority().into_bytes().into();
    let name = match (&target.address, &url.place) {
        // One of several addresses of a name.
        (ServerAddress::Tcp(address), BindAddress::Tcp { host, .. }) if host.parse::<IpAddr>().is_err() => {
            format!("{url} at {address}")
        }
        _ => url.to_string(),
    };
    let mut server = Server::new(target, name, authority, protocol, ms(upstream.keepalive_timeout));
    server.weight = configured.weight;
    server.is_backup = configured.backup;
    server.is_down = configured.down;
    server.max_requests = configured.max_requests;
    server.is_draining.store(configured.drain, Ordering::Relaxed);
    server
}

/// The bounds of an upstream.
pub(crate) fn group_policy(upstream: &Upstream) -> GroupPolicy {
    let retries_on = |cause: RetryCause| upstream.retry_on.contains(&cause);
    let mut policy = GroupPolicy {
        balance: Balance::Least,
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
        retry_timeout_ms: ms(upstream.retry_timeout),
        ..GroupPolicy::default()
    };
    if let Some(fail) = &upstream.fail {
        policy.fail_max = fail.max;
        policy.eject_ms = ms(fail.eject);
    }
    policy
}

/// A duration in ms, rounded up: what is not 0 stays so.
pub(crate) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
