//! A location that forwards its requests: a mount with `proxy`, and what is changed on the way.

use super::output::{Table, list, map};
use super::scope::Scope;
use super::tree::Directive;
use super::units;
use super::upstream::{self, Pass};
use super::work::Work;
use crate::value::quoted;

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

/// Turns a mount into one that forwards; `false` if nobody knows where to.
pub(super) fn translate(
    work: &mut Work<'_, '_>,
    scope: &Scope<'_>,
    mount: &mut Table,
    by: &Directive,
    path: &str,
) -> bool {
    let pass = match Pass::of(by, scope) {
        Ok(pass) => pass,
        Err(reason) => {
            work.account.without(by, reason);
            return false;
        }
    };
    if let Some(app) = replacement(work, &pass) {
        mount.text("app", &app, &[by]);
        work.account.became(by);
        consume(work, scope, pass.prefix());
        return true;
    }
    let target = upstream::target(work, scope, &pass, by);
    mount.text("proxy", &target, &[by]);
    work.account.became(by);
    paths(mount, &pass, by, path);
    if pass.prefix() == "proxy_" {
        request_fields(work, scope, mount);
        cookies(work, scope, mount);
    } else {
        variables(work, scope, mount, pass.prefix());
    }
    response_fields(work, scope, mount, pass.prefix());
    content(work, scope, mount, pass.prefix());
    true
}

/// The application, if it takes the place of this server.
fn replacement(work: &mut Work<'_, '_>, pass: &Pass) -> Option<String> {
    let app = work.app.clone()?;
    let group = work.groups.iter().copied().find(|group| group.arg() == pass.place);
    let servers: Vec<String> = match group {
        Some(group) => {
            group.children().iter().filter(|its| its.name == "server").map(|its| its.arg().to_owned()).collect()
        }
        None => vec![pass.place.clone()],
    };
    let is_here =
        |place: &String| ["unix:", "127.", "localhost:", "[::1]"].iter().any(|beginning| place.starts_with(beginning));
    let place = servers.join(",");
    if !servers.iter().all(is_here) || work.replaced.as_ref().is_some_and(|known| *known != place) {
        return None;
    }
    work.replaced = Some(place);
    if let Some(group) = group {
        work.account
            .whole(group, &super::account::Fate::Needless("the application takes the place of this server".to_owned()));
    }
    Some(app)
}

/// Notes what is said of a server that is no longer there.
fn consume(work: &mut Work<'_, '_>, scope: &Scope<'_>, prefix: &str) {
    for level in &scope.0 {
        for directive in level.iter().filter(|its| its.name.starts_with(prefix) && !its.name.ends_with("_pass")) {
            work.account.needless(directive, "the application takes the place of the server behind nginx");
        }
    }
}

fn paths(mount: &mut Table, pass: &Pass, by: &Directive, path: &str) {
    let Some(uri) = &pass.uri else { return };
    let (from, to) = (path.trim_end_matches('/'), uri.trim_end_matches('/'));
    if from == to {
    } else if to.is_empty() {
        mount.set("strip_prefix", "true", &[by]);
    } else {
        mount.text("rewrite_prefix", to, &[by]);
    }
    if path.ends_with('/') != uri.ends_with('/') {
        mount.says(format!(
            "nginx puts `{uri}` in the place of `{path}` letter by letter, so that slashes are lost or doubled; here whole \
             segments are replaced."
        ));
    }
}

fn request_fields(work: &mut Work<'_, '_>, scope: &Scope<'_>, mount: &mut Table) {
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
                let is_fixed = !value.is_empty() && !value.contains('$') && name != "x-forwarded-server";
                if is_fixed && name == "x-forwarded-proto" {
                    work.account.without(
                        directive,
                        "X-Forwarded-Proto is the scheme of the client: a proxy in front that ends TLS is named in `trusted_proxy`",
                    );
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
fn translated(value: &str) -> Option<String> {
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

fn response_fields(work: &mut Work<'_, '_>, scope: &Scope<'_>, mount: &mut Table, prefix: &str) {
    let hidden = scope.all(&[&format!("{prefix}hide_header")]);
    if !hidden.is_empty() {
        let names: Vec<&str> = hidden.iter().map(|directive| directive.arg()).collect();
        mount.set("hide_headers", list(&names), &hidden);
        hidden.iter().for_each(|directive| work.account.became(directive));
    }
    for directive in scope.all(&[&format!("{prefix}pass_header")]) {
        if directive.arg().eq_ignore_ascii_case("server") {
            mount.set("pass_server", "true", &[directive]);
            work.account.became(directive);
        } else {
            work.account.needless(directive, "the field passes, unless `hide_headers` has it");
        }
    }
    added(work, scope, mount);
    if let Some(directive) = scope.one("proxy_redirect").filter(|_| prefix == "proxy_") {
        match directive.arg() {
            "off" => {
                mount.set("rewrite_location", "false", &[directive]);
                work.account.became(directive);
            }
            _ => work
                .account
                .needless(directive, "a `Location` that names the server behind the proxy is rewritten anyway"),
        }
    }
    let ignored = scope.all(&[&format!("{prefix}ignore_headers")]);
    let words: Vec<String> =
        ignored.iter().flat_map(|directive| &directive.args).map(|word| word.to_ascii_lowercase()).collect();
    let accel: Vec<&str> = ["buffering", "expires", "charset"]
        .into_iter()
        .filter(|word| !words.iter().any(|ignored| *ignored == format!("x-accel-{word}")))
        .collect();
    for directive in ignored {
        if accel.len() < 3 && directive.args.iter().any(|word| word.to_ascii_lowercase().starts_with("x-accel-")) {
            mount.set("accel", list(&accel), &[directive]);
            work.account.became(directive);
        } else {
            work.account.needless(directive, "responses are not cached");
        }
    }
}

/// `add_header`. `Strict-Transport-Security` is a setting of its own.
fn added(work: &mut Work<'_, '_>, scope: &Scope<'_>, mount: &mut Table) {
    let (mut fields, mut from): (Vec<(String, String)>, Vec<&Directive>) = (Vec::new(), Vec::new());
    for directive in scope.all(&["add_header"]) {
        let (Some(name), Some(value)) = (directive.args.first(), directive.args.get(1)) else { continue };
        let value = scope.filled(value);
        if name.eq_ignore_ascii_case("strict-transport-security") {
            hsts(work, directive, &value);
        } else if name.eq_ignore_ascii_case("alt-svc") {
            work.account.needless(directive, "HTTP/3 is not served");
        } else if fields.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            work.account.without(directive, format!("`response_headers` has one `{name}`"));
        } else if let Some(value) =
            translated(&value).filter(|value| !value.contains('$') || translated_is_known(value))
        {
            fields.push((name.clone(), value));
            from.push(directive);
        } else {
            work.account.without(directive, "the value has a variable that there is not");
        }
    }
    if !fields.is_empty() {
        mount.set("response_headers", map(&fields), &from);
        mount
            .items
            .remark("response_headers", "Each takes the place of the server's own field; nginx adds a second one.");
        from.iter().for_each(|directive| work.account.became(directive));
    }
}

fn translated_is_known(value: &str) -> bool {
    !value.contains("$path") && !value.contains("$query")
}

/// `Strict-Transport-Security`, which Farrier sends over TLS alone.
pub(super) fn hsts(work: &mut Work<'_, '_>, directive: &Directive, value: &str) {
    let lower = value.to_ascii_lowercase();
    let age = lower
        .split(';')
        .find_map(|part| part.trim().strip_prefix("max-age=").map(|age| age.trim_matches('"').to_owned()));
    match age.and_then(|age| age.parse::<u64>().ok()) {
        Some(seconds) => {
            work.global("hsts", units::duration(seconds.saturating_mul(1000)), directive);
            if lower.contains("includesubdomains") {
                work.global("hsts_include_subdomains", "true", directive);
            }
            if lower.contains("preload") && lower.contains("includesubdomains") && seconds >= 31_536_000 {
                work.global("hsts_preload", "true", directive);
            }
        }
        None => work.account.without(directive, "its `max-age` is not known: set `hsts`"),
    }
}

fn cookies(work: &mut Work<'_, '_>, scope: &Scope<'_>, mount: &mut Table) {
    let changes = mount.items.value("strip_prefix").is_some() || mount.items.value("rewrite_prefix").is_some();
    let paths = scope.all(&["proxy_cookie_path"]);
    if paths.is_empty() && changes {
        mount.text("cookie_path", "off", &[]);
        mount.items.remark("cookie_path", "There is no `proxy_cookie_path`, so the Path of cookies stays.");
    }
    for directive in paths {
        match (directive.arg(), changes) {
            ("off", _) => {
                mount.set("cookie_path", "\"off\"", &[directive]);
                work.account.became(directive);
            }
            (_, true) => work.account.needless(directive, "the Path of cookies changes as the path of requests does"),
            _ => work
                .account
                .without(directive, "the Path of cookies only changes as the path of requests does (`rewrite_prefix`)"),
        }
    }
    let domains = scope.all(&["proxy_cookie_domain"]);
    let (mut pairs, mut from) = (Vec::new(), Vec::new());
    for directive in domains {
        match directive.args.as_slice() {
            [old, new] if !old.starts_with('~') && !old.contains('$') && !new.contains('$') => {
                pairs.push((old.trim_start_matches('.').to_owned(), new.clone()));
                from.push(directive);
            }
            [off] if off == "off" => work.account.needless(directive, "domains of cookies stay"),
            _ => work.account.without(directive, "`cookie_domain` has fixed names"),
        }
    }
    if !pairs.is_empty() {
        mount.set("cookie_domain", map(&pairs), &from);
        from.iter().for_each(|directive| work.account.became(directive));
    }
}

fn content(work: &mut Work<'_, '_>, scope: &Scope<'_>, mount: &mut Table, prefix: &str) {
    let one = |name: &str| scope.one(&format!("{prefix}{name}"));
    if let Some(directive) = one("buffering") {
        match directive.arg() {
            "off" => {
                mount.set("flush", "\"on\"", &[directive]);
                work.account.became(directive);
            }
            _ => work.account.needless(directive, "responses are buffered as far as it helps"),
        }
    }
    if let Some(directive) = one("request_buffering") {
        match directive.arg() {
            "off" => {
                mount.set("request_buffering", "false", &[directive]);
                work.account.became(directive);
            }
            _ => work.account.needless(directive, "it is the default"),
        }
    }
    if let Some(directive) = one("max_temp_file_size")
        && let Some(bytes) = work.bytes(directive, directive.arg())
    {
        match bytes {
            0 => work.account.needless(directive, "no file is used unless `response_spool` is set"),
            bytes => {
                mount.set("response_spool", units::size(bytes), &[directive]);
                work.account.became(directive);
            }
        }
    }
    let upgrades = scope.all(&["proxy_set_header"]).into_iter().find(|its| its.arg().eq_ignore_ascii_case("upgrade"));
    if let (Some(_), Some(directive)) = (upgrades.filter(|_| prefix == "proxy_"), one("read_timeout"))
        && let Some(time) = work.duration(directive, directive.arg())
    {
        mount.set("tunnel_timeout", time, &[directive]);
    }
    if let Some(directive) = one("intercept_errors") {
        let codes: Vec<&Directive> = scope.all(&["error_page"]);
        let statuses: Vec<String> = codes
            .iter()
            .flat_map(|page| page.args.iter().take_while(|arg| arg.parse::<u16>().is_ok()))
            .cloned()
            .collect();
        if directive.arg() == "on" && !statuses.is_empty() {
            mount.set("intercept_errors", format!("[{}]", statuses.join(", ")), &[directive]);
            work.account.became(directive);
        } else {
            work.account.needless(directive, "errors of the server pass as they are");
        }
    }
}

/// The variables of uwsgi and FastCGI that are sent anyway.
const KNOWN_PARAMS: &[&str] = &[
    "QUERY_STRING",
    "REQUEST_METHOD",
    "CONTENT_TYPE",
    "CONTENT_LENGTH",
    "REQUEST_URI",
    "PATH_INFO",
    "DOCUMENT_ROOT",
    "DOCUMENT_URI",
    "SERVER_PROTOCOL",
    "REQUEST_SCHEME",
    "HTTPS",
    "REMOTE_ADDR",
    "REMOTE_PORT",
    "REMOTE_USER",
    "SERVER_PORT",
    "SERVER_NAME",
    "SERVER_ADDR",
    "SERVER_SOFTWARE",
    "GATEWAY_INTERFACE",
    "SCRIPT_NAME",
    "SCRIPT_FILENAME",
    "PATH_TRANSLATED",
    "REDIRECT_STATUS",
    "HTTP_PROXY",
    "HTTP_HOST",
    "HTTP_X_REAL_IP",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_FORWARDED_HOST",
    "UWSGI_SCHEME",
];

fn variables(work: &mut Work<'_, '_>, scope: &Scope<'_>, mount: &mut Table, prefix: &str) {
    let (mut params, mut from): (Vec<(String, String)>, Vec<&Directive>) = (Vec::new(), Vec::new());
    for directive in scope.all(&[&format!("{prefix}param")]) {
        let value = directive.args.get(1).map(|value| scope.filled(value)).unwrap_or_default();
        let name = directive.arg();
        if name == "SCRIPT_NAME" && !value.is_empty() && !value.contains('$') {
            work.account.without(directive, "give the mount that path, or set `strip_prefix`");
        } else if KNOWN_PARAMS.contains(&name) {
            work.account.needless(directive, "it is sent anyway");
        } else if value.contains('$') {
            work.account.without(directive, "`params` has fixed values");
        } else {
            params.retain(|(known, _)| known != name);
            params.push((name.to_owned(), value));
            from.push(directive);
        }
    }
    if !params.is_empty() {
        mount.set("params", map(&params), &from);
        from.iter().for_each(|directive| work.account.became(directive));
    }
    if prefix == "fastcgi_" {
        if let Some(root) = scope.one("root").or(scope.one("alias")) {
            mount.text("fastcgi_root", root.arg().trim_end_matches('/'), &[root]);
            work.account.became(root);
        }
        if let Some(index) = scope.one("fastcgi_index") {
            mount.text("fastcgi_index", index.arg(), &[index]);
            work.account.became(index);
        }
        if let Some(split) = scope.one("fastcgi_split_path_info") {
            if split.arg().contains("\\.php") {
                mount.set("fastcgi_split", quoted(".php"), &[split]);
                work.account.became(split);
            } else {
                work.account.without(split, "`fastcgi_split` is an ending such as `.php`");
            }
        }
    }
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
