//! The table of uWSGI's options, and how each is handled. A name that ends in `*` stands for all names that begin like
//! it.

/// uWSGI options that mean the same, or are handled in the same way.
#[derive(Debug)]
pub(super) struct UwsgiOption {
    /// Their names, separated by blanks; the first is the usual one.
    names: &'static str,
    /// How they are handled.
    pub(super) becomes: Becomes,
    /// A remark: why they are not needed, what to do instead, how the setting differs. Completes the sentence "NAME:
    /// …".
    pub(super) says: &'static str,
}

/// How an option is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Becomes {
    /// The value of one setting.
    Setting(&'static str, By),
    /// It is translated together with other options; the list has the settings that this may give.
    Part(Role, &'static [&'static str]),
    /// It is ignored, because Farrier does it anyway or has nothing that it could act on.
    Needless,
    /// It is ignored although it had an effect; the remark says what to do instead.
    Without,
    /// A value that other options use as `%(name)`.
    Placeholder,
}

/// How an option's value becomes a setting's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// As it is.
    Text,
    /// A number without a unit, which is also the setting's.
    Number,
    /// Seconds.
    Seconds,
    /// MiB.
    Mebibytes,
    /// Octal permissions; without a value, everybody's.
    Mode,
    /// A switch.
    Switch,
    /// One more item of a list.
    Item,
}

/// The role of an option that is translated together with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The application's module.
    Module,
    /// The application's file.
    File,
    /// The application's name in the module or file.
    Callable,
    /// An application and its prefix.
    Mount,
    /// A folder of files and its prefix.
    StaticMap,
    /// An address that speaks HTTP.
    Http,
    /// An address that speaks the protocol of `protocol`, otherwise uwsgi.
    Socket,
    /// An address that speaks uwsgi.
    Uwsgi,
    /// An address that speaks FastCGI.
    FastCgi,
    /// The protocol of `socket`.
    Protocol,
    /// Permissions of unix sockets.
    ChmodSocket,
    /// Load the application after the fork.
    Lazy,
    /// Worker processes.
    Processes,
    /// Threads of a worker.
    Threads,
    /// The limit of a request head.
    BufferSize,
    /// The limit of a request body.
    LimitPost,
    /// How much of a body is kept in memory.
    PostBuffering,
    /// Connections that are kept alive.
    KeepAlive,
    /// A field for every response.
    AddHeader,
    /// The Python environment.
    Virtualenv,
    /// Plugins.
    Plugins,
    /// Background and log in one.
    Daemonize,
    /// A log of everything.
    Logto,
    /// A logger of everything.
    Logger,
    /// A logger of requests.
    RequestLogger,
    /// No access log.
    DisableLogging,
    /// The access log's format.
    LogFormat,
    /// Code that is loaded again.
    AutoReload,
    /// A file whose time of change reloads.
    TouchReload,
    /// PROXY headers in front of requests.
    ProxyProtocol,
    /// What happens at SIGTERM.
    DieOnTerm,
    /// How long workers may take to stop.
    Mercy,
    /// The address of the statistics.
    Stats,
    /// A command that runs at some event of the server.
    Hook,
}

impl UwsgiOption {
    /// The names, the usual one first.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.names.split_ascii_whitespace()
    }

    /// The settings that it may become.
    pub(super) fn settings(&self) -> &[&'static str] {
        match &self.becomes {
            Becomes::Setting(name, _) => std::slice::from_ref(name),
            Becomes::Part(_, names) => names,
            _ => &[],
        }
    }

    fn goes_by(&self, name: &str) -> bool {
        self.names().any(|known| match known.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => known == name,
        })
    }
}

/// The option of this name. An exact name wins over a name with `*`.
pub(super) fn by_name(name: &str) -> Option<&'static UwsgiOption> {
    let exact = OPTIONS.iter().find(|option| option.names().any(|known| known == name));
    exact.or_else(|| OPTIONS.iter().find(|option| option.goes_by(name)))
}

const fn setting(names: &'static str, name: &'static str, by: By, says: &'static str) -> UwsgiOption {
    UwsgiOption { names, becomes: Becomes::Setting(name, by), says }
}

const fn part(names: &'static str, role: Role, settings: &'static [&'static str], says: &'static str) -> UwsgiOption {
    UwsgiOption { names, becomes: Becomes::Part(role, settings), says }
}

const fn needless(names: &'static str, says: &'static str) -> UwsgiOption {
    UwsgiOption { names, becomes: Becomes::Needless, says }
}

const fn without(names: &'static str, says: &'static str) -> UwsgiOption {
    UwsgiOption { names, becomes: Becomes::Without, says }
}

const APP: &[&str] = &["wsgi_app", "pythonpath"];
const LOGS: &[&str] = &["errorlog", "accesslog", "capture_output"];

/// Every option that the importer knows, the common ones first.
pub(super) const OPTIONS: &[UwsgiOption] = &[
    // The application.
    part("module wsgi", Role::Module, APP, ""),
    part("callable", Role::Callable, APP, "the name behind the colon of `wsgi_app`"),
    part(
        "wsgi-file file",
        Role::File,
        APP,
        "the file becomes a module: one under `chdir` with its folders as package, any other by putting its folder on \
         `pythonpath`",
    ),
    part(
        "mount",
        Role::Mount,
        &["wsgi_app", "mount", "pythonpath", "raw_env"],
        "a single one is the whole server's, its prefix set by the variable `SCRIPT_NAME`; of several each is a `[[mount]]`",
    ),
    needless("manage-script-name", "the prefix is taken off `PATH_INFO` whenever `SCRIPT_NAME` is set"),
    setting("chdir", "chdir", By::Text, ""),
    setting("chdir2", "chdir", By::Text, "applied before the application is loaded"),
    setting("pythonpath python-path pp", "pythonpath", By::Item, ""),
    setting("env", "raw_env", By::Item, ""),
    part(
        "virtualenv venv home pyhome virtual-env",
        Role::Virtualenv,
        &[],
        "Farrier serves the environment that it is installed in: install it there and start that environment's `farrier`",
    ),
    needless("need-app", "a worker without its application never serves, and a start without it fails"),
    needless("single-interpreter", "there is one interpreter per worker"),
    needless("strict", "an unknown setting is always an error"),
    needless("no-default-app", "no other application is looked for once one is named"),
    // Sockets.
    part(
        "socket",
        Role::Socket,
        &["bind"],
        "speaks uwsgi, so `uwsgi_pass` of nginx goes on working; over TCP, peers beside this machine must be named in \
         `uwsgi_allow_ips`",
    ),
    part("uwsgi-socket", Role::Uwsgi, &["bind"], "as `socket`"),
    part("http-socket", Role::Http, &["bind"], ""),
    part("http http11-socket", Role::Http, &["bind"], "there is no router process: workers speak HTTP themselves"),
    part("fastcgi-socket", Role::FastCgi, &["bind"], ""),
    part("protocol socket-protocol", Role::Protocol, &["bind"], "decides what `socket` speaks"),
    part("chmod-socket chmod", Role::ChmodSocket, &["unix_socket_mode"], "without a value everybody may connect"),
    setting("chown-socket", "unix_socket_owner", By::Text, ""),
    setting("listen", "backlog", By::Number, "Linux cuts it to `net.core.somaxconn`, and uWSGI refused to start then"),
    setting("reuse-port", "reuse_port", By::Switch, ""),
    needless("vacuum", "the files of unix sockets and the pid file are always taken away"),
    needless(
        "thunder-lock accept-mutex-timeout",
        "workers share no lock: the kernel wakes one of them for a connection",
    ),
    needless("so-keepalive tcp-nodelay so-send-timeout reuse-addr", "sockets are set up for HTTP already"),
    needless("no-defer-accept socket-sndbuf socket-rcvbuf", "the kernel's own values serve well"),
    needless("freebind abstract-socket", "an abstract socket is written `unix:@NAME`"),
    without(
        "https https-socket suwsgi-socket ssl-* sslsocket http-to-https https-export-cert sni*",
        "say it with `certfile`, `keyfile` and an address that begins with `https://`; `http-to-https` is `https_redirect`",
    ),
    without("scgi-socket", "SCGI is not served: use `proxy_pass` or `uwsgi_pass` in the proxy"),
    without("puwsgi-socket", "bodies break out of that protocol and can run code: use `socket`"),
    without(
        "shared-socket undeferred-shared-socket",
        "bind the address itself: it is bound before privileges are dropped, as a shared socket is",
    ),
    without(
        "raw-socket zeromq zmq udp fastcgi-nph-socket scgi-nph-socket upload-progress",
        "this protocol is not served",
    ),
    // Workers.
    needless("master", "there is always a process that watches the workers"),
    part("processes workers", Role::Processes, &["workers"], ""),
    part(
        "threads",
        Role::Threads,
        &["threads"],
        "without it uWSGI makes one call at a time in a process, so `threads = 1` is written; take that away for an \
         application that is thread-safe",
    ),
    needless("enable-threads", "threads of the application always run"),
    part(
        "lazy-apps lazy",
        Role::Lazy,
        &["preload_app"],
        "without it uWSGI loads the application before the workers are forked, so `preload_app = true` is written",
    ),
    setting(
        "harakiri",
        "request_timeout",
        By::Seconds,
        "the client gets 504 and the stacks are logged; the worker is not killed in the middle of its other requests",
    ),
    needless("harakiri-verbose harakiri-no-arh py-tracebacker", "the stacks of all threads are always logged"),
    needless(
        "harakiri-graceful-timeout harakiri-graceful-signal",
        "a request's thread gets an exception, not a signal",
    ),
    setting("max-requests", "max_requests", By::Number, ""),
    setting("max-requests-delta", "max_requests_jitter", By::Number, "by chance, where uWSGI counts workers"),
    needless(
        "min-worker-lifetime worker-lifetime-min",
        "a worker that is replaced early does no harm: its successor serves first",
    ),
    setting("max-worker-lifetime", "max_worker_lifetime", By::Seconds, ""),
    setting(
        "max-worker-lifetime-delta",
        "max_worker_lifetime_jitter",
        By::Seconds,
        "by chance, where uWSGI counts workers",
    ),
    setting("reload-on-rss", "max_worker_rss", By::Mebibytes, ""),
    setting("evil-reload-on-rss", "max_worker_rss", By::Mebibytes, "the worker finishes its requests first"),
    without(
        "reload-on-as evil-reload-on-as reload-on-uss reload-on-pss",
        "use `max_worker_rss`, or a limit of the service manager",
    ),
    part(
        "worker-reload-mercy reload-mercy",
        Role::Mercy,
        &["graceful_timeout"],
        "uWSGI's default is 60 seconds, Farrier's 25",
    ),
    needless("mule-reload-mercy", "there are no mules"),
    needless(
        "cheaper* cheap idle die-on-idle",
        "workers are few, because each serves many requests at once, and their threads come and go with the load; \
         `workers` is what `processes` says",
    ),
    without(
        "async ugreen gevent* greenlet asyncio tornado coroae loop gevent-monkey-patch",
        "calls run in threads, which start as they are needed (`threads`), and idle connections occupy none",
    ),
    without("cpu-affinity", "the kernel spreads the workers; a service manager can pin them (`CPUAffinity=`)"),
    part("die-on-term", Role::DieOnTerm, &[], "SIGTERM always stops gracefully (without it, uWSGI reloads)"),
    needless("exit-on-reload", "a reload is asked for with SIGHUP alone"),
    needless(
        "no-orphans close-on-exec close-on-exec2",
        "workers leave when their arbiter is gone; files are closed at exec",
    ),
    needless("py-call-osafterfork py-call-uwsgi-fork-hooks", "what `os.register_at_fork` was given always runs"),
    needless("wsgi-env-behaviour wsgi-env-behavior", "every request has an environ of its own"),
    needless("wsgi-accept-buffer wsgi-accept-buffers", "what the application gives is checked as PEP 3333 wants"),
    needless(
        "py-sharedarea skip-atexit skip-atexit-teardown threads-stacksize thread-stacksize",
        "it has nothing to act on here",
    ),
    needless("lock-engine ftok", "no lock is shared between processes"),
    needless("buffer-size-limit max-vars vec-size", "the number of fields is bounded by `limit_request_fields`"),
    // Requests.
    part(
        "buffer-size",
        Role::BufferSize,
        &["limit_request_head", "limit_request_line", "limit_request_field_size"],
        "a head of 64 KiB is accepted anyway (uWSGI's default is 4 KiB); a larger line or field than 8 KiB is let in as it was",
    ),
    part("limit-post", Role::LimitPost, &["limit_request_body"], "without it uWSGI takes any body, Farrier 10 MiB"),
    part(
        "post-buffering",
        Role::PostBuffering,
        &["body_buffer_bytes"],
        "every body is complete before the application is called, and 256 KiB of it are kept in memory anyway",
    ),
    needless("post-buffering-bufsize", "the size of single reads needs no care"),
    part("http-keepalive", Role::KeepAlive, &["keepalive"], "connections are kept alive anyway"),
    setting("http-headers-timeout", "header_timeout", By::Seconds, ""),
    needless(
        "http-timeout socket-timeout http-connect-timeout so-timeout socket-send-timeout",
        "slow clients occupy no thread, and have timeouts of their own: `header_timeout`, `body_timeout`, `write_timeout`",
    ),
    needless(
        "http-auto-chunked http-chunked-input wsgi-manage-chunked-input chunked-input-limit chunked-input-timeout http-raw-body",
        "chunked requests and responses need no switch",
    ),
    needless(
        "http-processes http-workers http-modifier1 http-modifier2 http-to http-use-socket http-manage-expect \
         http-buffer-size http-events http-harakiri http-backend-http http-manage-source http-gracetime http-quit-on-abort",
        "there is no router process in front of the workers",
    ),
    setting("http-auto-gzip", "compress", By::Switch, "gzip, and zstd and brotli for clients that prefer them"),
    needless("static-gzip*", "a `.gz`, `.br` or `.zst` beside a file is sent where the client takes it"),
    part(
        "add-header",
        Role::AddHeader,
        &["keepalive"],
        "`Connection: close` becomes `keepalive = 0`; any other field is the application's or the proxy's to add",
    ),
    without(
        "response-header-* collect-header pull-header add-header-*",
        "a header field is the application's or the proxy's to add",
    ),
    without(
        "route* final-route* error-route* response-route* router-list rewrite*",
        "there is no internal routing: do it in the proxy or the application",
    ),
    part(
        "static-map static-map2",
        Role::StaticMap,
        &["static"],
        "a file that is not there is answered with 404, and not by the application",
    ),
    without(
        "check-static check-static-docroot static-index static-safe static-expires* static-cache* static-skip* mimefile \
         fileserve-mode static*",
        "files are served by `[[static]]`: its keys `index` and `max_age` say what these options say",
    ),
    needless(
        "offload-threads disable-sendfile wsgi-disable-file-wrapper",
        "a slow client occupies no thread; `wsgi.file_wrapper` uses `sendfile`",
    ),
    needless(
        "ignore-sigpipe ignore-write-errors disable-write-exception write-errors-tolerance write-errors-exception-only",
        "a client that leaves raises nothing in the application",
    ),
    without("catch-exceptions", "a stack trace is never shown to clients; it is in the error log"),
    part(
        "http-enable-proxy-protocol enable-proxy-protocol",
        Role::ProxyProtocol,
        &["proxy_protocol"],
        "read from this machine and from those that `proxy_allow_ips` names, and from nobody else",
    ),
    needless("log-x-forwarded-for", "`forwarded_allow_ips` and `proxy_headers` say which proxies are trusted"),
    // Process.
    setting("uid", "user", By::Text, ""),
    setting("gid", "group", By::Text, ""),
    without(
        "add-gid additional-gid immediate-uid immediate-gid",
        "`initgroups = true` lets the workers have all groups of `user`",
    ),
    setting("umask", "umask", By::Mode, ""),
    setting("pidfile", "pidfile", By::Text, "written once the workers serve"),
    setting("safe-pidfile pidfile2 safe-pidfile2", "pidfile", By::Text, "written once the workers serve"),
    part("daemonize daemonize2", Role::Daemonize, &["daemon", "errorlog", "accesslog", "capture_output"], ""),
    setting("procname", "proc_name", By::Text, "for the arbiter and the workers, which say which of them they are"),
    setting("procname-prefix procname-prefix-spaced procname-master procname-append", "proc_name", By::Text, ""),
    needless("auto-procname", "processes always say what they are"),
    part(
        "touch-reload fs-reload fs-brain-reload touch-chain-reload touch-workers-reload",
        Role::TouchReload,
        &["reload_extra_files"],
        "in development (with `py-autoreload`) the file is watched; else send SIGHUP to the arbiter, which reloads \
         without losing a request",
    ),
    part("py-autoreload py-auto-reload python-autoreload python-auto-reload", Role::AutoReload, &["reload"], ""),
    needless(
        "py-autoreload-ignore py-auto-reload-ignore",
        "the kernel reports changes, so nothing needs to be left out",
    ),
    without("touch-logreopen touch-logrotate log-reopen", "send SIGUSR1, which reopens the logs"),
    without("touch-*", "send SIGHUP to reload, SIGUSR1 to reopen the logs"),
    without(
        "master-fifo fifo*",
        "signals do the same: HUP reloads, TTIN and TTOU change the number of workers, TERM stops",
    ),
    part(
        "hook-* exec-* as-user as-root call-*",
        Role::Hook,
        &[],
        "write a function in farrier.conf.py (`when_ready`, `post_fork`, `on_exit`), or let the service manager do it",
    ),
    needless("chain-reload", "a reload always replaces one worker after another, each new one before its old one"),
    without("limit-as limit-nproc max-fd rlimit-nofile", "let the service manager set limits (`LimitNOFILE=`)"),
    without(
        "chroot pivot-root namespace* ns* unshare* cgroup* cap* seccomp* prio nice ksm",
        "let the service manager do it",
    ),
    needless("honour-stdin", "standard input is left as it is"),
    needless("remap-modifier modifier1 modifier2 binary-path", "there is one kind of application"),
    // Logs.
    part(
        "disable-logging",
        Role::DisableLogging,
        &["accesslog"],
        "without it uWSGI writes a line for every request, so an `accesslog` is written",
    ),
    part("logto logto2", Role::Logto, LOGS, "errors, requests and what the application prints go there"),
    part("logger log-syslog syslog", Role::Logger, &["errorlog", "syslog", "syslog_addr"], ""),
    without("rsyslog remote-syslog", "use `syslog` and `syslog_addr`"),
    part("req-logger logger-req", Role::RequestLogger, &["accesslog"], ""),
    part(
        "log-format logformat log-format-strftime logformat-strftime",
        Role::LogFormat,
        &["access_log_format"],
        "variables without an atom become `-`",
    ),
    needless(
        "log-master log-master-* threaded-logger threaded-log log-drain-burst logger-list",
        "no request waits for the log",
    ),
    needless("log-date logdate log-prefix", "every line has its time"),
    needless(
        "log-micros log-memory memory-report",
        "the access log has the time a request took (`%(D)s`); `stats` has the memory",
    ),
    without(
        "log-maxsize logmaxsize log-backupname log-truncate logfile-chmod logfile-chown log-chown",
        "use logrotate, and SIGUSR1 to reopen the logs",
    ),
    without(
        "log-4xx log-5xx log-slow log-zero log-big log-sendfile log-ioerror log-only-* ignore-log",
        "the access log has all requests or none: filter what reads it",
    ),
    without(
        "log-encoder log-req-encoder log-route log-req-route",
        "`access_log_format = \"json\"` makes a line of JSON",
    ),
    // Statistics.
    part("stats stats-server", Role::Stats, &["stats"], ""),
    needless("stats-minified stats-no-cores stats-no-metrics", "the document is small"),
    without("stats-http", "the document is sent plainly, as `uwsgitop` reads it by default"),
    without("stats-push stats-pusher* metric* carbon* snmp* enable-metrics", "use `statsd_host`"),
    // Features that are not a WSGI server's task, or another program's.
    part("plugin plugins plugins-list need-plugin need-plugins", Role::Plugins, &[], "nothing needs to be loaded"),
    needless("plugin-dir plugins-dir autoload", "nothing needs to be loaded"),
    needless(
        "show-config show-config-json version dump-options cheaper-algo-list",
        "`farrier --print-config` shows every setting",
    ),
    needless(
        "py-version python-version optimize py-program-name programname",
        "Farrier is the Python that it is installed in",
    ),
    without("pyargv", "`sys.argv` is Farrier's: use a variable (`raw_env`)"),
    without(
        "pyimport py-import import python-import shared-import shared-pyimport spooler-import spooler-python-import pymodule-alias",
        "import it in the application",
    ),
    without(
        "eval exec pyrun pyshell python-shell pump web3 wsgi-lite wsgilite paste ini-paste ini-paste-logged paste-logger",
        "write a module that holds the application, and name it",
    ),
    without(
        "dynamic-apps vhost virtualhost app-name idle-app",
        "one application is served, and none is loaded on a request's word",
    ),
    without("mule* farm*", "start a process of its own for it (a service, a task queue)"),
    without("spooler* spool*", "use a task queue such as Celery, RQ or Dramatiq"),
    without("cron* cron2 unique-cron* timer* rbtimer* legion-cron*", "use cron, a systemd timer or a task queue"),
    without(
        "attach-daemon* smart-attach-daemon* legion-attach-daemon* attach-*",
        "let the service manager run it beside Farrier",
    ),
    without("cache cache2 cache-* queue* sharedarea* sharedarea", "use Redis, Memcached or a database"),
    without("websocket* http-websockets", "WebSockets need another server: Farrier serves WSGI"),
    without(
        "emperor* vassal* vassals* subscribe* subscription* fastrouter* rawrouter* sslrouter* forkptyrouter* tuntap* zerg* legion* gateway*",
        "one Farrier per application under a service manager; a proxy in front spreads the requests",
    ),
    without("rpc* signal* unsignal* alarm* symcall*", "use a task queue or the monitoring that you have"),
    UwsgiOption {
        names: "set set-placeholder set-ph",
        becomes: Becomes::Placeholder,
        says: "filled in where `%(name)` stands",
    },
    without("unenv", "take it away where Farrier is started"),
    needless("print declare-option resolve", "it only had to do with the file of settings"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_listed_twice() {
        let mut seen = std::collections::BTreeSet::new();
        for name in OPTIONS.iter().flat_map(UwsgiOption::names) {
            assert!(seen.insert(name), "{name}");
        }
    }

    #[test]
    fn an_option_that_is_no_setting_has_a_reason() {
        for option in OPTIONS {
            assert!(!option.settings().is_empty() || !option.says.is_empty(), "{option:?}");
        }
    }
}
