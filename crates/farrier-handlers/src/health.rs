//! Answers health checks before the application, without a seat and without the interpreter.

use std::sync::Arc;

use farrier_http::{Error, Flush, Handler, Plan, Request, Respond, ResponseHead, Status};

/// The paths of health checks, and whether they are logged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealthPaths {
    /// Liveness: 200 as long as the server answers.
    pub live: Option<String>,
    /// Readiness: 200, or 503 once the server is about to stop.
    pub ready: Option<String>,
    /// Whether health checks are written to the access log.
    pub is_logged: bool,
}

/// The handler around `inner`.
struct Health<L> {
    paths: HealthPaths,
    is_leaving: L,
    inner: Arc<dyn Handler>,
}

/// Answers GET and HEAD for the paths, if there are any. All other requests go to `inner`.
///
/// # Arguments
///
/// `is_leaving` says whether the server is about to stop.
pub fn around(
    inner: Arc<dyn Handler>,
    paths: HealthPaths,
    is_leaving: impl Fn() -> bool + Send + Sync + 'static,
) -> Arc<dyn Handler> {
    if paths.live.is_none() && paths.ready.is_none() {
        return inner;
    }
    Arc::new(Health { paths, is_leaving, inner })
}

impl<L: Fn() -> bool + Send + Sync> Health<L> {
    /// The status for a health check. `None` for any other request.
    fn status(&self, request: &Request) -> Option<Status> {
        let asks = |path: &Option<String>| path.as_ref().is_some_and(|path| path.as_bytes() == request.path());
        let is_ready = match (asks(&self.paths.live), asks(&self.paths.ready)) {
            _ if !matches!(request.method(), b"GET" | b"HEAD") => return None,
            (true, _) => true,
            (false, true) => !(self.is_leaving)(),
            (false, false) => return None,
        };
        Some(Status(if is_ready { 200 } else { 503 }))
    }
}

impl<L: Fn() -> bool + Send + Sync> Handler for Health<L> {
    fn plan(&self, request: &mut Request) -> Plan {
        match self.status(request) {
            None => self.inner.plan(request),
            Some(_) if self.paths.is_logged => Plan::Now,
            Some(_) => Plan::NowUnseen,
        }
    }

    fn handle(&self, request: &mut Request, respond: &mut dyn Respond) -> Result<(), Error> {
        let Some(status) = self.status(request) else { return self.inner.handle(request, respond) };
        let mut head = ResponseHead::new(status);
        head.add(b"Content-Type", b"text/plain; charset=utf-8")?;
        // The response holds for this moment only.
        head.add(b"Cache-Control", b"no-store")?;
        let content: &[u8] = if status.0 == 200 { b"ok\n" } else { b"stopping\n" };
        respond.head(&head, Some(content.len() as u64));
        // An error means that the client has disconnected: nothing is left to do.
        let _ = respond.send(content, Flush::Later);
        respond.finish();
        Ok(())
    }
}
