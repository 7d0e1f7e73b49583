//! What a mount that proxies is made of.

use std::sync::Arc;

use farrier_http::wire::client::ResponseLimits;

use crate::group::Group;
use crate::methods::Methods;
use crate::request::RequestPolicy;
use crate::response::ResponsePolicy;
use crate::upgrade::Upgrades;
use crate::variables::Params;

/// Writes a line into a log.
pub type Warn = Arc<dyn Fn(&str) + Send + Sync>;

/// A mount that proxies. Made once.
pub struct Mount {
    /// Path of the mount, without a slash at its end; empty for the whole site.
    pub path: Box<[u8]>,
    /// What it does with requests.
    pub request: RequestPolicy,
    /// What it does with responses.
    pub response: ResponsePolicy,
    /// Variables for servers of gateway protocols.
    pub params: Params,
    /// `SERVER_SOFTWARE` for them.
    pub software: String,
    /// `DOCUMENT_ROOT` for them; empty for none.
    pub fastcgi_root: Box<[u8]>,
    /// Protocols that may be switched to.
    pub upgrades: Upgrades,
    /// How long tunnels live.
    pub tunnel: TunnelPolicy,
    /// Statuses of servers that are answered with this server's own page.
    pub intercepted: Vec<u16>,
    /// Writes a warning into the error log.
    pub warn: Warn,
    /// Its servers.
    pub group: Arc<Group>,
    /// Limits of their answers.
    pub limits: ResponseLimits,
    /// Content is complete before a server is chosen.
    pub is_request_buffered: bool,
    /// Methods that are forwarded.
    pub methods: Methods,
}

/// How long a tunnel lives, in ms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelPolicy {
    /// Without a byte in either direction.
    pub idle_ms: u64,
    /// In all; 0 is no limit.
    pub max_ms: u64,
    /// After one direction has ended.
    pub fin_ms: u64,
    /// After the worker has begun to end.
    pub drain_ms: u64,
}

impl Default for TunnelPolicy {
    fn default() -> Self {
        TunnelPolicy { idle_ms: 3_600_000, max_ms: 0, fin_ms: 30_000, drain_ms: 30_000 }
    }
}
