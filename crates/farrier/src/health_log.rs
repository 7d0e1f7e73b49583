//! Lines of the error log about the health of servers of upstreams: one for each change, not one for each request.

use std::sync::Arc;

use farrier_log::error::{ErrorLog, Level};
use farrier_proxy::group::{Notice, Observer};
use farrier_proxy::health::Change;
use farrier_proxy::health::agent::Mode;

/// Writes the changes of an upstream.
pub(crate) fn observer(upstream: &str, log: &Arc<ErrorLog>) -> Observer {
    let (upstream, log) = (upstream.to_owned(), Arc::clone(log));
    Box::new(move |server, notice| {
        let (level, what) = said(notice);
        let Notice { well, all, .. } = notice;
        let is_last = if notice.has_server { "" } else { ": requests are answered with 503 until one is" };
        let left = format!("{well} of {all} servers {} well{is_last}", if *well == 1 { "is" } else { "are" });
        let level = if notice.has_server { level } else { Level::Error };
        log.write(level, &format!("upstream {upstream}: {} {what}; {left}", server.name));
    })
}

fn said(notice: &Notice) -> (Level, String) {
    match notice.change {
        Change::Ejected(cause, ms) => {
            (Level::Warning, format!("is left out for {} s: {}", ms.div_ceil(1000), cause.as_str()))
        }
        Change::Readmitted => (Level::Info, "answers again".to_owned()),
        Change::Down(cause) => (Level::Warning, format!("is down: {}", cause.as_str())),
        Change::Up => (Level::Info, "is up again".to_owned()),
        Change::Agent(Mode::Ready) => (Level::Info, "is ready, as its agent says".to_owned()),
        Change::Agent(Mode::Drains) => (Level::Info, "drains, as its agent says".to_owned()),
        Change::Agent(Mode::Maintenance) => (Level::Info, "is in maintenance, as its agent says".to_owned()),
        Change::Agent(Mode::Down) => (Level::Warning, "is down, as its agent says".to_owned()),
        Change::Drains(true) => (Level::Info, "gets no new requests, as drain_file says".to_owned()),
        Change::Drains(false) => (Level::Info, "gets requests again, as drain_file says".to_owned()),
    }
}
