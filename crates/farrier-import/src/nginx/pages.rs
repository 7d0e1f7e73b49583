//! `error_page`: pages for errors of the server itself.

use super::files;
use super::location::Kind;
use super::output::Table;
use super::server::Server;
use super::tree::Directive;
use super::work::Work;
use farrier_config::value::quoted;

/// Sets the files of this machine that `error_page` names.
pub(super) fn translate<'t>(work: &mut Work<'t, '_>, server: &Server<'t>, table: &mut Table) {
    let own = server.locations.iter().flat_map(|location| location.scope.own(&["error_page"]));
    let all: Vec<&Directive> = server.scope.all(&["error_page"]).into_iter().chain(own).collect();
    let (mut pages, mut from): (Vec<(u16, String)>, Vec<&Directive>) = (Vec::new(), Vec::new());
    for page in all {
        let statuses: Vec<u16> =
            page.args.iter().filter_map(|arg| arg.parse().ok()).filter(|s| (400..=599).contains(s)).collect();
        let uri = page.args.last().map_or("", String::as_str);
        let changes = page.args.iter().any(|arg| arg.starts_with('='));
        let file = if uri.starts_with('/') && !changes { file_of(server, uri) } else { None };
        match file {
            Some((file, by)) if files::is_there(work, &file) && !statuses.is_empty() => {
                for status in statuses {
                    if pages.iter().all(|(known, _)| *known != status) {
                        pages.push((status, file.clone()));
                    }
                }
                from.push(page);
                work.account.became(page);
                work.account.became(by);
                for location in server.locations.iter().filter(|its| its.kind == Kind::Exact && its.path == uri) {
                    work.account.needless(location.directive, "the page is read at the start (`error_pages`)");
                }
            }
            Some((file, _)) => {
                work.account.without(page, format!("{file} is not there: make it, and name it in `error_pages`"))
            }
            None => {
                work.account.without(page, "an error page is a file of this machine, sent with the status of the error")
            }
        }
    }
    if !pages.is_empty() {
        pages.sort();
        let items: Vec<String> = pages.iter().map(|(status, file)| format!("{status} = {}", quoted(file))).collect();
        table.set("error_pages", format!("{{ {} }}", items.join(", ")), &from);
    }
}

/// The file of a path of this server.
fn file_of<'t>(server: &Server<'t>, uri: &str) -> Option<(String, &'t Directive)> {
    let exact = server.locations.iter().find(|its| its.kind == Kind::Exact && its.path == uri);
    let longest = || {
        let prefixes = server.locations.iter().filter(|its| its.kind == Kind::Prefix && uri.starts_with(&its.path));
        prefixes.max_by_key(|its| its.path.len())
    };
    let (scope, path) = match exact.or_else(longest) {
        Some(location) => (&location.scope, location.path.as_str()),
        None => (&server.scope, "/"),
    };
    let by = scope.all(&["root", "alias"]).pop()?;
    let base = by.arg();
    if base.contains('$') {
        return None;
    }
    let file = match by.name.as_str() {
        "alias" => format!("{base}{}", uri.strip_prefix(path)?),
        _ => format!("{}{uri}", base.trim_end_matches('/')),
    };
    Some((file, by))
}
