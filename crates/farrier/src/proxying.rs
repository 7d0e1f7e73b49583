//! Makes the handlers of mounts that forward requests, and the upstreams behind them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use farrier_config::sites::ProxyPlan;
use farrier_config::value::{UpstreamName, Value};
use farrier_config::{Config, ProxyTarget, Upstream};
use farrier_http::Handler;
use farrier_http::wire::client::ResponseLimits;
use farrier_log::error::{ErrorLog, Level};
use farrier_proxy::group::Group;
use farrier_proxy::handler::Proxy;
use farrier_proxy::mount::Mount;

use crate::checking::Checking;
use crate::health_log;
use crate::proxy_policies::{methods, params, policies, tunnel_policy, upgrades};
use crate::resolver::Resolver;
use crate::shared_upstreams::SharedUpstreams;
use crate::sticking::sticky;
use crate::upstream_security::UpstreamSecurity;
use crate::upstreams::group_policy;

/// The upstreams of a worker: mounts with the same target share its servers, bounds and connections.
pub(crate) struct Proxies<'a> {
    config: &'a Config,
    security: &'a UpstreamSecurity,
    log: Arc<ErrorLog>,
    groups: Mutex<BTreeMap<String, Arc<Group>>>,
    resolver: Mutex<Resolver>,
    checking: Mutex<Checking>,
    shared: SharedUpstreams,
}

impl Proxies<'_> {
    /// No upstream yet.
    pub(crate) fn new<'a>(
        config: &'a Config,
        security: &'a UpstreamSecurity,
        log: &Arc<ErrorLog>,
        shared: SharedUpstreams,
    ) -> Proxies<'a> {
        Proxies {
            config,
            security,
            log: Arc::clone(log),
            groups: Mutex::default(),
            resolver: Mutex::new(Resolver::new(shared, log)),
            checking: Mutex::new(Checking::new(shared, log)),
            shared,
        }
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
            params: params(&plan.mount).map_err(|sentence| format!("{}: {sentence}", plan.mount.place))?,
            software: format!("farrier/{}", env!("CARGO_PKG_VERSION")),
            fastcgi_root: plan
                .mount
                .fastcgi_root
                .as_ref()
                .map_or_else(Box::default, |root| root.as_os_str().as_encoded_bytes().into()),
            upgrades: upgrades(&plan.mount),
            intercepted: plan.mount.intercept_errors.iter().map(|status| status.0).collect(),
            tunnel: tunnel_policy(self.config, &plan.mount),
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

    /// Gives the upstreams their servers, and begins to look up their names and to check them again and again.
    pub(crate) fn start(self) {
        self.resolver.into_inner().unwrap_or_else(PoisonError::into_inner).start();
        for group in self.groups.into_inner().unwrap_or_else(PoisonError::into_inner).values() {
            group.begin_at(u64::from(self.shared.slot()));
        }
        self.checking.into_inner().unwrap_or_else(PoisonError::into_inner).start();
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
            let group = Arc::new(self.new_group(&upstream));
            let peers = self.security.peers(&upstream);
            let upstream = Arc::new(upstream);
            self.resolver.lock().unwrap_or_else(PoisonError::into_inner).add(Arc::clone(&group), &upstream, peers);
            self.checking.lock().unwrap_or_else(PoisonError::into_inner).add(&group, &upstream);
            group
        });
        Arc::clone(group)
    }

    fn new_group(&self, upstream: &Upstream) -> Group {
        let mut group = Group::new(upstream.name.text(), Vec::new(), group_policy(upstream));
        let shared = self.shared;
        group.clock = Some(Box::new(move || shared.now_ms()));
        group.observer = Some(health_log::observer(&group.name, &self.log));
        group.sticky = sticky(upstream, &shared);
        group
    }
}
