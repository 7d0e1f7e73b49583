//! Tests of sites and mounts: their plan, and contradictions.

use std::io;
use std::path::Path;

use farrier_config::sites::{SitePlan, Target};
use farrier_config::value::Value;
use farrier_config::{Config, Outcome, gather};

fn config(arguments: &[&str], file: &str) -> Result<Config, String> {
    let read = |path: &Path| match path == Path::new("farrier.toml") {
        true => Ok(file.to_string()),
        false => Err(io::ErrorKind::NotFound.into()),
    };
    match gather(arguments, [("", ""); 0], read) {
        Ok(Outcome::Run(config)) => Ok(*config),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.to_string()),
    }
}

fn plans(arguments: &[&str], file: &str) -> Vec<SitePlan> {
    let config = config(arguments, file).unwrap_or_else(|error| panic!("{error}"));
    config.site_plans().unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn kinds(site: &SitePlan) -> Vec<String> {
    let kind = |target: &Target| match target {
        Target::Application(name) => format!("app {}", name.as_deref().unwrap_or("found")),
        Target::Static(files) => format!("static {}", files.directory.display()),
        Target::Proxy(plan) => format!("proxy {}", plan.target.text()),
        Target::Redirect { status, .. } => format!("redirect {status}"),
        Target::Respond { status, content, .. } => format!("respond {status} {content:?}"),
    };
    site.mounts.iter().map(|mount| format!("{} {}", mount.path.as_str(), kind(&mount.target))).collect()
}

#[test]
fn without_sites_there_is_one_that_serves_every_name() {
    let [site] = &plans(&["app:app"], "")[..] else { panic!() };
    assert!(site.is_default && site.hosts.is_empty());
    assert_eq!(kinds(site), [" app app:app"]);
    assert_eq!(kinds(&plans(&[], "")[0]), [" app found"]);
}

#[test]
fn the_application_is_looked_for_only_where_nothing_else_says_what_answers() {
    for (arguments, kinds_wanted) in [
        (&["--mount", "/old=o:o"][..], &["/old app o:o"][..]),
        (&["--static", "/=public"], &[" static public"]),
        (&["--static", "/s=public"], &["/s static public", " app found"]),
        (&["--proxy", "/api=http://127.0.0.1:9000"], &["/api proxy http://127.0.0.1:9000"]),
        (&["--proxy", "/api=unix:/s", "app:app"], &["/api proxy http://unix:/s", " app app:app"]),
        (&["--mount", "/old=o:o", "app:app"], &["/old app o:o", " app app:app"]),
    ] {
        assert_eq!(kinds(&plans(arguments, "")[0]), kinds_wanted, "{arguments:?}");
    }
    let site = plans(&[], "[[site]]\nhosts = ['a']\napp = 'a:a'\n");
    assert_eq!(site.len(), 1);
    assert!(!site[0].is_default);
}

#[test]
fn the_default_site_comes_first_and_sites_inherit_what_they_do_not_say() {
    let file = "\
[error_pages]
404 = 'all.html'
500 = 'all500.html'
[[site]]
hosts = ['a']
app = 'a:a'
limit_request_body = '1k'
error_pages = { 404 = 'own.html' }
[[site.mount]]
path = '/up'
app = 'a:a'
limit_request_body = '1M'
[[site]]
hosts = ['b']
app = 'b:b'
default = true
";
    let plans = plans(&[], file);
    assert!(plans[0].is_default && !plans[1].is_default);
    let limits: Vec<_> = plans[1].mounts.iter().map(|mount| mount.body_bytes_max).collect();
    assert_eq!(limits, [Some(1 << 20), Some(1024)]);
    let pages: Vec<_> = plans[1].error_pages.0.values().map(|path| path.display().to_string()).collect();
    assert_eq!(pages, ["own.html", "all500.html"]);
    let config = config(&[], file).unwrap_or_else(|error| panic!("{error}"));
    let applications: Vec<_> = config.applications().into_iter().map(|found| (found.name, found.at)).collect();
    assert_eq!(applications, [(Some("b:b".into()), "b/".into()), (Some("a:a".into()), "a/".into())]);
}

#[test]
fn what_contradicts_itself_is_named_with_its_place() {
    for (file, error) in [
        (
            "wsgi_app = 'a'\n[[mount]]\npath = '/x'\napp = 'b'\n[[mount]]\npath = '/x/'\napp = 'c'\n",
            "farrier.toml:5: the path `/x` is mounted already (farrier.toml:2)",
        ),
        (
            "wsgi_app = 'a'\n[[mount]]\npath = '/'\napp = 'b'\n",
            "farrier.toml:1: the path `/` is mounted already (farrier.toml:2)",
        ),
        (
            "wsgi_app = 'a'\n[[static]]\nurl = '/x'\ndir = 'x'\n[[mount]]\npath = '/x'\nstatus = 404\n",
            "farrier.toml:2: the path `/x` is mounted already (farrier.toml:5)",
        ),
        (
            "[[mount]]\npath = '/x'\napp = 'b'\nredirect = '/y'\n",
            "farrier.toml:1: mount `/x`: `app` and `redirect` cannot both answer",
        ),
        (
            "[[mount]]\npath = '/x'\napp = 'b'\nstatus = 301\n",
            "farrier.toml:1: mount `/x`: `status` belongs to `redirect` and `respond`, not to `app`",
        ),
        (
            "[[mount]]\npath = '/x'\n",
            "farrier.toml:1: mount `/x`: nothing answers there: give it one of `app`, `static`, `proxy`, `redirect`, `respond`, `status`",
        ),
        (
            "[[mount]]\npath = '/x'\nredirect = '/y'\nstatus = 200\n",
            "farrier.toml:1: mount `/x`: a redirect has the status 301, 302, 303, 307 or 308, not 200",
        ),
        (
            "[[site]]\napp = 'a'\n",
            "farrier.toml:1: site: no request could reach it: give it `hosts`, or `default = true`",
        ),
        (
            "[[site]]\nhosts = ['a']\n",
            "farrier.toml:1: site: nothing answers there: give it `app`, a `[[site.mount]]` or a `[[site.static]]`",
        ),
        (
            "[[site]]\ndefault = true\napp = 'a'\n[[site]]\ndefault = true\napp = 'a'\n",
            "farrier.toml:4: site: there is a default site already (farrier.toml:1)",
        ),
        (
            "[[site]]\nhosts = ['A.example']\napp = 'a'\n[[site]]\nhosts = ['.a.example']\napp = 'a'\n",
            "farrier.toml:4: site: the host `a.example` is served already (farrier.toml:1)",
        ),
        (
            "[[site]]\nhosts = ['a.example']\napp = 'a'\ncanonical_host = 'b.example'\n",
            "farrier.toml:1: canonical_host: `b.example` is not among the names that are served here",
        ),
        (
            "canonical_host = 'a.example'\n[[site]]\nhosts = ['a.example']\napp = 'a'\n",
            "farrier.toml:1: canonical_host: it is for what stands outside of any `[[site]]`, and nothing does: sites have \
             `hosts` and `canonical_host` of their own",
        ),
    ] {
        assert_eq!(config(&[], file), Err(error.to_string()), "{file}");
    }
    let both = config(&[], "wsgi_app = 'a'\n[[site]]\ndefault = true\napp = 'a'\n").expect_err("two default sites");
    assert!(both.starts_with("farrier.toml:2: site: what stands outside of any site"), "{both}");
}

#[test]
fn a_redirect_that_leads_back_to_itself_is_refused() {
    for (mounts, refused) in [
        ("path = '/'\nredirect = '/new'", true),
        ("path = '/old'\nredirect = '/old/x'", true),
        ("path = '/old'\nredirect = '$path'", true),
        ("path = '/old'\nredirect = '$scheme://$host/old$rest'", true),
        ("path = '/'\nredirect = 'http://a.example$path$query'", true),
        ("path = '/'\nredirect = 'http://a.example:8000'", true),
        ("path = '/'\nredirect = 'https://a.example$path$query'", false),
        ("path = '/'\nredirect = 'http://b.example$path$query'", false),
        ("path = '/old'\nredirect = '/new$rest'", false),
        ("path = '/old'\nredirect = '/older'", false),
        ("path = '/'\nredirect = '/new'\n[[site.mount]]\npath = '/new'\napp = 'a'", false),
    ] {
        let file = format!("[[site]]\nhosts = ['a.example']\n[[site.mount]]\n{mounts}\n");
        let found = config(&[], &file);
        let is_loop = matches!(&found, Err(error) if error.contains("the redirect leads back to itself"));
        assert_eq!(is_loop, refused, "{mounts}: {found:?}");
    }
}

#[test]
fn a_mount_of_a_site_forwards_and_inherits_from_its_site() {
    let file = "[[upstream]]\nname = 'app'\nservers = ['http://b']\n[[site]]\nhosts = ['a']\nlimit_request_body = '1KiB'\n\
                [[site.mount]]\npath = '/'\nproxy = 'app'\n";
    let [site] = &plans(&[], file)[..] else { panic!() };
    assert_eq!(kinds(site), [" proxy app"]);
    assert_eq!(site.mounts[0].body_bytes_max, Some(1024));
    assert!(config(&[], file).is_ok_and(|config| config.applications().is_empty()));
}
