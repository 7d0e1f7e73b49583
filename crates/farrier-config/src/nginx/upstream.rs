//! `upstream` blocks and the addresses of `proxy_pass` and its like: they become `[[upstream]]` tables, or the address
//! itself where nothing else is said of a server.

use super::output::Table;
use super::scope::Scope;
use super::tree::Directive;
use super::units;
use super::work::Work;
use crate::value::quoted;

/// Where a location forwards its requests to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pass {
    /// The protocol, as a URL has it.
    pub(super) protocol: &'static str,
    /// A host with a port, `unix:PATH`, or the name of an `upstream`.
    pub(super) place: String,
    /// The path that takes the place of the location's.
    pub(super) uri: Option<String>,
}

impl Pass {
    /// Reads the address of a `proxy_pass`, `uwsgi_pass` or `fastcgi_pass`.
    ///
    /// # Errors
    /// The address is only known while nginx runs.
    pub(super) fn of(directive: &Directive, scope: &Scope<'_>) -> Result<Pass, String> {
        let text = scope.filled(directive.arg());
        // A variable at the end that says what is forwarded anyway.
        let text = text.strip_suffix("$request_uri").unwrap_or(&text);
        if text.contains('$') {
            return Err(
                "the address is only known when a request comes: write the addresses into an `[[upstream]]`".to_owned()
            );
        }
        let usual = match directive.name.as_str() {
            "uwsgi_pass" => "uwsgi",
            "fastcgi_pass" => "fastcgi",
            _ => "http",
        };
        let (protocol, rest) = match text.split_once("://").filter(|_| !text.starts_with("unix:")) {
            Some(("http", rest)) => ("http", rest),
            Some(("https", rest)) => ("https", rest),
            Some(("uwsgi", rest)) => ("uwsgi", rest),
            Some(("suwsgi", rest)) => ("suwsgi", rest),
            Some((scheme, _)) => return Err(format!("`{scheme}://` is not forwarded")),
            None => (usual, text),
        };
        let (place, uri) = match rest.strip_prefix("unix:") {
            // nginx's guides write `unix:///path`.
            Some(path) => match path.strip_prefix("//").unwrap_or(path).split_once(':') {
                Some((path, uri)) => (format!("unix:{path}"), Some(uri)),
                None => (format!("unix:{}", path.strip_prefix("//").unwrap_or(path)), None),
            },
            None => match rest.find('/') {
                Some(at) if usual == "http" => (rest[..at].to_owned(), Some(&rest[at..])),
                _ => (rest.to_owned(), None),
            },
        };
        if place.is_empty() {
            return Err("there is no address".to_owned());
        }
        Ok(Pass { protocol, place, uri: uri.filter(|uri| !uri.is_empty()).map(str::to_owned) })
    }

    /// The address as a URL.
    pub(super) fn url(&self) -> String {
        format!("{}://{}", self.protocol, self.place)
    }

    /// The beginning of the directives that belong to it.
    pub(super) fn prefix(&self) -> &'static str {
        match self.protocol {
            "uwsgi" | "suwsgi" => "uwsgi_",
            "fastcgi" => "fastcgi_",
            _ => "proxy_",
        }
    }
}

/// The value of `proxy`: the address, or the name of an upstream, which is made where it is needed.
pub(super) fn target(work: &mut Work<'_, '_>, scope: &Scope<'_>, pass: &Pass, by: &Directive) -> String {
    let group = work.groups.iter().copied().find(|group| group.arg() == pass.place);
    let mut table = Table::new("[[upstream]]", group.as_slice());
    let name = named(&pass.place);
    table.text("name", &name, &[]);
    table.set("servers", "", &[]);
    let servers = match group {
        Some(group) => {
            work.account.became(group);
            servers(work, group, pass, &mut table)
        }
        None => quoted(&pass.url()),
    };
    table.set("servers", format!("[{servers}]"), &[]);
    if let Some(group) = group {
        balance(work, group, &mut table);
    }
    times(work, scope, pass, &mut table);
    retries(work, scope, pass, &mut table);
    tls(work, scope, pass, &mut table);
    if group.is_none() && table.items.0.len() == 2 && table.remarks.is_empty() {
        return pass.url();
    }
    if table.from.is_empty() {
        table.from.push(by.index);
    }
    let is_same = |known: &&mut Table| {
        let values = |table: &Table| -> Vec<(&'static str, String)> {
            table.items.0.iter().skip(1).map(|item| (item.key, item.value.clone())).collect()
        };
        values(known) == values(&table)
    };
    if let Some(known) = work.upstreams.iter_mut().find(is_same) {
        for (item, same) in known.items.0.iter_mut().zip(table.items.0) {
            item.from.extend(same.from.into_iter().filter(|index| !item.from.contains(index)).collect::<Vec<_>>());
        }
        return known.items.value("name").unwrap_or_default().trim_matches('"').to_owned();
    }
    let is_taken = |name: &str| work.upstreams.iter().any(|known| known.items.value("name") == Some(&quoted(name)));
    let free = (2..).map(|number| format!("{name}_{number}"));
    let name = std::iter::once(name.clone()).chain(free).find(|name| !is_taken(name)).unwrap_or(name);
    table.text("name", &name, &[]);
    work.upstreams.push(table);
    name
}

/// A name that an `[[upstream]]` may have.
fn named(place: &str) -> String {
    let place = place.strip_prefix("unix:").unwrap_or(place);
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let name: String = place.chars().map(|c| if is_letter(c) { c } else { '_' }).collect();
    name.trim_matches('_').to_owned()
}

fn servers(work: &mut Work<'_, '_>, group: &Directive, pass: &Pass, table: &mut Table) -> String {
    let mut servers = Vec::new();
    let mut fails: Vec<(Option<String>, Option<String>)> = Vec::new();
    for server in group.children().iter().filter(|its| its.name == "server") {
        let address = server.arg();
        let has_port =
            address.starts_with("unix:") || address.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        // In an upstream nginx's port is 80 for any protocol.
        let address = if has_port { address.replace("unix://", "unix:") } else { format!("{address}:80") };
        let mut keys = Vec::new();
        let (mut max, mut time) = (None, None);
        for flag in server.args.iter().skip(1) {
            match flag.split_once('=').unwrap_or((flag, "")) {
                ("weight", number) => keys.push(format!("weight = {}", number.parse::<u32>().unwrap_or(1))),
                ("max_conns", number) => keys.push(format!("max_requests = {}", number.parse::<u32>().unwrap_or(0))),
                ("backup", _) => keys.push("backup = true".to_owned()),
                ("down", _) => keys.push("down = true".to_owned()),
                ("drain", _) => keys.push("drain = true".to_owned()),
                ("max_fails", number) => max = Some(number.to_owned()),
                ("fail_timeout", text) => time = Some(text.to_owned()),
                ("resolve", _) => {}
                (other, _) => table.says(format!("`{other}` of a server has no counterpart.")),
            }
        }
        fails.push((max, time));
        let url = quoted(&format!("{}://{address}", pass.protocol));
        servers.push(match keys.is_empty() {
            true => url,
            false => format!("{{ url = {url}, {} }}", keys.join(", ")),
        });
        table.from.push(server.index);
        work.account.became(server);
    }
    fail(table, &fails);
    if servers.len() > 2 { format!("\n    {},\n", servers.join(",\n    ")) } else { servers.join(", ") }
}

/// When a server is left out. One server alone is never left out.
fn fail(table: &mut Table, fails: &[(Option<String>, Option<String>)]) {
    let Some((max, time)) = fails.iter().find(|(max, time)| max.is_some() || time.is_some()) else { return };
    if fails.len() < 2 {
        return;
    }
    let is_off =
        max.as_deref() == Some("0") || time.as_deref().is_some_and(|time| units::milliseconds(time) == Some(0));
    let eject = time.as_deref().and_then(units::milliseconds).map(units::duration);
    let value = match (is_off, max, eject) {
        (true, ..) => "{ max = 0 }".to_owned(),
        (_, Some(max), Some(eject)) => format!("{{ max = {max}, eject = {eject} }}"),
        (_, Some(max), None) => format!("{{ max = {max} }}"),
        (_, None, Some(eject)) => format!("{{ max = 1, eject = {eject} }}"),
        (_, None, None) => return,
    };
    table.items.set("fail", value, &[]);
    if fails.iter().any(|other| *other != (max.clone(), time.clone())) {
        table.items.remark("fail", "It holds for all servers of the upstream; in nginx they differ.");
    }
}

fn balance(work: &mut Work<'_, '_>, group: &Directive, table: &mut Table) {
    let count = group.children().iter().filter(|its| its.name == "server").count();
    let mut is_said = count < 2;
    for directive in group.children() {
        let set = |table: &mut Table, value: &str| table.set("balance", quoted(value), &[directive]);
        match directive.name.as_str() {
            "least_conn" => set(table, "least"),
            "least_time" => set(table, "least_time"),
            "random" => set(table, "random"),
            "ip_hash" => {
                set(table, "hash");
                table.set("hash_on", "\"client\"", &[directive]);
            }
            "hash" => {
                let Some(key) = hash_key(directive.arg()) else {
                    work.account.without(
                        directive,
                        "`hash_on` may be `uri`, `path`, `client`, `header:X`, `cookie:X` or `query:X`",
                    );
                    continue;
                };
                set(table, "hash");
                table.text("hash_on", &key, &[directive]);
            }
            "keepalive" | "keepalive_requests" => {
                let key = if directive.name == "keepalive" { "keepalive" } else { "keepalive_requests" };
                if directive.arg().parse::<u32>().is_err() {
                    work.account.without(directive, "it is not a number");
                    continue;
                }
                table.set(key, directive.arg(), &[directive]);
            }
            "keepalive_timeout" | "keepalive_time" => {
                let key = if directive.name == "keepalive_time" { "keepalive_time" } else { "keepalive_timeout" };
                let Some(time) = work.duration(directive, directive.arg()) else { continue };
                table.set(key, time, &[directive]);
            }
            "queue" => {
                table.set("queue", directive.arg(), &[directive]);
                if let Some(time) =
                    directive.args.iter().find_map(|arg| arg.strip_prefix("timeout=")).and_then(units::milliseconds)
                {
                    table.set("queue_timeout", units::duration(time), &[directive]);
                }
            }
            _ => continue,
        }
        is_said |= matches!(directive.name.as_str(), "least_conn" | "least_time" | "random" | "ip_hash" | "hash");
        work.account.became(directive);
    }
    if !is_said {
        table.says("nginx takes the servers in turn; Farrier takes the one with the fewest requests in flight.");
    }
}

/// What a hash is made of.
fn hash_key(variable: &str) -> Option<String> {
    let name = variable.strip_prefix('$')?;
    let name = name.strip_prefix('{').and_then(|name| name.strip_suffix('}')).unwrap_or(name);
    Some(match name {
        "request_uri" => "uri".to_owned(),
        "uri" | "document_uri" => "path".to_owned(),
        "remote_addr" | "binary_remote_addr" | "realip_remote_addr" => "client".to_owned(),
        _ => match (name.strip_prefix("http_"), name.strip_prefix("cookie_"), name.strip_prefix("arg_")) {
            (Some(field), ..) => format!("header:{}", field.replace('_', "-")),
            (_, Some(cookie), _) => format!("cookie:{cookie}"),
            (.., Some(argument)) => format!("query:{argument}"),
            _ => return None,
        },
    })
}

/// The total time of Farrier, which a longer wait for the head must not exceed.
const TOTAL_USUAL_MS: u64 = 300_000;

fn times(work: &mut Work<'_, '_>, scope: &Scope<'_>, pass: &Pass, table: &mut Table) {
    let one = |name: &str| scope.one(&format!("{}{name}", pass.prefix()));
    for (name, keys) in [
        ("connect_timeout", &["connect_timeout"][..]),
        ("send_timeout", &["send_timeout"]),
        ("read_timeout", &["first_byte_timeout", "read_timeout"]),
    ] {
        let Some(directive) = one(name) else { continue };
        let Some(time) = work.duration(directive, directive.arg()) else { continue };
        for key in keys {
            table.set(key, time.clone(), &[directive]);
        }
        work.account.became(directive);
        let milliseconds = units::milliseconds(directive.arg()).unwrap_or_default();
        if name == "read_timeout" && milliseconds >= TOTAL_USUAL_MS {
            table.set("total_timeout", units::duration(milliseconds.saturating_add(60_000)), &[directive]);
        }
    }
    if let Some(directive) = one("bind") {
        match directive.arg() {
            "off" => work.account.needless(directive, "no address is bound"),
            address if address.contains('$') => {
                work.account.without(directive, "the client's address cannot be the server's")
            }
            address => {
                table.text("source", address, &[directive]);
                work.account.became(directive);
            }
        }
    }
}

fn retries(work: &mut Work<'_, '_>, scope: &Scope<'_>, pass: &Pass, table: &mut Table) {
    let one = |name: &str| scope.one(&format!("{}{name}", pass.prefix()));
    if let Some(directive) = one("next_upstream") {
        let mut causes: Vec<&str> = Vec::new();
        let mut others = Vec::new();
        for word in &directive.args {
            match word.as_str() {
                "error" => causes.extend(["connect", "stale", "reset"]),
                "timeout" => causes.push("timeout"),
                "invalid_header" => causes.push("bad_response"),
                "http_429" | "http_500" | "http_502" | "http_503" | "http_504" => causes.push(&word["http_".len()..]),
                "non_idempotent" => table.set("retry_unsafe", "true", &[directive]),
                "off" => table.set("retries", "0", &[directive]),
                other => others.push(other),
            }
        }
        if !causes.is_empty() {
            table.set("retry_on", super::output::list(&causes), &[directive]);
        }
        work.account.became(directive);
        if !others.is_empty() {
            table.says(format!("After {} no other server is asked.", others.join(", ")));
        }
    }
    if let Some(directive) = one("next_upstream_tries") {
        match directive.arg().parse::<u32>() {
            Ok(0) | Err(_) => work.account.without(directive, "`retries` is always bounded"),
            Ok(number) => {
                table.set("retries", (number - 1).to_string(), &[directive]);
                work.account.became(directive);
            }
        }
    }
    if let Some(directive) = one("next_upstream_timeout")
        && let Some(time) = work.duration(directive, directive.arg())
    {
        match units::milliseconds(directive.arg()) {
            Some(0) => work.account.without(directive, "`retry_timeout` is always bounded"),
            _ => {
                table.set("retry_timeout", time, &[directive]);
                work.account.became(directive);
            }
        }
    }
}

fn tls(work: &mut Work<'_, '_>, scope: &Scope<'_>, pass: &Pass, table: &mut Table) {
    if pass.protocol != "https" {
        return;
    }
    let mut keys: Vec<String> = Vec::new();
    let mut from = Vec::new();
    match scope.one("proxy_ssl_verify") {
        Some(directive) => {
            if directive.arg() == "off" {
                keys.push("verify = false".to_owned());
            }
            from.push(directive);
        }
        None => table.says("nginx does not check this server's certificate; Farrier does. Name its authority in `tls.ca` if it is your own."),
    }
    for (name, key) in [
        ("proxy_ssl_name", "name"),
        ("proxy_ssl_trusted_certificate", "ca"),
        ("proxy_ssl_certificate", "certificate"),
        ("proxy_ssl_certificate_key", "key"),
    ] {
        let Some(directive) = scope.one(name) else { continue };
        if directive.arg().contains('$') {
            work.account.without(directive, "write the name itself");
            continue;
        }
        keys.push(format!("{key} = {}", quoted(directive.arg())));
        from.push(directive);
    }
    if let Some(directive) = scope.one("proxy_ssl_protocols") {
        if directive.args == ["TLSv1.3"] {
            keys.push("min = \"1.3\"".to_owned());
        }
        from.push(directive);
    }
    from.iter().for_each(|directive| work.account.became(directive));
    if !keys.is_empty() {
        table.set("tls", format!("{{ {} }}", keys.join(", ")), &from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_made_of_a_part_of_the_request() {
        for (variable, key) in [
            ("$request_uri", Some("uri")),
            ("$cookie_sessionid", Some("cookie:sessionid")),
            ("$http_x_user", Some("header:x-user")),
            ("${arg_id}", Some("query:id")),
            ("$remote_addr", Some("client")),
            ("$a$b", None),
            ("x", None),
        ] {
            assert_eq!(hash_key(variable).as_deref(), key, "{variable}");
        }
    }
}
