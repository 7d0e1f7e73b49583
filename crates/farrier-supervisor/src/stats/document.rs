//! The statistics document: uWSGI's keys with Farrier's counters. It contains no data of single requests.

use std::fmt::Write;

use super::queue::Queue;
use super::roster::{Place, Roster};
use crate::heartbeat::{Beat, Counter, HeartbeatPage};
use crate::memory;
use crate::process::own_pid;

/// The constant parts of the document.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// The server's version.
    pub version: String,
    /// The folder in which it serves.
    pub folder: String,
    /// Connections that may wait at each listener.
    pub backlog: u32,
}

/// The document with the current values.
pub(super) fn made(about: &About, roster: &mut Roster, page: &HeartbeatPage, queues: &[Queue]) -> String {
    let (mut workers, mut load) = (Vec::new(), 0);
    for (&number, place) in &mut roster.places {
        if let Some(slot) = page.slot(number) {
            let running = if matches!(slot.read(), Beat::Active { .. }) { slot.running() } else { 0 };
            load += running;
            workers.push(worker(number, place, running, &|counter| slot.counted(counter)));
        }
    }
    let sockets: Vec<String> = queues.iter().map(|queue| socket(queue, about.backlog)).collect();
    let waiting: u64 = queues.iter().map(|queue| queue.waiting).sum();
    format!(
        concat!(
            r#"{{"version":{version},"listen_queue":{waiting},"listen_queue_errors":0,"signal_queue":0,"load":{load},"#,
            r#""pid":{pid},"uid":{uid},"gid":{gid},"cwd":{folder},"daemons":[],"locks":[],"caches":[],"metrics":{{}},"#,
            r#""sockets":[{sockets}],"workers":[{workers}],"spoolers":[],"crons":[],"legions":[]}}"#,
            "\n"
        ),
        version = quoted(&about.version),
        waiting = waiting,
        load = load,
        pid = own_pid(),
        uid = rustix::process::getuid().as_raw(),
        gid = rustix::process::getgid().as_raw(),
        folder = quoted(&about.folder),
        sockets = sockets.join(","),
        workers = workers.join(","),
    )
}

fn socket(queue: &Queue, backlog: u32) -> String {
    let (proto, name) = proto_and_name(&queue.name);
    format!(
        r#"{{"name":{},"proto":{},"queue":{},"max_queue":{backlog},"shared":0,"can_offload":0}}"#,
        quoted(name),
        quoted(proto),
        queue.waiting
    )
}

/// The protocol of a listener, and its address as uWSGI writes it, from the form in the log: `http://HOST:PORT`,
/// `unix:PATH`, `uwsgi://HOST:PORT`, `uwsgi+unix:PATH`.
fn proto_and_name(display: &str) -> (&str, &str) {
    let is_word = |word: &&str| word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let (proto, rest) = match display.split_once("://").or_else(|| display.split_once('+')) {
        Some((proto, rest)) if is_word(&proto) => (proto, rest),
        _ => ("http", display),
    };
    (proto, rest.strip_prefix("unix:").unwrap_or(rest))
}

fn worker(number: u32, place: &mut Place, running: u64, counted: &dyn Fn(Counter) -> u64) -> String {
    let (calls, calls_ns) = (counted(Counter::Requests), counted(Counter::CallNs));
    let exceptions = counted(Counter::Exceptions);
    let status = match (place.pid, running) {
        (None, _) => "cheap",
        (Some(_), 0) => "idle",
        (Some(_), _) => "busy",
    };
    let average = place.average_us(calls, calls_ns);
    let (vsz, rss) = place.pid.and_then(memory::sizes_bytes).unwrap_or_default();
    format!(
        concat!(
            r#"{{"id":{id},"pid":{pid},"accepting":{accepting},"requests":{calls},"delta_requests":{delta},"#,
            r#""exceptions":{exceptions},"harakiri_count":{timeouts},"signals":0,"signal_queue":0,"status":"{status}","#,
            r#""rss":{rss},"vsz":{vsz},"running_time":{time},"last_spawn":{spawn},"respawn_count":{spawns},"#,
            r#""tx":{tx},"avg_rt":{average},"#,
            r#""apps":[{{"id":0,"modifier1":0,"mountpoint":"","startup_time":0,"requests":{calls},"#,
            r#""exceptions":{exceptions},"chdir":""}}],"#,
            r#""cores":[{{"id":0,"requests":{calls},"static_requests":0,"routed_requests":0,"offloaded_requests":0,"#,
            r#""write_errors":0,"read_errors":0,"in_request":{running},"vars":[],"req_info":{{}}}}]}}"#,
        ),
        id = number + 1,
        pid = place.pid.unwrap_or(0),
        accepting = u8::from(place.pid.is_some()),
        delta = calls.saturating_sub(place.requests_before),
        timeouts = counted(Counter::Timeouts),
        time = calls_ns / 1000,
        spawn = place.last_spawn_seconds,
        spawns = place.spawns,
        tx = counted(Counter::ContentBytes),
        average = average,
        calls = calls,
        exceptions = exceptions,
        status = status,
        rss = rss,
        vsz = vsz,
        running = running,
    )
}

/// Text as JSON writes it (RFC 8259 §7). farrier-config writes TOML strings, which have other escapes.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            letter if letter < ' ' => {
                // Writing to a String cannot fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(letter));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_has_uwsgis_form() {
        for (display, proto, name) in [
            ("http://127.0.0.1:80", "http", "127.0.0.1:80"),
            ("unix:/run/x", "http", "/run/x"),
            ("unix:@x", "http", "@x"),
            ("unix:/a+b", "http", "/a+b"),
            ("uwsgi://[::1]:80", "uwsgi", "[::1]:80"),
            ("fastcgi+unix:/run/a+b", "fastcgi", "/run/a+b"),
        ] {
            assert_eq!(proto_and_name(display), (proto, name), "{display}");
        }
    }

    #[test]
    fn text_is_quoted() {
        assert_eq!(quoted("a\"b\\c\nü"), "\"a\\\"b\\\\c\\u000aü\"");
    }
}
