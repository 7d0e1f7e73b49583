//! Decides what must be known of a request before its handler is called: its client, and which of its fields count.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use farrier_http::{Error, Kind, Origin, Plan, Request, Respond, ResponseHead, Status, TargetForm};

use super::shared::Shared;
use farrier_log::error::Level;
use farrier_protocol::dropped_fields::Reason;
use farrier_transport::link::Link;

impl Shared {
    /// Adds the connection's facts to a request, and decides about its fields.
    ///
    /// # Errors
    /// The request is refused.
    pub(super) fn prepare(&self, origin: Origin, link: &Link, request: &mut Request) -> Result<(), Error> {
        request.origin = origin;
        if let Some(negotiated) = link.negotiated() {
            request.secure = Some(Arc::clone(&negotiated.secure));
        }
        if request.came_through_gateway() {
            request.take_origin_from_gateway();
            self.note_commands(request);
        }
        self.decide_fields(request)
    }

    /// Asks the handler for its plan. `OPTIONS *` is about the server and no resource of it (RFC 9110 §9.3.7): no handler sees
    /// it, because to an application `*` would be a path.
    pub(super) fn plan(&self, request: &mut Request) -> Plan {
        match request.head.form {
            TargetForm::Asterisk => Plan::Now,
            TargetForm::Origin | TargetForm::Absolute => self.handler.plan(request),
        }
    }

    /// Answers a request, as its plan says.
    pub(super) fn handle(&self, request: &mut Request, respond: &mut dyn Respond) -> Result<(), Error> {
        if request.protocol().is_some() {
            // Only an exchange can make a tunnel. A 2xx of another handler would accept it.
            return Err(no_tunnel());
        }
        match request.head.form {
            TargetForm::Asterisk => {
                respond.head(&ResponseHead::new(Status::NO_CONTENT), None);
                respond.finish();
                Ok(())
            }
            TargetForm::Origin | TargetForm::Absolute => self.handler.handle(request, respond),
        }
    }

    /// Plans requests that come on an HTTP/2 connection.
    pub(super) fn planner<'a>(
        &'a self,
        origin: Origin,
        link: &Arc<Link>,
    ) -> impl Fn(&mut Request) -> Result<Plan, Error> + use<'a> {
        let link = Arc::clone(link);
        move |request| {
            self.prepare(origin, &link, request)?;
            match self.plan(request) {
                // RFC 8441 §4: the content of such a request never ends, so nothing waits for it.
                plan if request.protocol().is_some() && !matches!(plan, Plan::Exchange(..)) => Err(no_tunnel()),
                plan => Ok(plan),
            }
        }
    }

    /// Decides about forwarding fields, folded values, underscores and `Proxy`; does nothing if there are none.
    fn decide_fields(&self, request: &mut Request) -> Result<(), Error> {
        let Shared { rules, error_log, .. } = self;
        let dropped = |why, name: &[u8]| rules.dropped_fields.note(name, Reason::OfRequest(why), error_log);
        rules.fields.apply(request, |address| rules.trusts(address), dropped)
    }

    /// Logs once that a web server sends variables that are not obeyed here.
    fn note_commands(&self, request: &Request) {
        let Shared { rules, error_log, .. } = self;
        if request.head.gateway.had_uwsgi_variables && !rules.has_noted_commands.swap(true, Ordering::Relaxed) {
            error_log.write(
                Level::Warning,
                "Dropped variables named UWSGI_*, which a web server has sent: they would command the server, and Farrier obeys none of them; logged once",
            );
        }
    }
}

/// The error for an extended CONNECT that cannot be forwarded.
fn no_tunnel() -> Error {
    Error::client(Kind::UnknownMethod, "no mount forwards this protocol here (see `upgrade`)")
}
