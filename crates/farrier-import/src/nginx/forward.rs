//! A location that forwards its requests: a mount with `proxy`, and what is changed on the way.

use super::application;
use super::output::Table;
use super::params;
use super::pass::Pass;
use super::request_fields;
use super::response_fields;
use super::scope::Scope;
use super::tree::Directive;
use super::upstream;
use super::work::Work;

/// What became of a location that forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forwarded {
    /// The mount forwards, or the application answers there.
    Here,
    /// The application's mount at `/` takes the path.
    ByTheApplication,
    /// Nobody knows where to.
    Unknown,
}

/// Turns a mount into one that forwards.
pub(super) fn translate(
    work: &mut Work<'_, '_>,
    scope: &Scope<'_>,
    mount: &mut Table,
    by: &Directive,
    path: &str,
) -> Forwarded {
    let pass = match Pass::of(by, scope) {
        Ok(pass) => pass,
        Err(reason) => {
            work.account.without(by, reason);
            return Forwarded::Unknown;
        }
    };
    if let Some(app) = application::in_place_of(work, scope, &pass) {
        work.account.became(by);
        // An application sees the path of its mount as SCRIPT_NAME, as a server does to which nginx sends the rest alone.
        let is_stripped = pass.uri.as_deref().is_some_and(|uri| uri == "/");
        if path != "/" && !is_stripped {
            return Forwarded::ByTheApplication;
        }
        mount.text("app", &app, &[by]);
        return Forwarded::Here;
    }
    let target = upstream::target(work, scope, &pass, by);
    mount.text("proxy", &target, &[by]);
    work.account.became(by);
    paths(mount, &pass, by, path);
    if pass.prefix() == "proxy_" {
        request_fields::translate(work, scope, mount);
        response_fields::cookies(work, scope, mount);
    } else {
        params::translate(work, scope, mount, pass.prefix());
    }
    response_fields::translate(work, scope, mount, pass.prefix());
    content(work, scope, mount, pass.prefix());
    Forwarded::Here
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
        && work.bytes(directive, directive.arg()) == Some(0)
    {
        work.account.needless(directive, "no file is used");
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
