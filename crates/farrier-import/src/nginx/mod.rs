//! Translates an nginx configuration into Farrier's settings, for `farrier import-nginx`.
//!
//! [`import`] reads the files with what they include ([`tree`]), and translates them: what holds for the whole server
//! ([`global`]), the servers as sites ([`server`]), and their locations as mounts ([`location`]). Every directive is
//! accounted for ([`account`]): it became a setting, is not needed, has no counterpart, or is unknown.

mod access;
mod account;
mod addresses;
mod application;
mod conditions;
mod content;
mod directives;
mod document;
mod files;
mod forward;
mod glob;
mod global;
mod internal;
mod listen;
mod location;
mod logs;
mod output;
mod pages;
mod params;
mod pass;
mod patterns;
mod redirect;
mod regex;
mod request_fields;
mod response_fields;
mod scope;
mod server;
mod to_tls;
mod tree;
mod units;
mod upstream;
mod upstream_keys;
mod words;
mod work;
mod write;

pub use document::directives_markdown;
pub use tree::Files;

use account::{Account, Fate};
use farrier_config::Problem;
use farrier_config::Source;
use output::Items;
use scope::Scope;
use tree::Directive;
use work::Work;

/// An nginx configuration that was translated.
#[derive(Debug)]
pub struct Import {
    /// A commented `farrier.toml`.
    pub toml: String,
    /// Directives that restrict access and have no counterpart, each with its place.
    pub dropped: Vec<Problem>,
    /// Directives that have no counterpart or are unknown, each with its place.
    pub warnings: Vec<Problem>,
}

/// Reads `file` and translates it. `app` is the application that takes the place of the server on this machine that a
/// location `/` forwards to.
///
/// # Errors
/// Text that nginx would refuse, files that cannot be read, and a configuration that exceeds a bound.
pub fn import(file: &str, app: Option<&str>, files: &mut dyn Files) -> Result<Import, Problem> {
    let tree = tree::read(file, files)?;
    let mut http = Scope::default();
    let mut blocks: Vec<&Directive> = tree.top.iter().filter(|its| its.name == "http").collect();
    // A file of a site has no `http` around its servers.
    let top = Scope(vec![&tree.top]);
    if let Some(first) = blocks.first() {
        http = top.inside(first);
    }
    let mut servers: Vec<(&Directive, Scope<'_>)> =
        top.own(&["server"]).into_iter().map(|its| (its, top.clone())).collect();
    for block in std::mem::take(&mut blocks) {
        let inside = top.inside(block);
        servers.extend(inside.own(&["server"]).into_iter().map(|its| (its, inside.clone())));
    }
    if servers.is_empty() {
        return Err(Problem::at(Source::File { path: file.to_owned(), line: 1 }, "there is no `server` in it"));
    }
    let http = if http.0.is_empty() { top } else { http };
    let groups = global::find(&tree.top, &["upstream"]);
    let mut work = Work {
        account: Account::of(&tree.top, tree.count),
        settings: Items::default(),
        groups,
        upstreams: Vec::new(),
        internals: Vec::new(),
        sites: Vec::new(),
        notes: Vec::new(),
        files,
        app: app.map(str::to_owned),
        replaced: None,
    };
    for include in &tree.absent {
        work.account.needless(include, "the file is not here, and what it says is known");
    }
    application::find(&mut work, &servers);
    server::translate(&mut work, &servers);
    global::translate(&mut work, &tree.top, &http);
    accel(&mut work);
    bodies(&mut work, &http);
    maps(&mut work, &tree.top);
    uncached(&mut work, &tree.top);
    work.account_for_the_rest(&tree.top);
    notes(&mut work);
    let problems = |work: &Work<'_, '_>, says: fn(&Fate) -> Option<String>| -> Vec<Problem> {
        let told = work.account.entries().filter_map(|(line, fate)| {
            let source = Source::File { path: line.path.clone(), line: line.line };
            Some(Problem::at(source, format!("{}: {}", line.written, says(fate)?)))
        });
        told.collect()
    };
    let dropped = problems(&work, |fate| match fate {
        Fate::Dropped(says) => Some(says.clone()),
        _ => None,
    });
    let warnings = problems(&work, |fate| match fate {
        Fate::Without(says) | Fate::Unknown(says) => Some(says.clone()),
        _ => None,
    });
    Ok(Import { toml: write::toml(&work, file), dropped, warnings })
}

/// Lets servers name the files that only an application may send.
fn accel(work: &mut Work<'_, '_>) {
    if work.internals.is_empty() {
        return;
    }
    let mounts = work.sites.iter_mut().flat_map(|site| &mut site.mounts);
    for mount in mounts.filter(|mount| mount.items.value("proxy").is_some()) {
        let words = match mount.items.value("accel").and_then(|words| words.strip_suffix(']')) {
            Some("[") => "[\"redirect\"]".to_owned(),
            Some(words) => format!("{words}, \"redirect\"]"),
            None => "[\"buffering\", \"expires\", \"charset\", \"redirect\"]".to_owned(),
        };
        mount.set("accel", words, &[]);
    }
}

/// The longest body of the whole server. nginx's own default is smaller than Farrier's.
fn bodies(work: &mut Work<'_, '_>, http: &Scope<'_>) {
    match http.one("client_max_body_size") {
        Some(directive) => {
            if let Some(size) = location::body_limit(work, directive) {
                work.global("limit_request_body", size, directive);
            }
        }
        None => {
            work.settings.set("limit_request_body", "\"1MiB\"", &[]);
            work.settings.remark("limit_request_body", "It is nginx's default; Farrier's is 10 MiB.");
        }
    }
}

/// The map that every guide for WebSocket has is not needed; no other one has a counterpart.
fn maps(work: &mut Work<'_, '_>, top: &[Directive]) {
    for map in global::find(top, &["map"]) {
        let fate = match map.arg() {
            "$http_upgrade" => Fate::Needless("connections are switched to WebSocket as the client asks".to_owned()),
            _ => Fate::Without("there are no maps: let the application decide".to_owned()),
        };
        work.account.whole(map, &fate);
    }
}

/// Conditions of a cache that nobody uses, as many guides have them.
fn uncached(work: &mut Work<'_, '_>, top: &[Directive]) {
    let is_cached = !global::find(top, &["proxy_cache", "uwsgi_cache", "fastcgi_cache"]).is_empty();
    for directive in
        global::find(top, &["proxy_cache_bypass", "proxy_no_cache", "uwsgi_cache_bypass", "uwsgi_no_cache"])
    {
        if !is_cached {
            work.account.needless(directive, "nothing is cached");
        }
    }
}

fn notes(work: &mut Work<'_, '_>) {
    let has = |work: &Work<'_, '_>, key: &str| {
        work.sites.iter().flat_map(|site| &site.mounts).any(|mount| mount.items.value(key).is_some())
    };
    if has(work, "dir") {
        work.notes.push("Files are sent with `Cache-Control: max-age=60` unless `max_age` says otherwise; nginx sends no such field.".to_owned());
    }
    if has(work, "proxy") {
        work.notes.push(
            "Servers behind this one get X-Forwarded-For, -Proto, -Host, -Port and X-Real-IP with every request."
                .to_owned(),
        );
        work.notes
            .push("A server is given 3 seconds to accept a connection (`connect_timeout`); nginx gives 60.".to_owned());
    }
}
