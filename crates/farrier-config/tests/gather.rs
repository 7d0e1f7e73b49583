//! Tests of gathering: layers in, typed values or errors out.

use std::io;
use std::path::Path;
use std::time::Duration;

use farrier_config::{BindAddress, Bytes, Config, ConfigError, EnvVar, LogTarget, Mode, Outcome, Workers, gather};

/// One start: arguments, variables, and the text of farrier.toml if there is one.
#[derive(Default)]
struct Start<'a> {
    arguments: &'a [&'a str],
    variables: &'a [(&'a str, &'a str)],
    file: Option<&'a str>,
}

impl Start<'_> {
    fn gather(&self) -> Result<Outcome, ConfigError> {
        gather(self.arguments, self.variables.iter().copied(), |path: &Path| match self.file {
            Some(text) if path == Path::new("farrier.toml") => Ok(text.to_string()),
            _ => Err(io::ErrorKind::NotFound.into()),
        })
    }

    fn config(&self) -> Config {
        match self.gather() {
            Ok(Outcome::Run(config)) => *config,
            other => panic!("{other:?}"),
        }
    }

    fn errors(&self) -> String {
        match self.gather() {
            Err(error) => error.to_string(),
            Ok(outcome) => panic!("{outcome:?}"),
        }
    }
}

fn arguments(arguments: &[&str]) -> Config {
    Start { arguments, ..Start::default() }.config()
}

fn file(text: &str) -> Config {
    Start { file: Some(text), ..Start::default() }.config()
}

fn file_errors(text: &str) -> String {
    Start { file: Some(text), ..Start::default() }.errors()
}

fn argument_errors(arguments: &[&str]) -> String {
    Start { arguments, ..Start::default() }.errors()
}

fn variable_errors(variables: &[(&str, &str)]) -> String {
    Start { variables, ..Start::default() }.errors()
}

fn tcp(host: &str, port: u16) -> BindAddress {
    BindAddress::Tcp { host: host.to_string(), port }
}

fn source(config: &Config, name: &str) -> String {
    config.source_of(name).map(ToString::to_string).unwrap_or_default()
}

#[test]
fn without_an_answer_every_value_is_the_default() {
    let config = arguments(&[]);
    assert_eq!(config, Config::default());
    assert_eq!(config.bind, [tcp("127.0.0.1", 8000)]);
    assert_eq!(config.workers, Workers::Count(1));
    assert_eq!(config.slow_call, Duration::from_micros(300));
    assert_eq!(config.limit_request_body, Bytes(10 * 1024 * 1024));
    assert_eq!(config.unix_socket_mode, Mode(0o666));
    assert_eq!(source(&config, "bind"), "default");
    assert_eq!(config.source_of("no_such_setting"), None);
}

#[test]
fn each_layer_wins_over_the_ones_below() {
    let platform = ("WEB_CONCURRENCY", "2");
    let own = ("FARRIER_WORKERS", "4");
    let file = Some("\nworkers = 3");
    for (start, workers, from) in [
        (Start::default(), 1, "default"),
        (Start { variables: &[platform], ..Start::default() }, 2, "environment WEB_CONCURRENCY"),
        (Start { variables: &[platform], file, ..Start::default() }, 3, "farrier.toml:2"),
        (Start { variables: &[platform, own], file, ..Start::default() }, 4, "environment FARRIER_WORKERS"),
        (Start { variables: &[platform, own], file, arguments: &["-w", "5"] }, 5, "command line -w"),
    ] {
        let config = start.config();
        assert_eq!((config.workers, source(&config, "workers").as_str()), (Workers::Count(workers), from));
    }
}

#[test]
fn a_higher_list_replaces_a_lower_one() {
    let start = Start { file: Some("bind = ['a:1', 'b:2']"), arguments: &["-b", "c:3"], ..Start::default() };
    assert_eq!(start.config().bind, [tcp("c", 3)]);
}

#[test]
fn the_platforms_port_moves_the_default_address() {
    let port = [("PORT", "5000")];
    assert_eq!(Start { variables: &port, ..Start::default() }.config().bind, [tcp("0.0.0.0", 5000)]);
    let start = Start { variables: &port, file: Some("bind = 'localhost:1'"), ..Start::default() };
    assert_eq!(start.config().bind, [tcp("localhost", 1)]);
}

#[test]
fn an_empty_platform_variable_is_ignored() {
    let start = Start { variables: &[("PORT", ""), ("WEB_CONCURRENCY", " ")], ..Start::default() };
    assert_eq!(start.config(), Config::default());
}

#[test]
fn a_bad_platform_variable_is_an_error_only_if_it_is_used() {
    let variables = &[("WEB_CONCURRENCY", "many")];
    let error = "environment WEB_CONCURRENCY: workers: expected a whole number of at least 1 or `auto`, got `many`";
    assert_eq!(variable_errors(variables), error);
    assert_eq!(Start { variables, arguments: &["-w2"], ..Start::default() }.config().workers, Workers::Count(2));
}

#[test]
fn an_error_in_our_own_layers_is_reported_even_if_another_layer_wins() {
    let start = Start { file: Some("threads = 0"), arguments: &["--threads", "2"], ..Start::default() };
    assert_eq!(start.errors(), "farrier.toml:1: threads: expected a whole number of at least 1, got `0`");
}

#[test]
fn flags_take_their_value_in_every_usual_way() {
    for flags in [&["-w", "4"][..], &["-w4"], &["-w=4"], &["--workers", "4"], &["--workers=4"]] {
        assert_eq!(arguments(flags).workers, Workers::Count(4), "{flags:?}");
    }
    for flag in ["--limit-request-field-size", "--limit-request-field_size", "--limit_request_field_size"] {
        assert_eq!(arguments(&[flag, "1k"]).limit_request_field_size, Bytes(1024), "{flag}");
    }
}

#[test]
fn a_value_may_look_like_a_flag() {
    assert_eq!(arguments(&["--server-header=--workers"]).server_header, "--workers");
    assert_eq!(arguments(&["--server-header", "--x"]).server_header, "--x");
    assert_eq!(arguments(&["--access-logfile", "-"]).accesslog, Some(LogTarget::Standard));
}

#[test]
fn the_last_of_a_repeated_flag_wins_and_lists_grow() {
    assert_eq!(arguments(&["-w", "2", "--workers", "3"]).workers, Workers::Count(3));
    assert_eq!(arguments(&["-b", "a:1", "--bind=b:2,c:3"]).bind, [tcp("a", 1), tcp("b", 2), tcp("c", 3)]);
    let pair = |name: &str, value: &str| EnvVar { name: name.to_string(), value: value.to_string() };
    assert_eq!(arguments(&["-e", "A=1", "--env", "B=2,3"]).raw_env, [pair("A", "1"), pair("B", "2,3")]);
}

#[test]
fn a_switch_can_be_turned_off() {
    for (flag, on) in [("--preload", true), ("--preload-app", true), ("--no-preload", false), ("--preload=no", false)] {
        assert_eq!(arguments(&[flag]).preload_app, on, "{flag}");
    }
    assert!(!arguments(&["--no-sendfile"]).sendfile);
    assert!(!Start { variables: &[("FARRIER_SENDFILE", "off")], ..Start::default() }.config().sendfile);
}

#[test]
fn the_application_is_the_argument_without_a_flag() {
    for line in
        [&["app:app", "-w", "2"][..], &["-w", "2", "app:app"], &["-w2", "--", "app:app"], &["--wsgi-app", "app:app"]]
    {
        assert_eq!(arguments(line).wsgi_app.as_deref(), Some("app:app"), "{line:?}");
    }
    let error = argument_errors(&["a:app", "b:app"]);
    assert_eq!(error, "unexpected argument `b:app`: the application is already `a:app`");
    let error = argument_errors(&["run", "b:app"]);
    let already = "unexpected argument `b:app`: the application is already `run`";
    assert_eq!(error, format!("{already}; there is no command `run`: try `farrier b:app`"));
}

#[test]
fn none_unsets_the_value_of_a_lower_layer() {
    let start = Start { file: Some("accesslog = '-'"), ..Start::default() };
    assert_eq!(start.config().accesslog, Some(LogTarget::Standard));
    for flags in [&["--access-logfile", "none"][..], &["--access-logfile="]] {
        assert_eq!(Start { arguments: flags, ..start }.config().accesslog, None);
    }
}

#[test]
fn text_may_be_empty_where_that_means_something() {
    assert_eq!(arguments(&["--server-header", ""]).server_header, "");
    assert_eq!(file("server_header = ''").server_header, "");
    assert_eq!(arguments(&["--forwarded-allow-ips="]).forwarded_allow_ips, []);
}

#[test]
fn toml_values_have_their_natural_types() {
    let config = file(
        "workers = 2\nkeepalive = 0.5\ntimeout = '1m'\nlimit_request_body = 1_000\nunix_socket_mode = 0o660\n\
         preload-app = true\nbind = [':1', 'unix:x']\nforwarded_allow_ips = '*'\nworker_connections = 0x10\n",
    );
    assert_eq!(config.workers, Workers::Count(2));
    assert_eq!(config.keepalive, Duration::from_millis(500));
    assert_eq!(config.timeout, Duration::from_secs(60));
    assert_eq!(config.limit_request_body, Bytes(1000));
    assert_eq!(config.unix_socket_mode, Mode(0o660));
    assert!(config.preload_app);
    assert_eq!(config.bind, [tcp("", 1), BindAddress::Unix("x".into())]);
    assert_eq!(config.worker_connections, 16);
    assert_eq!(source(&config, "preload_app"), "farrier.toml:6");
    // Nobody means the decimal number.
    assert_eq!(file("unix_socket_mode = 660").unix_socket_mode, Mode(0o660));
}

#[test]
fn a_bad_value_names_file_and_line() {
    for (text, error) in [
        ("\n\nworkers = -1", "farrier.toml:3: workers: expected a whole number of at least 1 or `auto`, got `-1`"),
        ("workers = [1]", "farrier.toml:1: workers: expected a whole number of at least 1 or `auto`, got a list"),
        ("workers = true", "farrier.toml:1: workers: expected a whole number of at least 1 or `auto`, got `true`"),
        ("threads = 1.5", "farrier.toml:1: threads: expected a whole number of at least 1, got `1.5`"),
        ("backlog = 5000000000", "farrier.toml:1: backlog: `5000000000` is too large, at most 4294967295"),
        ("tick = '3h'", "farrier.toml:1: tick: expected a duration from 100us to 1s, got `3h`"),
        ("preload_app = 'maybe'", "farrier.toml:1: preload_app: expected `true` or `false`, got `maybe`"),
        ("server_header = 7", "farrier.toml:1: server_header: expected text, got `7`"),
        ("chdir = 2026-01-01", "farrier.toml:1: chdir: expected a path, got a date"),
        ("chdir = {a = 1}", "farrier.toml:1: chdir: expected a path, got a table"),
        ("raw_env = ['A=1',\n 'B']", "farrier.toml:2: raw_env: expected `NAME=VALUE`, got `B`"),
        ("raw_env = [['A=1']]", "farrier.toml:1: raw_env: expected `NAME=VALUE`, got a list"),
    ] {
        assert_eq!(file_errors(text), error, "{text}");
    }
}

#[test]
fn a_file_that_is_no_toml_names_line_and_key() {
    // The parser speaks of quotes where a value is missing, and never of the key.
    let missing = "workers: a value is missing behind `=`";
    for (text, error) in [
        ("workers =", format!("farrier.toml:1: {missing}")),
        ("\nworkers =\nthreads = 2\n", format!("farrier.toml:2: {missing}")),
        ("workers = # four\n", format!("farrier.toml:1: {missing}")),
    ] {
        assert_eq!(file_errors(text), error, "{text}");
    }
    for text in ["threads = 2\nworkers = four", "threads = 2\nworkers = 1\nworkers = 2"] {
        let error = file_errors(text);
        assert!(error.starts_with("farrier.toml:") && error.contains(": workers: "), "{error}");
    }
}

#[test]
fn an_unknown_key_suggests_the_nearest() {
    for (text, error) in [
        ("\nworker = 1", "farrier.toml:2: unknown setting `worker`; did you mean `workers`?"),
        ("processes = 1", "farrier.toml:1: unknown setting `processes`; did you mean `workers`?"),
        ("access-logfile = '-'", "farrier.toml:1: unknown setting `access-logfile`; did you mean `accesslog`?"),
        ("zebra = 1", "farrier.toml:1: unknown setting `zebra`"),
        ("print_config = true", "farrier.toml:1: `print_config` is for the command line only (`--print-config`)"),
        ("[server]\nbind = 1", "farrier.toml:1: unknown table `server`; every setting is a key at the top level"),
    ] {
        assert_eq!(file_errors(text), error, "{text}");
    }
}

#[test]
fn a_file_that_is_not_toml_names_the_line() {
    assert!(file_errors("workers = 1\nbind = \n").starts_with("farrier.toml:2: "));
    assert!(file_errors("workers = 1\nworkers = 2\n").starts_with("farrier.toml:2: "));
    let error = "farrier.toml:2: graceful_timeout: set twice, with `-` and with `_`";
    assert_eq!(file_errors("graceful_timeout = 1\ngraceful-timeout = 2\n"), error);
}

#[test]
fn an_unknown_variable_suggests_the_nearest() {
    for (name, error) in [
        ("FARRIER_WORKER", "environment FARRIER_WORKER: unknown setting; did you mean `FARRIER_WORKERS`?"),
        ("FARRIER_workers", "environment FARRIER_workers: unknown setting; did you mean `FARRIER_WORKERS`?"),
        ("FARRIER_CONFG", "environment FARRIER_CONFG: unknown setting; did you mean `FARRIER_CONFIG`?"),
        ("FARRIER_ZEBRA", "environment FARRIER_ZEBRA: unknown setting"),
        ("FARRIER_", "environment FARRIER_: unknown setting"),
    ] {
        assert_eq!(variable_errors(&[(name, "1")]), error);
    }
}

#[test]
fn the_variables_of_a_kubernetes_service_called_farrier_are_no_mistakes() {
    let variables = &[
        ("FARRIER_SERVICE_HOST", "10.0.0.1"),
        ("FARRIER_SERVICE_PORT", "80"),
        ("FARRIER_SERVICE_PORT_HTTP", "80"),
        ("FARRIER_PORT", "tcp://10.0.0.1:80"),
        ("FARRIER_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("FARRIER_PORT_80_TCP_ADDR", "10.0.0.1"),
    ];
    assert_eq!(Start { variables, ..Start::default() }.config(), Config::default());
    assert!(variable_errors(&[("FARRIER_PORT", "80")]).contains("unknown setting"));
    assert!(variable_errors(&[("FARRIER_PORT_HTTP", "80")]).contains("unknown setting"));
}

#[test]
fn the_error_of_a_bad_argument_says_what_is_accepted() {
    for (line, error) in [
        (
            &["--worker", "3"][..],
            "`--worker` may mean `--workers`, `--worker-class`, `--worker-connections`, `--worker-tmp-dir`",
        ),
        (&["--wrokers", "3"], "unknown flag `--wrokers`; did you mean `--workers`?"),
        (&["--no-bind"], "unknown flag `--no-bind`; `farrier --help` lists the flags"),
        (&["--no-check-config"], "unknown flag `--no-check-config`; did you mean `--check-config`?"),
        (&["-z"], "unknown flag `-z`; `farrier --help` lists the flags"),
        (&["-w"], "`-w` needs a value: a whole number of at least 1 or `auto`"),
        (&["-c"], "`-c` needs a value: `-c FILE`"),
        (&["--chdir", "--workers=2"], "`--chdir` needs a value: a path"),
        (&["--chdir", "-w", "2"], "`--chdir` needs a value: a path"),
        (&["-w", "0"], "command line -w: expected a whole number of at least 1 or `auto`, got `0`"),
        (&["--no-preload=yes"], "`--no-preload` takes no value"),
        (&["--help", "wrokers"], "unknown setting `wrokers`; did you mean `workers`?"),
        (
            &["--completions", "tcsh"],
            "command line --completions: there are completions for bash, zsh, fish, not for `tcsh`",
        ),
        (
            &["-b", "a:1", "-b", "b:x,c:1"],
            "command line -b: expected `HOST:PORT`, `[IPV6]:PORT`, `:PORT`, `unix:PATH`, `unix:@NAME`, `fd://N` or `fd://NAME`, with `http://`, `https://`, `uwsgi://`, `fastcgi://` (or `https+unix:` and the like) in front for what is spoken there, got `b:x`",
        ),
    ] {
        assert_eq!(argument_errors(line), error, "{line:?}");
    }
}

#[test]
fn all_errors_are_reported_at_once_in_the_order_of_the_places() {
    let start = Start {
        file: Some("threads = 0\nworker = 1\nbacklog = 0"),
        variables: &[("FARRIER_BACKLOG", "x"), ("FARRIER_ZEBRA", "1")],
        arguments: &["--tick", "1h"],
    };
    let errors = start.errors();
    let places: Vec<&str> = errors.lines().map(|line| line.split(": ").next().unwrap_or_default()).collect();
    assert_eq!(
        places,
        [
            "farrier.toml:1",
            "farrier.toml:2",
            "farrier.toml:3",
            "environment FARRIER_ZEBRA",
            "environment FARRIER_BACKLOG",
            "command line --tick"
        ]
    );
}

#[test]
fn a_named_file_is_read_instead_of_the_default_one() {
    let read = |path: &Path| match path.to_str() {
        Some("flag.toml") => Ok("workers = 2".to_string()),
        Some("variable.toml") => Ok("workers = 3".to_string()),
        Some("farrier.toml") => Ok("workers = 4".to_string()),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    for (line, variables, from) in [
        (&["-c", "flag.toml"][..], &[("FARRIER_CONFIG", "variable.toml")][..], "flag.toml:1"),
        (&[], &[("FARRIER_CONFIG", "variable.toml")], "variable.toml:1"),
        (&[], &[("FARRIER_CONFIG", "")], "farrier.toml:1"),
        (&[], &[], "farrier.toml:1"),
    ] {
        match gather(line, variables.iter().copied(), read) {
            Ok(Outcome::Run(config)) => assert_eq!(source(&config, "workers"), from),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_named_file_must_be_there_and_be_toml() {
    assert!(argument_errors(&["-c", "x.toml"]).starts_with("command line -c: cannot read `x.toml`: "));
    assert!(variable_errors(&[("FARRIER_CONFIG", "x")]).starts_with("environment FARRIER_CONFIG: cannot read `x`: "));
    let python = gather(["-c", "gunicorn.conf.py"], [("", ""); 0], |_| Ok(String::new()));
    assert!(python.is_err_and(|error| error.to_string().contains("only TOML files are read")));
    let unreadable = gather([""; 0], [("", ""); 0], |_| Err(io::ErrorKind::PermissionDenied.into()));
    assert!(unreadable.is_err_and(|error| error.to_string().starts_with("cannot read `farrier.toml`: ")));
}

#[cfg(unix)]
#[test]
fn what_is_not_utf8_is_refused_where_it_matters() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    let bytes = || OsString::from_vec(vec![0xff]);
    let variable =
        |name: &str| gather([""; 0], [(OsString::from(name), bytes())], |_| Err(io::ErrorKind::NotFound.into()));
    assert!(variable("FARRIER_BIND").is_err());
    assert!(variable("SOMETHING").is_ok());
    assert!(gather([bytes()], [("", ""); 0], |_| Err(io::ErrorKind::NotFound.into())).is_err());
}

#[test]
fn help_and_version_do_not_read_the_other_layers() {
    let file = Some("nonsense");
    for (line, is_help) in
        [(&["--help"][..], true), (&["-h", "-w", "2"], true), (&["-V"], false), (&["app:app", "-v"], false)]
    {
        match (Start { arguments: line, file, ..Start::default() }.gather(), is_help) {
            (Ok(Outcome::Help(text)), true) => assert!(text.contains("Usage: farrier"), "{line:?}"),
            (Ok(Outcome::Version), false) => {}
            (other, _) => panic!("{line:?}: {other:?}"),
        }
    }
}
