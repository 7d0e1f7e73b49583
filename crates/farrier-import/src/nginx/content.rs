//! What forwards requests or serves files at a path, with the forms of `try_files`.

use super::access::{self, Access};
use super::files::{self, Fallback, Folder};
use super::forward::{self, Forwarded};
use super::location::{At, Kind, Serving, limits, refused};
use super::output::Table;
use super::tree::Directive;
use super::work::Work;

impl<'t> Serving<'t, '_> {
    /// What forwards requests or serves files at a path.
    pub(super) fn content(&mut self, work: &mut Work<'t, '_>, at: At<'t, '_>, mut mount: Table) -> Vec<Table> {
        let scope = at.scope;
        if let Some(pass) = scope.own(&["proxy_pass", "uwsgi_pass", "fastcgi_pass"]).first().copied() {
            return match forward::translate(work, scope, &mut mount, pass, at.path) {
                Forwarded::Here => vec![mount],
                Forwarded::Unknown => vec![refused(mount)],
                Forwarded::ByTheApplication => {
                    if let Some(by) = at.by {
                        work.account.needless(by, "the application's mount at `/` takes the path");
                    }
                    for directive in scope.own(&["client_max_body_size"]) {
                        let says = "the application has one mount: raise `limit_request_body` of the site";
                        work.account.without(directive, says);
                    }
                    Vec::new()
                }
            };
        }
        if let Some(pass) = scope.own(&["grpc_pass", "scgi_pass", "memcached_pass", "stub_status"]).first().copied() {
            if let Some(by) = at.by {
                work.account.without(by, format!("`{}` has no counterpart", pass.name));
            }
            return vec![refused(mount)];
        }
        let folder = match files::folder(scope, at.path) {
            Ok(folder) => folder,
            Err(root) => {
                work.account.without(root, "the folder is only known when a request comes");
                None
            }
        };
        match (scope.own(&["try_files"]).pop(), folder) {
            (Some(tried), folder) => match (files::fallback(tried), folder) {
                (Fallback::Named(name), folder) => self.named(work, at, mount, folder, (tried, &name)),
                (fallback, Some(folder)) => vec![tries(work, at, &folder, tried, fallback)],
                (_, None) => {
                    work.account.without(tried, "there is no `root` for it");
                    Vec::new()
                }
            },
            (None, Some(folder)) if at.kind == Kind::Exact || files::is_one_file(work, at.path, &folder) => {
                vec![one_file(work, at, mount, &folder)]
            }
            (None, Some(folder)) => {
                vec![files::table(work, scope, at.by.as_slice(), at.path, &folder)]
            }
            (None, None) => {
                mount.set("status", "404", &[]);
                mount.says("There is no `root`, so nginx has no file for it.");
                vec![mount]
            }
        }
    }

    /// `try_files` with the name of a location behind it.
    fn named(
        &mut self,
        work: &mut Work<'t, '_>,
        at: At<'t, '_>,
        mut mount: Table,
        folder: Option<Folder<'t>>,
        (tried, name): (&'t Directive, &str),
    ) -> Vec<Table> {
        let found = self.locations.iter().find(|its| its.kind == Kind::Named && its.path == name).cloned();
        // A named location may lead to another one, and back.
        let Some(named) = found.filter(|_| at.kind != Kind::Named) else {
            work.account.without(tried, format!("no `location @{name}` answers there"));
            return Vec::new();
        };
        work.account.became(named.directive);
        work.account.became(tried);
        mount.from.push(named.directive.index);
        let there = At { scope: &named.scope, kind: Kind::Named, by: Some(named.directive), ..at };
        let mut tables = match access::of(&named.scope) {
            Access::Denied(directive) => {
                mount.set("status", "403", &[directive]);
                work.account.became(directive);
                vec![mount]
            }
            Access::Open => self.tables(work, there, mount),
            Access::Ruled(rules) => {
                let mut tables = self.tables(work, there, mount);
                let reason = access::close(work, &named.scope, &rules);
                tables.iter_mut().for_each(|table| table.closed = Some(reason.clone()));
                tables
            }
        };
        super::conditions::of_location(work, &named.scope);
        if let Some(first) = tables.first_mut() {
            limits(work, &named.scope, &self.scope, first);
        }
        if let Some(folder) = folder {
            found_first(work, at, &folder, tried, &mut tables);
        }
        tables
    }
}

/// A file with a path of its own; 404 if it is not there, as nginx answers.
fn one_file(work: &mut Work<'_, '_>, at: At<'_, '_>, mut mount: Table, file: &Folder<'_>) -> Table {
    if files::is_there(work, &file.path) && files::has_same_ending(at.path, &file.path) {
        return files::table(work, at.scope, at.by.as_slice(), at.path, file);
    }
    work.account.became(file.by);
    mount.set("status", "404", &[file.by]);
    mount.says(format!("{} was not there at the import.", file.path));
    mount
}

/// `try_files` with a status or a file behind it.
fn tries(work: &mut Work<'_, '_>, at: At<'_, '_>, folder: &Folder<'_>, tried: &Directive, fallback: Fallback) -> Table {
    let mut table = files::table(work, at.scope, at.by.as_slice(), at.path, folder);
    match fallback {
        Fallback::Status(status) => {
            if status != "404" {
                table.says(format!("For a missing file nginx answers {status}; here it is 404."));
            }
            work.account.became(tried);
        }
        Fallback::File(file) => files::falls_back(work, &mut table, at.path, &file, tried),
        Fallback::Named(_) | Fallback::Other => {
            let says = "a missing file is answered with 404; a script behind FastCGI is a mount with `proxy`";
            work.account.without(tried, says);
        }
    }
    table
}

/// The most files of a root that get a path of their own.
const FILES_MAX: usize = 32;

/// The folders and files that a `try_files $uri @name` would serve.
fn found_first(
    work: &mut Work<'_, '_>,
    at: At<'_, '_>,
    folder: &Folder<'_>,
    tried: &Directive,
    tables: &mut Vec<Table>,
) {
    work.account.became(folder.by);
    match files::found_in(work, &folder.path) {
        Some((folders, names)) => {
            let base = at.path.trim_end_matches('/');
            for name in folders {
                let inside = Folder { path: format!("{}/{name}", folder.path.trim_end_matches('/')), by: folder.by };
                let mut table = files::table(work, at.scope, &[tried], &format!("{base}/{name}/"), &inside);
                table.says("It is a folder of the root that `try_files` looks into. A file that is missing there is answered with 404.");
                tables.push(table);
            }
            let (own, others): (Vec<String>, Vec<String>) =
                names.into_iter().partition(|name| name.contains('.') && !name.contains(['%', '?', '#', '\\']));
            for name in own.iter().take(FILES_MAX) {
                let inside = Folder { path: format!("{}/{name}", folder.path.trim_end_matches('/')), by: folder.by };
                tables.push(files::table(work, at.scope, &[tried], &format!("{base}/{name}"), &inside));
            }
            let left: Vec<&String> = own.iter().skip(FILES_MAX).chain(&others).collect();
            if !left.is_empty()
                && let Some(first) = tables.first_mut()
            {
                let shown: Vec<String> = left.iter().take(8).map(|name| format!("`{name}`")).collect();
                let more = if left.len() > 8 { " and others" } else { "" };
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
