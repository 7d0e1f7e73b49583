//! A location that serves files: `root`, `alias`, `index`, `try_files` and `expires`.

use super::output::{Table, list};
use super::scope::Scope;
use super::tree::Directive;
use super::units;
use super::work::Work;
use farrier_config::SETTINGS;
use farrier_config::value::quoted;

/// Where the files of a location are.
#[derive(Debug, Clone)]
pub(super) struct Folder<'t> {
    pub(super) path: String,
    pub(super) by: &'t Directive,
}

/// The folder of a location: `alias` stands for its path, and `root` is put before it.
///
/// # Errors
/// The folder is only known while nginx runs, with the directive that names it.
pub(super) fn folder<'t>(scope: &Scope<'t>, path: &str) -> Result<Option<Folder<'t>>, &'t Directive> {
    let Some(by) = scope.all(&["root", "alias"]).pop() else { return Ok(None) };
    let named = scope.filled(by.arg());
    if named.contains('$') {
        return Err(by);
    }
    let below = if by.name == "root" { path.trim_matches('/') } else { "" };
    let base = named.trim_end_matches('/');
    let folder = match (base.is_empty(), below.is_empty()) {
        (true, true) => "/".to_owned(),
        (_, true) => base.to_owned(),
        _ => format!("{base}/{below}"),
    };
    Ok(Some(Folder { path: folder, by }))
}

/// A `[[site.static]]` of a location.
pub(super) fn table(
    work: &mut Work<'_, '_>,
    scope: &Scope<'_>,
    location: &[&Directive],
    url: &str,
    folder: &Folder<'_>,
) -> Table {
    let mut table = Table::new("[[site.static]]", location);
    table.text("url", url, &[]);
    table.text("dir", &folder.path, &[folder.by]);
    work.account.became(folder.by);
    if folder.by.name == "alias" && url != "/" && url.ends_with('/') != folder.by.arg().ends_with('/') {
        table.says(
            "The slash at the end of the location or of its `alias` is missing, so that nginx serves files beside the folder \
             (`/static../`) or none. Here only the folder is served.",
        );
    }
    must_be_there(work, &mut table, folder);
    if !has_same_ending(url, &folder.path) {
        index(work, scope, &mut table, url);
    }
    lifetime(work, scope, &mut table);
    table
}

/// Says that a folder is missing: a server does not start without it.
pub(super) fn must_be_there(work: &mut Work<'_, '_>, table: &mut Table, folder: &Folder<'_>) {
    let is_missing = work.files.names(std::path::Path::new(&folder.path)).is_err() && !is_file(work, &folder.path);
    if is_missing {
        table.says("The folder was not there at the import. It must be there at the start.");
    }
}

/// The file of a folder. nginx looks for `index.html` if nothing else is said.
fn index(work: &mut Work<'_, '_>, scope: &Scope<'_>, table: &mut Table, url: &str) {
    match scope.one("index") {
        Some(directive) => {
            let names: Vec<&String> =
                directive.args.iter().filter(|name| !name.contains('$') && !name.ends_with(".php")).collect();
            let Some(name) = names.first() else {
                work.account.without(directive, "`index` is a file that is sent as it is");
                return;
            };
            table.text("index", name, &[directive]);
            if directive.args.len() > 1 {
                table.items.remark("index", "Only one name is tried.");
            }
            work.account.became(directive);
        }
        None if url == "/" || scope.own(&["try_files"]).iter().any(|its| its.args.iter().any(|arg| arg == "$uri/")) => {
            table.text("index", "index.html", &[]);
        }
        None => {}
    }
}

/// `expires`, and `add_header Cache-Control`.
fn lifetime(work: &mut Work<'_, '_>, scope: &Scope<'_>, table: &mut Table) {
    if let Some(directive) = scope.one("expires") {
        match directive.args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["max"] => forever(work, table, directive),
            ["off"] => work.account.needless(directive, "nothing is set"),
            ["epoch" | "-1"] => {
                table.set("max_age", "0", &[directive]);
                work.account.became(directive);
            }
            [time] if !time.starts_with(['-', '@', '$']) => {
                if let Some(time) = work.duration(directive, time) {
                    table.set("max_age", time, &[directive]);
                    work.account.became(directive);
                }
            }
            _ => work.account.without(directive, "`max_age` is a time"),
        }
    }
    for directive in scope.all(&["add_header"]) {
        let (name, value) = (directive.arg(), directive.args.get(1).map_or("", String::as_str).to_ascii_lowercase());
        if name.eq_ignore_ascii_case("strict-transport-security") {
            super::response_fields::hsts(work, directive, &value);
            continue;
        }
        if !name.eq_ignore_ascii_case("cache-control") && !name.eq_ignore_ascii_case("pragma") {
            work.account.without(directive, "files have the fields of files: an application sets others");
            continue;
        }
        let age = value.split(',').find_map(|part| part.trim().strip_prefix("max-age=")?.parse::<u64>().ok());
        match age {
            _ if value.contains("immutable") => forever(work, table, directive),
            Some(seconds) => {
                table.set("max_age", units::duration(seconds.saturating_mul(1000)), &[directive]);
                work.account.became(directive);
            }
            None if value.contains("no-cache") || value.contains("no-store") || value.contains("must-revalidate") => {
                table.set("max_age", "0", &[directive]);
                work.account.became(directive);
            }
            None => work.account.needless(directive, "`public` says what holds anyway"),
        }
    }
}

/// Whether files never change here: `expires max`, or a Cache-Control that says so.
pub(super) fn is_forever(scope: &Scope<'_>) -> bool {
    let says = |its: &&Directive| {
        its.arg().eq_ignore_ascii_case("cache-control")
            && its.args.get(1).is_some_and(|value| value.contains("immutable"))
    };
    scope.own(&["expires"]).iter().any(|its| its.arg() == "max") || scope.own(&["add_header"]).iter().any(says)
}

/// Whether a file is there, as far as its folder can be seen.
pub(super) fn is_there(work: &mut Work<'_, '_>, file: &str) -> bool {
    let path = std::path::Path::new(file);
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return false };
    match work.files.names(folder) {
        Ok(names) => names.iter().any(|known| known.as_str() == name),
        Err(_) => true,
    }
}

fn is_file(work: &mut Work<'_, '_>, file: &str) -> bool {
    let path = std::path::Path::new(file);
    let names = path.parent().and_then(|folder| work.files.names(folder).ok()).unwrap_or_default();
    path.file_name().is_some_and(|name| names.iter().any(|known| known.as_str() == name))
}

/// Whether a path ends as its file does, which tells it from a folder.
pub(super) fn has_same_ending(path: &str, file: &str) -> bool {
    let ending = |text: &str| std::path::Path::new(text).extension().map(std::ffi::OsStr::to_owned);
    ending(path).is_some() && ending(path) == ending(file)
}

/// Whether a folder is one file. `location /robots.txt { alias …/robots.txt; }` looks as a folder does.
pub(super) fn is_one_file(work: &mut Work<'_, '_>, path: &str, folder: &Folder<'_>) -> bool {
    let name = |text: &str| text.rsplit('/').next().unwrap_or_default().to_owned();
    if path.ends_with('/') || !name(path).contains('.') {
        return false;
    }
    work.files.names(std::path::Path::new(&folder.path)).is_err()
}

fn forever(work: &mut Work<'_, '_>, table: &mut Table, directive: &Directive) {
    table.set("immutable", list(&["**"]), &[directive]);
    work.account.became(directive);
}

/// Names of files that nobody is sent, beside those that Farrier hides anyway.
pub(super) fn hide(work: &mut Work<'_, '_>, by: &Directive, endings: &[String]) {
    const KEY: &str = "static_hide";
    let usual = SETTINGS.iter().find(|row| row.name == KEY).map_or("", |row| row.default);
    let mut names: Vec<String> = match work.settings.value(KEY) {
        Some(known) => {
            known.trim_matches(['[', ']']).split(", ").map(|name| name.trim_matches('"').to_owned()).collect()
        }
        None => usual.split(',').map(str::to_owned).collect(),
    };
    for ending in endings {
        let name = format!("*{ending}");
        if !names.contains(&name) {
            names.push(name);
        }
    }
    work.settings.set(KEY, list(&names), &[by]);
    work.settings
        .remark(KEY, "It holds for files; a server behind this one gets such requests, and answers for itself.");
}

/// What a `try_files` falls back to.
pub(super) enum Fallback {
    /// A status.
    Status(String),
    /// The location of this name.
    Named(String),
    /// A file of the folder.
    File(String),
    /// Something else.
    Other,
}

/// Reads a `try_files`.
pub(super) fn fallback(directive: &Directive) -> Fallback {
    let Some((last, tried)) = directive.args.split_last() else { return Fallback::Other };
    let is_usual = |name: &String| {
        matches!(name.as_str(), "$uri" | "$uri/" | "$uri/index.html" | "$uri.html") || !name.contains('$')
    };
    if !tried.iter().all(is_usual) {
        return Fallback::Other;
    }
    if let Some(status) = last.strip_prefix('=') {
        return Fallback::Status(status.to_owned());
    }
    if let Some(name) = last.strip_prefix('@') {
        return Fallback::Named(name.to_owned());
    }
    let path = last.split('?').next().unwrap_or_default();
    if path.starts_with('/') && !path.contains('$') && !path.ends_with(".php") && !last.contains('?') {
        return Fallback::File(path.to_owned());
    }
    Fallback::Other
}

/// The folders in a root whose files `try_files` would find before it asks the server behind, and how many files are
/// beside them; `None` if the root is not on this machine.
pub(super) fn found_in(work: &mut Work<'_, '_>, root: &str) -> Option<(Vec<String>, Vec<String>)> {
    let mut names = work.files.names(std::path::Path::new(root)).ok()?;
    names.sort();
    let (mut folders, mut files) = (Vec::new(), Vec::new());
    for name in names.into_iter().filter(|name| !name.starts_with('.')) {
        let is_path = !name.contains(['%', '?', '#', '\\']) && !name.contains(char::is_control);
        match work.files.names(&std::path::Path::new(root).join(&name)) {
            Ok(_) if is_path => folders.push(name),
            _ => files.push(name),
        }
    }
    Some((folders, files))
}

/// The key that sends a file in the place of a missing one.
pub(super) fn falls_back(work: &mut Work<'_, '_>, table: &mut Table, url: &str, file: &str, by: &Directive) {
    let below = file.strip_prefix(url.trim_end_matches('/')).unwrap_or(file).trim_start_matches('/');
    table.set("fallback", quoted(below), &[by]);
    work.account.became(by);
}
