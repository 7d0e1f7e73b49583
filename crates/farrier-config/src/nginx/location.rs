//! `location`: what is served below a path, as mounts.

use super::access::{self, Access};
use super::account::Fate;
use super::files::{self, Fallback, Folder};
use super::forward;
use super::output::{Table, list};
use super::redirect;
use super::regex::{self, Shape};
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
            self.answer(work, &scope, "/", Kind::Prefix, None);
        }
    }

    fn path(&mut self, work: &mut Work<'t, '_>, location: &Location<'t>) {
        let path = location.path.as_str();
        if !path.starts_with('/') || path.contains(['%', '?', '#', '\\']) || path.contains("//") {
            work.account.without(location.directive, "its path is none of a mount");
            return;
        }
        self.answer(work, &location.scope, path, location.kind, Some(location.directive));
    }

    /// Adds the mount of a path, unless another one has it.
    fn add(&mut self, work: &mut Work<'t, '_>, table: Table, by: Option<&Directive>) {
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
    fn answer(
        &mut self,
        work: &mut Work<'t, '_>,
        scope: &Scope<'t>,
        path: &str,
        kind: Kind,
        by: Option<&'t Directive>,
    ) {
        let from: Vec<&Directive> = by.into_iter().collect();
        let mut mount = Table::new("[[site.mount]]", &from);
        mount.text("path", path, &[]);
        let internal = scope.own(&["internal"]).pop();
        if let Some(internal) = internal {
            self.internal(work, scope, path, internal, by);
            return;
        }
        let rules = match access::of(scope) {
            Access::Open => Vec::new(),
            Access::Denied(directive) => {
                mount.set("status", "403", &[directive]);
                work.account.became(directive);
                self.add(work, mount, by);
                return;
            }
            Access::Ruled(rules) => rules,
        };
        super::conditions::of_location(work, scope);
        let mut tables = self.tables(work, scope, path, kind, by, mount);
        if let Some(table) = tables.iter_mut().find(|table| table.items.value("path").is_some()) {
            let limited = scope.own(&["limit_except"]).pop();
            if let Some(directive) = limited {
                match (access::methods(work, directive), table.items.value("proxy").is_some()) {
                    (Ok(methods), true) => table.set("methods", list(&methods), &[directive]),
                    _ => table.closed = Some(access::close(work, scope, &[directive])),
                }
            }
            limits(work, scope, &self.scope, table);
        }
        if kind == Kind::Exact
            && let Some(table) = tables.first_mut()
        {
            if path == "/" {
                if let Some(by) = by {
                    work.account
                        .without(by, "a mount at `/` takes every path: let the application answer for `/` alone");
                }
                return;
            }
            table.says("nginx answers so for this path alone; a mount takes what is below it too.");
        } else if kind == Kind::Prefix && path != "/" && !path.ends_with('/') {
            if let Some(table) = tables.first_mut() {
                table.says(format!("A mount ends at a segment: `{path}x` is not below it, as it is in nginx."));
            }
        }
        for mut table in tables {
            if !rules.is_empty() {
                table.closed = Some(access::close(work, scope, &rules));
            }
            self.add(work, table, by);
        }
    }

    /// The mounts of a path, without its rules of access; the first is the path's own.
    fn tables(
        &mut self,
        work: &mut Work<'t, '_>,
        scope: &Scope<'t>,
        path: &str,
        kind: Kind,
        by: Option<&'t Directive>,
        mut mount: Table,
    ) -> Vec<Table> {
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
                    table.text("path", if whole { path } else { &rewrite.path }, &[]);
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
        let mut tables = self.content(work, scope, path, kind, by, mount);
        tables.extend(rewritten);
        tables
    }

    /// What forwards requests or serves files at a path.
    fn content(
        &mut self,
        work: &mut Work<'t, '_>,
        scope: &Scope<'t>,
        path: &str,
        kind: Kind,
        by: Option<&'t Directive>,
        mut mount: Table,
    ) -> Vec<Table> {
        if let Some(pass) = scope.own(&["proxy_pass", "uwsgi_pass", "fastcgi_pass"]).first().copied() {
            let is_known = forward::translate(work, scope, &mut mount, pass, path);
            return vec![if is_known { mount } else { refused(mount) }];
        }
        if let Some(pass) = scope.own(&["grpc_pass", "scgi_pass", "memcached_pass", "stub_status"]).first().copied() {
            if let Some(by) = by {
                work.account.without(by, format!("`{}` has no counterpart", pass.name));
            }
            return vec![refused(mount)];
        }
        let folder = match files::folder(scope, path) {
            Ok(folder) => folder,
            Err(root) => {
                work.account.without(root, "the folder is only known when a request comes");
                None
            }
        };
        match scope.own(&["try_files"]).pop() {
            Some(tried) => self.tried(work, scope, path, by, mount, folder, tried),
            None => self.files(work, scope, path, kind, by, folder),
        }
    }

    fn files(
        &mut self,
        work: &mut Work<'t, '_>,
        scope: &Scope<'t>,
        path: &str,
        kind: Kind,
        by: Option<&'t Directive>,
        folder: Option<Folder<'t>>,
    ) -> Vec<Table> {
        let Some(folder) = folder else {
            if let Some(by) = by {
                work.account.without(by, "nothing of its own answers there: the mount around it does");
            }
            return Vec::new();
        };
        if kind == Kind::Exact {
            if let Some(by) = by {
                work.account.without(
                    by,
                    "one file has no mount: the mount around it answers, or put the file into a folder of its own",
                );
            }
            return Vec::new();
        }
        vec![files::table(work, scope, &by.into_iter().collect::<Vec<_>>(), path, &folder)]
    }

    fn tried(
        &mut self,
        work: &mut Work<'t, '_>,
        scope: &Scope<'t>,
        path: &str,
        by: Option<&'t Directive>,
        mut mount: Table,
        folder: Option<Folder<'t>>,
        tried: &'t Directive,
    ) -> Vec<Table> {
        let from: Vec<&Directive> = by.into_iter().collect();
        let fallback = files::fallback(tried);
        match (fallback, folder) {
            (Fallback::Named(name), folder) => {
                let named = self.locations.iter().find(|its| its.kind == Kind::Named && its.path == name).cloned();
                let Some(named) = named else {
                    work.account.without(tried, format!("there is no `location @{name}`"));
                    return Vec::new();
                };
                mount.from.push(named.directive.index);
                let mut tables = self.tables(work, &named.scope, path, Kind::Prefix, Some(named.directive), mount);
                work.account.became(named.directive);
                work.account.became(tried);
                limits(
                    work,
                    &named.scope,
                    &self.scope,
                    match tables.first_mut() {
                        Some(first) => first,
                        None => return tables,
                    },
                );
                if let Some(folder) = folder {
                    found(work, scope, path, &folder, tried, &mut tables);
                }
                tables
            }
            (Fallback::Status(status), Some(folder)) => {
                let mut table = files::table(work, scope, &from, path, &folder);
                if status != "404" {
                    table.says(format!("For a missing file nginx answers {status}; here it is 404."));
                }
                work.account.became(tried);
                vec![table]
            }
            (Fallback::File(file), Some(folder)) => {
                let mut table = files::table(work, scope, &from, path, &folder);
                files::falls_back(work, &mut table, path, &file, tried);
                vec![table]
            }
            (Fallback::Other, Some(folder)) => {
                work.account.without(
                    tried,
                    "a missing file is answered with 404; a script behind FastCGI is a mount with `proxy`",
                );
                vec![files::table(work, scope, &from, path, &folder)]
            }
            (_, None) => {
                work.account.without(tried, "there is no `root` for it");
                Vec::new()
            }
        }
    }

    /// `internal`: files that an application names, or a page that only errors lead to.
    fn internal(
        &mut self,
        work: &mut Work<'t, '_>,
        scope: &Scope<'t>,
        path: &str,
        internal: &'t Directive,
        by: Option<&'t Directive>,
    ) {
        let is_page =
            self.scope.all(&["error_page"]).iter().any(|page| page.args.last().is_some_and(|its| its == path));
        let folder = files::folder(scope, path).ok().flatten();
        match (folder, by) {
            (Some(folder), Some(by)) if !is_page && path != "/" => {
                let mut table = Table::new("[[internal]]", &[by]);
                table.text("url", path, &[internal]);
                table.text("dir", &folder.path, &[folder.by]);
                for directive in [by, internal, folder.by] {
                    work.account.became(directive);
                }
                work.internals.push(table);
                let mut mount = Table::new("[[site.mount]]", &[]);
                mount.text("path", path, &[]);
                mount.set("status", "404", &[internal]);
                mount.says("Clients cannot ask for the files that an application names.");
                self.add(work, mount, None);
            }
            (_, Some(by)) if is_page => {
                work.account.needless(internal, "the page is read at the start, and no path leads to it");
                work.account.needless(by, "the page is read at the start (`error_pages`)");
            }
            (_, by) => {
                let mut table = Table::new("[[site.mount]]", by.as_slice());
                table.text("path", path, &[]);
                table.set("status", "404", &[internal]);
                work.account.became(internal);
                self.add(work, table, by);
            }
        }
    }

    fn regex(&mut self, work: &mut Work<'t, '_>, location: &Location<'t>) {
        let directive = location.directive;
        let access = access::of(&location.scope);
        let is_refused = matches!(access, Access::Denied(_))
            || location.scope.own(&["return"]).iter().any(|its| matches!(its.arg(), "403" | "404" | "444"));
        match regex::shape(&location.path) {
            Shape::Hidden if is_refused => {
                let why =
                    "files whose names begin with a dot are never served; a server behind the proxy answers for itself";
                work.account.whole(directive, &Fate::Needless(why.to_owned()));
            }
            Shape::Php if is_refused => files::hide(work, directive, &[".php".to_owned()]),
            Shape::Endings(endings) if is_refused && endings.iter().all(|ending| !ending.contains('?')) => {
                files::hide(work, directive, &endings);
            }
            Shape::Php => {
                let instead = "a mount with `proxy = \"fastcgi://…\"` and `fastcgi_split = \".php\"` forwards a whole path, scripts and files alike";
                work.account.whole(directive, &Fate::Without(instead.to_owned()));
            }
            Shape::Endings(endings) => {
                let says = format!(
                    "files ending in {} are served by the `[[site.static]]` that they are in, whose `max_age` and `immutable` say how long they last",
                    endings.join(", ")
                );
                let fate = if is_refused { Fate::Dropped(says) } else { Fate::Without(says) };
                work.account.whole(directive, &fate);
            }
            Shape::Prefixes(paths) => {
                for path in paths {
                    self.answer(work, &location.scope, &path, Kind::Prefix, Some(directive));
                }
            }
            Shape::Hidden | Shape::Other => {
                let says =
                    "a mount has a path, and no regular expression: write the paths, or let the application decide";
                let is_ruled = is_refused || matches!(access, Access::Ruled(_));
                let fate = if is_ruled { Fate::Dropped(says.to_owned()) } else { Fate::Without(says.to_owned()) };
                work.account.whole(directive, &fate);
            }
        }
    }
}

/// A mount whose answer could not be translated: nothing is served rather than something else.
fn refused(mut mount: Table) -> Table {
    mount.set("status", "404", &[]);
    mount.says("What answers there could not be translated.");
    mount
}

/// The folders that a `try_files $uri @name` would serve files from.
fn found(
    work: &mut Work<'_, '_>,
    scope: &Scope<'_>,
    path: &str,
    folder: &Folder<'_>,
    tried: &Directive,
    tables: &mut Vec<Table>,
) {
    work.account.became(folder.by);
    match files::found_in(work, &folder.path) {
        Some((folders, names)) => {
            let base = path.trim_end_matches('/');
            for name in folders {
                let inside = Folder { path: format!("{}/{name}", folder.path.trim_end_matches('/')), by: folder.by };
                let mut table = files::table(work, scope, &[tried], &format!("{base}/{name}/"), &inside);
                table.says("It is a folder of the root that `try_files` looks into. A file that is missing there is answered with 404.");
                tables.push(table);
            }
            if !names.is_empty()
                && let Some(first) = tables.first_mut()
            {
                let shown: Vec<String> = names.iter().take(8).map(|name| format!("`{name}`")).collect();
                let more = if names.len() > 8 { " and others" } else { "" };
                first.says(format!(
                    "nginx serves files of {} first: {}{more}. Move them into a folder with a `[[site.static]]`, or let the application serve them.",
                    folder.path,
                    shown.join(", ")
                ));
            }
        }
        None => {
            if let Some(first) = tables.first_mut() {
                first.says(format!(
                    "nginx serves files of {} first. The folder is not on this machine: write a `[[site.static]]` for each folder in it.",
                    folder.path
                ));
            }
        }
    }
}

/// The longest body and the compression of a path, where they differ from the server's.
fn limits(work: &mut Work<'_, '_>, scope: &Scope<'_>, server: &Scope<'_>, table: &mut Table) {
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
