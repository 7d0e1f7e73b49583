//! Makes the handlers of mounts that forward requests, and the upstreams behind them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use farrier_config::sites::ProxyPlan;
use farrier_config::value::{RetryCause, ServerProtocol, SourceAddress, UpstreamName, Value};
use farrier_config::{BindAddress, Config, ProxyTarget, Upstream, UpstreamServer};
use farrier_http::Handler;
use farrier_http::upstream::{ServerAddress, Target};
use farrier_http::wire::client::ResponseLimits;
use farrier_log::error::ErrorLog;
use farrier_proxy::Balance;
use farrier_proxy::group::{Group, GroupPolicy, RetryOn};
use farrier_proxy::mount::{Mount, Proxy};
use farrier_proxy::server::{Protocol, Server};
use farrier_proxy::variables::Params;

use crate::proxy_policies::{methods, policies};
use crate::resolver::Resolver;

/// The upstreams of a worker: mounts with the same target share its servers, bounds and connections.
pub(crate) struct Proxies<'a> {
    config: &'a Config,
    groups: Mutex<BTreeMap<String, Arc<Group>>>,
    resolver: Mutex<Resolver>,
}

impl Proxies<'_> {
    /// No upstream yet.
    pub(crate) fn new<'a>(config: &'a Config, log: &Arc<ErrorLog>) -> Proxies<'a> {
        Proxies { config, groups: Mutex::default(), resolver: Mutex::new(Resolver::new(log)) }
    }

    /// The handler of a mount.
    ///
    /// # Errors
    /// A message that names the mount.
    pub(crate) fn handler(&self, plan: &ProxyPlan) -> Result<Arc<dyn Handler>, String> {
        let (request, response) = policies(plan)?;
        Ok(Arc::new(Proxy(Arc::new(Mount {
            path: plan.mount.path.as_str().as_bytes().into(),
            request,
            response,
            params: Params::default(),
            software: format!("farrier/{}", env!("CARGO_PKG_VERSION")),
            fastcgi_root: Box::default(),
            warn: {
                let log = Arc::clone(&self.log);
                Arc::new(move |text: &str| log.write(Level::Warning, text))
            },
            group: self.group(&plan.target),
            limits: ResponseLimits::default(),
            is_request_buffered: plan.mount.request_buffering,
            methods: methods(&plan.mount),
        }))))
    }

    /// Gives the upstreams their servers, and begins to look up their names again and again.
    pub(crate) fn resolve(self) {
        self.resolver.into_inner().unwrap_or_else(PoisonError::into_inner).start();
    }

    fn group(&self, target: &ProxyTarget) -> Arc<Group> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let group = groups.entry(target.text()).or_insert_with(|| {
            let named = match target {
                ProxyTarget::Server(url) => Some(Upstream::of_server(url)),
                ProxyTarget::Upstream(name) => self.config.upstreams.iter().find(|known| known.name == *name).cloned(),
            };
            // Invariant: a mount of an unknown upstream is an error of the configuration.
            let upstream = named.unwrap_or_else(|| Upstream::new(UpstreamName(target.text()), Vec::new()));
            let group = Arc::new(Group::new(upstream.name.text(), Vec::new(), group_policy(&upstream)));
            self.resolver.lock().unwrap_or_else(PoisonError::into_inner).add(Arc::clone(&group), &Arc::new(upstream));
            group
        });
        Arc::clone(group)
    }
}

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
    let target = Target {
        id: NEXT.fetch_add(1, Ordering::Relaxed),
        source: source(upstream, &address),
        address,
        security: None,
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
    let mut server = Server::new(target, name, authority, protocol, ms(upstream.keepalive_timeout));
    server.weight = configured.weight;
    server.is_backup = configured.backup;
    server.is_down = configured.down;
    server.max_requests = configured.max_requests;
    server.is_draining.store(configured.drain, Ordering::Relaxed);
    server
}

fn group_policy(upstream: &Upstream) -> GroupPolicy {
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
