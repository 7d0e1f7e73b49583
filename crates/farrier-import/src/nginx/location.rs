//! `location`: what is served below a path, as mounts.

use super::access::{self, Access};
use super::account::Fate;
use super::output::{Table, list};
use super::redirect;
use super::scope::Scope;
use super::tree::Directive;
use super::units;
use super::work::{SiteOut, Work};

/// How a location is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// By the beginning of the path.
    Prefix,
    /// By the whole path.
    Exact,
    /// By a regular expression.
    Regex,
    /// By its name, from `try_files` or `error_page`.
    Named,
}

/// A location, wherever it stands in its server.
#[derive(Debug, Clone)]
pub(super) struct Location<'t> {
    pub(super) directive: &'t Directive,
    /// The blocks around its content.
    pub(super) scope: Scope<'t>,
    pub(super) kind: Kind,
    /// Its path, pattern or name.
    pub(super) path: String,
}

/// The locations of a block, and those inside of them.
pub(super) fn collect<'t>(scope: &Scope<'t>) -> Vec<Location<'t>> {
    let mut found = Vec::new();
    for directive in scope.own(&["location"]) {
        let (kind, path) = match directive.args.as_slice() {
            [modifier, path] => match modifier.as_str() {
                "=" => (Kind::Exact, path.clone()),
                "^~" => (Kind::Prefix, path.clone()),
                _ => (Kind::Regex, path.clone()),
            },
            [path] => match path.chars().next() {
                Some('@') => (Kind::Named, path[1..].to_owned()),
                Some('=') => (Kind::Exact, path[1..].to_owned()),
                Some('~') => (Kind::Regex, path.trim_start_matches(['~', '*']).to_owned()),
                _ => (Kind::Prefix, path.strip_prefix("^~").unwrap_or(path).to_owned()),
            },
            _ => (Kind::Regex, String::new()),
        };
        let inside = scope.inside(directive);
        found.push(Location { directive, scope: inside.clone(), kind, path });
        found.extend(collect(&inside));
    }
    found
}

/// A path, and what is said of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'t, 's> {
    pub(super) scope: &'s Scope<'t>,
    pub(super) path: &'s str,
    pub(super) kind: Kind,
    /// The location; `None` for what a server itself answers.
    pub(super) by: Option<&'t Directive>,
}

/// A server's part of the translation.
pub(super) struct Serving<'t, 's> {
    /// The blocks around the locations.
    pub(super) scope: Scope<'t>,
    pub(super) locations: Vec<Location<'t>>,
    pub(super) site: &'s mut SiteOut,
}

impl<'t> Serving<'t, '_> {
    /// Translates all locations.
    pub(super) fn translate(&mut self, work: &mut Work<'t, '_>) {
        let locations = self.locations.clone();
        // A longer path is no reason for order, but an exact one loses its place to a prefix.
        for kind in [Kind::Prefix, Kind::Exact, Kind::Regex] {
            for location in locations.iter().filter(|location| location.kind == kind) {
                match kind {
                    Kind::Regex => self.regex(work, location),
                    _ => self.path(work, location),
                }
            }
        }
        let has_root = locations.iter().any(|location| location.kind == Kind::Prefix && location.path == "/");
        if !has_root {
            self.implicit(work);
        }
        for location in locations.iter().filter(|location| location.kind == Kind::Named) {
            if work.account.fate(location.directive.index).is_none() {
                work.account.whole(location.directive, &Fate::Needless("nothing leads there".to_owned()));
            }
        }
    }

    /// What the server itself answers for paths without a location.
    fn implicit(&mut self, work: &mut Work<'t, '_>) {
        let scope = self.scope.clone();
        let is_anything =
            !scope.all(&["root"]).is_empty() || !scope.own(&["try_files", "return", "rewrite"]).is_empty();
        if is_anything {
            self.answer(work, At { scope: &scope, path: "/", kind: Kind::Prefix, by: None });
        }
    }

    fn path(&mut self, work: &mut Work<'t, '_>, location: &Location<'t>) {
        let path = location.path.as_str();
        if !path.starts_with('/') || path.contains(['%', '?', '#', '\\']) || path.contains("//") {
            work.account.without(location.directive, "its path is none of a mount");
            return;
        }
        self.answer(work, At { scope: &location.scope, path, kind: location.kind, by: Some(location.directive) });
    }

    /// Adds the mount of a path, unless another one has it.
    pub(super) fn add(&mut self, work: &mut Work<'t, '_>, table: Table, by: Option<&Directive>) {
        let is_same = |known: &Table| {
            known.path().trim_matches('"').trim_end_matches('/') == table.path().trim_matches('"').trim_end_matches('/')
        };
        if self.site.mounts.iter().any(is_same) {
            if let Some(by) = by {
                let message =
                    "another mount has this path: a mount takes its path with and without a slash, and what is below";
                work.account.without(by, message);
            }
            return;
        }
        if let Some(by) = by {
            work.account.became(by);
        }
        self.site.mounts.push(table);
    }

    /// Translates what answers at a path.
    pub(super) fn answer(&mut self, work: &mut Work<'t, '_>, at: At<'t, '_>) {
        let At { scope, path, kind, by } = at;
        let mut mount = Table::new("[[site.mount]]", by.as_slice());
        mount.text("path", path, &[]);
        if let Some(internal) = scope.own(&["internal"]).pop() {
            self.internal(work, scope, path, internal, by);
            return;
        }
        let rules = match access::of(scope) {
            Access::Open => Vec::new(),
            Access::Denied(directive) => {
                mount.set("status", "403", &[directive]);
                work.account.became(directive);
                narrower(at, &mut mount);
                self.add(work, mount, by);
                return;
            }
            Access::Ruled(rules) => rules,
        };
        super::conditions::of_location(work, scope);
        let mut tables = self.tables(work, at, mount.clone());
        if let Some(table) = tables.iter_mut().find(|table| table.items.value("path").is_some()) {
            if let Some(directive) = scope.own(&["limit_except"]).pop() {
                match (access::methods(work, directive), table.items.value("proxy").is_some()) {
                    (Ok(methods), true) => table.set("methods", list(&methods), &[directive]),
                    _ => table.closed = Some(access::close(work, scope, &[directive])),
                }
            }
            limits(work, scope, &self.scope, table);
        }
        if kind == Kind::Exact && path == "/" {
            if let Some(by) = by {
                work.account.without(by, "a mount at `/` takes every path: let the application answer for `/` alone");
            }
            return;
        }
        // Without a mount of its own the path would be open.
        if tables.is_empty() && !rules.is_empty() {
            tables.push(refused(mount));
        }
        if let Some(table) = tables.first_mut() {
            narrower(at, table);
        }
        for mut table in tables {
            if !rules.is_empty() {
                table.closed = Some(access::close(work, scope, &rules));
            }
            self.add(work, table, by);
        }
    }

    /// The mounts of a path, without its rules of access; the first is the path's own.
    pub(super) fn tables(&mut self, work: &mut Work<'t, '_>, at: At<'t, '_>, mut mount: Table) -> Vec<Table> {
        let scope = at.scope;
        if let Some(directive) = scope.own(&["return"]).first().copied() {
            return if redirect::returned(work, scope, &mut mount, directive) {
                vec![mount]
            } else {
                vec![refused(mount)]
            };
        }
        let mut rewritten = Vec::new();
        for directive in scope.own(&["rewrite"]) {
            match redirect::rewrite(scope, directive) {
                Some(rewrite) => {
                    let whole = rewrite.path == "/" && !rewrite.is_exact;
                    let mut table = Table::new("[[site.mount]]", &[]);
                    table.text("path", if whole { at.path } else { &rewrite.path }, &[]);
                    // `$rest` is what is below the mount, not below `/`.
                    let target = if whole { rewrite.target.replace("$rest", "$path") } else { rewrite.target };
                    table.text("redirect", &target, &[directive]);
                    table.set("status", rewrite.status.to_string(), &[directive]);
                    if rewrite.is_exact {
                        table.says("nginx redirects this path alone; a mount takes what is below it too.");
                    }
                    work.account.became(directive);
                    if whole {
                        rewritten.insert(0, table);
                        return rewritten;
                    }
                    rewritten.push(table);
                }
                None => work.account.without(directive, "a redirect has a path and `$rest`: write a `[[mount]]` with `redirect`, or let the application do it"),
            }
        }
        let mut tables = self.content(work, at, mount);
        tables.extend(rewritten);
        tables
    }
}

/// Says what paths the mount takes and the location does not, or the other way round.
fn narrower(at: At<'_, '_>, table: &mut Table) {
    let path = at.path;
    match at.kind {
        Kind::Exact => table.says("nginx answers so for this path alone; a mount takes what is below it too."),
        Kind::Prefix if path != "/" && !path.ends_with('/') => {
            table.says(format!("A mount ends at a segment: `{path}x` is not below it, as it is in nginx."));
        }
        _ => {}
    }
}

/// The longest body and the compression of a path, where they differ from the server's.
pub(super) fn limits(work: &mut Work<'_, '_>, scope: &Scope<'_>, server: &Scope<'_>, table: &mut Table) {
    if let Some(directive) = scope.one("client_max_body_size")
        && server.one("client_max_body_size").is_none_or(|its| its.index != directive.index)
        && let Some(size) = body_limit(work, directive)
    {
        table.set("limit_request_body", size, &[directive]);
        work.account.became(directive);
    }
    if let Some(directive) = scope.one("gzip")
        && server.one("gzip").is_none_or(|its| its.index != directive.index)
        && table.items.value("proxy").is_some()
    {
        table.text("compress", directive.arg(), &[directive]);
        work.account.became(directive);
    }
}

/// `client_max_body_size`, where 0 sets no limit.
pub(super) fn body_limit(work: &mut Work<'_, '_>, directive: &Directive) -> Option<String> {
    match work.bytes(directive, directive.arg())? {
        0 => Some("\"1024GiB\"".to_owned()),
        bytes => Some(units::size(bytes)),
    }
}

/// A mount whose answer could not be translated: nothing is served rather than something else.
pub(super) fn refused(mut mount: Table) -> Table {
    mount.set("status", "404", &[]);
    mount.says("What answers there could not be translated.");
    mount
}
