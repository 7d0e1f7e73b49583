//! Settings that are tables of a file: read with types, refused with a place, printed so that they read the same.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use farrier_config::{Config, Outcome, StaticMount, gather};

const SITES: &str = r#"
workers = 2

[[static]]
url = "/static/"
dir = "/srv/static"
index = "index.html"
max_age = "1h"

[[mount]]
path = "/api"
app = "api.wsgi:application"
limit_request_body = "1GiB"

[[mount]]
path = "/old"
redirect = "/new$rest$query"
status = 301

[error_pages]
404 = "pages/404.html"

[[site]]
hosts = ["example.org", "*.example.org"]
app = "shop.wsgi"
canonical-host = "example.org"
error_pages = { 503 = "down.html" }

[[site.mount]]
path = "/down"
status = 503

[[site.static]]
url = "/media"
dir = "media"
"#;

fn asked(arguments: &[&str], file: &str) -> Result<Outcome, String> {
    let read = |path: &Path| {
        if path == Path::new("farrier.toml") { Ok(file.to_string()) } else { Err(io::ErrorKind::NotFound.into()) }
    };
    gather(arguments, [("", ""); 0], read).map_err(|error| error.to_string())
}

fn config(arguments: &[&str], file: &str) -> Config {
    match asked(arguments, file) {
        Ok(Outcome::Run(config)) => *config,
        other => panic!("{other:?}"),
    }
}

fn errors(file: &str) -> String {
    match asked(&[], file) {
        Err(errors) => errors,
        other => panic!("{other:?}"),
    }
}

#[test]
fn tables_become_typed_values() {
    let config = config(&[], SITES);
    let [files] = config.static_files.as_slice() else { panic!("{config:?}") };
    assert_eq!((files.url.as_str(), files.directory.as_path()), ("/static", Path::new("/srv/static")));
    assert_eq!((files.index.as_deref(), files.max_age), (Some("index.html"), Duration::from_secs(3600)));
    assert_eq!(files.place.to_string(), "farrier.toml:4");
    let [api, old] = config.mounts.as_slice() else { panic!("{config:?}") };
    assert_eq!((api.path.as_str(), api.app.as_deref()), ("/api", Some("api.wsgi:application")));
    assert_eq!(old.status.map(|status| status.0), Some(301));
    assert_eq!(config.error_pages.0.get(&404), Some(&PathBuf::from("pages/404.html")));
    let [site] = config.sites.as_slice() else { panic!("{config:?}") };
    assert_eq!(site.hosts.iter().map(ToString::to_string).collect::<Vec<_>>(), ["example.org", "*.example.org"]);
    assert!(!site.is_default);
    assert_eq!((site.mounts.len(), site.static_files.len()), (1, 1));
    assert_eq!(site.static_files[0].place.to_string(), "farrier.toml:33");
}

#[test]
fn flags_and_variables_have_a_short_form() {
    let config = config(&["--static", "/static/=/srv/a,b", "--static=/media=/m", "--mount", "/api=api:make(x=1)"], "");
    let files: Vec<_> = config.static_files.iter().map(|files| (files.url.as_str(), files.directory.clone())).collect();
    assert_eq!(files, [("/static", PathBuf::from("/srv/a,b")), ("/media", PathBuf::from("/m"))]);
    assert_eq!(config.static_files[1].place.to_string(), "command line --static");
    assert_eq!(config.mounts[0].app.as_deref(), Some("api:make(x=1)"));

    let variables = [("FARRIER_STATIC", "/static=/srv")];
    match gather(["app:app"], variables, |_| Err(io::ErrorKind::NotFound.into())) {
        Ok(Outcome::Run(config)) => assert_eq!(config.static_files[0].place.to_string(), "environment FARRIER_STATIC"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_wrong_in_a_table_is_named_with_its_line() {
    for (file, error) in [
        ("[[static]]\nurl = '/a'\n", "farrier.toml:1: static: `dir` is missing: a path"),
        (
            "[[static]]\nurl = '/a'\ndir = 'a'\nindx = 'i'\n",
            "farrier.toml:4: static: unknown key `indx`; did you mean `index`?",
        ),
        ("[[static]]\nurl = 'a'\ndir = 'a'\n", "farrier.toml:2: static: url: `a` must begin with a slash: `/a`"),
        (
            "[[static]]\nurl = '/a'\ndir = 'a'\nmax_age = 'x'\n",
            "farrier.toml:4: static: max_age: expected a duration such as `500ms`, `30s`, `5m` or a number of seconds, got `x`",
        ),
        (
            "static = 3\n",
            "farrier.toml:1: static: expected `URL=DIR` such as `/static/=/srv/static`, `auto`, or a table with `url` and `dir`, got `3`",
        ),
        ("[[sites]]\nhosts = []\n", "farrier.toml:1: unknown table `sites`; did you mean `[[site]]`?"),
        ("[server]\nworkers = 1\n", "farrier.toml:1: unknown table `server`; every setting is a key at the top level"),
        (
            "[[site]]\nhosts = ['a b']\n",
            "farrier.toml:2: site: hosts: expected a host's name such as `example.org` or `*.example.org`, got `a b`",
        ),
        (
            "[[site]]\nhosts = ['a']\n[[site.mount]]\npath = '/x'\napp = true\n",
            "farrier.toml:5: site: mount: app: expected text, got `true`",
        ),
        (
            "[[site]]\nhosts = ['a']\n[site.error_pages]\n200 = 'x'\n",
            "farrier.toml:4: site: error_pages: `200` is no status of an error, which is from 400 to 599",
        ),
        (
            "workers = { a = 1 }\n",
            "farrier.toml:1: workers: expected a whole number of at least 1 or `auto`, got a table",
        ),
    ] {
        assert_eq!(errors(file), error);
    }
    let several = errors("[[static]]\nurl = 'a'\ndirr = 'b'\n\n[[mount]]\npath = 3\n");
    assert_eq!(several.lines().count(), 4, "{several}");
}

#[test]
fn what_is_printed_gives_the_same_tables_and_names_their_place() {
    let printed = |file: &str| match asked(&["--print-config"], file) {
        Ok(Outcome::PrintConfig { config, text }) => (*config, text),
        other => panic!("{other:?}"),
    };
    let (first, text) = printed(SITES);
    let (again, _) = printed(&text);
    assert_eq!(again, first, "{text}");
    for line in [
        "[[static]]                                    # farrier.toml:4",
        "# mount: 2 below                              # farrier.toml:10",
        "[[site.mount]]                                # farrier.toml:29",
        "error_pages = { 404 = \"pages/404.html\" }      # farrier.toml:20",
    ] {
        assert!(text.lines().any(|printed| printed == line), "{line:?} is not in\n{text}");
    }
}

#[test]
fn a_static_mount_is_made_of_its_two_parts() {
    let made = config(&["--static", "/a=/b"], "").static_files.remove(0);
    assert_eq!(made, StaticMount::new(made.url.clone(), PathBuf::from("/b")));
}
