//! Handlers by the beginning of the path, in front of another one.

use std::sync::Arc;

use farrier_http::{Error, Handler, Occupies, Request, Respond};

/// A handler and the path it begins at, without a slash at the end.
pub type Placed = (String, Arc<dyn Handler>);

/// Answers paths below a prefix by its handler, the longest prefix first, and all others by `inner`.
pub fn in_front_of(inner: Arc<dyn Handler>, mut mounts: Vec<Placed>) -> Arc<dyn Handler> {
    if mounts.is_empty() {
        return inner;
    }
    mounts.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
    Arc::new(Prefixes { mounts, inner })
}

struct Prefixes {
    mounts: Vec<Placed>,
    inner: Arc<dyn Handler>,
}

impl Handler for Prefixes {
    fn occupies(&self, request: &mut Request) -> Occupies {
        let path = request.path();
        let place = self.mounts.iter().position(|(prefix, _)| {
            path.starts_with(prefix.as_bytes()) && matches!(path.get(prefix.len()), None | Some(b'/'))
        });
        request.choice = place.map_or(u32::MAX, |place| place as u32);
        self.chosen(request).occupies(request)
    }

    fn handle(&self, request: &mut Request, respond: &mut dyn Respond) -> Result<(), Error> {
        self.chosen(request).handle(request, respond)
    }
}

impl Prefixes {
    fn chosen(&self, request: &Request) -> &dyn Handler {
        self.mounts.get(request.choice as usize).map_or(&*self.inner, |(_, handler)| &**handler)
    }
}
