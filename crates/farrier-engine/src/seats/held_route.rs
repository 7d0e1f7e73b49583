//! Logs once that calls of one route have held half of the threads for long. They may be in a deadlock, and without a
//! `request_timeout` nothing ends them.

use std::sync::Arc;
use std::time::Duration;

use super::overdue::Interrupter;
use super::shared::Shared;
use farrier_log::error::Level;
use farrier_scheduler::HeldRoute;
use farrier_scheduler::routes::Route;

/// How often the monitor looks, in ns.
const LOOK_EVERY_NS: u64 = 1_000_000_000;

/// The monitor's record of such a route.
#[derive(Default)]
pub(crate) struct HeldRouteWatch {
    next_look_ns: u64,
    told: Option<Route>,
}

impl HeldRouteWatch {
    /// Looks whether a route holds threads, if it is time, and logs it if that is new.
    pub(crate) fn look(&mut self, shared: &Arc<Shared>, now_ns: u64) {
        let after = shared.seating.held_route_after;
        if now_ns < self.next_look_ns || after.is_zero() {
            return;
        }
        self.next_look_ns = now_ns + LOOK_EVERY_NS.min(after.as_nanos() as u64);
        let held = shared.scheduler().held_route(after.as_nanos() as u64, now_ns);
        let route = held.as_ref().map(|held| held.route);
        if self.told != route
            && let Some(held) = held
        {
            let theirs = Arc::clone(shared);
            // The stacks need the interpreter, which the monitor must not wait for.
            let report = move || report(&theirs, &held, after);
            let _ = std::thread::Builder::new().name("farrier-report".into()).spawn(report);
        }
        self.told = route;
    }
}

fn report(shared: &Shared, held: &HeldRoute, after: Duration) {
    let idents: Vec<u64> = held.seats.iter().map(|&seat| shared.threads.ident(seat)).collect();
    let (request, stacks) = match Interrupter::start(&shared.host).describe(idents) {
        Some((request, stacks)) => (request, stacks),
        None => (None, "The interpreter is not available, so there are no stacks".to_owned()),
    };
    let such_as = request.map_or_else(String::new, |request| format!(", such as {request},"));
    let (count, threads, seconds) = (held.seats.len(), shared.seating.threads, after.as_secs_f64());
    let advice = match shared.seating.request_timeout {
        Duration::ZERO => "Set request_timeout to end such calls".to_owned(),
        limit => format!("request_timeout ends each after {} s", limit.as_secs_f64()),
    };
    let text = format!(
        "CALLS DO NOT RETURN: calls of one route{such_as} have held {count} of {threads} threads for {seconds} s (see \
         threads). Further requests for it may get 503. {advice}\n{stacks}"
    );
    shared.error_log.write(Level::Critical, &text);
}
