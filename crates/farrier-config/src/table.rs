//! The table: every setting of Farrier, one row each. The only place to add one.
//!
//! A row is its documentation, then `name: Type = default`, then what else there is to say of it:
//! `cli` more spellings on the command line, `env` a variable that platforms set (and the value to make of it),
//! `gunicorn` and `uwsgi` its names there, `at_least` and `at_most` its bounds, `takes` the word for the value in `--help`,
//! `positional` the word for the argument without a flag. The first line of the documentation is the line of `--help`;
//! it says what the setting does, and the paragraphs after it say what 0 means and when to change it.

use std::path::PathBuf;
use std::time::Duration;

use crate::macros::settings;
use crate::tables::{InternalFolder, Mount, Site, StaticMount};
use crate::value::{
    AccessLogFormat, Account, AcmeChallenge, AcmeDirectory, BindAddress, Bytes, CertificateNames, ClientCertificates,
    Compress, Email, EnvVar, ErrorPages, FieldName, HeaderMap, HostName, HostPattern, Http2Cleartext, HttpVersion,
    LogLevel, LogTarget, MediaPattern, Mode, Owner, Protocol, ProxyHeader, ProxyProtocol, Rate, ReloadEngine,
    SchemeField, StatsAddress, StatsdAddress, SyslogAddress, SyslogFacility, TlsVersion, TrustedPeer, UrlPath,
    WorkerClass, Workers,
};

settings! {
    section "Application";

    /// The application, as `MODULE` or `MODULE:NAME`.
    ///
    /// `NAME` may be an attribute (`app`), a dotted attribute or a call of a factory (`create_app()`); without it,
    /// `application` is looked up.
    wsgi_app: Option<String> = none
        positional "APP", gunicorn "wsgi_app", uwsgi "module", uwsgi "wsgi-file", uwsgi "callable", uwsgi "mount";

    /// Change to this folder before the application is loaded.
    ///
    /// The folder is also put first on `sys.path`. `farrier.toml` is looked for in the folder where Farrier starts, before
    /// the change.
    chdir: Option<PathBuf> = none
        takes "FOLDER", gunicorn "chdir", uwsgi "chdir";

    /// Folders to put on `sys.path`, separated by commas.
    pythonpath: Vec<String> = none
        takes "FOLDERS", gunicorn "pythonpath", uwsgi "pythonpath";

    /// Set a variable in the application's environment.
    ///
    /// Repeat the flag, or give a list in `farrier.toml`, to set several. `FARRIER_RAW_ENV` sets one; a comma belongs to
    /// the value.
    raw_env: Vec<EnvVar> = none
        cli "-e" "--env", gunicorn "raw_env", uwsgi "env";

    section "Server socket";

    /// Addresses to listen on; repeat for several.
    ///
    /// `HOST:PORT`, `[IPV6]:PORT`, `:PORT` for all addresses, `HOST` for port 8000, `unix:PATH`, `unix:@NAME` for
    /// Linux's abstract namespace, `fd://N` for a socket that is already open, `fd://NAME` for those that systemd passes
    /// under this name. Where none is an `fd://`, sockets that systemd passes are all used, and the addresses are not.
    /// Port 0 takes any free port. When the variable `PORT` is set and nothing else answers, the address is
    /// `0.0.0.0:$PORT`.
    bind: Vec<BindAddress> = "127.0.0.1:8000"
        cli "-b", env "PORT" "0.0.0.0:{}", gunicorn "bind", uwsgi "http-socket", uwsgi "socket", uwsgi "http",
        uwsgi "fastcgi-socket";

    /// What is spoken on addresses that do not say it themselves.
    ///
    /// `uwsgi` and `fastcgi` are for a web server in front, with nginx's `uwsgi_pass` or `fastcgi_pass`; `auto` takes HTTP
    /// beside them and looks at a connection's first bytes. An address with a protocol in front, such as
    /// `uwsgi://127.0.0.1:3031` or `fastcgi+unix:/run/app.sock`, says it itself.
    protocol: Protocol = http
        gunicorn "protocol";

    /// Connections the kernel queues until they are accepted.
    ///
    /// Linux cuts it to `net.core.somaxconn` without saying so.
    backlog: u32 = 2048
        at_least 1, gunicorn "backlog", uwsgi "listen";

    /// Permissions of a unix socket's file, in octal.
    ///
    /// Connecting needs write permission. 666 lets every local user connect, as behind Gunicorn's default umask; use 660
    /// with `unix_socket_owner` to let in the web server's group alone. Where only `umask` is set, the permissions are
    /// 666 without what it masks.
    unix_socket_mode: Mode = 666
        uwsgi "chmod-socket";

    /// Owner of a unix socket's file.
    ///
    /// Names or numbers. Changing the user needs root; a group may be any that the process belongs to.
    unix_socket_owner: Option<Owner> = none
        takes "OWNER", uwsgi "chown-socket";

    /// Give each worker a socket of its own (`SO_REUSEPORT`).
    ///
    /// The kernel then spreads new connections by their addresses and not by who is free. Without effect on unix sockets.
    reuse_port: bool = false
        gunicorn "reuse_port", uwsgi "reuse-port";

    section "Worker processes";

    /// Worker processes, or `auto` for one per usable core.
    ///
    /// One worker serves many requests at once (see `threads`), so more are needed only for work that keeps the
    /// interpreter busy: start with one per core.
    workers: Workers = 1
        cli "-w", env "WEB_CONCURRENCY", gunicorn "workers", uwsgi "processes";

    /// How a worker makes its calls: adaptive, `sync` or `gthread`.
    ///
    /// Without it a worker adapts: one thread serves while calls are short, more join when they are long, up to
    /// `threads`. `sync` and `gthread` are Gunicorn's words: `sync` makes one call at a time unless `threads` says more,
    /// `gthread` makes as many as `threads` says, and both take 1 where `threads` is not set. Connections are kept alive
    /// and bodies are buffered in every case. `gevent`, `eventlet`, `tornado` and ASGI workers are refused.
    worker_class: Option<WorkerClass> = none
        cli "-k", gunicorn "worker_class";

    /// Calls of the application that may run at once in a worker.
    ///
    /// Threads start when they are needed. 1 means strictly one call at a time, for applications that are not
    /// thread-safe; that is also the default where `worker_class` is set.
    threads: u32 = 64
        at_least 1, gunicorn "threads", uwsgi "threads";

    /// How long a thread may be idle before it ends.
    ///
    /// 0 keeps every thread that was once needed.
    threads_idle_timeout: Duration = 30s;

    /// Load the application before the workers are forked.
    ///
    /// The workers share the memory of what was loaded, and a mistake in the application shows at once. Do not open
    /// connections or start threads while modules are imported: they do not survive the fork.
    preload_app: bool = false
        cli "--preload", gunicorn "preload_app", uwsgi "lazy-apps";

    /// Silence after which a worker is killed and replaced.
    ///
    /// A worker reports to the arbiter while it is able to; a long call of the application does not make it silent. 0
    /// turns the watch off. Gunicorn's users mean by it how long a request may take, so a `timeout` that is set, wherever
    /// that is, is the `request_timeout` too unless that one is set itself.
    timeout: Duration = 30s
        cli "-t", gunicorn "timeout";

    /// How long a request may take before it is given up.
    ///
    /// The stacks of all threads are logged, the client gets 504, and an exception is raised in the thread; a worker whose
    /// thread does not come back is replaced once its other requests are done. 0 means no limit, also where `timeout` is
    /// set.
    request_timeout: Duration = 0s
        uwsgi "harakiri";

    /// Time that workers have to finish on a stop or reload.
    ///
    /// A request that still runs then is cut off; 0 cuts it off at once. The default ends before the 30 seconds that Kubernetes
    /// waits.
    graceful_timeout: Duration = 25s
        gunicorn "graceful_timeout", uwsgi "worker-reload-mercy";

    /// Connections that a worker keeps open at once.
    ///
    /// A few more are let in to be told 503 with `Retry-After`; beyond those, clients wait until one closes.
    worker_connections: u32 = 10000
        at_least 1, gunicorn "worker_connections";

    /// Requests after which a worker is replaced.
    ///
    /// The replacement serves before the worker drains. 0 replaces none.
    max_requests: u64 = 0
        gunicorn "max_requests", uwsgi "max-requests";

    /// Most requests that chance adds to `max_requests`.
    ///
    /// Each worker draws its own number, so that not all are replaced at once.
    max_requests_jitter: u64 = 0
        gunicorn "max_requests_jitter", uwsgi "max-requests-delta";

    /// Age at which a worker is replaced.
    ///
    /// 0 replaces none.
    max_worker_lifetime: Duration = 0s
        uwsgi "max-worker-lifetime";

    /// Most time that chance adds to `max_worker_lifetime`.
    ///
    /// Each worker draws its own, so that not all are replaced at once.
    max_worker_lifetime_jitter: Duration = 0s
        uwsgi "max-worker-lifetime-delta";

    /// Memory (resident set) at which a worker is replaced.
    ///
    /// 0 replaces none.
    max_worker_rss: Bytes = 0
        uwsgi "reload-on-rss";

    section "Process";

    /// Go into the background.
    ///
    /// The command returns when the first worker has loaded the application, or with the exit code of what went wrong.
    /// Standard streams are closed before the workers are started, so name an `errorlog`. Do not use it under systemd or in
    /// a container.
    daemon: bool = false
        cli "-D", gunicorn "daemon", uwsgi "daemonize";

    /// Leave a daemon its standard output and error.
    ///
    /// They are closed all the same where they are a terminal.
    enable_stdio_inheritance: bool = false
        cli "-R", gunicorn "enable_stdio_inheritance";

    /// File to write the arbiter's process number to.
    ///
    /// A start is refused while the process of that number lives.
    pidfile: Option<PathBuf> = none
        cli "-p" "--pid", takes "FILE", gunicorn "pidfile", uwsgi "pidfile";

    /// User that the workers become.
    ///
    /// A name or a number; needs root. The application is loaded as this user, but for `preload_app`. Log files and unix
    /// sockets are made its own.
    user: Option<Account> = none
        cli "-u", takes "USER", gunicorn "user", uwsgi "uid";

    /// Group that the workers become.
    ///
    /// A name or a number. Without it, the user's own. Other groups are given up; see `initgroups`.
    group: Option<Account> = none
        cli "-g", takes "GROUP", gunicorn "group", uwsgi "gid";

    /// Let the workers have all groups of `user`.
    initgroups: bool = false
        gunicorn "initgroups";

    /// Permissions taken away from unix sockets.
    ///
    /// In octal, however it is written. The application's umask stays what it is.
    umask: Option<Mode> = none
        cli "-m", gunicorn "umask", uwsgi "umask";

    /// Name of the processes in `ps` and `top`.
    ///
    /// Without it, the application's.
    proc_name: Option<String> = none
        cli "-n" "--name", takes "NAME", gunicorn "proc_name", uwsgi "procname";

    section "Development";

    /// Replace the workers when the application's files change.
    ///
    /// The old worker serves until the new code is loaded; code that cannot be loaded is shown and changes nothing.
    reload: bool = false
        gunicorn "reload", uwsgi "py-autoreload";

    /// How changes are noticed: `auto`, `inotify` or `poll`.
    ///
    /// `poll` looks once a second, for file systems that tell nothing.
    reload_engine: ReloadEngine = auto
        gunicorn "reload_engine";

    /// More files to watch with `reload`; repeat for several.
    ///
    /// Paths or patterns such as `templates/*.html`.
    reload_extra_files: Vec<String> = none
        cli "--reload-extra-file", takes "FILE", gunicorn "reload_extra_files", uwsgi "touch-reload";

    section "Health";

    /// Path that says whether the server lives.
    ///
    /// Answered with 200 without the application, even when every thread is busy. `/livez` is usual.
    livez_path: Option<UrlPath> = none;

    /// Path that says whether the server takes requests.
    ///
    /// Answered without the application: 200 while it serves, 503 from the moment it is told to stop. `/readyz` is usual.
    readyz_path: Option<UrlPath> = none;

    /// Write questions about health to the access log.
    ///
    /// Those for `livez_path` and `readyz_path`.
    health_access_log: bool = false;

    /// How long to go on serving after a stop signal.
    ///
    /// Meanwhile `readyz_path` says 503, so that load balancers send new requests elsewhere. `graceful_timeout` begins
    /// after it.
    drain_delay: Duration = 0s;

    section "Scheduling";

    /// How often a running call is looked at.
    ///
    /// A call that outlives a tick gives up the lead, and another thread goes on serving the other connections.
    tick: Duration = 1ms
        at_least 100us, at_most 1s;

    /// A call longer than this counts as slow.
    ///
    /// Requests to routes that were slow lately are handed to another thread before the call.
    slow_call: Duration = 300us
        at_least 1us;

    /// Requests of a worker that may wait for a free thread.
    ///
    /// One more is answered with 503 at once. 0 lets none wait.
    queue_max: u32 = 1024;

    /// How long a request may wait for a free thread.
    ///
    /// After that it is answered with 503. 0 lets it wait without a limit of time.
    queue_timeout: Duration = 10s;

    /// The time that a 503 asks the client to wait.
    ///
    /// Sent as `Retry-After` in whole seconds, rounded up. 0 sends none.
    retry_after: Duration = 1s;

    section "Connections";

    /// How long an idle connection is kept for the next request.
    ///
    /// Behind a load balancer it must be longer than the balancer's own idle time, or a request meets a connection that
    /// is being closed. 0 closes after each response.
    keepalive: Duration = 75s
        cli "--keep-alive", gunicorn "keepalive", uwsgi "http-keepalive";

    /// Requests on one connection before it is closed.
    ///
    /// 0 means no limit.
    keepalive_requests: u64 = 0;

    /// How long a client may take to send a request's head.
    ///
    /// Counted from the first byte, or from the connection's start for the first request. Above it the client gets 408.
    /// 0 turns it off.
    header_timeout: Duration = 15s
        uwsgi "http-headers-timeout";

    /// How long a client may pause while it sends a body.
    ///
    /// Above it the client gets 408. 0 turns it off.
    body_timeout: Duration = 30s;

    /// Bytes per second that a client must send of a body.
    ///
    /// An average over the body, judged after `body_timeout` has passed; a slower client gets 408. 0 turns it off.
    body_rate_min: Bytes = 256;

    /// How long a client may take none of the response's bytes.
    ///
    /// Above it the connection is reset. 0 turns it off.
    write_timeout: Duration = 60s;

    /// How long to read on before a connection is closed.
    ///
    /// After the last response, what the client still sends is read and dropped. It lets a client that still sends receive the response before the reset that would destroy it. 0 closes at once.
    linger_timeout: Duration = 2s;

    /// Bytes to read and drop before a connection is closed.
    ///
    /// A client that sends more within `linger_timeout` loses its connection at once.
    linger_bytes_max: Bytes = 16MiB;

    section "Limits";

    /// Longest request line; a longer one gets 414.
    ///
    /// 0 leaves it to `limit_request_head`.
    limit_request_line: Bytes = 8190
        gunicorn "limit_request_line";

    /// Most header fields of a request; one more gets 431.
    ///
    /// 0 leaves it to `limit_request_head`.
    limit_request_fields: u32 = 100
        gunicorn "limit_request_fields";

    /// Longest header field; a longer one gets 431.
    ///
    /// The bytes of name, colon and value, without the line's end. 0 leaves it to `limit_request_head`.
    limit_request_field_size: Bytes = 8190
        gunicorn "limit_request_field_size";

    /// Longest request head; a longer one gets 431.
    ///
    /// The bytes of the request line and all fields with their line ends. Where it is not set itself, it grows with a
    /// `limit_request_line` or `limit_request_field_size` above its default.
    limit_request_head: Bytes = 64KiB
        at_least 256, uwsgi "buffer-size";

    /// Longest request body; a longer one gets 413.
    ///
    /// A body that states its length is refused before it is read. 0 refuses every body.
    limit_request_body: Bytes = 10MiB
        uwsgi "limit-post";

    /// How much of a request body is kept in memory.
    ///
    /// What goes beyond is written to a nameless temporary file. 0 keeps none in memory.
    body_buffer_bytes: Bytes = 256KiB
        uwsgi "post-buffering";

    /// Memory that the request bodies of a worker may take.
    ///
    /// Above it, further bodies go to temporary files at once, whatever `body_buffer_bytes` says. Up to 8 MiB more wait to be
    /// written. 0 keeps none in memory but those that come with their heads.
    upload_memory_max: Bytes = 64MiB;

    /// Size of all temporary files of a worker's request bodies.
    ///
    /// A body that would exceed it gets 507, as if the disk were full.
    upload_disk_max: Bytes = 10GiB;

    /// Content that one HTTP/2 connection may have at once.
    ///
    /// A body that would exceed it gets 503. A request that is alone on its connection has only `limit_request_body`.
    upload_connection_max: Bytes = 256MiB;

    /// Folder of the temporary files for request bodies.
    ///
    /// Without it, the system's folder for temporary files.
    tmp_upload_dir: Option<PathBuf> = none
        takes "FOLDER", gunicorn "tmp_upload_dir";

    /// How much of a response may wait for a slow client.
    ///
    /// The application's thread is free once the rest fits; above it the thread waits, at most `write_timeout` without
    /// progress.
    response_buffer_bytes: Bytes = 256KiB
        at_least 4KiB;

    /// Longest line that begins a chunk; a longer one gets 400.
    ///
    /// The bytes of the chunk's size and extensions, without the line's end.
    limit_chunk_line: Bytes = 256
        at_least 16;

    /// Longest trailer section; a longer one gets 400.
    ///
    /// The bytes of all lines after a chunked body. 0 refuses every trailer.
    limit_trailers: Bytes = 8190;

    /// Accept any method that RFC 9110 allows.
    ///
    /// Without it a method is at most 20 bytes of capital letters and `-`, and any other is answered with 400.
    permit_unconventional_http_method: bool = false
        gunicorn "permit_unconventional_http_method";

    /// Accept header fields that are folded over lines.
    ///
    /// RFC 9112 forbids it, and servers that read such a field differently can be played against each other.
    permit_obsolete_folding: bool = false
        gunicorn "permit_obsolete_folding";

    section "Responses";

    /// The `Server` field of responses; empty or `none` sends none.
    ///
    /// A `Server` field of the application takes its place.
    server_header: String = farrier
        takes "TEXT";

    /// Let the kernel send files (`sendfile`).
    ///
    /// Turn it off for file systems that do not support it.
    sendfile: bool = true
        env "SENDFILE", gunicorn "sendfile";

    /// Header field in which each request has a name of its own.
    ///
    /// Such as `X-Request-ID`. A name that a trusted proxy has given is kept, any other request gets a new one of 32 digits. The
    /// application finds it in this field, the response has it too, and the access log shows it as `%({x-request-id}i)s`.
    request_id_header: Option<FieldName> = none
        takes "NAME";

    section "Logging";

    /// Access log: a file, or `-` for standard output.
    ///
    /// `none` writes no access log.
    accesslog: Option<LogTarget> = none
        cli "--access-logfile", gunicorn "accesslog", uwsgi "req-logger";

    /// Form of the access log's lines.
    ///
    /// A pattern of atoms such as `%(h)s`, or one of the words `json`, `common` and `combined`.
    access_log_format: AccessLogFormat = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#
        cli "--access-logformat", gunicorn "access_log_format", uwsgi "log-format";

    /// Error log: a file, or `-` for standard error.
    errorlog: LogTarget = "-"
        cli "--error-logfile" "--log-file", gunicorn "errorlog", uwsgi "logto";

    /// Least level that the error log writes.
    loglevel: LogLevel = info
        cli "--log-level", gunicorn "loglevel";

    /// How much of a log may wait for a slow disk or reader.
    ///
    /// Lines beyond it are dropped and counted, so that a full pipe does not stop the server.
    log_buffer_bytes: Bytes = 1MiB
        at_least 4KiB;

    /// Write what the application prints into the error log.
    capture_output: bool = false
        gunicorn "capture_output";

    /// Python class that writes the logs, as `module.Class`.
    ///
    /// A subclass of `farrier.glogging.Logger`, or of Gunicorn's class of that name.
    logger_class: Option<String> = none
        takes "CLASS", gunicorn "logger_class";

    /// File with Python's logging configuration (INI).
    logconfig: Option<PathBuf> = none
        cli "--log-config", takes "FILE", gunicorn "logconfig";

    /// File with Python's logging configuration (JSON).
    logconfig_json: Option<PathBuf> = none
        cli "--log-config-json", takes "FILE", gunicorn "logconfig_json";

    /// Send the logs to syslog.
    syslog: bool = false
        cli "--log-syslog", gunicorn "syslog", uwsgi "logger";

    /// Where syslog listens.
    ///
    /// `udp://HOST:PORT`, `tcp://HOST:PORT`, or `unix://PATH` with `#dgram` or `#stream` behind it.
    syslog_addr: SyslogAddress = "udp://localhost:514"
        cli "--log-syslog-to", gunicorn "syslog_addr";

    /// Program name in syslog, between `gunicorn.` and the log's.
    syslog_prefix: Option<String> = none
        cli "--log-syslog-prefix", takes "NAME", gunicorn "syslog_prefix";

    /// Facility in syslog.
    syslog_facility: SyslogFacility = user
        cli "--log-syslog-facility", gunicorn "syslog_facility";

    /// Keep the access log out of syslog.
    disable_redirect_access_to_syslog: bool = false
        gunicorn "disable_redirect_access_to_syslog";

    section "Metrics";

    /// Where to hand out statistics of the workers, as JSON.
    ///
    /// Whoever connects gets one document in the form of uWSGI's, which `uwsgitop` shows, and the connection is closed.
    /// `127.0.0.1:PORT` or `unix:PATH`; an address that other machines reach is written `public:HOST:PORT`. A change takes
    /// effect at the next start.
    stats: Option<StatsAddress> = none
        uwsgi "stats";

    /// StatsD server that gets a count and a time per request.
    ///
    /// `HOST:PORT` or `unix://PATH`.
    statsd_host: Option<StatsdAddress> = none
        gunicorn "statsd_host";

    /// Text before the name of every metric; a dot is added.
    statsd_prefix: String = ""
        gunicorn "statsd_prefix";

    /// Tags of DogStatsD for every metric, such as `env:live,app:shop`.
    dogstatsd_tags: String = ""
        takes "TAGS", gunicorn "dogstatsd_tags";

    /// Send how many connections the kernel has queued.
    enable_backlog_metric: bool = false
        gunicorn "enable_backlog_metric";

    section "Security";

    /// Proxies to believe in everything; repeat for several.
    ///
    /// Addresses, networks such as `10.0.0.0/8`, or `*`. `Forwarded`, `X-Forwarded-For`, `-Proto`, `-Host`, `-Port` and
    /// `-Prefix` are read from the right, through any number of such proxies, and removed from all other peers, as is every
    /// other `X-Forwarded-*` and `X-Real-IP`. Peers on unix sockets are always trusted. It sets `forwarded_allow_ips` and
    /// `proxy_headers`, which say the same one by one; without it those hold, in Gunicorn's meaning.
    trusted_proxy: Vec<TrustedPeer> = none
        takes "PEERS";

    /// Proxies that are believed in what they say of the client.
    ///
    /// Addresses, networks such as `10.0.0.0/8`, or `*` for every peer, which is safe only where nobody but the proxy
    /// can connect. Empty believes nobody; peers on unix sockets are always believed. In what they are believed is said by
    /// `secure_scheme_headers`, `forwarder_headers` and `proxy_headers`.
    forwarded_allow_ips: Vec<TrustedPeer> = "127.0.0.1,::1"
        env "FORWARDED_ALLOW_IPS", gunicorn "forwarded_allow_ips";

    /// Header fields by which a proxy says that the client uses TLS.
    ///
    /// `NAME=VALUE`; from `forwarded_allow_ips` only. A field of this name with another value means plain HTTP.
    secure_scheme_headers: Vec<SchemeField> = "X-FORWARDED-PROTOCOL=ssl,X-FORWARDED-PROTO=https,X-FORWARDED-SSL=on"
        gunicorn "secure_scheme_headers";

    /// Header fields with `_` that proxies may send.
    ///
    /// Names, or `*` for all; from `forwarded_allow_ips` only. `SCRIPT_NAME` sets the variable of that name, any other
    /// becomes `HTTP_NAME`.
    forwarder_headers: Vec<String> = "SCRIPT_NAME,PATH_INFO"
        takes "NAMES", gunicorn "forwarder_headers";

    /// Header fields in which proxies are believed besides the scheme.
    ///
    /// `x-forwarded-for`, `x-real-ip` and `forwarded` give `REMOTE_ADDR`, `x-forwarded-host` and `x-forwarded-port` the
    /// address that links are made of, `x-forwarded-prefix` gives `SCRIPT_NAME`. Name only what every proxy sets or
    /// clears: it would pass on what a client sends. A field that is named here is removed from peers that are not in
    /// `forwarded_allow_ips`; any other reaches the application as it came.
    proxy_headers: Vec<ProxyHeader> = none
        takes "NAMES";

    /// What is done with other header fields with `_`.
    ///
    /// `a_b` and `a-b` are the same variable for the application, so one could pretend to be the other: `drop` leaves such
    /// a field out and names it once in the log, `refuse` answers 400, `dangerous` lets it through.
    header_map: HeaderMap = drop
        gunicorn "header_map";

    /// Peers that may speak the uwsgi protocol.
    ///
    /// Addresses, networks such as `10.0.0.0/8`, or `*`. Whoever speaks it tells the client's address and whether it uses
    /// TLS, and is believed; all others get 403. Peers on unix sockets may always.
    uwsgi_allow_ips: Vec<TrustedPeer> = "127.0.0.1,::1"
        cli "--uwsgi-allow-from", gunicorn "uwsgi_allow_ips";

    /// Peers that may speak FastCGI.
    ///
    /// As `uwsgi_allow_ips`.
    fastcgi_allow_ips: Vec<TrustedPeer> = "127.0.0.1,::1"
        cli "--fastcgi-allow-from";

    /// The version of PROXY headers that connections begin with.
    ///
    /// Such a header tells the client's address. `v1` is the text form, `v2` the binary one, `auto` either. The header is required from the peers in
    /// `proxy_allow_ips`, and read from nobody else: with a bad one, or without one, a connection is answered 400.
    proxy_protocol: ProxyProtocol = off
        gunicorn "proxy_protocol", uwsgi "http-enable-proxy-protocol";

    /// Peers whose connections begin with a PROXY header.
    ///
    /// Addresses, networks, or `*`; with `proxy_protocol` only. Peers on unix sockets are among them.
    proxy_allow_ips: Vec<TrustedPeer> = "127.0.0.1,::1"
        cli "--proxy-allow-from", gunicorn "proxy_allow_ips";

    section "TLS";

    /// Certificates in PEM, each with its chain; repeat for several.
    ///
    /// With a certificate, addresses in `bind` speak TLS unless they begin with `http://`. The certificate is chosen by the
    /// name that a client asks for; the first is the default. Files that change are read again without a reload.
    certfile: Vec<PathBuf> = none
        takes "FILE", gunicorn "certfile";

    /// Files with the private keys, in the order of `certfile`.
    ///
    /// In PEM, and not encrypted. Not needed where the files of `certfile` contain the keys.
    keyfile: Vec<PathBuf> = none
        takes "FILE", gunicorn "keyfile";

    /// Authorities that client certificates are verified against.
    ///
    /// A file with their certificates in PEM.
    ca_certs: Option<PathBuf> = none
        takes "FILE", gunicorn "ca_certs";

    /// Whether clients are asked for a certificate.
    ///
    /// `none`, `optional` or `required`, or Python's numbers for these, 0, 1 and 2. What was verified stands in the environ as `SSL_CLIENT_S_DN` and the
    /// like.
    cert_reqs: ClientCertificates = none
        gunicorn "cert_reqs";

    /// Cipher suites to offer, as OpenSSL or IANA names them.
    ///
    /// Separated by colons. Without it all suites are offered that have forward secrecy and authenticated encryption; no
    /// others can be.
    ciphers: Option<String> = none
        takes "NAMES", gunicorn "ciphers";

    /// Least version of TLS: `1.2` or `1.3`.
    tls_min_version: TlsVersion = "1.2";

    /// How often the key of session tickets is replaced.
    ///
    /// A ticket lets a client that comes back skip most of the handshake, at every worker; it is accepted for one more such
    /// period. 0 gives no tickets.
    tls_ticket_rotation: Duration = 12h;

    /// Speak TLS with a certificate made for development.
    ///
    /// For `localhost`, `127.0.0.1`, `::1` and the machine's own name, kept in the user's cache folder. Nobody vouches for it, so
    /// browsers warn.
    dev_tls: bool = false;

    /// Send clients that come without TLS to `https://`.
    ///
    /// To the same place, with 308, the same host and the port of the first address that speaks TLS. Not for `livez_path`, `readyz_path` and
    /// `/.well-known/acme-challenge/`. Where a trusted proxy says that its client used TLS, nothing is sent anywhere.
    https_redirect: bool = false;

    /// How long browsers are to come by TLS alone (HSTS).
    ///
    /// Sent over TLS as `Strict-Transport-Security`, unless the application sends one. 0 sends none. Begin with a short
    /// time: it cannot be taken back before it is over.
    hsts: Duration = 0s;

    /// Let `hsts` mean the hosts below this one as well.
    hsts_include_subdomains: bool = false;

    /// Let the host be put on the list that browsers are shipped with.
    ///
    /// Needs `hsts` of a year and `hsts_include_subdomains`.
    hsts_preload: bool = false;

    /// How long a TLS handshake may take.
    ///
    /// Counted from the connection's start. 0 turns it off.
    handshake_timeout: Duration = 15s;
    section "HTTP/2";

    /// The versions of HTTP that clients may choose over TLS.
    ///
    /// Names in the order of preference: `h2` and `h1`. `h1` is always understood on connections that choose nothing.
    http_protocols: Vec<HttpVersion> = "h2,h1"
        gunicorn "http_protocols";

    /// Speak HTTP/2 without TLS too.
    ///
    /// `prior-knowledge` serves peers that begin with HTTP/2 right away, as proxies do; it is meant for those in
    /// `forwarded_allow_ips` and on unix sockets, and others are served HTTP/1.1 alone. `Upgrade: h2c` is not served.
    http2_cleartext: Http2Cleartext = off
        gunicorn "http2_cleartext";

    /// Most requests of a connection at the same time.
    ///
    /// What exceeds it is refused by protocol, and the client tries again.
    http2_max_concurrent_streams: u32 = 100
        at_least 1, at_most 10000, gunicorn "http2_max_concurrent_streams";

    /// How much of a request's content may be sent ahead.
    ///
    /// Content is taken as it comes, so a larger window helps uploads over long distances.
    http2_initial_window_size: Bytes = 65535
        at_least 1, at_most 256MiB, gunicorn "http2_initial_window_size";

    /// How much of all content on a connection may be sent ahead.
    http2_connection_window_size: Bytes = 1MiB
        at_least 65535, at_most 256MiB;

    /// Largest frame that a client may send.
    http2_max_frame_size: Bytes = 16384
        at_least 16384, at_most 16777215, gunicorn "http2_max_frame_size";

    /// Largest list of fields, decoded; a larger one gets 431.
    ///
    /// The bytes of all names and values and 32 for each field. A list far above it ends the connection.
    http2_max_header_list_size: Bytes = 65536
        at_least 1024, at_most 16MiB, gunicorn "http2_max_header_list_size";

    /// Most requests a client may take back without getting answers.
    ///
    /// Answered requests earn resets again, and so does time. A client that has none left is cut off
    /// (`ENHANCE_YOUR_CALM`).
    http2_resets_max: u32 = 200
        at_least 1;

    /// Most control frames of a client beyond what its requests need.
    ///
    /// `PING`, `SETTINGS`, `PRIORITY`, `WINDOW_UPDATE`, empty `DATA` and unknown frames. Answers and time earn frames
    /// again; a client that has none left is cut off (`ENHANCE_YOUR_CALM`).
    http2_control_frames_max: u32 = 1000
        at_least 10;

    section "ACME";

    /// Get a certificate for these names, and keep it fresh.
    ///
    /// Names of one certificate are separated by commas; repeat the flag for several certificates. Addresses in `bind` then speak TLS as with `certfile`. Setting it
    /// means that you agree to the authority's terms. Until the first certificate is there a temporary one is served, which no
    /// browser trusts; see the page on ACME.
    acme: Vec<CertificateNames> = none;

    /// Address that the authority may write to.
    acme_email: Option<Email> = none;

    /// The authority: `letsencrypt`, `staging` or an address.
    ///
    /// The address is that of an ACME directory. `staging` is Let's Encrypt's for trying out: its certificates are not trusted and its limits are wide.
    acme_directory: AcmeDirectory = letsencrypt;

    /// Proof of the names: `http-01`, `tls-alpn-01` or `auto`.
    ///
    /// The authority comes to port 80 of each name for `http-01`, to port 443 for `tls-alpn-01`. `auto` takes what the
    /// addresses in `bind` allow, `http-01` first, and the other one after a failure.
    acme_challenge: AcmeChallenge = auto;

    /// Folder for keys, certificates and the account.
    ///
    /// Several servers may share it; one of them orders. Without it, `acme` in `$STATE_DIRECTORY` (which systemd sets), or
    /// `/var/lib/farrier/acme` for root and `~/.local/state/farrier/acme` for others.
    acme_state_dir: Option<PathBuf> = none
        takes "FOLDER";

    /// File with certificates that the ACME server's own must lead to.
    ///
    /// For an authority of one's own. Without it those are trusted that the system trusts.
    acme_ca_certs: Option<PathBuf> = none
        takes "FILE";

    /// Key identifier of an external account.
    ///
    /// Some authorities want accounts to be bound to one of theirs; they give this and a key.
    acme_eab_kid: Option<String> = none
        takes "ID";

    /// File with the key of an external account, in base64.
    acme_eab_hmac_file: Option<PathBuf> = none
        takes "FILE";

    /// Renew a certificate so long before it ends.
    ///
    /// 0 means a third of its life. Where the authority suggests a time (renewal information, RFC 9773) that is taken.
    acme_renew_before: Duration = 0s;

    /// Wait after an order that failed.
    ///
    /// Each further wait is twice as long. At most four orders fail in an hour, whatever this says: authorities count them.
    acme_retry_delay: Duration = 60s
        at_least 1s;

    /// Longest wait between orders that fail.
    acme_retry_delay_max: Duration = 6h
        at_least 1s;

    /// How long the authority may take for an order.
    acme_timeout: Duration = 3m
        at_least 1s;

    section "Static files";

    /// Serve the files of a folder at a path; repeat for several.
    ///
    /// `URL=DIR`. In `farrier.toml` each is a table `[[static]]`, whose keys can say more. What is below the path is answered
    /// without the application. `auto` takes the folders from Django's settings: `STATIC_URL` and `STATIC_ROOT`, `MEDIA_URL`
    /// and `MEDIA_ROOT`.
    static_files as "static": Vec<StaticMount> = none
        uwsgi "static-map";

    /// Let the application name files to be sent; repeatable.
    ///
    /// `URL=DIR`, or a table `[[internal]]`. `X-Accel-Redirect: URL/name` and `X-Sendfile: DIR/name` are answered with the
    /// file, without the application's own content. Clients never see these fields. Where no folder is declared, only proxies
    /// in `forwarded_allow_ips` do.
    internal: Vec<InternalFolder> = none;

    /// Names of files that a worker remembers.
    ///
    /// What is remembered is looked at again once a second, and otherwise served without asking the disk.
    static_cache_entries: u32 = 4096
        at_least 1;

    /// Memory that a worker may use for files.
    static_cache_bytes: Bytes = 32MiB;

    /// Largest file whose content is kept in memory.
    ///
    /// A larger one is kept open and sent by the kernel.
    static_cache_file_bytes: Bytes = 64KiB;

    /// Files that a worker keeps open.
    ///
    /// Each takes a descriptor (`ulimit -n`), as connections do.
    static_open_files: u32 = 256
        at_least 1;

    section "Compression";

    /// Compress responses of the application.
    ///
    /// `on` offers zstd, gzip and brotli, each at a level that suits content made for one request; `br:5,gzip:6` names
    /// codings and levels, the preferred one first. Pages that hold a secret and repeat what a visitor sent should not be
    /// compressed over TLS: see the page on compression.
    compress: Compress = off
        uwsgi "http-auto-gzip";

    /// Smallest response that is compressed.
    ///
    /// Where the length is known before the first byte; 0 compresses even the smallest.
    compress_min_bytes: Bytes = 1KiB;

    /// Media types that are compressed.
    ///
    /// `text/html`, `text/*`, or `*+json` for every type that ends so. `text/event-stream` is never compressed.
    compress_types: Vec<MediaPattern> = "text/*,application/json,application/javascript,application/xml,application/wasm,application/x-ndjson,application/yaml,application/toml,*+json,*+xml,*+yaml,font/ttf,font/otf,image/bmp,image/x-icon,image/vnd.microsoft.icon"
        takes "TYPES";

    /// Largest file from the application that is compressed.
    ///
    /// A larger one that is given with `wsgi.file_wrapper` is sent by the kernel as it is.
    compress_file_bytes_max: Bytes = 1MiB;

    section "Sites";

    /// What answers below a path; repeat for several.
    ///
    /// `PATH=MODULE:APP` is an application, which sees the path as `SCRIPT_NAME`. In `farrier.toml` each is a table
    /// `[[mount]]`, whose keys name an application, a folder of files, a redirect or a fixed response. The longest path
    /// wins, and ends where a segment ends: `/api` takes `/api/x`, not `/apix`. `wsgi_app` is the mount `/`.
    mounts as "mount": Vec<Mount> = none
        uwsgi "mount";

    /// Sites by host name.
    ///
    /// Each is a table `[[site]]` in `farrier.toml` with names and what answers for them; see the page on sites. What is
    /// said outside of any (`wsgi_app`, `mount`, `static` and the settings below) is a site of its own, which serves all other
    /// names.
    sites as "site": Vec<Site> = none;

    /// Host names that are served; any other gets 421.
    ///
    /// For what is said outside of any `site`, whose names are `hosts`. `example.org`, `*.example.org` for every name below,
    /// `.example.org` for both, or an address. Without it every name is served that no `site` has.
    allowed_hosts: Vec<HostPattern> = none
        takes "NAMES";

    /// Redirect every other host name to this one.
    ///
    /// With 308, keeping scheme, path and query. For what is said outside of any `site`.
    canonical_host: Option<HostName> = none;

    /// Pages for answers that the server makes itself.
    ///
    /// `STATUS=FILE`, such as `404=pages/404.html`; a table `[error_pages]` in `farrier.toml`. They are read at the start and
    /// kept in memory. A `site` takes the pages from here that it has not itself.
    error_pages: ErrorPages = none
        cli "--error-page";
    section "Limits of clients";

    /// Requests that one client may send, such as `10/s`.
    ///
    /// `300/m burst 50` lets 50 come at once; without a word about it, as many as the rate names. One more is answered with
    /// 429 and the time to wait. A client is an address of IPv4 or a network /64 of IPv6, as told by a trusted proxy; the
    /// workers count together. Addresses in `trusted_proxy` and peers on unix sockets are not limited.
    rate_limit: Option<Rate> = none;

    /// Connections that one client may have open.
    ///
    /// One more is answered with 429 and closed, or closed at once where TLS is spoken. A client is an address of IPv4 or a
    /// network /64 of IPv6; the workers count together. Not limited are addresses in `trusted_proxy`, web servers that speak
    /// uwsgi or FastCGI, peers whose connections begin with a PROXY header, and peers on unix sockets. 0 sets no limit;
    /// `worker_connections` bounds them all together in any case.
    limit_connections_per_address: u32 = 0
        at_most 65534;

    actions "Configuration";

    /// Read the settings from this file.
    ///
    /// `FILE.toml`, any other `FILE` as Python in the manner of `gunicorn.conf.py`, or `python:MODULE`. Without it, and
    /// without `FARRIER_CONFIG`, one of `farrier.toml`, `farrier.conf.py` and `gunicorn.conf.py` in the present folder is
    /// read, the first that exists.
    config cli "-c", takes "FILE", gunicorn "config";

    /// Read the settings from this configuration of uWSGI.
    ///
    /// `FILE` or `FILE:SECTION`, in place of the file of `--config`: ini, YAML or JSON. Options without a counterpart are
    /// named in the log. `farrier import-uwsgi FILE` writes the same settings as a commented `farrier.toml`.
    ini takes "FILE", uwsgi "ini";

    /// Load the settings and the application, then leave.
    ///
    /// The exit status says whether that worked.
    check_config gunicorn "check_config";

    /// Print every setting, its value and where it came from.
    ///
    /// What is printed is TOML and can be used as `farrier.toml`.
    print_config gunicorn "print_config", uwsgi "show-config";

    /// Print the completions for a shell: `bash`, `zsh` or `fish`.
    completions takes "SHELL";

    /// Print this list, or all about one setting.
    help cli "-h", takes "[NAME]";

    /// Print the version.
    version cli "-V" "-v";
}

impl Default for Config {
    /// The table's defaults, as when no layer answers.
    fn default() -> Config {
        match Config::resolve(&crate::resolve::Layers::default()) {
            Ok(config) => config,
            // Invariant: without an answer there is nothing that could be wrong.
            Err(error) => unreachable!("the defaults do not resolve: {error}"),
        }
    }
}
