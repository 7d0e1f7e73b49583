//! Logs that a client asked for a WebSocket (RFC 6455), which no WSGI application can give: once a minute and worker.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use farrier_http::{KnownField, Request, Seen};

use crate::error_stream::Diagnostics;

/// The least time between two lines.
const INTERVAL: Duration = Duration::from_secs(60);

/// Bytes of the path that a line shows.
const PATH_BYTES_MAX: usize = 200;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// When the next line may be written, in ms since the start. All applications of a worker share it.
static DUE_MS: AtomicU64 = AtomicU64::new(0);

/// Looks at a request that is about to be given to an application.
#[inline]
pub(crate) fn note(request: &Request, diagnostics: &dyn Diagnostics) {
    if request.head.seen.has_any(Seen::of(KnownField::Upgrade)) {
        note_upgrade(request, diagnostics);
    }
}

#[cold]
fn note_upgrade(request: &Request, diagnostics: &dyn Diagnostics) {
    let mut fields = request.head.fields.iter().filter(|field| field.known == KnownField::Upgrade);
    let is_websocket = fields.any(|field| {
        let mut names = request.arena.slice(field.value).split(|&byte| byte == b',');
        names.any(|name| name.trim_ascii().eq_ignore_ascii_case(b"websocket"))
    });
    if is_websocket && is_due(&DUE_MS, START.elapsed()) {
        let path = request.path();
        let path = path.get(..PATH_BYTES_MAX).unwrap_or(path).escape_ascii();
        diagnostics.application_warned(&format!(
            "A client asked for a WebSocket at {path}, which WSGI applications cannot serve: the application is called as for a \
             plain request. Serve this path with an ASGI server, or let the client use HTTP alone; logged at most once a minute"
        ));
    }
}

/// Whether a line may be written now. Then none may for an interval.
fn is_due(due_ms: &AtomicU64, now: Duration) -> bool {
    let now_ms = now.as_millis() as u64;
    let next_ms = now_ms + INTERVAL.as_millis() as u64;
    let due = due_ms.load(Ordering::Relaxed);
    now_ms >= due && due_ms.compare_exchange(due, next_ms, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_due_at_once_and_again_after_a_minute() {
        let due_ms = AtomicU64::new(0);
        let seconds = [0, 1, 59, 60, 61, 500, 559, 560];
        let is_due = seconds.map(|second| is_due(&due_ms, Duration::from_secs(second)));
        assert_eq!(is_due, [true, false, false, true, false, true, false, true]);
    }
}
