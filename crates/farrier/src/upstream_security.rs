//! TLS with the servers of upstreams: reads the files of each table `tls` as the administrator, before workers are forked, so
//! that a worker's user needs no access to keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use farrier_config::sites::Target;
use farrier_config::value::{UpstreamName, Value};
use farrier_config::{BindAddress, Config, ProxyTarget, Upstream, UpstreamServer, UpstreamTls};
use farrier_tls::client::Peer;
use farrier_tls::{client_terms, system_roots};

/// The terms of all upstreams, as the files were when they were read.
#[derive(Default)]
pub(crate) struct UpstreamSecurity(BTreeMap<UpstreamName, Vec<Option<Peer>>>);

impl UpstreamSecurity {
    /// Reads the files.
    ///
    /// # Errors
    /// The upstream, the key and the file, and what is wrong.
    pub(crate) fn read(config: &Config) -> Result<UpstreamSecurity, String> {
        // What is wrong with mounts is told where they are opened.
        let plans = config.site_plans().unwrap_or_default();
        let mut roots = None;
        let mut system = || match &roots {
            Some(known) => Ok(Arc::clone(known)),
            None => Ok(Arc::clone(roots.insert(system_roots()?))),
        };
        let mut read = BTreeMap::new();
        let alone = plans.iter().flat_map(|site| &site.mounts).filter_map(|mount| match &mount.target {
            Target::Proxy(plan) => match &plan.target {
                ProxyTarget::Server(url) => Some(Upstream::of_server(url)),
                ProxyTarget::Upstream(_) => None,
            },
            _ => None,
        });
        for upstream in config.upstreams.iter().cloned().chain(alone) {
            if !upstream.servers.iter().any(|server| server.url.protocol.is_secured()) {
                continue;
            }
            let failed = |reason: String| format!("{}: upstream `{}`: {reason}", upstream.place, upstream.name.text());
            let tls = upstream.tls.clone().unwrap_or_default();
            let terms = client_terms(&tls, &mut system).map_err(failed)?;
            let peer = |server: &UpstreamServer| {
                let is_secured = server.url.protocol.is_secured();
                is_secured.then(|| Peer::new(&name(server, &tls), Arc::clone(&terms))).transpose()
            };
            let peers: Result<Vec<Option<Peer>>, String> = upstream.servers.iter().map(peer).collect();
            read.insert(upstream.name.clone(), peers.map_err(failed)?);
        }
        Ok(UpstreamSecurity(read))
    }

    /// How TLS knows each server of an upstream; `None` where it is not used.
    pub(crate) fn peers(&self, upstream: &Upstream) -> Vec<Option<Peer>> {
        self.0.get(&upstream.name).cloned().unwrap_or_else(|| vec![None; upstream.servers.len()])
    }
}

/// The name that a server is asked for and that its certificate must have.
fn name(server: &UpstreamServer, tls: &UpstreamTls) -> String {
    match (&tls.name, &server.url.place) {
        (Some(name), _) => name.clone(),
        (None, BindAddress::Tcp { host, .. }) => host.clone(),
        (None, _) => "localhost".to_owned(),
    }
}
