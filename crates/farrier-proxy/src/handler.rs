//! The handler of a mount that proxies: it begins an exchange for each request.

use std::sync::Arc;

use farrier_http::{BodyFraming, BodyMode, Error, Flush, Handler, Kind, Plan, Request, Respond, ResponseHead, Status};

use crate::exchange::ProxyExchange;
use crate::mount::Mount;

/// Answers requests by asking an upstream.
pub struct Proxy(pub Arc<Mount>);

impl Handler for Proxy {
    fn plan(&self, request: &mut Request) -> Plan {
        if request.protocol().is_some() {
            return self.plan_tunnel(request);
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
            return self.refuse(respond);
        }
        // An exchange answers; this is for a caller that did not ask for a plan.
        Err(Error::server(Kind::Internal, "a proxied request needs an exchange"))
    }
}

impl Proxy {
    /// An extended CONNECT becomes a GET for the server. Its content is what comes through the tunnel.
    fn plan_tunnel(&self, request: &Request) -> Plan {
        let mount = &self.0;
        let is_forwarded = mount.upgrades.asked(request).is_some()
            && !mount.methods.refuses(b"GET")
            && !mount.group.speaks_gateway_protocols();
        match is_forwarded {
            true => Plan::Exchange(Box::new(ProxyExchange::new(Arc::clone(mount))), BodyMode::Streamed),
            // The engine refuses it.
            false => Plan::Now,
        }
    }

    /// Answers a method that is not forwarded.
    fn refuse(&self, respond: &mut dyn Respond) -> Result<(), Error> {
        let mut head = ResponseHead::new(Status::METHOD_NOT_ALLOWED);
        head.add(b"Allow", self.0.methods.allow())?;
        head.add(b"Content-Type", b"text/plain; charset=utf-8")?;
        let content = b"405 Method Not Allowed\n";
        respond.head(&head, Some(content.len() as u64));
        // An error means that the client has disconnected: nothing is left to do.
        let _ = respond.send(content, Flush::Later);
        respond.finish();
        Ok(())
    }
}
