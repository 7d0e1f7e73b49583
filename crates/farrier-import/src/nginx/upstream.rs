//! `upstream` blocks and the addresses of `proxy_pass` and its like: they become `[[upstream]]` tables, or the address
//! itself where nothing else is said of a server.

use super::output::Table;
use super::pass::Pass;
use super::scope::Scope;
use super::tree::Directive;
use super::units;
use super::upstream_keys;
use super::work::Work;
use farrier_config::value::quoted;

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
    upstream_keys::times(work, scope, pass, &mut table);
    upstream_keys::retries(work, scope, pass, &mut table);
    upstream_keys::tls(work, scope, pass, &mut table);
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
                ("slow_start", text) if units::milliseconds(text).is_some() => {
                    table.set("slow_start", units::duration(units::milliseconds(text).unwrap_or_default()), &[server]);
                }
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
            "sticky" => {
                let Some(sticky) = sticky(directive) else {
                    work.account.without(
                        directive,
                        "`sticky` has a `cookie` of this server's or learns one of the application's",
                    );
                    continue;
                };
                table.set("sticky", sticky, &[directive]);
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

/// `sticky cookie NAME …` and `sticky learn create=$upstream_cookie_NAME …`.
fn sticky(directive: &Directive) -> Option<String> {
    let (kind, rest) = directive.args.split_first()?;
    let mut keys = Vec::new();
    match kind.as_str() {
        "cookie" => {
            let (name, flags) = rest.split_first()?;
            keys.push(format!("cookie = {}", quoted(name)));
            for flag in flags {
                match flag.split_once('=').unwrap_or((flag, "")) {
                    ("expires", time) => keys.push(format!("ttl = {}", units::duration(units::milliseconds(time)?))),
                    ("path", path) => keys.push(format!("path = {}", quoted(path))),
                    ("samesite", "strict") => keys.push("same_site = \"Strict\"".to_owned()),
                    ("samesite", "none") => keys.push("same_site = \"None\"".to_owned()),
                    ("secure", "") => keys.push("secure = \"on\"".to_owned()),
                    _ => {}
                }
            }
        }
        "learn" => {
            let name = rest.iter().find_map(|flag| flag.strip_prefix("create=$upstream_cookie_"))?;
            keys.push(format!("learn = {}", quoted(name)));
        }
        _ => return None,
    }
    Some(format!("{{ {} }}", keys.join(", ")))
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
