//! Makes the handlers of mounts that forward requests: their servers, and what is changed on the way.

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use farrier_config::sites::ProxyPlan;
use farrier_config::value::{ServerProtocol, Value};
use farrier_config::{BindAddress, ProxyTarget, ServerUrl};
use farrier_http::Handler;
use farrier_http::upstream::{ServerAddress, Target};
use farrier_http::wire::client::ResponseLimits;
use farrier_log::error::{ErrorLog, Level};
use farrier_proxy::group::{Group, GroupPolicy};
use farrier_proxy::mount::{Mount, Proxy};
use farrier_proxy::server::{Protocol, Server};
use farrier_proxy::{RequestPolicy, ResponsePolicy};

/// Idle connections that are kept to a server.
const IDLE_MAX: usize = 32;

/// How long a connection is kept idle while nothing is known of the server, in ms.
const IDLE_MS: u64 = 4_000;

/// Methods that are refused.
const REFUSED_METHODS: [&[u8]; 2] = [b"CONNECT", b"TRACE"];

/// The upstreams of a worker: mounts with the same target share its servers, bounds and connections.
pub(crate) struct Proxies {
    log: Arc<ErrorLog>,
    groups: Mutex<BTreeMap<String, Arc<Group>>>,
}

impl Proxies {
    /// No upstream yet.
    pub(crate) fn new(log: &Arc<ErrorLog>) -> Proxies {
        Proxies { log: Arc::clone(log), groups: Mutex::default() }
    }

    /// The handler of a mount.
    ///
    /// # Errors
    /// A message that names the mount.
    pub(crate) fn handler(&self, plan: &ProxyPlan) -> Result<Arc<dyn Handler>, String> {
        let group = self.group(&plan.target);
        Ok(Arc::new(Proxy(Arc::new(Mount {
            path: plan.mount.path.as_str().as_bytes().into(),
            request: RequestPolicy { via: b"farrier"[..].into(), ..RequestPolicy::default() },
            response: ResponsePolicy::default(),
            group,
            limits: ResponseLimits::default(),
            is_request_buffered: true,
            refused_methods: REFUSED_METHODS.iter().map(|&method| method.into()).collect(),
        }))))
    }

    fn group(&self, target: &ProxyTarget) -> Arc<Group> {
        let name = target.text();
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let group = groups.entry(name).or_insert_with_key(|name| {
            let servers = match target {
                ProxyTarget::Server(url) => self.servers(url),
                ProxyTarget::Upstream(_) => Vec::new(),
            };
            Arc::new(Group::new(name.clone(), servers, GroupPolicy::default()))
        });
        Arc::clone(group)
    }

    /// The servers of an address: one for each address of its name. A name that cannot be looked up has none.
    fn servers(&self, url: &ServerUrl) -> Vec<Arc<Server>> {
        match addresses(&url.place) {
            Ok(addresses) => addresses.into_iter().map(|address| Arc::new(server(url, address))).collect(),
            Err(error) => {
                self.log.write(Level::Warning, &format!("Cannot look up the name in {url}: {error}"));
                Vec::new()
            }
        }
    }
}

fn addresses(place: &BindAddress) -> std::io::Result<Vec<ServerAddress>> {
    match place {
        BindAddress::Tcp { host, port } => {
            let found: Vec<SocketAddr> = (host.as_str(), *port).to_socket_addrs()?.collect();
            Ok(found.into_iter().map(ServerAddress::Tcp).collect())
        }
        BindAddress::Unix(path) => Ok(vec![ServerAddress::Unix(path.clone())]),
        // Invariant: the configuration accepts no other place.
        _ => Ok(Vec::new()),
    }
}

fn server(url: &ServerUrl, address: ServerAddress) -> Server {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let target =
        Target { id: NEXT.fetch_add(1, Ordering::Relaxed), address, source: None, security: None, idle_max: IDLE_MAX };
    let protocol = match url.protocol {
        ServerProtocol::Uwsgi | ServerProtocol::Suwsgi => Protocol::Uwsgi,
        ServerProtocol::FastCgi => Protocol::FastCgi,
        _ => Protocol::Http1,
    };
    Server::new(target, url.to_string(), url.authority().into_bytes().into(), protocol, IDLE_MS)
}
