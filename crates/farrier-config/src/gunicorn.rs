//! Gunicorn's 120 settings, in the order of its documentation, and how Farrier handles each.
//!
//! Most are rows of Farrier's own table. The others exist only here: those that only Python can hold, those that have
//! no effect, and those that are refused with a hint what to use instead.

/// One setting of Gunicorn's.
#[derive(Debug)]
pub struct Gunicorn {
    /// Its name, in its config file and here.
    pub name: &'static str,
    /// Its flags there, separated by blanks; empty where only the config file has it.
    pub flags: &'static str,
    /// Its default there, as Python writes it.
    pub default: &'static str,
    /// How Farrier handles it.
    pub became: Became,
}

/// How Farrier handles a setting of Gunicorn's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Became {
    /// A row of Farrier's table.
    Row,
    /// An action of the command line.
    Action,
    /// A callable or a dict, which only a Python file can give.
    InPython,
    /// Accepted with a warning that says why it has no effect.
    Unused(&'static str),
    /// Farrier refuses to start with it, unless it has a value that asks for nothing.
    Refused {
        /// Values besides the default that ask for nothing, in lower case.
        unless: &'static [&'static str],
        /// What to use instead.
        instead: &'static str,
    },
}

impl Gunicorn {
    /// Whether the flag is a switch, which takes no value.
    pub fn is_switch(&self) -> bool {
        matches!(self.default, "True" | "False")
    }

    /// Whether the flag may be repeated.
    pub fn is_list(&self) -> bool {
        self.default == "[]"
    }
}

const fn row(name: &'static str, flags: &'static str, default: &'static str) -> Gunicorn {
    Gunicorn { name, flags, default, became: Became::Row }
}

const fn action(name: &'static str, flags: &'static str, default: &'static str) -> Gunicorn {
    Gunicorn { name, flags, default, became: Became::Action }
}

const fn hook(name: &'static str) -> Gunicorn {
    Gunicorn { name, flags: "", default: "None", became: Became::InPython }
}

const fn unused(name: &'static str, flags: &'static str, default: &'static str, why: &'static str) -> Gunicorn {
    Gunicorn { name, flags, default, became: Became::Unused(why) }
}

const fn refused(
    name: &'static str,
    flags: &'static str,
    default: &'static str,
    unless: &'static [&'static str],
    instead: &'static str,
) -> Gunicorn {
    Gunicorn { name, flags, default, became: Became::Refused { unless, instead } }
}

const SSL_CONTEXT: &str = "Python's `ssl` does not serve here, so there is no context to make: say with `certfile`, `keyfile`, \
                           `ca_certs`, `cert_reqs`, `ciphers` and `tls_min_version` what it would";
const ASGI: &str = "Farrier serves WSGI applications: keep an ASGI server for this one";
const DIRTY: &str = "there are no dirty arbiters: use a task queue such as Celery, RQ or Dramatiq for long jobs";
const CONTROL: &str = "there is no control socket, and no file is made for one: signals do the same";
const STRICT: &str = "such requests are always refused, because servers that read them differently can be played against \
                      each other";
const OPENSSL: &str = "it is a detail of Python's `ssl` module, which does not serve here";

/// Every setting of Gunicorn 27.0.1, by section.
pub const GUNICORN: &[(&str, &[Gunicorn])] = &[
    ("Config file", &[action("config", "-c --config", "'./gunicorn.conf.py'"), row("wsgi_app", "", "None")]),
    ("Server socket", &[row("bind", "-b --bind", "['127.0.0.1:8000']"), row("backlog", "--backlog", "2048")]),
    (
        "Worker processes",
        &[
            row("workers", "-w --workers", "1"),
            row("worker_class", "-k --worker-class", "'sync'"),
            row("threads", "--threads", "1"),
            row("worker_connections", "--worker-connections", "1000"),
            row("max_requests", "--max-requests", "0"),
            row("max_requests_jitter", "--max-requests-jitter", "0"),
            row("timeout", "-t --timeout", "30"),
            row("graceful_timeout", "--graceful-timeout", "30"),
            row("keepalive", "--keep-alive", "2"),
            refused("asgi_loop", "--asgi-loop", "'auto'", &[], ASGI),
            refused("asgi_lifespan", "--asgi-lifespan", "'auto'", &["off"], ASGI),
            refused("asgi_disconnect_grace_period", "--asgi-disconnect-grace-period", "3", &[], ASGI),
            refused("websocket_max_message_size", "--websocket-max-message-size", "16777216", &[], ASGI),
            unused("http_parser", "--http-parser", "'auto'", "Farrier has one parser, which is compiled"),
        ],
    ),
    (
        "Security",
        &[
            row("limit_request_line", "--limit-request-line", "4094"),
            row("limit_request_fields", "--limit-request-fields", "100"),
            row("limit_request_field_size", "--limit-request-field_size", "8190"),
        ],
    ),
    (
        "Server mechanics",
        &[
            row("preload_app", "--preload", "False"),
            row("sendfile", "--no-sendfile", "None"),
            row("reuse_port", "--reuse-port", "False"),
            row("chdir", "--chdir", "'.'"),
            row("daemon", "-D --daemon", "False"),
            row("raw_env", "-e --env", "[]"),
            row("pidfile", "-p --pid", "None"),
            unused(
                "worker_tmp_dir",
                "--worker-tmp-dir",
                "None",
                "workers report through shared memory, without a file",
            ),
            row("user", "-u --user", "None"),
            row("group", "-g --group", "None"),
            row("umask", "-m --umask", "0"),
            row("initgroups", "--initgroups", "False"),
            row("tmp_upload_dir", "", "None"),
            row(
                "secure_scheme_headers",
                "",
                "{'X-FORWARDED-PROTOCOL': 'ssl', 'X-FORWARDED-PROTO': 'https', 'X-FORWARDED-SSL': 'on'}",
            ),
            row("forwarded_allow_ips", "--forwarded-allow-ips", "'127.0.0.1,::1'"),
            row("pythonpath", "--pythonpath", "None"),
            unused(
                "paste",
                "--paste --paster",
                "None",
                "Farrier reads no PasteDeploy file; the application that is named is served",
            ),
            row("proxy_protocol", "--proxy-protocol", "'off'"),
            row("proxy_allow_ips", "--proxy-allow-from", "'127.0.0.1,::1'"),
            row("protocol", "--protocol", "'http'"),
            row("uwsgi_allow_ips", "--uwsgi-allow-from", "'127.0.0.1,::1'"),
            unused("raw_paste_global_conf", "--paste-global", "[]", "Farrier reads no PasteDeploy file"),
            row("permit_obsolete_folding", "--permit-obsolete-folding", "False"),
            unused("strip_header_spaces", "--strip-header-spaces", "False", STRICT),
            row("permit_unconventional_http_method", "--permit-unconventional-http-method", "False"),
            unused("permit_unconventional_http_version", "--permit-unconventional-http-version", "False", STRICT),
            unused(
                "casefold_http_method",
                "--casefold-http-method",
                "False",
                "methods are case-sensitive, as RFC 9110 requires",
            ),
            row("forwarder_headers", "--forwarder-headers", "'SCRIPT_NAME,PATH_INFO'"),
            row("header_map", "--header-map", "'drop'"),
            refused(
                "root_path",
                "--root-path",
                "''",
                &[],
                "it is for ASGI: a proxy's `SCRIPT_NAME` field, or `raw_env = [\"SCRIPT_NAME=/prefix\"]`, does it for WSGI",
            ),
        ],
    ),
    (
        "Debugging",
        &[
            row("reload", "--reload", "False"),
            row("reload_engine", "--reload-engine", "'auto'"),
            row("reload_extra_files", "--reload-extra-file", "[]"),
            unused("spew", "--spew", "False", "`python -m trace --trace` prints every line that runs"),
            action("check_config", "--check-config", "False"),
            action("print_config", "--print-config", "False"),
        ],
    ),
    (
        "Logging",
        &[
            row("accesslog", "--access-logfile", "None"),
            row("disable_redirect_access_to_syslog", "--disable-redirect-access-to-syslog", "False"),
            row(
                "access_log_format",
                "--access-logformat",
                r#"'%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'"#,
            ),
            row("errorlog", "--error-logfile --log-file", "'-'"),
            row("loglevel", "--log-level", "'info'"),
            row("capture_output", "--capture-output", "False"),
            row("logger_class", "--logger-class", "'gunicorn.glogging.Logger'"),
            row("logconfig", "--log-config", "None"),
            Gunicorn { name: "logconfig_dict", flags: "", default: "{}", became: Became::InPython },
            row("logconfig_json", "--log-config-json", "None"),
            row("syslog_addr", "--log-syslog-to", "'udp://localhost:514'"),
            row("syslog", "--log-syslog", "False"),
            row("syslog_prefix", "--log-syslog-prefix", "None"),
            row("syslog_facility", "--log-syslog-facility", "'user'"),
            row("enable_stdio_inheritance", "-R --enable-stdio-inheritance", "False"),
            row("statsd_host", "--statsd-host", "None"),
            row("dogstatsd_tags", "--dogstatsd-tags", "''"),
            row("statsd_prefix", "--statsd-prefix", "''"),
            row("enable_backlog_metric", "--enable-backlog-metric", "False"),
        ],
    ),
    (
        "Process naming",
        &[
            row("proc_name", "-n --name", "None"),
            unused(
                "default_proc_name",
                "",
                "'gunicorn'",
                "the application's name is the default; `proc_name` sets another",
            ),
        ],
    ),
    (
        "SSL",
        &[
            row("keyfile", "--keyfile", "None"),
            row("certfile", "--certfile", "None"),
            unused("ssl_version", "--ssl-version", "2", OPENSSL),
            row("cert_reqs", "--cert-reqs", "0"),
            row("ca_certs", "--ca-certs", "None"),
            unused("suppress_ragged_eofs", "--suppress-ragged-eofs", "True", OPENSSL),
            unused("do_handshake_on_connect", "--do-handshake-on-connect", "False", OPENSSL),
            row("ciphers", "--ciphers", "None"),
        ],
    ),
    (
        "Server hooks",
        &[
            hook("on_starting"),
            hook("on_reload"),
            hook("when_ready"),
            hook("pre_fork"),
            hook("post_fork"),
            hook("post_worker_init"),
            hook("worker_int"),
            hook("worker_abort"),
            hook("pre_exec"),
            hook("pre_request"),
            hook("post_request"),
            hook("child_exit"),
            hook("worker_exit"),
            hook("nworkers_changed"),
            hook("on_exit"),
            refused("ssl_context", "", "None", &[], SSL_CONTEXT),
        ],
    ),
    (
        "HTTP/2",
        &[
            row("http_protocols", "--http-protocols", "'h1'"),
            row("http2_cleartext", "--http2-cleartext", "'off'"),
            row("http2_max_concurrent_streams", "--http2-max-concurrent-streams", "100"),
            row("http2_initial_window_size", "--http2-initial-window-size", "65535"),
            row("http2_max_frame_size", "--http2-max-frame-size", "16384"),
            row("http2_max_header_list_size", "--http2-max-header-list-size", "65536"),
        ],
    ),
    (
        "Dirty arbiters",
        &[
            refused("dirty_apps", "--dirty-app", "[]", &[], DIRTY),
            refused("dirty_workers", "--dirty-workers", "0", &[], DIRTY),
            refused("dirty_timeout", "--dirty-timeout", "300", &[], DIRTY),
            refused("dirty_threads", "--dirty-threads", "1", &[], DIRTY),
            refused("dirty_graceful_timeout", "--dirty-graceful-timeout", "30", &[], DIRTY),
        ],
    ),
    (
        "Dirty arbiters' hooks",
        &[
            refused("on_dirty_starting", "", "None", &[], DIRTY),
            refused("dirty_post_fork", "", "None", &[], DIRTY),
            refused("dirty_worker_init", "", "None", &[], DIRTY),
            refused("dirty_worker_exit", "", "None", &[], DIRTY),
        ],
    ),
    (
        "Control",
        &[
            unused("control_socket", "--control-socket", "None", CONTROL),
            unused("control_socket_mode", "--control-socket-mode", "0o600", CONTROL),
            unused("control_socket_disable", "--no-control-socket", "False", CONTROL),
        ],
    ),
];

/// Every setting of Gunicorn's without its section.
pub fn all() -> impl Iterator<Item = &'static Gunicorn> {
    GUNICORN.iter().flat_map(|(_, settings)| settings.iter())
}

/// Those that are no rows of Farrier's table and no actions.
pub(crate) fn without_row() -> impl Iterator<Item = &'static Gunicorn> {
    all().filter(|setting| !matches!(setting.became, Became::Row | Became::Action))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{ACTIONS, SETTINGS};

    #[test]
    fn there_are_120_of_them_and_each_once() {
        let mut names: Vec<&str> = all().map(|setting| setting.name).collect();
        assert_eq!(names.len(), 120);
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 120);
    }

    #[test]
    fn gunicorns_settings_that_are_rows_have_the_same_flags() {
        for setting in all() {
            let rows = match setting.became {
                Became::Row => SETTINGS,
                Became::Action => ACTIONS,
                _ => {
                    assert!(SETTINGS.iter().all(|row| row.name != setting.name), "{} is a row", setting.name);
                    continue;
                }
            };
            let Some(row) = rows.iter().find(|row| row.foreign_names().any(|name| name == setting.name)) else {
                panic!("{} is no row", setting.name);
            };
            assert_eq!(row.name, setting.name);
            for flag in setting.flags.split_whitespace() {
                let known = flag.replace("--no-", "--").replace('_', "-");
                assert!(row.flags().contains(&known), "{flag}");
            }
        }
    }

    #[test]
    fn every_row_with_gunicorns_name_is_gunicorns() {
        for row in SETTINGS.iter().chain(ACTIONS) {
            let named = row.attributes.iter().any(|each| matches!(each, crate::setting::Attribute::Gunicorn(_)));
            assert_eq!(named, all().any(|setting| setting.name == row.name), "{}", row.name);
        }
    }
}
