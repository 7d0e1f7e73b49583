//! Tests of uWSGI's configurations: every form, placeholders, known pitfalls, and that every option is handled.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use farrier_config::{ConfigError, Files, Outcome, PythonFile, Ran, SETTINGS, gather, gather_from};
use farrier_import::uwsgi::{Import, Machine, import, options_markdown};

/// A machine with the facts that placeholders need.
fn machine() -> Machine {
    Machine {
        folder: "/srv/shop".into(),
        hostname: "web1".into(),
        cores: 4,
        user: (33, "www-data".into()),
        group: (34, "web".into()),
        variables: BTreeMap::from([("PORT_OF_SHOP".to_string(), "8080".to_string())]),
        python_prefix: "/srv/venv".into(),
    }
}

fn read(files: &[(&str, &str)], named: &str) -> Result<Import, ConfigError> {
    import(named, &machine(), &mut |path: &Path| {
        let found = files.iter().find(|(name, _)| Path::new(name) == path);
        found.map(|(_, text)| (*text).to_string()).ok_or_else(|| io::ErrorKind::NotFound.into())
    })
}

/// The file that is made of an ini's options.
fn imported(options: &str) -> String {
    match read(&[("uwsgi.ini", &format!("[uwsgi]\n{options}"))], "uwsgi.ini") {
        Ok(import) => import.toml(),
        Err(error) => panic!("{options}: {error}"),
    }
}

/// The settings of the file, without its comments and without what follows from an absence.
fn settings(text: &str) -> Vec<String> {
    let implied = ["threads = 1", "preload_app = true", "accesslog = \"-\""];
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty() && !implied.contains(line))
        .map(String::from)
        .collect()
}

fn refused(options: &str) -> String {
    match read(&[("uwsgi.ini", &format!("[uwsgi]\n{options}"))], "uwsgi.ini") {
        Ok(import) => panic!("{options}: {}", import.toml()),
        Err(error) => error.to_string(),
    }
}

/// The text of the comments, unwrapped.
fn comments(text: &str) -> String {
    text.lines().map(|line| line.trim_start_matches(['#', ' '])).collect::<Vec<_>>().join(" ")
}

#[test]
fn options_become_settings() {
    for (options, expected) in [
        ("module = shop.wsgi", "wsgi_app = \"shop.wsgi\""),
        ("module = shop.wsgi:app", "wsgi_app = \"shop.wsgi:app\""),
        ("module = shop.wsgi\ncallable = app", "wsgi_app = \"shop.wsgi:app\""),
        ("wsgi = shop", "wsgi_app = \"shop\""),
        ("wsgi-file = shop/wsgi.py\ncallable = app", "wsgi_app = \"shop.wsgi:app\""),
        ("chdir = /srv/shop\nwsgi-file = /srv/shop/shop/wsgi.py", "chdir = \"/srv/shop\"; wsgi_app = \"shop.wsgi\""),
        ("wsgi-file = /srv/shop/wsgi.py", "wsgi_app = \"wsgi\"; pythonpath = [\"/srv/shop\"]"),
        ("mount = /=shop:app", "wsgi_app = \"shop:app\""),
        (
            "mount = /app=shop:app\nmanage-script-name = true",
            "wsgi_app = \"shop:app\"; raw_env = [\"SCRIPT_NAME=/app\"]",
        ),
        ("mount = /app=shop.py\ncallable = x", "wsgi_app = \"shop:x\"; raw_env = [\"SCRIPT_NAME=/app\"]"),
        (
            "mount = /=shop:app\nmount = /api=api.py\nmount = /blog/=blog:app",
            "wsgi_app = \"shop:app\"; mount = [{ path = \"/api\", app = \"api\" }, { path = \"/blog\", app = \"blog:app\" }]",
        ),
        (
            "module = shop\nmount = /api=api:app",
            "wsgi_app = \"shop\"; mount = [{ path = \"/api\", app = \"api:app\" }]",
        ),
        (
            "mount = /a=a.py\nmount = /b=b.py\ncallable = x",
            "mount = [{ path = \"/a\", app = \"a:x\" }, { path = \"/b\", app = \"b:x\" }]",
        ),
        (
            "module = shop\nstatic-map = /static=/srv/static\nstatic-map2 = /media/=/srv",
            "wsgi_app = \"shop\"; static = [{ url = \"/static\", dir = \"/srv/static\" }, { url = \"/media\", dir = \"/srv/media\" }]",
        ),
        ("pythonpath = a\npythonpath = b\npp = c", "pythonpath = [\"a\", \"b\", \"c\"]"),
        ("env = A=1,2\nenv = B=x=y", "raw_env = [\"A=1,2\", \"B=x=y\"]"),
        ("http-socket = :8000", "bind = [\":8000\"]"),
        ("http = 127.0.0.1:8000\nhttp-socket = /run/x.sock", "bind = [\"127.0.0.1:8000\", \"unix:/run/x.sock\"]"),
        ("http-socket = @shop\nhttp-socket = [::1]:80", "bind = [\"unix:@shop\", \"[::1]:80\"]"),
        (
            "socket = 127.0.0.1:3031\nsocket = /run/x.sock",
            "bind = [\"uwsgi://127.0.0.1:3031\", \"uwsgi+unix:/run/x.sock\"]",
        ),
        ("uwsgi-socket = :3031\nfastcgi-socket = @x", "bind = [\"uwsgi://:3031\", \"fastcgi+unix:@x\"]"),
        ("socket = x.sock\nsocket-protocol = fastcgi", "bind = [\"fastcgi+unix:x.sock\"]"),
        ("socket = fd://3", "bind = [\"uwsgi+fd://3\"]"),
        ("http-enable-proxy-protocol = 1", "proxy_protocol = \"v1\""),
        ("socket = 127.0.0.1:8000\nprotocol = http", "bind = [\"127.0.0.1:8000\"]"),
        ("http-socket = x.sock\nchmod-socket = 660", "bind = [\"unix:x.sock\"]; unix_socket_mode = \"660\""),
        ("chmod-socket", "unix_socket_mode = \"666\""),
        ("chown-socket = a:b", "unix_socket_owner = \"a:b\""),
        ("listen = 1024", "backlog = 1024"),
        ("processes = 4", "workers = 4"),
        ("workers = %k", "workers = \"auto\""),
        ("threads = 8", "threads = 8"),
        ("lazy-apps = true", "preload_app = false"),
        ("lazy-apps = false", ""),
        ("harakiri = 20", "request_timeout = \"20s\""),
        ("max-requests = 1000\nmax-requests-delta = 50", "max_requests = 1000; max_requests_jitter = 50"),
        ("max-worker-lifetime = 3600", "max_worker_lifetime = \"3600s\""),
        ("reload-on-rss = 256", "max_worker_rss = \"256MiB\""),
        ("worker-reload-mercy = 10\nreload-mercy = 60", "graceful_timeout = \"10s\""),
        ("limit-post = 1048576", "limit_request_body = \"1MiB\""),
        ("post-buffering = 1048576", "body_buffer_bytes = \"1MiB\""),
        ("post-buffering = 1", ""),
        (
            "buffer-size = 8192",
            "limit_request_line = \"8KiB\"; limit_request_field_size = \"8KiB\"; limit_request_head = \"64KiB\"",
        ),
        ("buffer-size = 4096", ""),
        ("http-keepalive = 1", ""),
        ("http-keepalive = 30", "keepalive = \"30s\""),
        ("add-header = Connection: Close", "keepalive = \"0s\""),
        ("uid = www-data\ngid = 34", "user = \"www-data\"; group = \"34\""),
        ("umask = 022", "umask = \"022\""),
        ("procname = shop", "proc_name = \"shop\""),
        ("pidfile = /run/shop.pid", "pidfile = \"/run/shop.pid\""),
        ("safe-pidfile = /run/shop.pid", "pidfile = \"/run/shop.pid\""),
        ("py-autoreload = 1\ntouch-reload = /srv/x", "reload = true; reload_extra_files = [\"/srv/x\"]"),
        ("touch-reload = /srv/x", ""),
        ("disable-logging = true", ""),
        (
            "daemonize = /var/log/x.log",
            "daemon = true; accesslog = \"/var/log/x.log\"; errorlog = \"/var/log/x.log\"; capture_output = true",
        ),
        ("logto = /l\ndisable-logging = 1", "errorlog = \"/l\"; capture_output = true"),
        ("logger = file:/l\nreq-logger = file:/r", "accesslog = \"/r\"; errorlog = \"/l\"; capture_output = true"),
        ("log-format = %(addr) %(status)", "access_log_format = \"%(h)s %(s)s\""),
        ("stats = 127.0.0.1:9191", "stats = \"127.0.0.1:9191\""),
        ("stats = :1717", "stats = \"127.0.0.1:1717\""),
        ("stats = /run/stats.sock", "stats = \"unix:/run/stats.sock\""),
    ] {
        let text = imported(options);
        let mut expected: Vec<&str> = expected.split("; ").filter(|line| !line.is_empty()).collect();
        // The order is the table's, which is not what this test is about.
        let mut made = settings(&text);
        made.sort();
        expected.sort_unstable();
        assert_eq!(made, expected, "{options}\n{text}");
    }
}

#[test]
fn defaults_of_uwsgi_become_settings_too() {
    let bare = imported("module = x");
    for line in ["threads = 1", "preload_app = true", "accesslog = \"-\""] {
        assert!(bare.lines().any(|each| each == line), "{line}: {bare}");
    }
    for said in ["`die-on-term`", "`limit-post`", "`lazy-apps`", "X-Forwarded-Proto"] {
        assert!(bare.contains(said), "{said}: {bare}");
    }
    let full = imported("module = x\nthreads = 2\nlazy-apps\ndisable-logging\ndie-on-term\nlimit-post = 1");
    for line in ["threads = 1", "preload_app = true", "accesslog"] {
        assert!(!full.lines().any(|each| each.starts_with(line)), "{line}: {full}");
    }
}

#[test]
fn each_option_is_accounted_for_with_its_line() {
    let options = "module = x\nmaster\nvacuum = true\nstatic-map = /static=/srv/static\ncheaper = 2\nlimit_post = 5\n\
                   route = ^/x redirect:/y\nsingle-interpreter = 1\nmule = 3\nfrobnicate = 7\nvirtualenv = /srv/other";
    let text = comments(&imported(options));
    for (index, option) in options.lines().enumerate() {
        let expected = format!("uwsgi.ini:{}: {option}", index + 2);
        assert!(text.contains(&expected), "{expected} is not in\n{text}");
    }
    for said in [
        "did you mean `limit-post`?",
        "install Farrier into it and start `/srv/other/bin/farrier`",
        "frobnicate = 7 It has no effect",
    ] {
        assert!(text.to_lowercase().contains(&said.to_lowercase()), "{said} is not in\n{text}");
    }
}

#[test]
fn what_has_no_counterpart_is_warned_of_with_its_line() {
    let import =
        read(&[("uwsgi.ini", "[uwsgi]\nmodule = x\nmule = 1\nmaster = 1\nnonsense = 2\nugreen = false")], "uwsgi.ini");
    let warnings: Vec<String> = import.iter().flat_map(Import::warnings).map(|warning| warning.to_string()).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].starts_with("uwsgi.ini:3: mule has no counterpart: "), "{warnings:?}");
    assert!(warnings[1].starts_with("uwsgi.ini:5: nonsense is unknown: "), "{warnings:?}");
}

#[test]
fn ini_yaml_and_json_give_the_same_settings() {
    let ini = "; a comment\n[uwsgi]\n# another\nmodule = shop:app\nprocesses=2\nmaster\nenv = A=1\nenv = B=%n\n[other]\nmodule = no\n";
    let yaml =
        "uwsgi:\n  module: shop:app\n  processes: 2\n  master:\n  env:\n    - A=1\n    - B=%n\nother:\n  module: no\n";
    let repeated = "uwsgi:\n  module: shop:app\n  processes: 2\n  master: true\n  env: A=1\n  env: B=%n\n";
    let json = "{\"uwsgi\": {\n\t\"module\": \"shop:app\",\n\t\"processes\": 2,\n\t\"master\": true,\n\t\"env\": [\"A=1\", \"B=%n\"]\n}}\n";
    for (name, text) in [("shop.ini", ini), ("shop.yaml", yaml), ("shop.yml", repeated), ("shop.json", json)] {
        let made = read(&[(name, text)], name).map(|import| settings(&import.toml()));
        let expected = ["wsgi_app = \"shop:app\"", "raw_env = [\"A=1\", \"B=shop\"]", "workers = 2"];
        assert_eq!(made.as_deref(), Ok(&expected.map(String::from)[..]), "{name}");
    }
}

#[test]
fn options_of_yaml_and_json_have_line_numbers() {
    let yaml = "uwsgi:\n  processes: 2\n  nonsense: 3\n  env:\n    - A=1\n    - nonsense\n";
    let problem = read(&[("a.yaml", yaml)], "a.yaml").map(|_| ()).map_err(|error| error.to_string());
    assert!(problem.as_ref().is_err_and(|error| error.starts_with("a.yaml:6: raw_env")), "{problem:?}");
    let json = "{\n  \"uwsgi\": {\n    \"processes\": \"many\"\n  }\n}";
    let problem = read(&[("a.json", json)], "a.json").map(|_| ()).map_err(|error| error.to_string());
    assert!(problem.as_ref().is_err_and(|error| error.starts_with("a.json:3: processes")), "{problem:?}");
    for text in ["uwsgi: [", "- a\n- b", "uwsgi:\n  env:\n    a: b", "uwsgi:\n  - a"] {
        let problem = read(&[("a.yaml", text)], "a.yaml").map(|_| ()).map_err(|error| error.to_string());
        assert!(problem.as_ref().is_err_and(|error| error.starts_with("a.yaml:")), "{text}: {problem:?}");
    }
}

#[test]
fn placeholders_are_filled_in() {
    for (value, filled) in [
        ("%n", "uwsgi"),
        ("%s", "uwsgi.ini"),
        ("%e", "ini"),
        ("%d", "/srv/shop/"),
        ("%p", "/srv/shop/uwsgi.ini"),
        ("%o", "uwsgi.ini"),
        ("%c", "shop"),
        ("%0-%1", "srv-shop"),
        ("%h", "web1"),
        ("%k", "4"),
        ("%u %U %g %G", "33 www-data 34 web"),
        ("%v", "/srv/shop"),
        ("%(base)/x", "/srv/shop/x"),
        ("%(deep)", "/srv/shop/deep"),
        ("%(placeholder)", "set"),
        ("$(PORT_OF_SHOP)", "8080"),
        ("100%", "100%"),
        ("%(unknown)", "%(unknown)"),
    ] {
        let text =
            imported(&format!("base = %d\nbase = no\ndeep = %(base)deep\nset-ph = placeholder=set\nenv = A={value}"));
        // `base` ends with a slash, as `%d` does.
        let expected = format!("raw_env = [\"A={}\"]", filled.replace("/srv/shop/x", "/srv/shop//x"));
        assert!(text.lines().any(|line| line == expected), "{value}: {text}");
    }
}

#[test]
fn what_only_a_running_uwsgi_knows_is_refused_with_its_line() {
    for (option, word) in [
        ("env = A=%t", "`%t` is only known while uWSGI runs"),
        ("env = A=$(NOT_SET)", "the variable `NOT_SET` is not set"),
        ("pidfile = @(/etc/pid)", "inserts what a file holds"),
        ("processes = %(threads + 2)", "is a calculation"),
        ("env = A=%(a)\na = %(b)\nb = %(a)", "leads back to itself"),
    ] {
        let error = refused(&format!("# a comment\n{option}"));
        assert!(error.starts_with("uwsgi.ini:3: ") && error.contains(word), "{option}: {error}");
    }
    // Where the option is not needed, neither is its value.
    imported("log-date = %T\nprint = started at %t");
}

#[test]
fn conditions_and_loops_are_refused_with_their_line() {
    for option in ["if-env = A", "if-not-file = x", "endif =", "for = a b", "end-for =", "if-opt = a=b"] {
        let error = refused(&format!("module = x\n{option}"));
        assert!(error.starts_with("uwsgi.ini:3: ") && error.contains("take the condition away"), "{option}: {error}");
    }
}

#[test]
fn values_that_make_no_sense_are_refused_with_their_line() {
    for (option, word) in [
        ("processes = many", "expected a number, got `many`"),
        ("http-socket = 8000", "for a port write `:8000`"),
        ("http-socket = =0", "shared socket"),
        ("http-socket = 10.0*:80", "interface"),
        ("http-socket = host:port", "expected `HOST:PORT`"),
        ("protocol = scgi\nsocket = :1", "not served"),
        ("chmod-socket = 999", "unix_socket_mode"),
        ("wsgi-file = my-app.wsgi", "cannot be imported"),
        ("env = NAME", "raw_env"),
        ("pidfile =", "no value"),
    ] {
        let error = refused(option);
        assert!(error.starts_with("uwsgi.ini:2: ") && error.contains(word), "{option}: {error}");
    }
}

#[test]
fn the_last_option_for_a_setting_counts() {
    let text = imported("processes = 2\nworkers = 3\nharakiri = 1\nharakiri = 2");
    assert!(settings(&text).contains(&"workers = 3".to_string()), "{text}");
    assert!(settings(&text).contains(&"request_timeout = \"2s\"".to_string()), "{text}");
    assert!(comments(&text).contains("uwsgi.ini:2: processes = 2 Line 3 sets it again"), "{text}");
}

#[test]
fn files_are_included_and_sections_chosen() {
    let files = [
        ("main.ini", "[uwsgi]\nini = base.ini:common\nini = :local\nprocesses = 3\n[local]\nthreads = 5\n"),
        ("base.ini", "[uwsgi]\nmodule = no\n[common]\nmodule = %n_%N\ninclude = more.yaml\n"),
        ("more.yaml", "uwsgi:\n  listen: 77\n"),
        ("circle.ini", "[uwsgi]\ninclude = circle.ini\n"),
        ("old.xml", "<uwsgi/>"),
        ("has_xml.ini", "[uwsgi]\nxml = old.xml\n"),
        ("missing.ini", "[uwsgi]\n\nini = nowhere.ini\n"),
    ];
    let made = read(&files, "main.ini").map(|import| import.toml());
    let made = made.map_err(|error| error.to_string());
    let text = made.clone().unwrap_or_default();
    for line in ["wsgi_app = \"base_main\"", "backlog = 77", "threads = 5", "workers = 3"] {
        assert!(text.lines().any(|each| each == line), "{line}: {made:?}");
    }
    assert!(text.contains("more.yaml:2: listen = 77"), "{text}");
    for (named, word) in [
        ("main.ini:nowhere", "`main.ini` has no section `nowhere`; there are `uwsgi`, `local`"),
        ("circle.ini", "circle.ini:2: `circle.ini` includes itself"),
        ("old.xml", "`old.xml` is XML"),
        ("has_xml.ini", "has_xml.ini:2: `old.xml` is XML"),
        ("missing.ini", "missing.ini:3: cannot read `nowhere.ini`"),
        ("nothing.ini", "cannot read `nothing.ini`"),
    ] {
        let error = read(&files, named).map(|_| ()).map_err(|error| error.to_string());
        assert!(error.as_ref().is_err_and(|error| error.contains(word)), "{named}: {error:?}");
    }
}

/// Every name is that of one text.
struct OneFile(String);

impl Files for OneFile {
    fn read(&mut self, _: &Path) -> io::Result<String> {
        Ok(self.0.clone())
    }

    fn is_file(&mut self, _: &Path) -> bool {
        false
    }

    fn run(&mut self, file: &PythonFile) -> Result<Ran, ConfigError> {
        panic!("{file:?} is no Python file")
    }

    fn import_uwsgi(&mut self, file: &str) -> Result<Ran, ConfigError> {
        let import = import(file, &machine(), &mut |_: &Path| Ok(self.0.clone()))?;
        Ok(Ran { layer: import.layer(), warnings: import.warnings() })
    }
}

#[test]
fn what_is_written_gives_the_settings_that_ini_gives() {
    let ini = "[uwsgi]\nmodule = shop\nhttp-socket = :8000\nprocesses = 2\nharakiri = 5\nenv = A=\"b\\c\"\nlog-format = %(addr) \"%(uri)\"\n";
    let made = read(&[("uwsgi.ini", ini)], "uwsgi.ini").map(|import| import.toml());
    let run =
        |arguments: &[&str], text: &str| match gather_from(arguments, [("", ""); 0], &mut OneFile(text.to_string())) {
            Ok(Outcome::Run(config)) => *config,
            other => panic!("{arguments:?}: {other:?}"),
        };
    let direct = run(&["--ini", "uwsgi.ini"], ini);
    assert_eq!(run(&["--config", "farrier.toml"], &made.unwrap_or_default()), direct);
    assert_eq!(direct.source_of("workers").map(ToString::to_string).as_deref(), Some("uwsgi.ini:4"));
    assert_eq!(direct.source_of("threads").map(ToString::to_string).as_deref(), Some("uwsgi.ini:1"));
    // Flags win over it, as over any file.
    let flagged = run(&["--ini", "uwsgi.ini", "-w", "7"], ini);
    assert_eq!(flagged.source_of("workers").map(ToString::to_string).as_deref(), Some("command line -w"));
}

#[test]
fn no_text_of_a_file_escapes_its_comment() {
    let text = imported("frob\u{b}nicate = a\rb\u{85}c\nmodule = x");
    for line in text.lines().filter(|line| !line.is_empty()) {
        assert!(line.starts_with('#') || line.contains(" = "), "{line:?}");
    }
    assert!(gather(["-c", "farrier.toml"], [("", ""); 0], |_| Ok(text.clone())).is_ok(), "{text}");
}

#[test]
fn the_documented_options_are_up_to_date() -> io::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/coming-from-uwsgi.md");
    let page = std::fs::read_to_string(&path)?;
    let begin = page.find("<!-- options:begin").and_then(|at| Some(at + page[at..].find('\n')? + 1));
    let (Some(begin), Some(end)) = (begin, page.find("<!-- options:end -->")) else { panic!("the page has no marks") };
    let made = format!("{}{}{}", &page[..begin], options_markdown(), &page[end..]);
    if std::env::var_os("FARRIER_BLESS").is_some() {
        std::fs::write(&path, &made)?;
    }
    let committed = std::fs::read_to_string(&path)?;
    assert!(
        committed == made,
        "docs/coming-from-uwsgi.md is not what options.rs says; run `FARRIER_BLESS=1 cargo test`"
    );
    Ok(())
}

#[test]
fn the_table_of_settings_and_the_importer_know_the_same_names() {
    let table = options_markdown();
    let told = |option: &str| {
        table.lines().find(|line| line.split('|').nth(1).is_some_and(|names| names.contains(&format!("`{option}`"))))
    };
    for row in SETTINGS {
        for option in row.uwsgi_names() {
            let line = told(option).unwrap_or_else(|| panic!("the importer does not know `{option}` of {}", row.name));
            let becomes = line.split('|').nth(2).unwrap_or_default();
            assert!(becomes.contains(&format!("`{}`", row.name)), "{option} becomes {becomes}, and not {}", row.name);
        }
    }
    // And the other way round: the row of the setting names the uWSGI option that becomes it.
    for line in table.lines().skip(2) {
        let mut cells = line.split('|').skip(1).map(str::trim);
        let (names, becomes) = (cells.next().unwrap_or_default(), cells.next().unwrap_or_default());
        let settings: Vec<&str> =
            becomes.split(", ").filter_map(|name| name.strip_prefix('`')?.strip_suffix('`')).collect();
        let rows: Vec<_> = SETTINGS.iter().filter(|row| settings.contains(&row.name)).collect();
        assert_eq!(rows.len(), settings.len(), "{line}: a setting is not in the table");
        let is_named = rows.iter().any(|row| row.uwsgi_names().next().is_some());
        assert!(is_named || settings.is_empty(), "{names}: no row of {settings:?} names an option of uWSGI's");
    }
}

proptest::proptest! {
    /// Any file is either read or refused, and the output is a valid settings file.
    #[test]
    fn any_text_is_imported_or_refused(
        lines in proptest::collection::vec("([a-z-]{1,12}|socket|http-socket|log-format|mount|env|set|%[a-z]) ?=? ?[ -~üé%$@()=:/.\\[\\]]{0,12}", 0..6),
        form in proptest::sample::select(vec!["a.ini", "a.yaml", "a.json"]),
    ) {
        let text = match form {
            "a.ini" => format!("[uwsgi]\n{}\n", lines.join("\n")),
            _ => format!("uwsgi:\n{}\n", lines.iter().map(|line| format!("  {}", line.replacen('=', ":", 1))).collect::<Vec<_>>().join("\n")),
        };
        if let Ok(import) = read(&[(form, &text)], form) {
            let made = import.toml();
            let read = gather(["-c", "farrier.toml"], [("", ""); 0], |_| Ok(made.clone()));
            proptest::prop_assert!(read.is_ok(), "{}\n{:?}", made, read);
        }
    }
}
