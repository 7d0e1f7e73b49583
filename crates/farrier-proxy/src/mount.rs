//! What a mount that proxies is made of, and the handler that begins its exchanges.

use std::sync::Arc;

use farrier_http::wire::client::ResponseLimits;
use farrier_http::{BodyFraming, BodyMode, Error, Flush, Handler, Kind, Plan, Request, Respond, ResponseHead, Status};

use crate::exchange::ProxyExchange;
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

/// Answers requests by asking an upstream.
pub struct Proxy(pub Arc<Mount>);

impl Handler for Proxy {
    fn plan(&self, request: &mut Request) -> Plan {
        if request.protocol().is_some() {
            return self.0.plan_tunnel(request);
        }
        if self.0.methods.refuses(request.method()) {
            return Plan::Now;
        }
        // Gateway protocols need the length first.
        let needs_length = request.head.framing == BodyFraming::Chunked && self.0.group.speaks_gateway_protocols();
        let mode = if self.0.is_request_buffered || needs_length { BodyMode::Buffered } else { BodyMode::Streamed };
        Plan::Exchange(Box::new(ProxyExchange::new(Arc::clone(&self.0))), mode)
    }

    fn handle(&self, request: &mut Request, respond: &mut dyn Respond) -> Result<(), Error> {
        if self.0.methods.refuses(request.method()) {
            return self.0.refuse(respond);
        }
        // An exchange answers; this is for a caller that did not ask for a plan.
        Err(Error::server(Kind::Internal, "a proxied request needs an exchange"))
    }
}

impl Mount {
    /// An extended CONNECT becomes a GET for the server. Its content is what comes through the tunnel.
    fn plan_tunnel(self: &Arc<Mount>, request: &Request) -> Plan {
        let is_forwarded = self.upgrades.asked(request).is_some()
            && !self.methods.refuses(b"GET")
            && !self.group.speaks_gateway_protocols();
        match is_forwarded {
            true => Plan::Exchange(Box::new(ProxyExchange::new(Arc::clone(self))), BodyMode::Streamed),
            // The engine refuses it.
            false => Plan::Now,
        }
    }

    /// Answers a method that is not forwarded.
    fn refuse(&self, respond: &mut dyn Respond) -> Result<(), Error> {
        let mut head = ResponseHead::new(Status::METHOD_NOT_ALLOWED);
        head.add(b"Allow", self.methods.allow())?;
        head.add(b"Content-Type", b"text/plain; charset=utf-8")?;
        let content = b"405 Method Not Allowed\n";
        respond.head(&head, Some(content.len() as u64));
        // An error means that the client has disconnected: nothing is left to do.
        let _ = respond.send(content, Flush::Later);
        respond.finish();
        Ok(())
    }
}
