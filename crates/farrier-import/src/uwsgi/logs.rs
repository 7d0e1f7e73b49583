//! Translates the options about logs and statistics.

use super::draft::Draft;
use super::log_format;
use super::options::Role;
use super::sockets::{Place, place};

/// Translates everything about logs, and `stats`.
pub(super) fn translate(draft: &mut Draft) {
    let mut file = None;
    if let Some(index) = draft.last(Role::Daemonize) {
        draft.set("daemon", "true", index);
        let log = draft.value(index);
        if !log.is_empty() {
            write_to(draft, &log, index);
            file = Some((log, index));
        }
    }
    if let Some(index) = draft.last(Role::Logto) {
        let log = draft.value(index);
        write_to(draft, &log, index);
        file = Some((log, index));
    }
    for index in draft.of(Role::Logger) {
        if let Some(log) = logger(draft, index) {
            write_to(draft, &log, index);
            file = Some((log, index));
        }
    }
    requests(draft, file);
    if let Some(index) = draft.last(Role::LogFormat) {
        let (format, lost) = log_format::translated(&draft.value(index));
        draft.set("access_log_format", format, index);
        if !lost.is_empty() {
            draft.remark("access_log_format", format!("There is no atom for `{}`.", lost.join("`, `")));
        }
    }
    stats(draft);
}

fn write_to(draft: &mut Draft, file: &str, index: usize) {
    draft.set("errorlog", file, index);
    if file != "-" {
        draft.set("capture_output", "true", index);
    }
}

/// Where requests are logged: in a log of their own, otherwise with the errors, unless that is turned off.
fn requests(draft: &mut Draft, file: Option<(String, usize)>) {
    let is_off = draft.last(Role::DisableLogging).filter(|index| draft.entries[*index].is_on());
    for index in draft.of(Role::DisableLogging) {
        draft.needless(index, "no access log is written unless `accesslog` is set");
    }
    let mut has_own = false;
    for index in draft.of(Role::RequestLogger) {
        if let Some(log) = logger(draft, index) {
            draft.set("accesslog", log, index);
            has_own = true;
        }
    }
    match (has_own, is_off, file) {
        (true, ..) | (_, Some(_), _) => {}
        (_, None, Some((file, index))) => draft.set("accesslog", file, index),
        (_, None, None) => {
            draft.imply("accesslog", "-", "There is no `disable-logging`, so uWSGI writes a line for every request.");
        }
    }
}

/// The file of a logger such as `file:/var/log/x` or `name file:/var/log/x`; `None` where it is no file.
fn logger(draft: &mut Draft, index: usize) -> Option<String> {
    let value = draft.value(index);
    if ["log-syslog", "syslog"].contains(&draft.entries[index].name.as_str()) {
        draft.set("syslog", "true", index);
        return None;
    }
    let word = value.rsplit_once(' ').map_or(value.as_str(), |(_, word)| word);
    let (kind, rest) = word.split_once(':').unwrap_or((word, ""));
    match kind {
        "stdio" => Some("-".to_string()),
        "file" | "logfile" => {
            // `file:logfile=/var/log/x,maxsize=1000`
            let path = rest
                .split(',')
                .map(|part| part.strip_prefix("logfile=").unwrap_or(part))
                .find(|part| part.starts_with('/') || !part.contains('='))?;
            Some(path.to_string())
        }
        "syslog" => {
            draft.set("syslog", "true", index);
            None
        }
        "rsyslog" => {
            let address = rest.split(',').next().unwrap_or_default();
            let port = if address.contains(':') { "" } else { ":514" };
            draft.set("syslog", "true", index);
            draft.set("syslog_addr", format!("udp://{address}{port}"), index);
            None
        }
        _ if word.starts_with('/') => Some(word.to_string()),
        _ => {
            draft.without(index, "logs go to files, standard streams or syslog");
            None
        }
    }
}

fn stats(draft: &mut Draft) {
    let Some(index) = draft.last(Role::Stats) else { return };
    match place(&draft.value(index)) {
        Ok(Place::Tcp(address)) => {
            let port = address.rsplit(':').next().unwrap_or_default();
            if let Some(port) = address.strip_prefix(':').or_else(|| address.starts_with("0.0.0.0:").then_some(port)) {
                draft.set("stats", format!("127.0.0.1:{port}"), index);
                draft.remark("stats", "It listened on all addresses, where everybody could read it.");
            } else {
                draft.set("stats", address, index);
            }
        }
        Ok(Place::Unix(path)) => draft.set("stats", format!("unix:{path}"), index),
        Ok(Place::Fd(_)) => draft.problem(index, "expected `HOST:PORT` or a path"),
        Err(why) => draft.problem(index, why),
    }
}
