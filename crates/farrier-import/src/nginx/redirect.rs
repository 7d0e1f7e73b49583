//! `return` and `rewrite` as the answer of a mount.

use super::output::Table;
use super::scope::Scope;
use super::tree::Directive;
use super::work::Work;

/// Turns a mount into the answer of `return`; `false` if there is no such answer.
pub(super) fn returned(work: &mut Work<'_, '_>, scope: &Scope<'_>, mount: &mut Table, directive: &Directive) -> bool {
    let args: Vec<String> = directive.args.iter().map(|arg| scope.filled(arg)).collect();
    let (status, text) = match args.as_slice() {
        [one] => match one.parse::<u16>() {
            Ok(status) => (status, None),
            Err(_) => (302, Some(one.clone())),
        },
        [status, text] => (status.parse().unwrap_or(0), Some(text.clone())),
        _ => (0, None),
    };
    match (status, text) {
        (444, _) => {
            mount.set("status", "403", &[directive]);
            mount.says("nginx closes the connection without an answer; here the answer is 403.");
        }
        (301 | 302 | 303 | 307 | 308, Some(url)) => {
            let Some(target) = target(scope, &url) else {
                work.account.without(directive, "the URL has a variable that a `redirect` has not");
                return false;
            };
            mount.text("redirect", &target, &[directive]);
            mount.set("status", status.to_string(), &[directive]);
        }
        (status @ 200..=599, Some(text)) if !text.contains('$') => {
            mount.text("respond", &text, &[directive]);
            if status != 200 {
                mount.set("status", status.to_string(), &[directive]);
            }
            content_type(work, scope, mount);
        }
        (status @ 200..=599, None) => mount.set("status", status.to_string(), &[directive]),
        _ => {
            work.account.without(directive, "there is no such answer");
            return false;
        }
    }
    work.account.became(directive);
    true
}

/// The media type of a text: `add_header Content-Type` or `default_type`.
fn content_type(work: &mut Work<'_, '_>, scope: &Scope<'_>, mount: &mut Table) {
    let field = scope.all(&["add_header"]).into_iter().find(|its| its.arg().eq_ignore_ascii_case("content-type"));
    let named = field.and_then(|its| Some((its, its.args.get(1)?.clone())));
    let usual = scope.one("default_type").map(|its| (its, its.arg().to_owned()));
    match named.or(usual) {
        Some((directive, kind)) => {
            mount.text("content_type", &kind, &[directive]);
            work.account.became(directive);
        }
        None => mount.text("content_type", "text/plain", &[]),
    }
}

/// The URL of a redirect with Farrier's variables; `None` if it has another one.
pub(super) fn target(scope: &Scope<'_>, url: &str) -> Option<String> {
    let mut url = url.to_owned();
    if let Some(name) = scope.one("server_name").map(|names| names.arg()).filter(|name| !name.contains(['*', '~'])) {
        url = super::scope::replaced(&url, "server_name", name.trim_start_matches('.'));
    }
    for (name, ours) in [
        ("http_host", "$host"),
        ("request_uri", "\u{1}path\u{1}query"),
        ("document_uri", "\u{1}path"),
        ("uri", "\u{1}path"),
        ("query_string", "args"),
    ] {
        let ours = if name == "query_string" { "$args" } else { ours };
        url = super::scope::replaced(&url, name, ours);
    }
    let url = url.replace("$is_args$args", "\u{1}query").replace("?$args", "\u{1}query");
    let url = url.replace('\u{1}', "$");
    // `$request_uri?` in a rewrite says that no query is added.
    let url = url.strip_suffix('?').unwrap_or(&url).to_owned();
    let is_known = url.split('$').skip(1).all(|rest| {
        ["host", "scheme", "path", "query", "rest"].iter().any(|name| {
            rest.strip_prefix(name)
                .is_some_and(|behind| !behind.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
        })
    });
    let is_url = ["http://", "https://", "$scheme://", "/", "$path"].iter().any(|beginning| url.starts_with(beginning));
    (is_known && is_url && url.bytes().all(|byte| byte.is_ascii_graphic())).then_some(url)
}

/// What a `rewrite` with `permanent` or `redirect` matches, and where it leads.
pub(super) struct Rewrite {
    /// The path that it matches, or begins with.
    pub(super) path: String,
    /// Only this path, and nothing below it.
    pub(super) is_exact: bool,
    pub(super) target: String,
    pub(super) status: u16,
}

/// Reads a `rewrite`; `None` for a form that is not known.
pub(super) fn rewrite(scope: &Scope<'_>, directive: &Directive) -> Option<Rewrite> {
    let [pattern, to, rest @ ..] = directive.args.as_slice() else { return None };
    let is_absolute = to.starts_with("http://") || to.starts_with("https://") || to.starts_with("$scheme");
    let status = match rest.first().map(String::as_str) {
        Some("permanent") => 301,
        Some("redirect") => 302,
        None if is_absolute => 302,
        _ => return None,
    };
    // Without `?` at its end nginx adds the query.
    let query = if to.ends_with('?') || to.contains("$request_uri") { "" } else { "$is_args$args" };
    let plain = pattern.strip_prefix('^').unwrap_or(pattern);
    let (path, is_exact, captured) = match plain {
        "" | "/" => ("/".to_owned(), false, None),
        "(.*)$" | "(.*)" | ".*$" | ".*" | "(.+)$" => ("/".to_owned(), false, Some("$uri")),
        "/(.*)$" | "/(.*)" => ("/".to_owned(), false, Some("\u{2}")),
        plain => {
            let plain = plain.replace("\\.", ".").replace("\\-", "-");
            match plain.strip_suffix("/(.*)$").or_else(|| plain.strip_suffix("/(.*)")) {
                Some(path) if is_plain(path) => (path.to_owned(), false, Some("\u{2}")),
                _ => {
                    let path = plain.strip_suffix("/?$").or(plain.strip_suffix('$'))?;
                    if !is_plain(path) {
                        return None;
                    }
                    (path.to_owned(), true, None)
                }
            }
        }
    };
    let to = match captured {
        // `$rest` begins with the slash.
        Some("\u{2}") => to.replace("/$1", "$rest"),
        Some(variable) => to.replace("$1", variable),
        None => to.clone(),
    };
    let body = to.strip_suffix('?').unwrap_or(&to);
    if body.contains("$1")
        || (captured == Some("\u{2}") && !body.contains("$rest") && to.contains('$') && to.contains("$2"))
    {
        return None;
    }
    let target = target(scope, &format!("{body}{query}"))?;
    Some(Rewrite { path, is_exact, target, status })
}

/// Whether a part of a pattern is a path without anything special.
fn is_plain(path: &str) -> bool {
    path.starts_with('/') && path.chars().all(|c| c.is_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | '~'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    fn directive(name: &str, args: &[&str]) -> Directive {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Directive { name: name.to_owned(), args, block: None, path: Rc::from("f"), line: 1, index: 0 }
    }

    #[test]
    fn targets_are_written_with_farriers_variables() {
        let names = [directive("server_name", &["example.org", "www.example.org"])];
        let scope = Scope(vec![&names]);
        for (url, expected) in [
            ("https://$host$request_uri", Some("https://$host$path$query")),
            ("https://$server_name$request_uri", Some("https://example.org$path$query")),
            ("$scheme://x.org$uri$is_args$args", Some("$scheme://x.org$path$query")),
            ("/new?$args", Some("/new$query")),
            ("/new", Some("/new")),
            ("https://$http_host/a", Some("https://$host/a")),
            ("https://$ssl_server_name/", None),
            ("x", None),
            ("/a b", None),
        ] {
            assert_eq!(target(&scope, url).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn simple_rewrites_are_redirects() {
        let scope = Scope(vec![]);
        for (args, expected) in [
            (
                &["^", "https://$host$request_uri?", "permanent"][..],
                Some(("/", false, "https://$host$path$query", 301)),
            ),
            (&["^(.*)$", "https://x.org$1", "redirect"], Some(("/", false, "https://x.org$path$query", 302))),
            (&["^/(.*)$", "https://x.org/$1", "permanent"], Some(("/", false, "https://x.org$rest$query", 301))),
            (&["^/old/(.*)$", "/new/$1", "permanent"], Some(("/old", false, "/new$rest$query", 301))),
            (&["^/old$", "/new", "permanent"], Some(("/old", true, "/new$query", 301))),
            (&["^/old/?$", "/new?", "permanent"], Some(("/old", true, "/new", 301))),
            (&["^/a/(\\d+)$", "/b/$1", "permanent"], None),
            (&["^/a/(.*)$", "/b/$1", "last"], None),
            (&["^/a", "/b", "permanent"], None),
        ] {
            let read = rewrite(&scope, &directive("rewrite", args));
            let told = read.as_ref().map(|read| (read.path.as_str(), read.is_exact, read.target.as_str(), read.status));
            assert_eq!(told, expected, "{args:?}");
        }
    }
}
