//! `access_log`, `log_format` and `error_log`: Farrier has one log of each kind.

use super::global::find;
use super::tree::Directive;
use super::work::Work;
use farrier_config::value::quoted;

/// Variables of `log_format`, and the atoms of the access log.
const ATOMS: &[(&str, &str)] = &[
    ("remote_addr", "%(h)s"),
    ("remote_user", "%(u)s"),
    ("time_local", "%(t)s"),
    ("request", "%(r)s"),
    ("request_method", "%(m)s"),
    ("request_uri", "%(U)s"),
    ("uri", "%(U)s"),
    ("args", "%(q)s"),
    ("query_string", "%(q)s"),
    ("server_protocol", "%(H)s"),
    ("status", "%(s)s"),
    ("body_bytes_sent", "%(B)s"),
    ("bytes_sent", "%(B)s"),
    ("http_referer", "%(f)s"),
    ("http_user_agent", "%(a)s"),
    ("request_time", "%(L)s"),
    ("pid", "%(p)s"),
];

pub(super) fn translate(work: &mut Work<'_, '_>, top: &[Directive]) {
    access(work, top);
    errors(work, top);
}

fn access(work: &mut Work<'_, '_>, top: &[Directive]) {
    let logs = find(top, &["access_log"]);
    let written = logs.iter().find(|log| log.arg() != "off").copied();
    for log in &logs {
        match (log.arg(), written) {
            ("off", Some(_)) => work.account.without(log, "the whole server has one access log: filter what reads it"),
            ("off", None) => work.account.needless(log, "there is no access log unless `accesslog` is set"),
            (_, Some(first)) if first.index == log.index => file(work, log),
            (path, Some(first)) if first.arg() == path => work.account.became(log),
            _ => work
                .account
                .without(log, "the whole server has one access log: its lines name the host with `%({host}i)s`"),
        }
    }
    let used = written.and_then(|log| log.args.get(1)).filter(|name| !name.contains('='));
    for format in find(top, &["log_format"]) {
        if used.is_some_and(|name| name == format.arg()) {
            let words: Vec<&str> =
                format.args.iter().skip(1).map(String::as_str).filter(|word| !word.starts_with("escape=")).collect();
            match pattern(&words.concat()) {
                Ok(pattern) => work.global("access_log_format", quoted(&pattern), format),
                Err(reason) => work.account.without(format, reason),
            }
        } else {
            work.account.needless(format, "no log uses it");
        }
    }
    match used.map(String::as_str) {
        Some("combined") | None => {
            if let Some(log) = written.filter(|log| !log.arg().starts_with("syslog:")) {
                work.global("access_log_format", "\"combined\"", log);
            }
        }
        Some(_) => {}
    }
}

fn file(work: &mut Work<'_, '_>, log: &Directive) {
    match log.arg() {
        path if path.starts_with("syslog:") => syslog(work, log),
        "/dev/stdout" => work.global("accesslog", "\"-\"", log),
        path => work.global("accesslog", quoted(path), log),
    }
}

fn syslog(work: &mut Work<'_, '_>, log: &Directive) {
    let server = log.arg().trim_start_matches("syslog:").split(',').find_map(|part| part.strip_prefix("server="));
    work.global("syslog", "true", log);
    if let Some(server) = server {
        let address = match server.strip_prefix("unix:") {
            Some(path) => format!("unix://{path}"),
            None if server.contains(':') => format!("udp://{server}"),
            None => format!("udp://{server}:514"),
        };
        work.global("syslog_addr", quoted(&address), log);
    }
}

/// A format as a pattern of atoms.
fn pattern(format: &str) -> Result<String, String> {
    if format.trim_start().starts_with('{') {
        return Ok("json".to_owned());
    }
    let (mut pattern, mut rest) = (String::new(), format);
    while let Some((before, after)) = rest.split_once('$') {
        pattern.push_str(&before.replace('%', "%%"));
        let after = after.strip_prefix('{').unwrap_or(after);
        let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(after.len());
        let name = &after[..end];
        match ATOMS.iter().find(|(known, _)| *known == name) {
            // The atom has the brackets already.
            Some(("time_local", atom)) => {
                if pattern.ends_with('[') {
                    pattern.pop();
                }
                pattern.push_str(atom);
            }
            Some((_, atom)) => pattern.push_str(atom),
            None => match (name.strip_prefix("http_"), name.strip_prefix("sent_http_")) {
                (_, Some(field)) => pattern.push_str(&format!("%({{{}}}o)s", field.replace('_', "-"))),
                (Some(field), _) => pattern.push_str(&format!("%({{{}}}i)s", field.replace('_', "-"))),
                _ => return Err(format!("`${name}` has no atom: write `access_log_format`")),
            },
        }
        let is_braced = after[end..].starts_with('}') && rest.contains("${");
        rest = &after[end + usize::from(is_braced)..];
        if name == "time_local" {
            rest = rest.strip_prefix(']').unwrap_or(rest);
        }
    }
    pattern.push_str(&rest.replace('%', "%%"));
    Ok(pattern)
}

fn errors(work: &mut Work<'_, '_>, top: &[Directive]) {
    let mut first: Option<&Directive> = None;
    for log in find(top, &["error_log"]) {
        match first {
            Some(known) if known.arg() == log.arg() => {
                work.account.became(log);
                continue;
            }
            Some(_) => {
                work.account.without(log, "the whole server has one error log");
                continue;
            }
            None => first = Some(log),
        }
        match log.arg() {
            "stderr" | "/dev/stderr" => work.account.needless(log, "it is the default"),
            "/dev/null" | "off" => work.account.without(log, "errors are always told"),
            path if path.starts_with("syslog:") => syslog(work, log),
            path => work.global("errorlog", quoted(path), log),
        }
        let level = match log.args.get(1).map_or("error", String::as_str) {
            "debug" => "debug",
            "info" | "notice" => "info",
            "warn" => "warning",
            "error" => "error",
            _ => "critical",
        };
        // Starts and reloads are told at `info`.
        if matches!(level, "debug" | "critical") {
            work.global("loglevel", quoted(level), log);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_become_atoms() {
        for (format, expected) in [
            ("$remote_addr - $status", Ok("%(h)s - %(s)s")),
            ("[$time_local] \"$request\"", Ok("%(t)s \"%(r)s\"")),
            ("$http_x_forwarded_for 100%", Ok("%({x-forwarded-for}i)s 100%%")),
            ("${status}x", Ok("%(s)sx")),
            ("{\"a\":\"$status\"}", Ok("json")),
            ("$upstream_addr", Err("`$upstream_addr` has no atom: write `access_log_format`")),
        ] {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(pattern(format), expected, "{format}");
        }
    }
}
