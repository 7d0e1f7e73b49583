//! `proxy_set_header`: what a server behind this one sees of a request.

use super::output::{Table, list, map};
use super::scope::Scope;
use super::tree::Directive;
use super::work::Work;

/// Variables of nginx that a field's value may have, and Farrier's names.
const VARIABLES: &[(&str, &str)] = &[
    ("http_host", "$host"),
    ("host", "$host"),
    ("scheme", "$scheme"),
    ("remote_addr", "$remote_addr"),
    ("request_id", "$request_id"),
    ("request_uri", "$path$query"),
    ("document_uri", "$path"),
    ("uri", "$path"),
    ("is_args$args", "$query"),
];

/// The fields that tell of the client. Farrier sends them all.
const OF_THE_CLIENT: &[&str] = &[
    "x-real-ip",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-forwarded-protocol",
    "x-forwarded-scheme",
    "forwarded",
];

/// Translates the fields of requests.
pub(super) fn translate(work: &mut Work<'_, '_>, scope: &Scope<'_>, mount: &mut Table) {
    let (mut set, mut set_from, mut removed, mut removed_from) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut has_host = false;
    for directive in scope.all(&["proxy_set_header"]) {
        let (name, value) = match directive.args.as_slice() {
            [name, value] => (name.as_str(), scope.filled(value)),
            _ => continue,
        };
        let lower = name.to_ascii_lowercase();
        match (lower.as_str(), value.as_str()) {
            ("host", value) => {
                has_host = true;
                host(work, scope, mount, directive, value);
            }
            ("connection" | "upgrade" | "te" | "transfer-encoding" | "keep-alive" | "content-length", _) => {
                work.account.needless(directive, "connections are kept, and switched to WebSocket, as the client asks");
            }
            (name, value) if OF_THE_CLIENT.contains(&name) => {
                // What a proxy in front says counts here only if that proxy is trusted.
                let is_of_another = value.contains("$http_") && !value.contains("$http_host");
                let is_other_scheme = name == "x-forwarded-proto" && value != "$scheme" && !value.is_empty();
                if is_of_another || is_other_scheme {
                    let says = "what a proxy in front says of the client is passed on if that proxy is in `trusted_proxy`, and only then";
                    work.account.without(directive, says);
                } else {
                    work.account.needless(directive, "fields that tell of the client are always sent (`forwarded`)");
                }
            }
            (_, "") => {
                removed.push(name.to_owned());
                removed_from.push(directive);
            }
            (_, value) => match translated(value) {
                Some(value) => {
                    // The last of several counts.
                    set.retain(|(known, _): &(String, String)| !known.eq_ignore_ascii_case(name));
                    set.push((name.to_owned(), value));
                    set_from.push(directive);
                }
                None => work.account.without(
                    directive,
                    "the value has a variable that there is not: `$host`, `$scheme`, `$remote_addr`, `$request_id`, `$path` and `$query` are",
                ),
            },
        }
    }
    if !has_host {
        mount.text("host", "upstream", &[]);
        mount
            .items
            .remark("host", "There is no `proxy_set_header Host`, so nginx sends the name of the server behind it.");
    }
    if !set.is_empty() {
        mount.set("set_headers", map(&set), &set_from);
        set_from.iter().for_each(|directive| work.account.became(directive));
    }
    if !removed.is_empty() {
        mount.set("remove_headers", list(&removed), &removed_from);
        removed_from.iter().for_each(|directive| work.account.became(directive));
    }
}

fn host(work: &mut Work<'_, '_>, scope: &Scope<'_>, mount: &mut Table, directive: &Directive, value: &str) {
    match value {
        "$host" | "$http_host" | "$host:$server_port" | "$http_host:$server_port" => {
            work.account.needless(directive, "the server sees the client's Host field anyway");
        }
        "$proxy_host" => mount.text("host", "upstream", &[directive]),
        "$server_name" => match scope.one("server_name") {
            Some(name) => mount.text("host", name.arg(), &[directive, name]),
            None => work.account.needless(directive, "there is no `server_name`"),
        },
        value if value.contains('$') || value.is_empty() => {
            work.account.without(directive, "`host` is `client`, `upstream` or a name");
        }
        value => mount.text("host", value, &[directive]),
    }
    if mount.items.value("host").is_some() {
        work.account.became(directive);
    }
}

/// A value with Farrier's variables; `None` if it has another one.
pub(super) fn translated(value: &str) -> Option<String> {
    let (mut result, mut rest) = (String::new(), value);
    while let Some((before, after)) = rest.split_once('$') {
        result.push_str(before);
        let (braced, after) = after.strip_prefix('{').map_or((false, after), |after| (true, after));
        let (name, ours) = VARIABLES.iter().find(|(name, _)| {
            after
                .strip_prefix(name)
                .is_some_and(|behind| !behind.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
        })?;
        result.push_str(ours);
        rest = &after[name.len()..];
        rest = if braced { rest.strip_prefix('}')? } else { rest };
    }
    result.push_str(rest);
    Some(result)
}

#[cfg(test)]
mod tests {
    use super::translated;

    #[test]
    fn variables_of_fields_are_translated_or_refused() {
        for (value, expected) in [
            ("$scheme", Some("$scheme")),
            ("a $http_host b", Some("a $host b")),
            ("${host}x", Some("$hostx")),
            ("$request_uri", Some("$path$query")),
            ("$hostname", None),
            ("$ssl_client_cert", None),
            ("plain", Some("plain")),
        ] {
            assert_eq!(translated(value).as_deref(), expected, "{value}");
        }
    }
}
