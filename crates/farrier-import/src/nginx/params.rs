//! `uwsgi_param` and `fastcgi_param`: the variables of a request for a gateway protocol.

use super::directives::NO_SCRIPTS;
use super::output::{Table, map};
use super::scope::Scope;
use super::tree::Directive;
use super::work::Work;

/// The variables of uwsgi and FastCGI that are sent anyway.
const KNOWN_PARAMS: &[&str] = &[
    "QUERY_STRING",
    "REQUEST_METHOD",
    "CONTENT_TYPE",
    "CONTENT_LENGTH",
    "REQUEST_URI",
    "PATH_INFO",
    "DOCUMENT_ROOT",
    "SERVER_PROTOCOL",
    "REQUEST_SCHEME",
    "HTTPS",
    "REMOTE_ADDR",
    "REMOTE_PORT",
    "SERVER_PORT",
    "SERVER_NAME",
    "SERVER_SOFTWARE",
    "GATEWAY_INTERFACE",
    "SCRIPT_NAME",
    "REDIRECT_STATUS",
    "HTTP_PROXY",
    "HTTP_HOST",
    "HTTP_X_REAL_IP",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_FORWARDED_HOST",
    "UWSGI_SCHEME",
];

/// Translates the variables.
pub(super) fn translate(work: &mut Work<'_, '_>, scope: &Scope<'_>, mount: &mut Table, prefix: &str) {
    let (mut params, mut from): (Vec<(String, String)>, Vec<&Directive>) = (Vec::new(), Vec::new());
    for directive in scope.all(&[&format!("{prefix}param")]) {
        let value = directive.args.get(1).map(|value| scope.filled(value)).unwrap_or_default();
        let name = directive.arg();
        if name == "SCRIPT_NAME" && !value.is_empty() && !value.contains('$') {
            work.account.without(directive, "give the mount that path, or set `strip_prefix`");
        } else if KNOWN_PARAMS.contains(&name) {
            work.account.needless(directive, "it is sent anyway");
        } else if name == "SCRIPT_FILENAME" && value.contains('$') {
            work.account.without(directive, NO_SCRIPTS);
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
    if prefix == "fastcgi_"
        && let Some(root) = scope.one("root").or(scope.one("alias"))
    {
        mount.text("fastcgi_root", root.arg().trim_end_matches('/'), &[root]);
        work.account.became(root);
    }
}
