//! Directives that become settings of the whole server: processes, logs, times and sizes of requests.

use super::scope::Scope;
use super::tree::Directive;
use super::units;
use super::work::Work;
use farrier_config::value::quoted;

/// The directives of these names in a tree, wherever they stand.
pub(super) fn find<'t>(top: &'t [Directive], names: &[&str]) -> Vec<&'t Directive> {
    let mut found = Vec::new();
    for directive in top {
        if names.contains(&directive.name.as_str()) {
            found.push(directive);
        }
        found.extend(find(directive.children(), names));
    }
    found
}

/// Times of clients, as `(nginx, Farrier)`.
const TIMES: &[(&str, &str)] = &[
    ("client_body_timeout", "body_timeout"),
    ("client_header_timeout", "header_timeout"),
    ("send_timeout", "write_timeout"),
    ("lingering_timeout", "linger_timeout"),
    ("worker_shutdown_timeout", "graceful_timeout"),
];

/// Farrier's defaults, in bytes.
const LINE_BYTES_USUAL: u64 = 8190;
const BODY_BUFFER_BYTES_USUAL: u64 = 256 * 1024;

pub(super) fn translate(work: &mut Work<'_, '_>, top: &[Directive], http: &Scope<'_>) {
    processes(work, top);
    for (name, setting) in TIMES {
        for directive in find(top, &[name]) {
            if let Some(time) = work.duration(directive, directive.arg()) {
                work.global(setting, time, directive);
            }
        }
    }
    requests(work, top);
    limits(work, top, http);
    proxies(work, top);
    compression(work, top);
    super::logs::translate(work, top);
}

fn processes(work: &mut Work<'_, '_>, top: &[Directive]) {
    for directive in find(top, &["user"]) {
        work.global("user", quoted(directive.arg()), directive);
        if let Some(group) = directive.args.get(1) {
            work.global("group", quoted(group), directive);
        }
    }
    for directive in find(top, &["worker_processes"]) {
        match directive.arg() {
            "auto" => work.global("workers", "\"auto\"", directive),
            number if number.parse::<u32>().is_ok_and(|number| number > 0) => {
                work.global("workers", number.to_owned(), directive);
            }
            other => work.account.without(directive, format!("`{other}` is not a number")),
        }
    }
    for directive in find(top, &["worker_connections"]) {
        match directive.arg().parse::<u32>() {
            Ok(number) if number > 0 => work.global("worker_connections", number.to_string(), directive),
            _ => work.account.without(directive, "it is not a number"),
        }
    }
    for directive in find(top, &["env"]) {
        if directive.arg().contains('=') {
            work.global_item("raw_env", directive.arg(), directive);
        } else {
            work.account.needless(directive, "variables of the environment stay");
        }
    }
    for directive in find(top, &["sendfile"]) {
        match directive.arg() {
            "off" => work.global("sendfile", "false", directive),
            _ => work.account.needless(directive, "files are sent so anyway"),
        }
    }
}

fn requests(work: &mut Work<'_, '_>, top: &[Directive]) {
    for directive in find(top, &["keepalive_timeout"]) {
        // In an upstream it is the upstream's.
        if work.groups.iter().any(|group| group.children().iter().any(|its| its.index == directive.index)) {
            continue;
        }
        if let Some(time) = work.duration(directive, directive.arg()) {
            work.global("keepalive", time, directive);
        }
    }
    for directive in find(top, &["keepalive_requests"]) {
        if work.groups.iter().any(|group| group.children().iter().any(|its| its.index == directive.index)) {
            continue;
        }
        if directive.arg().parse::<u64>().is_ok() {
            work.global("keepalive_requests", directive.arg().to_owned(), directive);
        }
    }
    for directive in find(top, &["client_body_buffer_size"]) {
        match work.bytes(directive, directive.arg()) {
            Some(bytes) if bytes > BODY_BUFFER_BYTES_USUAL => {
                work.global("body_buffer_bytes", units::size(bytes), directive);
            }
            Some(_) => work.account.needless(directive, "256 KiB of a body are kept in memory anyway"),
            None => {}
        }
    }
    for directive in find(top, &["client_body_temp_path"]) {
        work.global("tmp_upload_dir", quoted(directive.arg()), directive);
    }
    for directive in find(top, &["large_client_header_buffers"]) {
        let size = directive.args.get(1).cloned().unwrap_or_default();
        match work.bytes(directive, &size) {
            Some(bytes) if bytes > LINE_BYTES_USUAL.next_power_of_two() => {
                work.global("limit_request_line", units::size(bytes), directive);
                work.global("limit_request_field_size", units::size(bytes), directive);
            }
            Some(_) => work.account.needless(directive, "lines and fields of 8190 bytes are accepted anyway"),
            None => {}
        }
    }
    for directive in find(top, &["underscores_in_headers"]) {
        match directive.arg() {
            "on" => work.global("header_map", "\"dangerous\"", directive),
            _ => work.account.needless(directive, "fields with `_` are dropped anyway"),
        }
    }
}

/// Limits per client. A limit of one location only would be another limit if it held everywhere.
fn limits(work: &mut Work<'_, '_>, top: &[Directive], http: &Scope<'_>) {
    let zone_of = |name: &str, kind: &str| {
        let is = |zone: &&Directive| {
            zone.args.iter().any(|arg| arg.strip_prefix("zone=").is_some_and(|its| its.split(':').next() == Some(name)))
        };
        http.every(&[kind]).into_iter().find(is)
    };
    let everywhere: Vec<usize> = http.every(&["limit_req", "limit_conn"]).iter().map(|d| d.index).collect();
    let in_servers: Vec<usize> = find(top, &["server"])
        .iter()
        .flat_map(|server| server.children())
        .chain(find(top, &["location"]).into_iter().filter(|l| l.arg() == "/").flat_map(|l| l.children()))
        .map(|directive| directive.index)
        .collect();
    let is_wide =
        |directive: &Directive| everywhere.contains(&directive.index) || in_servers.contains(&directive.index);
    let is_client = |key: &str| matches!(key, "$binary_remote_addr" | "$remote_addr");
    let elsewhere =
        "the limit holds for the whole server: `{}` would limit every path; without it this one has no limit";
    for directive in find(top, &["limit_req"]) {
        let value = |key: &str| directive.args.iter().find_map(|arg| arg.strip_prefix(key));
        let zone = value("zone=").and_then(|name| zone_of(name, "limit_req_zone"));
        let rate = zone.and_then(|zone| {
            let rate = zone.args.iter().find_map(|arg| arg.strip_prefix("rate="))?;
            is_client(zone.arg()).then(|| rate.replace("r/", "/"))
        });
        match (zone, rate) {
            (Some(zone), Some(rate)) if is_wide(directive) => {
                let text = match value("burst=") {
                    // The first request does not count in nginx.
                    Some(burst) => format!("{rate} burst {}", burst.parse::<u64>().map_or(1, |burst| burst + 1)),
                    None => format!("{rate} burst 1"),
                };
                work.global("rate_limit", quoted(&text), directive);
                work.settings.remark("rate_limit", "Requests above it get 429 at once: none waits.");
                work.account.became(zone);
            }
            (Some(zone), Some(_)) => {
                work.account.dropped(directive, elsewhere.replace("{}", "rate_limit"));
                work.account.needless(zone, "its `limit_req` is named");
            }
            (Some(zone), None) => {
                work.account.dropped(directive, "a client is its address: nothing else can be counted");
                work.account.needless(zone, "its `limit_req` is named");
            }
            (None, _) => work.account.dropped(directive, "its zone is not known"),
        }
    }
    for directive in find(top, &["limit_conn"]) {
        let zone = http.every(&["limit_conn_zone"]).into_iter().find(|zone| {
            zone.args
                .iter()
                .any(|arg| arg.strip_prefix("zone=").is_some_and(|its| its.split(':').next() == Some(directive.arg())))
        });
        let number = directive.args.get(1).filter(|number| number.parse::<u16>().is_ok());
        match (zone, number) {
            (Some(zone), Some(number)) if is_client(zone.arg()) && is_wide(directive) => {
                work.global("limit_connections_per_address", number.clone(), directive);
                work.account.became(zone);
            }
            (Some(zone), _) => {
                work.account.dropped(directive, elsewhere.replace("{}", "limit_connections_per_address"));
                work.account.needless(zone, "its `limit_conn` is named");
            }
            (None, _) => work.account.dropped(directive, "its zone is not known"),
        }
    }
    for zone in http.every(&["limit_req_zone", "limit_conn_zone"]) {
        work.account.needless(zone, "nothing is limited by it");
    }
}

/// Who is trusted to name the client.
fn proxies(work: &mut Work<'_, '_>, top: &[Directive]) {
    let froms = find(top, &["set_real_ip_from"]);
    let header = find(top, &["real_ip_header"]).into_iter().last();
    let name = header.map_or("X-Real-IP".to_owned(), |directive| directive.arg().to_ascii_lowercase());
    let setting = match name.to_ascii_lowercase().as_str() {
        "x-forwarded-for" => "trusted_proxy",
        "proxy_protocol" => "proxy_allow_ips",
        "x-real-ip" => "forwarded_allow_ips",
        other => {
            let message =
                format!("the field `{other}` is not read: let the proxy send X-Forwarded-For, and set `trusted_proxy`");
            for directive in froms.iter().chain(&header) {
                work.account.without(directive, message.clone());
            }
            return;
        }
    };
    // Without a name nginx reads X-Real-IP.
    if let (None, Some(first)) = (header, froms.iter().find(|from| from.arg() != "unix:")) {
        work.global("proxy_headers", "[\"x-real-ip\"]", first);
    }
    for directive in froms {
        match directive.arg() {
            "unix:" => work.account.needless(directive, "peers on unix sockets are trusted anyway"),
            address => work.global_item(setting, address, directive),
        }
    }
    if let Some(directive) = header {
        match setting {
            "forwarded_allow_ips" => work.global("proxy_headers", "[\"x-real-ip\"]", directive),
            "proxy_allow_ips" => work.account.became(directive),
            _ => {
                work.account.became(directive);
            }
        }
    }
}

fn compression(work: &mut Work<'_, '_>, top: &[Directive]) {
    for directive in find(top, &["gzip_types", "brotli_types"]) {
        let mut types: Vec<&str> =
            directive.args.iter().map(String::as_str).filter(|word| word.contains('/')).collect();
        if types.len() < directive.args.len() {
            work.account.needless(directive, "the usual types are compressed");
            continue;
        }
        if !types.contains(&"text/html") {
            types.insert(0, "text/html");
        }
        work.global("compress_types", super::output::list(&types), directive);
    }
    for directive in find(top, &["gzip_min_length", "brotli_min_length"]) {
        if let Some(bytes) = work.bytes(directive, directive.arg()) {
            work.global("compress_min_bytes", units::size(bytes), directive);
        }
    }
}
