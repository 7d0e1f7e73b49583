//! Tests of Gunicorn's settings, flags and files.

use std::io;
use std::path::Path;
use std::time::Duration;

use farrier_config::gunicorn::{self, Became};
use farrier_config::{
    Answer, BindAddress, Bytes, Config, ConfigError, Files, Layer, Mode, Outcome, Problem, PythonFile, Ran, Raw,
    Source, WorkerClass, Workers, gather, gather_from, probably_meant, resolve_embedded, setting_name,
};

const NO_FILE: fn(&Path) -> io::Result<String> = |_| Err(io::ErrorKind::NotFound.into());

fn outcome(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Outcome, ConfigError> {
    gather(arguments, variables.iter().copied(), NO_FILE)
}

fn config(arguments: &[&str], variables: &[(&str, &str)]) -> Config {
    match outcome(arguments, variables) {
        Ok(Outcome::Run(config)) => *config,
        other => panic!("{arguments:?} {variables:?}: {other:?}"),
    }
}

fn error(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    match outcome(arguments, variables) {
        Err(error) => error.to_string(),
        Ok(outcome) => panic!("{arguments:?} {variables:?}: {outcome:?}"),
    }
}

fn source(config: &Config, name: &str) -> String {
    config.source_of(name).map(ToString::to_string).unwrap_or_default()
}

fn warnings(config: &Config) -> Vec<String> {
    config.warnings().iter().map(ToString::to_string).collect()
}

/// Python files by name, each with the settings that it makes.
#[derive(Default)]
struct Folder {
    text: Vec<(&'static str, &'static str)>,
    python: Vec<(&'static str, Vec<(&'static str, Raw)>)>,
}

impl Files for Folder {
    fn read(&mut self, path: &Path) -> io::Result<String> {
        let text = self.text.iter().find(|(name, _)| Path::new(name) == path).map(|(_, text)| (*text).to_string());
        text.or_else(|| self.is_file(path).then(String::new)).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn is_file(&mut self, path: &Path) -> bool {
        self.python.iter().any(|(name, _)| Path::new(name) == path)
    }

    fn run(&mut self, file: &PythonFile) -> Result<Ran, ConfigError> {
        let (PythonFile::Path(wanted) | PythonFile::Module(wanted)) = file;
        let mut ran = Ran::default();
        for (line, (name, raw)) in
            self.python.iter().find(|(name, _)| name == wanted).into_iter().flat_map(|f| &f.1).enumerate()
        {
            let source = Source::File { path: wanted.clone(), line: line + 1 };
            let name = setting_name(name).unwrap_or_else(|| panic!("{name} is no setting"));
            ran.layer.insert(name, Answer { raw: raw.clone(), source });
        }
        Ok(ran)
    }
}

fn workers(count: i128) -> Vec<(&'static str, Raw)> {
    vec![("workers", Raw::Integer(count))]
}

fn in_folder(folder: &mut Folder, arguments: &[&str], variables: &[(&str, &str)]) -> Result<Config, String> {
    match gather_from(arguments, variables.iter().copied(), folder) {
        Ok(Outcome::Run(config)) => Ok(*config),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn every_flag_of_gunicorns_is_understood() {
    for setting in gunicorn::all() {
        for flag in setting.flags.split_whitespace() {
            let arguments: Vec<&str> = match (setting.name, setting.default.trim_matches('\'')) {
                ("config" | "check_config" | "print_config" | "statsd_host", _) => continue,
                ("sendfile", _) => vec![flag],
                ("worker_class", _) => vec![flag, "sync"],
                ("logger_class", _) => vec![flag, "mysite.logs.Logger"],
                _ if setting.is_switch() => vec![flag],
                (_, "[]") => vec![flag, "A=1"],
                (_, "['127.0.0.1:8000']") => vec![flag, "127.0.0.1:8000"],
                (_, "None") => vec![flag, "1"],
                (_, default) => vec![flag, default],
            };
            match (outcome(&[&arguments[..], &["app:app"]].concat(), &[]), setting.became) {
                (Ok(Outcome::Run(config)), Became::Row) => {
                    assert_eq!(source(&config, setting.name), format!("command line {flag}"));
                }
                (Ok(Outcome::Run(_)), _) => {}
                (Err(error), Became::Refused { instead, .. }) => {
                    assert!(error.to_string().contains(instead), "{arguments:?}: {error}");
                }
                (other, _) => panic!("{arguments:?}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_flag_may_be_cut_short_where_that_is_clear() {
    let short = config(&["--access-logform", "json", "--bac", "7", "--no-s", "--prel", "--thread", "3"], &[]);
    assert_eq!((short.backlog, short.sendfile, short.preload_app, short.threads), (7, false, true, 3));
    assert_eq!(source(&short, "access_log_format"), "command line --access-logform");
    // Farrier's own flags do not make a beginning ambiguous that Gunicorn accepts.
    assert_eq!(config(&["--keep", "5"], &[]).keepalive, Duration::from_secs(5));
    assert_eq!(config(&["--limit-request-b", "5"], &[]).limit_request_body, Bytes(5));
    assert!(error(&["--worker", "1"], &[]).starts_with("`--worker` may mean `--workers`, `--worker-class`"));
    assert!(error(&["--p", "1"], &[]).starts_with("unknown flag `--p`"));
}

#[test]
fn the_variable_with_flags_stands_between_the_others_and_the_command_line() {
    let flags = ("GUNICORN_CMD_ARGS", "-w 4 --name 'my site' other:app --access-logfile -");
    let config = config(&["--name", "mine", "app:app"], &[flags, ("FARRIER_WORKERS", "9")]);
    assert_eq!((config.workers, source(&config, "workers").as_str()), (Workers::Count(4), "GUNICORN_CMD_ARGS -w"));
    assert_eq!(config.proc_name.as_deref(), Some("mine"));
    assert_eq!(config.wsgi_app.as_deref(), Some("app:app"));
}

#[test]
fn a_mistake_in_the_variable_names_it() {
    for (text, message) in [
        ("-w x", "GUNICORN_CMD_ARGS -w: expected a whole number of at least 1 or `auto`, got `x`"),
        ("--zebra", "environment GUNICORN_CMD_ARGS: unknown flag `--zebra`; `farrier --help` lists the flags"),
        ("-w '4", "environment GUNICORN_CMD_ARGS: a quote is not closed"),
    ] {
        assert_eq!(error(&[], &[("GUNICORN_CMD_ARGS", text)]), message);
    }
}

#[test]
fn the_variable_may_ask_for_a_check() {
    assert!(matches!(outcome(&[], &[("GUNICORN_CMD_ARGS", "--check-config")]), Ok(Outcome::CheckConfig(_))));
    assert!(matches!(
        outcome(&["--print-config"], &[("GUNICORN_CMD_ARGS", "--check-config")]),
        Ok(Outcome::PrintConfig { .. })
    ));
}

#[test]
fn an_empty_forwarded_allow_ips_trusts_nobody() {
    assert_eq!(config(&[], &[("FORWARDED_ALLOW_IPS", "")]).forwarded_allow_ips, []);
    assert_eq!(config(&[], &[("WEB_CONCURRENCY", "")]).workers, Workers::Count(1));
}

#[test]
fn the_file_is_the_one_that_is_named_highest_else_the_first_that_is_there() {
    let mut folder = Folder {
        text: vec![("x.toml", "workers = 20")],
        python: vec![
            ("a.py", workers(11)),
            ("b.py", workers(12)),
            ("c", workers(13)),
            ("mod", workers(14)),
            ("gunicorn.conf.py", workers(15)),
        ],
    };
    for (arguments, variables, from) in [
        (&["-c", "a.py"][..], &[("GUNICORN_CMD_ARGS", "-c b.py"), ("FARRIER_CONFIG", "c")][..], "a.py:1"),
        (&[], &[("GUNICORN_CMD_ARGS", "-c b.py"), ("FARRIER_CONFIG", "c")], "b.py:1"),
        (&[], &[("FARRIER_CONFIG", "c")], "c:1"),
        (&["-c", "file:a.py"], &[], "a.py:1"),
        (&["-c", "file:x.toml"], &[], "x.toml:1"),
        (&["-c", "python:mod"], &[], "mod:1"),
        (&[], &[], "gunicorn.conf.py:1"),
    ] {
        let config = in_folder(&mut folder, arguments, variables);
        assert_eq!(config.map(|config| source(&config, "workers")), Ok(from.to_string()));
    }
}

#[test]
fn farriers_own_file_wins_over_gunicorns_with_a_warning() {
    let mut folder =
        Folder { text: vec![("farrier.toml", "workers = 2")], python: vec![("gunicorn.conf.py", workers(3))] };
    let config = in_folder(&mut folder, &[], &[]);
    let said = config.map(|config| (source(&config, "workers"), warnings(&config)));
    let warning = "`gunicorn.conf.py` is not read, because `farrier.toml` is here";
    assert_eq!(said, Ok(("farrier.toml:1".to_string(), vec![warning.to_string()])));

    folder.python.push(("farrier.conf.py", workers(4)));
    let error = "there are both `farrier.toml` and `farrier.conf.py`: keep one, or name one with `--config`";
    assert_eq!(in_folder(&mut folder, &[], &[]).err().as_deref(), Some(error));

    folder.text.clear();
    assert_eq!(in_folder(&mut folder, &[], &[]).map(|config| config.workers), Ok(Workers::Count(4)));
}

#[test]
fn values_of_python_have_their_natural_meaning() {
    let made = vec![
        ("umask", Raw::Integer(0o027)),
        ("timeout", Raw::Integer(0)),
        ("accesslog", Raw::Absent),
        ("errorlog", Raw::Absent),
        ("user", Raw::Integer(33)),
        ("workers", Raw::Text("3".into())),
        ("sendfile", Raw::Switch(true)),
        ("post_fork", Raw::Object("the function post_fork".into())),
    ];
    let mut folder = Folder { text: vec![], python: vec![("gunicorn.conf.py", made)] };
    let config = in_folder(&mut folder, &[], &[]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.umask, Some(Mode(0o027)));
    assert_eq!(config.unix_socket_mode, Mode(0o640));
    assert_eq!(config.accesslog, None);
    assert_eq!(source(&config, "accesslog"), "gunicorn.conf.py:3");
    assert_eq!(source(&config, "errorlog"), "default");
    assert_eq!(config.user.as_ref().map(|user| user.0.as_str()), Some("33"));
    assert_eq!(config.workers, Workers::Count(3));
    assert!(config.sendfile);
    assert_eq!(config.answers_beyond().map(|(name, _)| name).collect::<Vec<_>>(), ["post_fork"]);
    assert!(warnings(&config).is_empty());
}

#[test]
fn a_bad_value_of_python_names_file_and_line() {
    for (name, raw, message) in [
        ("workers", Raw::Integer(-1), "workers: expected a whole number of at least 1 or `auto`, got `-1`"),
        (
            "workers",
            Raw::Object("the function f".into()),
            "workers: expected a whole number of at least 1 or `auto`, got the function f",
        ),
        ("umask", Raw::Integer(0o1000), "umask: expected permissions in octal such as `660`, got `512`"),
        ("preload_app", Raw::Integer(1), "preload_app: expected `true` or `false`, got `1`"),
    ] {
        let mut folder = Folder { text: vec![], python: vec![("gunicorn.conf.py", vec![(name, raw)])] };
        assert_eq!(in_folder(&mut folder, &[], &[]).err(), Some(format!("gunicorn.conf.py:1: {message}")));
    }
}

#[test]
fn worker_class_decides_about_threads_where_those_are_not_set() {
    for (arguments, class, threads, from) in [
        (&[][..], None, 64, "default"),
        (&["-k", "sync"], Some(WorkerClass::Sync), 1, "from worker_class"),
        (&["-k", "gthread"], Some(WorkerClass::Gthread), 1, "from worker_class"),
        (&["-k", "gthread", "--threads", "4"], Some(WorkerClass::Gthread), 4, "command line --threads"),
        (&["-k", "sync", "--threads", "4"], Some(WorkerClass::Gthread), 4, "command line --threads"),
        (&["-k", "sync", "--threads", "1"], Some(WorkerClass::Sync), 1, "command line --threads"),
        (&["--threads", "2"], None, 2, "command line --threads"),
    ] {
        let config = config(arguments, &[]);
        assert_eq!((config.worker_class, config.threads), (class, threads), "{arguments:?}");
        assert_eq!(source(&config, "threads"), from, "{arguments:?}");
    }
}

#[test]
fn a_timeout_that_is_set_limits_requests_too() {
    for (arguments, seconds, from) in [
        (&[][..], 0, "default"),
        (&["-t", "120"], 120, "from timeout"),
        (&["-t", "0"], 0, "default"),
        (&["-t", "120", "--request-timeout", "0"], 0, "command line --request-timeout"),
        (&["--request-timeout", "5"], 5, "command line --request-timeout"),
    ] {
        let config = config(arguments, &[]);
        assert_eq!(config.request_timeout, Duration::from_secs(seconds), "{arguments:?}");
        assert_eq!(source(&config, "request_timeout"), from, "{arguments:?}");
    }
    // The heartbeat timeout is a different setting, and keeps its default.
    assert_eq!(config(&["--request-timeout", "5"], &[]).timeout, Duration::from_secs(30));
}

#[test]
fn the_head_has_room_for_the_parts_that_are_allowed() {
    assert_eq!(config(&["--limit-request-line", "4094"], &[]).limit_request_head, Bytes(65_536));
    assert_eq!(config(&["--limit-request-line", "108190"], &[]).limit_request_head, Bytes(165_536));
    let own = config(&["--limit-request-line", "108190", "--limit-request-head", "70000"], &[]);
    assert_eq!(own.limit_request_head, Bytes(70_000));
    assert_eq!(config(&["--limit-request-field_size", "0"], &[]).limit_request_field_size, Bytes(0));
}

#[test]
fn a_setting_without_effect_is_warned_of_once_unless_it_asks_for_nothing() {
    let quiet = config(
        &["--http-parser", "auto", "--protocol", "http", "--proxy-protocol", "off", "--cert-reqs", "0", "app:app"],
        &[],
    );
    assert!(warnings(&quiet).is_empty(), "{:?}", warnings(&quiet));
    let told = config(&["--worker-tmp-dir", "/dev/shm", "--no-control-socket", "--spew", "app:app"], &[]);
    let told = warnings(&told);
    assert_eq!(told.len(), 3, "{told:?}");
    assert_eq!(
        told[0],
        "command line --worker-tmp-dir: worker_tmp_dir has no effect: workers report through shared memory, without a file"
    );
}

#[test]
fn what_cannot_be_served_is_refused_wherever_it_stands() {
    for (arguments, variables) in [
        (&["--dirty-workers", "1"][..], &[][..]),
        (&["--dirty-app", "a:b"], &[]),
        (&["--paste", "site.ini"], &[]),
        (&[], &[("GUNICORN_CMD_ARGS", "--dirty-workers 1")]),
        (&[], &[("FARRIER_DIRTY_WORKERS", "1")]),
    ] {
        let error = error(arguments, variables);
        assert!(error.contains("is not supported: "), "{arguments:?} {variables:?}: {error}");
    }
    let toml = gather([""; 0], [("", ""); 0], |_| Ok("dirty_workers = 1".to_string()));
    assert!(toml.is_err_and(|error| error.to_string().starts_with("farrier.toml:1: dirty_workers is not supported")));
    // If an application is named, PasteDeploy's file is ignored with a warning.
    assert_eq!(warnings(&config(&["--paste", "site.ini", "app:app"], &[])).len(), 1);
}

#[test]
fn hooks_are_pythons() {
    let toml = gather([""; 0], [("", ""); 0], |_| Ok("post_fork = 'a.b'".to_string()));
    let message = "farrier.toml:1: post_fork can only be given in Python: write it into farrier.conf.py";
    assert_eq!(toml.err().map(|error| error.to_string()).as_deref(), Some(message));
}

#[test]
fn a_variable_of_a_python_file_is_a_slip_only_where_it_looks_like_one() {
    for (variable, meant) in [
        ("wrokers", Some("workers")),
        ("worker", Some("workers")),
        ("time_out", Some("timeout")),
        ("preload", Some("preload_app")),
        ("keep_alive", Some("keepalive")),
        ("access_logfile", Some("accesslog")),
        ("post_frok", Some("post_fork")),
        ("max_request", Some("max_requests")),
        ("cores", None),
        ("host", None),
        ("port", None),
        ("name", None),
        ("env", None),
        ("workers_per_core", None),
        ("bind_host", None),
        ("web_concurrency", None),
        ("timeout_str", None),
        ("use_loglevel", None),
    ] {
        assert_eq!(probably_meant(variable), meant, "{variable}");
    }
}

#[test]
fn an_embedding_program_gives_the_only_layer() {
    let mut layer = Layer::default();
    let source = Source::CommandLine("cfg.set(\"bind\")".into());
    layer.insert("bind", Answer { raw: Raw::Text("127.0.0.1:9".into()), source: source.clone() });
    let config = resolve_embedded(layer).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.bind, [BindAddress::Tcp { host: "127.0.0.1".into(), port: 9 }]);

    let mut layer = Layer::default();
    layer.insert("dirty_workers", Answer { raw: Raw::Text("1".into()), source });
    assert!(resolve_embedded(layer).is_err());
}

#[test]
fn a_traceback_comes_before_the_message() {
    let error = ConfigError {
        problems: vec![Problem::at(Source::File { path: "g.py".into(), line: 2 }, "NameError: x")],
        traceback: "Traceback\n".into(),
    };
    assert_eq!(error.to_string(), "Traceback\ng.py:2: NameError: x");
}
