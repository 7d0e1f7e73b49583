//! What a mount that proxies is made of, and the handler that begins its exchanges.

use std::sync::Arc;

use farrier_http::wire::client::ResponseLimits;
use farrier_http::{BodyMode, Error, Handler, Kind, Plan, Request, Respond, Status};

use crate::exchange::ProxyExchange;
use crate::group::Group;
use crate::request::RequestPolicy;
use crate::response::ResponsePolicy;

/// A mount that proxies. Made once.
pub struct Mount {
    /// Path of the mount, without a slash at its end; empty for the whole site.
    pub path: Box<[u8]>,
    /// What it does with requests.
    pub request: RequestPolicy,
    /// What it does with responses.
    pub response: ResponsePolicy,
    /// Its servers.
    pub group: Arc<Group>,
    /// Limits of their answers.
    pub limits: ResponseLimits,
    /// Content is complete before a server is chosen.
    pub is_request_buffered: bool,
    /// Methods that are refused.
    pub refused_methods: Vec<Box<[u8]>>,
}

/// Answers requests by asking an upstream.
pub struct Proxy(pub Arc<Mount>);

impl Handler for Proxy {
    fn plan(&self, _: &mut Request) -> Plan {
        let mode = if self.0.is_request_buffered { BodyMode::Buffered } else { BodyMode::Streamed };
        Plan::Exchange(Box::new(ProxyExchange::new(Arc::clone(&self.0))), mode)
    }

    fn handle(&self, _: &mut Request, _: &mut dyn Respond) -> Result<(), Error> {
        // An exchange answers; this is for a caller that did not ask for a plan.
        Err(Error::server(Kind::Internal, "a proxied request needs an exchange"))
    }
}

impl Mount {
    /// Whether a method is refused, and the answer.
    pub(crate) fn refuses(&self, method: &[u8]) -> Option<Error> {
        let is_refused = self.refused_methods.iter().any(|refused| **refused == *method);
        is_refused.then(|| Error::answer(Status::METHOD_NOT_ALLOWED))
    }
}
