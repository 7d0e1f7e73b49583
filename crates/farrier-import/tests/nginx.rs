//! Tests of nginx configurations: the five usual shapes as files, single directives, what is refused, and that every
//! directive is accounted for.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use farrier_config::{Outcome, Problem, SETTINGS, gather};
use farrier_import::nginx::{Files, Import, directives_markdown, import};
use proptest::prelude::*;

/// Files by their names. A folder is there if a file is in it.
struct Named(BTreeMap<PathBuf, String>);

impl Named {
    fn of(files: &[(&str, &str)]) -> Named {
        Named(files.iter().map(|(name, text)| (PathBuf::from(name), (*text).to_owned())).collect())
    }
}

impl Files for Named {
    fn read(&mut self, path: &Path) -> io::Result<String> {
        self.0.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn names(&mut self, folder: &Path) -> io::Result<Vec<String>> {
        let below = |path: &PathBuf| {
            let first = path.strip_prefix(folder).ok()?.components().next()?;
            Some(first.as_os_str().to_string_lossy().into_owned())
        };
        let mut names: Vec<String> = self.0.keys().filter_map(below).collect();
        names.dedup();
        if names.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(names) }
    }
}

fn shapes() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/nginx_shapes")
}

/// The files of a shape, and those that its site has.
fn shape(name: &str) -> io::Result<Named> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(shapes().join(name))? {
        let path = entry?.path();
        if let Some(file) = path.file_name() {
            files.insert(PathBuf::from(file), std::fs::read_to_string(&path)?);
        }
    }
    for file in [
        "static/site.css",
        "media/a.txt",
        "pages/50x.html",
        "public/500.html",
        "public/robots.txt",
        "public/static/site.css",
    ] {
        files.insert(Path::new("/srv/shop").join(file), String::new());
    }
    Ok(Named(files))
}

fn imported(files: &[(&str, &str)]) -> Result<Import, Problem> {
    import("nginx.conf", None, &mut Named::of(files))
}

/// The import of one server with these directives.
fn server(directives: &str) -> Import {
    match imported(&[("nginx.conf", &format!("server {{\n{directives}\n}}"))]) {
        Ok(import) => import,
        Err(problem) => panic!("{directives}: {problem}"),
    }
}

/// The lines of a file that are no comments.
fn lines(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect()
}

/// The text of the comments, unwrapped.
fn comments(text: &str) -> String {
    text.lines().map(|line| line.trim_start_matches(['#', ' '])).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_five_shapes_are_imported_as_their_files_say() -> io::Result<()> {
    let mut names: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(shapes())? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    assert_eq!(names.len(), 5);
    for name in names {
        let import =
            import("nginx.conf", None, &mut shape(&name)?).unwrap_or_else(|problem| panic!("{name}: {problem}"));
        let path = shapes().join(&name).join("farrier.toml");
        if std::env::var_os("FARRIER_BLESS").is_some() {
            std::fs::write(&path, &import.toml)?;
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == import.toml,
            "{name}: run `FARRIER_BLESS=1 cargo test -p farrier-import`\n{}",
            import.toml
        );
    }
    Ok(())
}

#[test]
fn no_directive_of_a_shape_is_dropped_silently() -> io::Result<()> {
    for entry in std::fs::read_dir(shapes())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let files = shape(&name)?;
        let import =
            import("nginx.conf", None, &mut shape(&name)?).unwrap_or_else(|problem| panic!("{name}: {problem}"));
        for (path, text) in
            files.0.iter().filter(|(path, _)| !path.starts_with("/srv") && !path.ends_with("farrier.toml"))
        {
            for (number, line) in text.lines().enumerate() {
                let is_directive = line.trim_start().starts_with(|c: char| c.is_ascii_lowercase());
                let place = format!("{}:{}: ", path.display(), number + 1);
                // Those that are alike are told of together.
                let is_in_range = |shown: &str| {
                    let rest = shown.strip_prefix(&format!("{}:", path.display()))?;
                    let (first, last) = rest.split_once(": ")?.0.split_once('-')?;
                    Some((first.parse::<usize>().ok()?..=last.parse().ok()?).contains(&(number + 1)))
                };
                let is_told = comments(&import.toml).contains(&place)
                    || import.toml.lines().any(|shown| is_in_range(shown.trim_start_matches(['#', ' '])) == Some(true));
                assert!(is_told || !is_directive, "{name}: {place}{line}");
            }
        }
    }
    Ok(())
}

#[test]
fn settings_that_are_written_are_settings() {
    let import =
        server("listen 443 ssl;\nssl_certificate a;\nssl_certificate_key b;\nlocation / { proxy_pass http://a:1; }");
    for line in lines(&import.toml).iter().take_while(|line| !line.starts_with('[')) {
        let name = line.split(" =").next().unwrap_or_default();
        assert!(SETTINGS.iter().any(|row| row.name == name), "{line}");
    }
}

/// One directive or a few inside a server, and lines that come of it.
#[test]
fn directives_become_settings() {
    for (directives, expected) in [
        ("listen 80; listen [::]:80;", &["bind = [\"0.0.0.0:80\", \"[::]:80\"]"][..]),
        ("listen 8080 reuseport backlog=511;", &["bind = [\"0.0.0.0:8080\"]", "reuse_port = true", "backlog = 511"]),
        ("listen unix:/run/a.sock;", &["bind = [\"unix:/run/a.sock\"]"]),
        (
            "listen 80 proxy_protocol; set_real_ip_from 10.0.0.0/8; real_ip_header proxy_protocol;",
            &["proxy_protocol = \"auto\"", "proxy_allow_ips = [\"10.0.0.0/8\"]"],
        ),
        (
            "set_real_ip_from 10.0.0.0/8; set_real_ip_from 192.0.2.1; real_ip_header X-Forwarded-For;",
            &["trusted_proxy = [\"10.0.0.0/8\", \"192.0.2.1\"]"],
        ),
        ("set_real_ip_from 10.0.0.1;", &["forwarded_allow_ips = [\"10.0.0.1\"]", "proxy_headers = [\"x-real-ip\"]"]),
        ("server_name _;", &["default = true"]),
        ("server_name a.example *.a.example;", &["hosts = [\"a.example\", \"*.a.example\"]"]),
        ("client_max_body_size 0;", &["limit_request_body = \"1024GiB\""]),
        (
            "client_body_timeout 10; client_header_timeout 1m; send_timeout 5m;",
            &["body_timeout = \"10s\"", "header_timeout = \"60s\"", "write_timeout = \"5m\""],
        ),
        (
            "large_client_header_buffers 4 32k;",
            &["limit_request_line = \"32KiB\"", "limit_request_field_size = \"32KiB\""],
        ),
        (
            "location / { return 301 https://$host$request_uri; }",
            &["redirect = \"https://$host$path$query\"", "status = 301"],
        ),
        (
            "location /a/ { return 200 'b c'; add_header Content-Type text/html; }",
            &["respond = \"b c\"", "content_type = \"text/html\""],
        ),
        ("location /a { return 404; }", &["path = \"/a\"", "status = 404"]),
        ("location /a/ { deny all; root /x; }", &["path = \"/a/\"", "status = 403"]),
        (
            "rewrite ^/old/(.*)$ /new/$1 permanent; root /srv;",
            &["path = \"/old\"", "redirect = \"/new$rest$query\"", "url = \"/\""],
        ),
        (
            "location ~ ^/(static|media)/ { root /srv; }",
            &["url = \"/static/\"", "dir = \"/srv/static\"", "url = \"/media/\""],
        ),
        ("location /a/ { alias /srv/b/; expires 1h; }", &["url = \"/a/\"", "dir = \"/srv/b\"", "max_age = \"1h\""]),
        ("location / { root /srv; try_files $uri $uri/ =404; }", &["dir = \"/srv\"", "index = \"index.html\""]),
        (
            "location /a/ { proxy_pass http://b:1/; }",
            &["proxy = \"http://b:1\"", "strip_prefix = true", "host = \"upstream\""],
        ),
        ("location /a/ { proxy_pass http://b:1/c/; proxy_set_header Host $host; }", &["rewrite_prefix = \"/c\""]),
        ("location /a/ { proxy_pass http://b:1/a/; }", &["proxy = \"http://b:1\""]),
        ("location / { set $b http://b:1; proxy_pass $b; }", &["proxy = \"http://b:1\""]),
        ("location / { uwsgi_pass unix:///run/a.sock; }", &["proxy = \"uwsgi://unix:/run/a.sock\""]),
        (
            "location / { fastcgi_pass 127.0.0.1:9000; fastcgi_param A b; }",
            &["proxy = \"fastcgi://127.0.0.1:9000\"", "params = { A = \"b\" }"],
        ),
        (
            "location / { proxy_pass https://b; proxy_ssl_verify off; proxy_ssl_name c; }",
            &["tls = { verify = false, name = \"c\" }"],
        ),
        (
            "location / { proxy_pass http://b:1; proxy_set_header Accept-Encoding ''; }",
            &["remove_headers = [\"Accept-Encoding\"]"],
        ),
        (
            "location / { uwsgi_pass suwsgi://b:1; uwsgi_ssl_verify off; }",
            &["servers = [\"suwsgi://b:1\"]", "tls = { verify = false }"],
        ),
        (
            "location / { proxy_pass http://b:1; limit_except GET POST { deny all; } }",
            &["methods = [\"GET\", \"POST\", \"HEAD\"]"],
        ),
        (
            "location / { proxy_pass http://b:1; proxy_buffering off; proxy_ignore_headers X-Accel-Expires Vary; }",
            &["flush = \"on\"", "accel = [\"buffering\", \"charset\"]"],
        ),
        (
            "location / { proxy_pass http://b:1; proxy_cookie_domain c.example d.example; }",
            &["cookie_domain = { \"c.example\" = \"d.example\" }"],
        ),
        (
            "error_log syslog:server=10.0.0.1 debug; location / { return 204; }",
            &["syslog = true", "syslog_addr = \"udp://10.0.0.1:514\"", "loglevel = \"debug\""],
        ),
        (
            "location / { proxy_pass http://b:1; } if ($request_method !~ ^(GET|POST)$) { return 405; }",
            &["methods = [\"GET\", \"POST\"]"],
        ),
        (
            "if ($host != a.example) { return 301 https://a.example$request_uri; } server_name a.example b.example;",
            &["canonical_host = \"a.example\""],
        ),
    ] {
        let text = server(directives).toml;
        for line in expected {
            assert!(lines(&text).contains(line), "{directives}: no {line}\n{text}");
        }
    }
}

#[test]
fn upstreams_become_tables() {
    for (directives, expected) in [
        (
            "server a:1; server b:2 weight=3 backup;",
            "servers = [\"http://a:1\", { url = \"http://b:2\", weight = 3, backup = true }]",
        ),
        (
            "server a; server unix:/run/b.sock down;",
            "servers = [\"http://a:80\", { url = \"http://unix:/run/b.sock\", down = true }]",
        ),
        ("server a:1 max_conns=5;", "servers = [{ url = \"http://a:1\", max_requests = 5 }]"),
        ("server a:1 max_fails=0; server b:1;", "fail = { max = 0 }"),
        ("server a:1 fail_timeout=30s; server b:1;", "fail = { max = 1, eject = \"30s\" }"),
        ("server a:1; hash $cookie_s consistent;", "hash_on = \"cookie:s\""),
        (
            "server a:1; sticky cookie srv expires=1h path=/;",
            "sticky = { cookie = \"srv\", ttl = \"1h\", path = \"/\" }",
        ),
        ("server a:1; sticky learn create=$upstream_cookie_sessionid zone=s:1m;", "sticky = { learn = \"sessionid\" }"),
        ("server a:1 slow_start=30s; server b:1;", "slow_start = \"30s\""),
        ("server a:1; random two;", "balance = \"random\""),
        ("server a:1; keepalive 8; keepalive_timeout 30s; keepalive_requests 100;", "keepalive_timeout = \"30s\""),
        ("server a:1; queue 100 timeout=70;", "queue_timeout = \"70s\""),
    ] {
        let text = format!("upstream u {{ {directives} }} server {{ location / {{ proxy_pass http://u; }} }}");
        let toml = imported(&[("nginx.conf", &text)]).map(|import| import.toml).unwrap_or_default();
        assert!(lines(&toml).contains(&expected), "{directives}: no {expected}\n{toml}");
        assert!(lines(&toml).contains(&"proxy = \"u\""), "{toml}");
    }
}

#[test]
fn an_upstream_has_one_table_for_each_way_that_it_is_used() {
    let text = "upstream u { server a:1; }\nserver { location / { proxy_pass http://u; proxy_read_timeout 9; }\n\
                location /b/ { uwsgi_pass u; } location /c/ { proxy_pass http://u; proxy_read_timeout 9; } }";
    let toml = imported(&[("nginx.conf", text)]).map(|import| import.toml).unwrap_or_default();
    assert_eq!(lines(&toml).iter().filter(|line| **line == "[[upstream]]").count(), 2, "{toml}");
    for line in ["servers = [\"uwsgi://a:1\"]", "servers = [\"http://a:1\"]", "proxy = \"u\"", "proxy = \"u_2\""] {
        assert!(lines(&toml).contains(&line), "{toml}");
    }
}

#[test]
fn a_server_with_tls_redirects_if_nothing_is_served_without_it() {
    let tls = "listen 443 ssl; server_name a; ssl_certificate c; ssl_certificate_key k; location / { proxy_pass http://b:1; }";
    let plain = "listen 80; server_name a; return 301 https://$host$request_uri;";
    let other = "listen 80; server_name o; location / { proxy_pass http://b:1; }";
    let text = |servers: &[&str]| {
        let text: String = servers.iter().map(|directives| format!("server {{ {directives} }}\n")).collect();
        imported(&[("nginx.conf", &text)]).map(|import| import.toml)
    };
    let both = text(&[tls, plain]).unwrap_or_default();
    assert!(lines(&both).contains(&"https_redirect = true"), "{both}");
    assert!(lines(&both).contains(&"bind = [\"https://0.0.0.0:443\", \"http://0.0.0.0:80\"]"), "{both}");
    assert_eq!(lines(&both).iter().filter(|line| **line == "[[site]]").count(), 1);
    // As certbot leaves it.
    let by_certbot = "if ($host = a) { return 301 https://$host$request_uri; } listen 80; server_name a; return 404;";
    let managed = text(&[tls, by_certbot]).unwrap_or_default();
    assert!(lines(&managed).contains(&"https_redirect = true"), "{managed}");
    assert_eq!(lines(&managed).iter().filter(|line| **line == "[[site]]").count(), 1);
    // Another name without TLS, which leads to the site, is no reason to serve anything without TLS.
    let www = "listen 80; server_name www.a; return 301 https://a$request_uri;";
    let with_www = text(&[tls, plain, www]).unwrap_or_default();
    assert!(lines(&with_www).contains(&"https_redirect = true"), "{with_www}");
    assert!(lines(&with_www).contains(&"redirect = \"https://a$path$query\""), "{with_www}");
    assert!(comments(&with_www).contains("a certificate must have this name"), "{with_www}");
    let three = text(&[tls, plain, other]).unwrap_or_default();
    assert!(!lines(&three).contains(&"https_redirect = true"), "{three}");
    assert!(comments(&three).contains("set `https_redirect = true`"), "{three}");
}

#[test]
fn rules_of_access_are_never_dropped_silently() {
    for (directives, rule) in [
        ("location / { proxy_pass http://b:1; allow 10.0.0.1; deny all; }", "deny all"),
        ("location / { proxy_pass http://b:1; auth_basic x; auth_basic_user_file f; }", "auth_basic x"),
        ("allow 10.0.0.1; deny all; location / { root /srv; }", "allow 10.0.0.1"),
        ("location / { auth_request /check; proxy_pass http://b:1; }", "auth_request /check"),
        ("location / { satisfy any; allow 10.0.0.1; deny all; auth_basic x; root /srv; }", "satisfy any"),
        ("location / { valid_referers none; root /srv; }", "valid_referers none"),
        (
            "location / { limit_except GET { allow 10.0.0.1; deny all; } proxy_pass http://b:1; }",
            "limit_except GET { … }",
        ),
    ] {
        let import = server(directives);
        assert!(
            import.dropped.iter().any(|problem| problem.message.starts_with(rule)),
            "{directives}: {:?}",
            import.dropped
        );
        // Nobody gets in until somebody has decided.
        assert!(lines(&import.toml).contains(&"status = 403"), "{directives}\n{}", import.toml);
        assert!(
            !lines(&import.toml).iter().any(|line| line.starts_with("proxy =") || line.starts_with("dir =")),
            "{directives}"
        );
    }
    for (directives, rule) in [
        ("if ($http_user_agent ~ bot) { return 403; } root /srv;", "if ($http_user_agent ~ bot) { … }"),
        ("location ~* \\.(s.l|bak)$ { deny all; } root /srv;", "location ~* \\.(s.l|bak)$ { … }"),
        ("location ~ ^/a/(b+)$ { deny all; } root /srv;", "location ~ ^/a/(b+)$ { … }"),
        ("ssl_crl x; root /srv;", "ssl_crl x"),
        ("auth_jwt x; location = /x { root /srv; }", "auth_jwt x"),
    ] {
        let import = server(directives);
        assert!(
            import.dropped.iter().any(|problem| problem.message.starts_with(rule)),
            "{directives}: {:?}",
            import.dropped
        );
    }
}

#[test]
fn endings_that_last_forever_do_so_in_all_folders() {
    let import = server(
        "root /srv; location / { try_files $uri /index.html; }\n\
         location ~* \\.(js|css)$ { expires 1y; add_header Cache-Control \"public, immutable\"; access_log off; }",
    );
    assert!(lines(&import.toml).contains(&"immutable = [\"**/*.js\", \"**/*.css\"]"), "{}", import.toml);
    // A time that is not for ever would hold for the page itself, too.
    let import = server("root /srv; location ~* \\.(js|css)$ { expires 30d; }");
    assert!(!import.toml.contains("\nimmutable"), "{}", import.toml);
    assert!(import.warnings.iter().any(|problem| problem.message.contains("files ending in .js, .css")));
}

#[test]
fn named_locations_that_lead_to_each_other_end() {
    let import = server(
        "location / { try_files $uri @a; } location @a { try_files $uri @b; } location @b { try_files $uri @a; }",
    );
    assert!(
        import.warnings.iter().any(|problem| problem.message.contains("no `location @b` answers there")),
        "{}",
        import.toml
    );
}

#[test]
fn one_file_is_no_folder() {
    let text = "server { location /robots.txt { alias /srv/static/robots.txt; } location / { proxy_pass http://a:1; }\n\
                location = /favicon.ico { root /srv/static; } location = /gone.txt { root /srv/static; } location = /x.ico { access_log off; } }";
    let files = [("nginx.conf", text), ("/srv/static/robots.txt", ""), ("/srv/static/favicon.ico", "")];
    let toml = imported(&files).map(|import| import.toml).unwrap_or_default();
    for line in [
        "url = \"/robots.txt\"",
        "dir = \"/srv/static/robots.txt\"",
        "dir = \"/srv/static/favicon.ico\"",
        "path = \"/gone.txt\"",
        "path = \"/x.ico\"",
    ] {
        assert!(lines(&toml).contains(&line), "{line}\n{toml}");
    }
    assert_eq!(lines(&toml).iter().filter(|line| **line == "status = 404").count(), 2, "{toml}");
    assert!(!toml.contains("dir = \"/srv/static/gone.txt\""), "{toml}");
}

#[test]
fn files_that_nobody_may_have_are_hidden() {
    let import = server("root /srv; location ~ \\.(inc|sql)$ { deny all; } location ~ \\.php$ { return 404; }");
    let hidden = lines(&import.toml).into_iter().find(|line| line.starts_with("static_hide = ")).map(str::to_owned);
    let hidden = hidden.unwrap_or_default();
    for name in ["\"*.py\"", "\"*.inc\"", "\"*.php\""] {
        assert!(hidden.contains(name), "{hidden}");
    }
    assert_eq!(hidden.matches("*.sql\"").count(), 1, "{hidden}");
    assert!(import.dropped.is_empty(), "{:?}", import.dropped);
    // The text of a script that nginx runs is nobody's either.
    let import = server("root /srv; location ~ \\.php$ { fastcgi_pass unix:/run/php.sock; }");
    assert!(import.toml.contains("\"*.php\"]"), "{}", import.toml);
    assert!(import.warnings.iter().any(|problem| problem.message.contains("scripts are hidden")));
    let import = server("root /srv; location ~ \\.inc$ { allow 10.0.0.0/8; deny all; }");
    assert!(!import.dropped.is_empty());
}

#[test]
fn what_a_proxy_in_front_says_is_named() {
    for (field, is_named) in [
        ("X-Forwarded-Proto $scheme", false),
        ("X-Forwarded-For $proxy_add_x_forwarded_for", false),
        ("X-Forwarded-Host $http_host", false),
        ("X-Forwarded-Proto https", true),
        ("X-Forwarded-Proto $http_x_forwarded_proto", true),
        ("X-Real-IP $http_cf_connecting_ip", true),
    ] {
        let import = server(&format!("location / {{ proxy_pass http://b:1; proxy_set_header {field}; }}"));
        assert_eq!(
            import.warnings.iter().any(|problem| problem.message.contains("`trusted_proxy`")),
            is_named,
            "{field}"
        );
    }
}

#[test]
fn unknown_directives_are_named_with_file_and_line() {
    let import = server("root /srv;\nproxy_pss http://b:1;\nmodule_of_mine on;");
    let told: Vec<String> = import.warnings.iter().map(ToString::to_string).collect();
    assert!(
        told.contains(
            &"nginx.conf:3: proxy_pss http://b:1: did you mean `proxy_pass`? It was not translated".to_owned()
        ),
        "{told:?}"
    );
    assert!(told.iter().any(|line| line.starts_with("nginx.conf:4: module_of_mine on: ")), "{told:?}");
}

#[test]
fn the_application_takes_the_place_of_its_server() {
    let text = "upstream a { server unix:/run/a.sock; }\nserver { location / { try_files $uri @a; } location @a { proxy_pass http://a; }\n\
                location /b/ { proxy_pass http://10.0.0.1:1; } location /c/ { proxy_pass http://a; }\n\
                location /d/ { proxy_pass http://a/; } }";
    let import = import("nginx.conf", Some("shop.wsgi"), &mut Named::of(&[("nginx.conf", text)]));
    let toml = import.map(|import| import.toml).unwrap_or_default();
    // `/c/` is a path of the application; `/d/` is one that it does not see.
    assert_eq!(lines(&toml).iter().filter(|line| **line == "app = \"shop.wsgi\"").count(), 2, "{toml}");
    assert!(lines(&toml).contains(&"path = \"/d/\"") && !lines(&toml).contains(&"path = \"/c/\""), "{toml}");
    assert!(lines(&toml).contains(&"proxy = \"http://10.0.0.1:1\""), "{toml}");
    assert!(!toml.contains("[[upstream]]"), "{toml}");
}

#[test]
fn a_server_of_this_machine_alone_is_not_shown_to_everybody() {
    // A site answers at every address: its name in a Host field would be enough.
    let open = "server { listen 80; server_name a; location / { proxy_pass http://b:1; } }\n";
    for listen in ["127.0.0.1:8080", "unix:/run/admin.sock", "10.0.0.1:80", "[::1]:80"] {
        let text =
            format!("{open}server {{ listen {listen}; server_name admin; location / {{ proxy_pass http://c:1; }} }}");
        let import = imported(&[("nginx.conf", &text)]).unwrap_or_else(|problem| panic!("{listen}: {problem}"));
        assert!(
            !lines(&import.toml).iter().any(|line| line.contains("http://c:1") || line.contains("admin")),
            "{}",
            import.toml
        );
        let told: Vec<&str> = import.dropped.iter().map(|problem| problem.message.as_str()).collect();
        assert!(told.iter().any(|message| message.starts_with(&format!("listen {listen}: "))), "{told:?}");
    }
    // All servers at one address are alike.
    let text = "server { listen 127.0.0.1:80; server_name a; return 204; } server { listen 127.0.0.1:81; server_name b; return 204; }";
    let import = imported(&[("nginx.conf", text)]).unwrap_or_else(|problem| panic!("{problem}"));
    assert!(import.dropped.is_empty() && lines(&import.toml).contains(&"hosts = [\"b\"]"), "{}", import.toml);
}

#[test]
fn sites_that_are_reached_at_more_addresses_are_named() {
    for (servers, said) in [
        (
            "server { listen 443 ssl; server_name a; return 204; } server { listen 80; server_name b; return 204; }",
            "reached without TLS",
        ),
        (
            "server { listen 80; server_name a; return 204; } server { listen 8080; server_name b; return 204; }",
            "at the ports of other sites",
        ),
        ("server { listen 80; server_name a; return 204; } server { listen 80; server_name b; return 204; }", ""),
        (
            "server { listen 443 ssl; server_name a; return 204; } server { listen 80; server_name a; return 301 https://$host$request_uri; }",
            "",
        ),
    ] {
        let import = imported(&[("nginx.conf", servers)]).unwrap_or_else(|problem| panic!("{problem}"));
        let is_said = import.warnings.iter().any(|problem| problem.message.contains(said));
        assert!(if said.is_empty() { import.warnings.is_empty() } else { is_said }, "{servers}: {:?}", import.warnings);
    }
}

#[test]
fn what_is_written_for_the_shapes_is_a_configuration_without_contradictions() -> io::Result<()> {
    for entry in std::fs::read_dir(shapes())? {
        let path = entry?.path();
        let text = std::fs::read_to_string(path.join("farrier.toml"))?;
        match gather(["--print-config"], [("", ""); 0], |_| Ok(text.clone())) {
            Ok(Outcome::PrintConfig { config, .. }) => {
                let plans = config.site_plans();
                assert!(plans.is_ok(), "{}: {plans:?}", path.display());
            }
            other => panic!("{}: {other:?}", path.display()),
        }
    }
    Ok(())
}

/// An import once had settings that the server refuses as not supported yet, and let the script of php-fpm be lost.
#[test]
fn an_import_for_scripts_is_accepted_and_says_what_is_lost() {
    let import = server(
        "location /a/ { fastcgi_pass 127.0.0.1:9000; root /srv; fastcgi_index index.php; \
         fastcgi_split_path_info ^(.+\\.php)(/.+)$; fastcgi_max_temp_file_size 10m; \
         fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name; }\n\
         location /b/ { fastcgi_pass 127.0.0.1:9000; fastcgi_param SCRIPT_FILENAME /srv/index.php; }",
    );
    let Ok(Outcome::PrintConfig { config, .. }) =
        gather(["--print-config"], [("", ""); 0], |_| Ok(import.toml.clone()))
    else {
        panic!("{}", import.toml);
    };
    assert!(config.site_plans().is_ok(), "{}\n{:?}", import.toml, config.site_plans());
    for lost in ["fastcgi_index", "fastcgi_split_path_info", "fastcgi_max_temp_file_size", "fastcgi_param"] {
        assert!(import.warnings.iter().any(|problem| problem.message.contains(lost)), "{lost}: {:?}", import.warnings);
    }
    assert!(lines(&import.toml).contains(&"params = { SCRIPT_FILENAME = \"/srv/index.php\" }"), "{}", import.toml);
}

#[test]
fn files_are_included_from_the_main_files_folder() {
    let files = [
        ("/etc/nginx/nginx.conf", "http { include sites-enabled/*; }"),
        ("/etc/nginx/sites-enabled/a.conf", "server { server_name a; include snippets/a.conf; }"),
        ("/etc/nginx/sites-enabled/.hidden", "nonsense"),
        ("/etc/nginx/snippets/a.conf", "root /srv;\nlisten 81;"),
    ];
    for (main, bind) in [("/etc/nginx/nginx.conf", true), ("/etc/nginx/sites-enabled/a.conf", true)] {
        let import = import(main, None, &mut Named::of(&files));
        let toml = import.map(|import| import.toml).unwrap_or_default();
        assert_eq!(lines(&toml).contains(&"bind = [\"0.0.0.0:81\"]"), bind, "{main}\n{toml}");
        assert!(toml.contains("/etc/nginx/snippets/a.conf:2: listen 81"), "{toml}");
    }
}

#[test]
fn what_nginx_refuses_is_refused_with_file_and_line() {
    let deep = format!("{}a;{}", "x {".repeat(40), "}".repeat(40));
    for (text, message) in [
        ("server {", "nginx.conf:1: the block `server` has no end"),
        ("server { }\n}", "nginx.conf:2: `}` closes no block"),
        ("server { a }", "nginx.conf:1: `a` does not end with `;`"),
        ("server { }\na", "nginx.conf:2: `a` does not end with `;`"),
        ("server { ; }", "nginx.conf:1: `;` ends no directive"),
        ("{ }", "nginx.conf:1: `{` opens a block without a name"),
        ("include a b;", "nginx.conf:1: `include` takes one file or pattern"),
        ("\ninclude gone.conf;", "nginx.conf:2: cannot read gone.conf: entity not found"),
        ("include nginx.conf;", "nginx.conf:1: files include each other more than 32 deep"),
        (deep.as_str(), "nginx.conf:1: blocks are more than 32 deep"),
        ("events { }", "nginx.conf:1: there is no `server` in it"),
    ] {
        let refused =
            imported(&[("nginx.conf", text)]).map(|import| import.toml).map_err(|problem| problem.to_string());
        assert_eq!(refused, Err(message.to_owned()), "{text}");
    }
}

#[test]
fn a_configuration_has_bounds() {
    let many = "a;".repeat(100_001);
    let wide: Vec<(String, String)> = (0..1_001).map(|number| (format!("c/{number}.conf"), "a;".to_owned())).collect();
    let mut files: Vec<(&str, &str)> = wide.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    files.push(("nginx.conf", "include c/*; include c/0.conf;"));
    let told = |files: &[(&str, &str)]| imported(files).map(|import| import.toml).map_err(|problem| problem.message);
    assert_eq!(told(&[("nginx.conf", &many)]), Err("there are more than 100000 directives".to_owned()));
    assert_eq!(told(&files), Err("there are more than 1000 files".to_owned()));
}

proptest! {
    /// Directives that nobody would write, in blocks: the import is refused or accounts for each of them.
    #[test]
    fn any_directives_are_refused_or_accounted_for(
        words in proptest::collection::vec(
            proptest::sample::select(vec![
                "server", "location", "/", "=", "~", "/a/", "@b", "{", "}", ";", ";", "{", "}", "proxy_pass", "http://a:1/",
                "http://unix:", "$x", "root", "/srv", "alias", "try_files", "$uri", "return", "301", "444", "rewrite", "^",
                "^/a/(.*)$", "/b$1", "permanent", "if", "($host", "=", "x)", "listen", "80", "443", "ssl", "[::]:80", "unix:",
                "upstream", "a", "hash", "ip_hash", "limit_except", "GET", "deny", "all", "allow", "expires", "-1", "max",
                "add_header", "error_page", "404", "/404.html", "internal", "access_log", "off", "gzip", "on", "log_format",
                "limit_req", "zone=a", "set", "uwsgi_pass", "fastcgi_pass", "fastcgi_param", "proxy_set_header", "Host",
                "ssl_certificate", "ssl_certificate_key", "server_name", ".x", "*.y", "_", "\"\"", "é", "client_max_body_size",
                "keepalive_timeout", "9999999999999999999", "1m", "proxy_cookie_path", "proxy_ssl_name", "set_real_ip_from",
            ]),
            0..80,
        ),
    ) {
        let text = format!("server {{ {} }}", words.join(" "));
        if let Ok(import) = imported(&[("nginx.conf", &text)]) {
            let parsed = toml::de::DeTable::parse(&import.toml);
            prop_assert!(parsed.is_ok(), "{text}\n{}\n{:?}", import.toml, parsed.err());
        }
    }

    /// Lines of real configurations in any order, as a mistake with an editor leaves them.
    #[test]
    fn any_lines_of_the_shapes_are_refused_or_imported(picked in proptest::collection::vec(any::<prop::sample::Index>(), 1..60)) {
        let mut all: Vec<String> = Vec::new();
        for name in ["1-application", "2-uwsgi", "3-https", "4-try-files", "5-services"] {
            let text = std::fs::read_to_string(shapes().join(name).join("nginx.conf")).unwrap_or_default();
            // A line that opens or closes a block is rare among whole blocks, which are what is looked for.
            let blocks = text.split("\n    }\n").map(|block| format!("{block}\n    }}\n"));
            let directives = text.lines().filter(|line| line.ends_with(';')).map(str::to_owned);
            all.extend(blocks.chain(directives).filter(|text| text.matches('{').count() == text.matches('}').count()));
        }
        let lines: Vec<&str> = picked.iter().map(|index| index.get(&all).as_str()).collect();
        let text = format!("server {{\n{}\n}}", lines.join("\n"));
        if let Ok(import) = imported(&[("nginx.conf", &text)]) {
            let parsed = toml::de::DeTable::parse(&import.toml);
            prop_assert!(parsed.is_ok(), "{text}\n{}\n{:?}", import.toml, parsed.err());
        }
    }

    /// Any text is refused or imported; nothing panics.
    #[test]
    fn any_text_is_refused_or_imported(text in "\\PC{0,200}") {
        let _ = imported(&[("nginx.conf", &text)]);
        let _ = imported(&[("nginx.conf", &format!("server {{ {text} }}"))]);
    }
}

#[test]
fn the_table_of_nginxs_directives_is_up_to_date() -> io::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/coming-from-nginx.md");
    let page = std::fs::read_to_string(&path)?;
    let begin = "<!-- directives:begin (made from crates/farrier-import/src/nginx/directives.rs: `FARRIER_BLESS=1 cargo test -p \
                 farrier-import`) -->\n";
    let end = "<!-- directives:end -->";
    let (before, rest) = page.split_once(begin).unwrap_or_else(|| panic!("the mark is gone"));
    let (committed, after) = rest.split_once(end).unwrap_or_else(|| panic!("the end's mark is gone"));
    let table = directives_markdown();
    if std::env::var_os("FARRIER_BLESS").is_some() {
        return std::fs::write(&path, format!("{before}{begin}{table}{end}{after}"));
    }
    assert!(
        committed == table,
        "docs/coming-from-nginx.md is not what the table says: run `FARRIER_BLESS=1 cargo test -p farrier-import`"
    );
    Ok(())
}
