//! The router: a handler that passes each request to the handler of its mount.

use std::sync::Arc;

use farrier_http::{Error, Handler, Kind, Plan, Request, Respond, Status};

use super::choice::{Choice, Slot};
use super::{Sites, redirect};

/// Passes each request to the handler of its mount.
struct Router {
    sites: Arc<Sites>,
    /// Handlers by site, then by mount.
    mounts: Vec<Vec<Arc<dyn Handler>>>,
}

/// A handler that passes each request to the handler of its mount. `mounts` has a list of handlers for each site. If
/// there is no choice to make, the result is the only handler itself.
pub fn route(sites: &Arc<Sites>, mut mounts: Vec<Vec<Arc<dyn Handler>>>) -> Arc<dyn Handler> {
    if !sites.have_choices()
        && let Some(only) = mounts.first_mut().and_then(Vec::pop)
    {
        return only;
    }
    Arc::new(Router { sites: Arc::clone(sites), mounts })
}

impl Router {
    fn mount(&self, site: usize, mount: usize) -> Option<&Arc<dyn Handler>> {
        self.mounts.get(site)?.get(mount)
    }
}

impl Handler for Router {
    fn plan(&self, request: &mut Request) -> Plan {
        let choice = self.sites.choose(request, true);
        request.choice = choice.number();
        match choice.slot() {
            Slot::Mount(mount) => match self.mount(choice.site(), mount) {
                Some(handler) => handler.plan(request),
                None => Plan::Now,
            },
            _ => Plan::Now,
        }
    }

    fn handle(&self, request: &mut Request, respond: &mut dyn Respond) -> Result<(), Error> {
        let Some(choice) = Choice::of(request.choice) else { return Err(Error::answer(Status::NOT_FOUND)) };
        match choice.slot() {
            Slot::Mount(mount) => match self.mount(choice.site(), mount) {
                Some(handler) => handler.handle(request, respond),
                None => Err(Error::answer(Status::NOT_FOUND)),
            },
            Slot::NotFound => Err(Error::answer(Status::NOT_FOUND)),
            Slot::Ambiguous => Err(Error::bad_request("two ways to read the path lead to different mounts")),
            // RFC 9110 §15.5.20
            Slot::Misdirected => Err(Error::answer(Status::MISDIRECTED)),
            Slot::Nameless => Err(Error::bad_request("the request names no host, and there is no default site")),
            Slot::Canonical => match self.sites.canonical_of(choice.site()) {
                Some(name) => redirect::to_host(name, request, respond),
                None => Err(Error::answer(Status::NOT_FOUND)),
            },
            Slot::BodyTooLarge => {
                Err(Error::client(Kind::BodyTooLarge, "the content is longer than limit_request_body of its mount"))
            }
        }
    }
}
