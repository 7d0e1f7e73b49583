//! What clients see of the responses of a server behind this one: `add_header`, `proxy_hide_header`, `proxy_redirect` and
//! cookies.

use super::output::{Table, list, map};
use super::request_fields::translated;
use super::scope::Scope;
use super::tree::Directive;
use super::units;
use super::work::Work;

/// Translates the fields of responses.
pub(super) fn translate(work: &mut Work<'_, '_>, scope: &Scope<'_>, mount: &mut Table, prefix: &str) {
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

/// `proxy_cookie_path` and `proxy_cookie_domain`.
pub(super) fn cookies(work: &mut Work<'_, '_>, scope: &Scope<'_>, mount: &mut Table) {
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
