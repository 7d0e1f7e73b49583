//! `if`: the forms that say what a setting says, and all others by name.

use super::account::Fate;
use super::scope::Scope;
use super::tree::Directive;
use super::work::Work;

/// What an `if` of a server says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// Requests for this name, or without TLS, are redirected to `https://` with the name that they have.
    ToHttps,
    /// Requests for all names but this one are redirected to it.
    Canonical(String),
    /// Methods that are allowed.
    Methods(Vec<String>),
    /// Something else.
    Other,
}

/// The condition and what it does.
pub(super) fn of(directive: &Directive) -> Condition {
    let text = directive.args.join(" ");
    let text = text.trim_start_matches('(').trim_end_matches(')').trim();
    let mut words = text.split_whitespace();
    let (Some(variable), Some(operator)) = (words.next(), words.next()) else { return Condition::Other };
    let value = words.collect::<Vec<_>>().join(" ");
    let value = value.trim_matches(['"', '\'']);
    let [action] = directive.children() else { return Condition::Other };
    let url = match (action.name.as_str(), action.args.as_slice()) {
        ("return", [status, url]) if matches!(status.as_str(), "301" | "302" | "307" | "308") => url.as_str(),
        ("rewrite", [_, url, ..]) => url.as_str(),
        _ => "",
    };
    let is_kept = |url: &str, host: &str| {
        let rest = url.strip_prefix("https://").and_then(|rest| rest.strip_prefix(host));
        rest.is_some_and(|rest| matches!(rest.trim_end_matches('?'), "$request_uri" | "$uri" | "$1" | "/$1"))
    };
    match (variable, operator) {
        ("$host" | "$http_host", "=") if is_kept(url, "$host") || is_kept(url, "$http_host") || is_kept(url, value) => {
            Condition::ToHttps
        }
        ("$scheme", "=" | "!=") if (operator == "=") == (value == "http") => to_https(is_kept, url),
        ("$https", "!=") if value == "on" => to_https(is_kept, url),
        ("$http_x_forwarded_proto", "=") if value == "http" => to_https(is_kept, url),
        ("$http_x_forwarded_proto", "!=") if value == "https" => to_https(is_kept, url),
        ("$host", "!=") => {
            let rest = ["https://", "http://", "$scheme://"].iter().find_map(|scheme| url.strip_prefix(scheme));
            match rest.and_then(|rest| rest.strip_prefix(value)) {
                Some("$request_uri" | "$request_uri?") => Condition::Canonical(value.to_owned()),
                _ => Condition::Other,
            }
        }
        ("$request_method", "!~") if action.name == "return" => {
            let inner = value.strip_prefix("^(").and_then(|rest| rest.strip_suffix(")$"));
            let words: Vec<String> = inner.unwrap_or_default().split('|').map(str::to_owned).collect();
            let is_method = |word: &String| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase());
            if words.iter().all(is_method) { Condition::Methods(words) } else { Condition::Other }
        }
        _ => Condition::Other,
    }
}

fn to_https(is_kept: impl Fn(&str, &str) -> bool, url: &str) -> Condition {
    let is_https = ["$host", "$http_host", "$server_name"].iter().any(|host| is_kept(url, host));
    if is_https { Condition::ToHttps } else { Condition::Other }
}

/// Names the conditions of a location.
pub(super) fn of_location(work: &mut Work<'_, '_>, scope: &Scope<'_>) {
    for directive in scope.own(&["if"]) {
        if work.account.fate(directive.index).is_none() {
            other(work, directive);
        }
    }
}

/// Names a condition that has no counterpart. It may be a rule of access.
pub(super) fn other(work: &mut Work<'_, '_>, directive: &Directive) {
    let refuses = |child: &Directive| {
        child.name == "deny" || child.name == "return" && child.arg().parse::<u16>().is_ok_and(|status| status >= 400)
    };
    let says = "there are no conditions: let the application decide";
    let fate = match directive.children().iter().any(refuses) {
        true => Fate::Dropped(says.to_owned()),
        false => Fate::Without(says.to_owned()),
    };
    work.account.whole(directive, &fate);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    fn condition(args: &[&str], action: &[&str]) -> Condition {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
        let make = |name: &str, args: &[&str], block| Directive {
            name: name.to_owned(),
            args: words(args),
            block,
            path: Rc::from("f"),
            line: 1,
            index: 0,
        };
        of(&make("if", args, Some(vec![make(action[0], &action[1..], None)])))
    }

    #[test]
    fn known_conditions_are_settings() {
        let https = &["return", "301", "https://$host$request_uri"][..];
        for (args, action, expected) in [
            (&["($host", "=", "a.org)"][..], https, Condition::ToHttps),
            (&["($scheme", "=", "http)"], https, Condition::ToHttps),
            (&["($scheme", "!=", "https)"], https, Condition::ToHttps),
            (&["($http_x_forwarded_proto", "!=", "https)"], https, Condition::ToHttps),
            (
                &["($host", "!=", "a.org)"],
                &["return", "301", "https://a.org$request_uri"],
                Condition::Canonical("a.org".into()),
            ),
            (
                &["($request_method", "!~", "^(GET|POST)$)"],
                &["return", "405"],
                Condition::Methods(vec!["GET".into(), "POST".into()]),
            ),
            (&["($scheme", "=", "https)"], https, Condition::Other),
            (&["($http_user_agent", "~*", "bot)"], &["return", "403"], Condition::Other),
            (&["($a)"], &["return", "403"], Condition::Other),
        ] {
            assert_eq!(condition(args, action), expected, "{args:?}");
        }
    }
}
