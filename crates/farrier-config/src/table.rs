//! The table: every setting of Farrier, one row each. The only place to add one.
//!
//! A row is its documentation, then `name: Type = default`, then its attributes. `cli` gives more flags. `env` gives a
//! variable that hosting platforms set, and the value to make of it. `gunicorn` and `uwsgi` give the setting's names
//! there. `at_least` and `at_most` give bounds. `takes` is the placeholder for the value in `--help`, and `positional`
//! the one for the argument without a flag. The first line of the documentation is the line of `--help`. It says what
//! the setting does; the paragraphs after it say what 0 means and when to change it.

use std::path::PathBuf;
use std::time::Duration;

use crate::macros::settings;
use crate::tables::{InternalFolder, Mount, Site, StaticMount, Upstream};
use crate::value::{
    AccessLogFormat, Account, AcmeChallenge, AcmeDirectory, BindAddress, Bytes, CertificateNames, ClientCertificates,
    Compress, Email, EnvVar, ErrorPages, FieldName, HeaderMap, HostName, HostPattern, Http2Cleartext, HttpVersion,
    LogLevel, LogTarget, MediaPattern, Mode, NamePattern, Owner, Protocol, ProxyHeader, ProxyMount, ProxyProtocol,
    Rate, ReloadEngine, SchemeField, StatsAddress, StatsdAddress, SyslogAddress, SyslogFacility, TlsVersion,
    TrustedPeer, UrlPath, WorkerClass, Workers,
};

settings! {
    section "Application";

    /// The application, as `MODULE` or `MODULE:NAME`.
    ///
    /// `NAME` may be an attribute (`app`), a dotted attribute or a call of a factory (`create_app()`). The default name
    /// is `application`.
    wsgi_app: Option<String> = none
        positional "APP", gunicorn "wsgi_app", uwsgi "module", uwsgi "wsgi-file", uwsgi "callable", uwsgi "mount";

    /// Change to this folder before loading the application.
    ///
    /// The folder is also put first on `sys.path`. Farrier looks for `farrier.toml` in the folder where it starts,
    /// before the change.
    chdir: Option<PathBuf> = none
        takes "FOLDER", gunicorn "chdir", uwsgi "chdir";

    /// Folders to add to `sys.path`, separated by commas.
    pythonpath: Vec<String> = none
        takes "FOLDERS", gunicorn "pythonpath", uwsgi "pythonpath";

    /// Set a variable in the application's environment.
    ///
    /// Repeat the flag, or give a list in `farrier.toml`, to set several. `FARRIER_RAW_ENV` sets only one variable: a
    /// comma is part of the value.
    raw_env: Vec<EnvVar> = none
        cli "-e" "--env", gunicorn "raw_env", uwsgi "env";

    section "Server socket";

    /// Addresses to listen on; repeat for several.
    ///
    /// A TCP address is `HOST:PORT`, `[IPV6]:PORT`, `:PORT` for all addresses, or `HOST` for port 8000; port 0 takes
    /// any free port. A unix socket is `unix:PATH`, or `unix:@NAME` in Linux's abstract namespace. `fd://N` is a socket
    /// that is already open, and `fd://NAME` stands for the sockets that systemd passes under this name. If systemd
    /// passes sockets and no address begins with `fd://`, Farrier uses all of those sockets and ignores the addresses.
    /// If `bind` is not set and the variable `PORT` is, the address is `0.0.0.0:$PORT`.
    bind: Vec<BindAddress> = "127.0.0.1:8000"
        cli "-b", env "PORT" "0.0.0.0:{}", gunicorn "bind", uwsgi "http-socket", uwsgi "socket", uwsgi "http",
        uwsgi "fastcgi-socket";

    /// Protocol of addresses that do not name one.
    ///
    /// `uwsgi` and `fastcgi` are for a web server in front, with nginx's `uwsgi_pass` or `fastcgi_pass`. `auto` accepts
    /// HTTP, uwsgi and FastCGI, and detects which one by a connection's first bytes. An address may name its own
    /// protocol, as `uwsgi://127.0.0.1:3031` and `fastcgi+unix:/run/app.sock` do.
    protocol: Protocol = http
        gunicorn "protocol";

    /// Connections that the kernel queues until they are accepted.
    ///
    /// Linux silently limits it to `net.core.somaxconn`.
    backlog: u32 = 2048
        at_least 1, gunicorn "backlog", uwsgi "listen";

    /// Permissions of a unix socket's file, in octal.
    ///
    /// Connecting needs write permission. 666 lets every local user connect, as with Gunicorn's default umask. Use 660
    /// with `unix_socket_owner` to let only the web server's group connect. If only `umask` is set, the permissions are
    /// 666 without the masked bits.
    unix_socket_mode: Mode = 666
        uwsgi "chmod-socket";

    /// Owner of a unix socket's file.
    ///
    /// Names or numbers. Changing the user needs root; the group may be any that the process belongs to.
    unix_socket_owner: Option<Owner> = none
        takes "OWNER", uwsgi "chown-socket";

    /// Give each worker a socket of its own (`SO_REUSEPORT`).
    ///
    /// The kernel then distributes new connections by their addresses, not by which worker is free. It has no effect on
    /// unix sockets.
    reuse_port: bool = false
        gunicorn "reuse_port", uwsgi "reuse-port";

    section "Worker processes";

    /// Worker processes, or `auto` for one per usable core.
    ///
    /// One worker serves many requests at once (see `threads`). More workers help only when the application keeps the
    /// interpreter busy; start with one per core.
    workers: Workers = 1
        cli "-w", env "WEB_CONCURRENCY", gunicorn "workers", uwsgi "processes";

    /// How a worker makes calls: adaptive, `sync` or `gthread`.
    ///
    /// By default a worker adapts: one thread serves while calls are short, and more threads join, up to `threads`,
    /// when calls are long. `sync` and `gthread` are accepted for Gunicorn's users. With either, `threads` is 1 unless
    /// it is set. `sync` with more than one thread is the same as `gthread`, as in Gunicorn. Connections are kept alive
    /// and bodies are buffered in every case. `gevent`, `eventlet`, `tornado` and ASGI workers are refused.
    worker_class: Option<WorkerClass> = none
        cli "-k", gunicorn "worker_class";

    /// Calls of the application that may run at once in a worker.
    ///
    /// Threads start when they are needed. 1 means strictly one call at a time, for applications that are not
    /// thread-safe. If `worker_class` is set, the default is 1.
    threads: u32 = 64
        at_least 1, gunicorn "threads", uwsgi "threads";

    /// Threads that may wait for clients that read slowly.
    ///
    /// Only a response that the application produces bit by bit keeps its thread while the client reads. When this many
    /// threads wait so, a further response that would have to wait is given up, and its connection is closed. 0 is half of
    /// `threads`.
    threads_waiting_max: u32 = 0;

    /// How long a thread may be idle before it ends.
    ///
    /// 0 keeps every thread that was started.
    threads_idle_timeout: Duration = 30s;

    /// Load the application before the workers are forked.
    ///
    /// The workers share the memory of the loaded modules, and an error in the application shows at once. Do not open
    /// connections or start threads while modules are imported: they do not survive the fork.
    preload_app: bool = false
        cli "--preload", gunicorn "preload_app", uwsgi "lazy-apps";

    /// Time without a heartbeat after which a worker is killed.
    ///
    /// The worker is then replaced. A long call of the application does not stop the heartbeat. A worker that runs no call
    /// is asked instead, and found within twice the time. 0 turns the check off.
    /// Gunicorn's users expect `timeout` to limit how long a request may take, so a `timeout` that is set is also the
    /// `request_timeout`, unless that is set too.
    timeout: Duration = 30s
        cli "-t", gunicorn "timeout";

    /// How long a request may take before it is aborted.
    ///
    /// The stacks of all threads are logged, the client gets 504, and an exception is raised in the thread. If the
    /// thread still does not return, its worker is replaced once its other requests are done. 0 means no limit, even if
    /// `timeout` is set.
    request_timeout: Duration = 0s
        uwsgi "harakiri";

    /// Time after which a route that holds half the threads is named.
    ///
    /// One line in the log names it and shows the stacks of its threads, for example in a deadlock. Nothing is ended: that is
    /// what `request_timeout` does. 0 turns the line off.
    held_route_after: Duration = 60s;

    /// Time for workers to finish requests on a stop or reload.
    ///
    /// A request that still runs after it is cut off; 0 cuts it off at once. The default is shorter than the 30 seconds
    /// that Kubernetes waits.
    graceful_timeout: Duration = 25s
        gunicorn "graceful_timeout", uwsgi "worker-reload-mercy";

    /// Connections that a worker keeps open at once.
    ///
    /// A few more are accepted and answered with 503 and `Retry-After`. Beyond those, clients wait until a connection
    /// closes.
    worker_connections: u32 = 10000
        at_least 1, gunicorn "worker_connections";

    /// Requests after which a worker is replaced.
    ///
    /// The replacement serves before the worker drains. 0 turns it off.
    max_requests: u64 = 0
        gunicorn "max_requests", uwsgi "max-requests";

    /// Largest random number added to `max_requests`.
    ///
    /// Each worker draws its own number, so that they are not all replaced at once.
    max_requests_jitter: u64 = 0
        gunicorn "max_requests_jitter", uwsgi "max-requests-delta";

    /// Age at which a worker is replaced.
    ///
    /// 0 replaces none.
    max_worker_lifetime: Duration = 0s
        uwsgi "max-worker-lifetime";

    /// Largest random time added to `max_worker_lifetime`.
    ///
    /// Each worker draws its own time, so that they are not all replaced at once.
    max_worker_lifetime_jitter: Duration = 0s
        uwsgi "max-worker-lifetime-delta";

    /// Memory (resident set) at which a worker is replaced.
    ///
    /// 0 replaces none.
    max_worker_rss: Bytes = 0
        uwsgi "reload-on-rss";

    section "Process";

    /// Run in the background.
    ///
    /// The command returns when the first worker has loaded the application; if the start fails, it returns the exit
    /// code of that failure. Standard streams are closed before the workers start, so set `errorlog`. Do not use it
    /// under systemd or in a container.
    daemon: bool = false
        cli "-D", gunicorn "daemon", uwsgi "daemonize";

    /// Keep standard output and error open in a daemon.
    ///
    /// A stream that is a terminal is closed all the same.
    enable_stdio_inheritance: bool = false
        cli "-R", gunicorn "enable_stdio_inheritance";

    /// File to write the arbiter's process ID to.
    ///
    /// Farrier refuses to start while the process of the ID in the file lives.
    pidfile: Option<PathBuf> = none
        cli "-p" "--pid", takes "FILE", gunicorn "pidfile", uwsgi "pidfile";

    /// User that the workers run as.
    ///
    /// A name or a number; needs root. The application is loaded as this user, except with `preload_app`. This user
    /// becomes the owner of log files and unix sockets.
    user: Option<Account> = none
        cli "-u", takes "USER", gunicorn "user", uwsgi "uid";

    /// Group that the workers run as.
    ///
    /// A name or a number. The default is the user's own group. All other groups are dropped; see `initgroups`.
    group: Option<Account> = none
        cli "-g", takes "GROUP", gunicorn "group", uwsgi "gid";

    /// Give the workers all groups of `user`.
    initgroups: bool = false
        gunicorn "initgroups";

    /// Permission bits to remove from unix sockets.
    ///
    /// Always read as octal. The application's umask is not changed.
    umask: Option<Mode> = none
        cli "-m", gunicorn "umask", uwsgi "umask";

    /// Name of the processes in `ps` and `top`.
    ///
    /// The default is the application's name.
    proc_name: Option<String> = none
        cli "-n" "--name", takes "NAME", gunicorn "proc_name", uwsgi "procname";

    section "Development";

    /// Replace the workers when the application's files change.
    ///
    /// The old worker serves until the new code is loaded. If the new code cannot be loaded, the error is shown and the
    /// old worker goes on.
    reload: bool = false
        gunicorn "reload", uwsgi "py-autoreload";

    /// How changes are detected: `auto`, `inotify` or `poll`.
    ///
    /// `poll` checks the files once a second. Use it for file systems that report no changes, such as network shares.
    reload_engine: ReloadEngine = auto
        gunicorn "reload_engine";

    /// More files to watch with `reload`; repeat for several.
    ///
    /// Paths or patterns such as `templates/*.html`.
    reload_extra_files: Vec<String> = none
        cli "--reload-extra-file", takes "FILE", gunicorn "reload_extra_files", uwsgi "touch-reload";

    section "Health";

    /// Path of the liveness check.
    ///
    /// The server itself answers with 200, even when every thread is busy. `/livez` is the usual path.
    livez_path: Option<UrlPath> = none;

    /// Path of the readiness check.
    ///
    /// The server itself answers: 200 while it takes requests, 503 as soon as it receives a stop signal. `/readyz` is
    /// the usual path.
    readyz_path: Option<UrlPath> = none;

    /// Write health checks to the access log.
    ///
    /// These are the requests for `livez_path` and `readyz_path`.
    health_access_log: bool = false;

    /// How long to keep serving after a stop signal.
    ///
    /// Meanwhile `readyz_path` answers 503, so that load balancers send new requests elsewhere. `graceful_timeout`
    /// begins after it.
    drain_delay: Duration = 0s;

    section "Scheduling";

    /// How often a running call is checked.
    ///
    /// When a call runs longer than a tick, another thread takes over serving the other connections.
    tick: Duration = 1ms
        at_least 100us, at_most 1s;

    /// A call longer than this counts as slow.
    ///
    /// A request to a route that was slow lately is handed to another thread before the call.
    slow_call: Duration = 300us
        at_least 1us;

    /// Requests of a worker that may wait for a free thread.
    ///
    /// Any further request is answered with 503 at once. 0 lets none wait.
    queue_max: u32 = 1024;

    /// How long a request may wait for a free thread.
    ///
    /// After that it is answered with 503. 0 means no limit.
    queue_timeout: Duration = 10s;

    /// Time that a 503 asks the client to wait.
    ///
    /// Sent as `Retry-After` in whole seconds, rounded up. 0 sends none.
    retry_after: Duration = 1s;

    section "Connections";

    /// How long an idle connection is kept for the next request.
    ///
    /// Behind a load balancer it must be longer than the balancer's own idle timeout; otherwise a request may arrive on
    /// a connection that is being closed. 0 closes after each response.
    keepalive: Duration = 75s
        cli "--keep-alive", gunicorn "keepalive", uwsgi "http-keepalive";

    /// Requests served on one connection before it is closed.
    ///
    /// 0 means no limit.
    keepalive_requests: u64 = 0;

    /// How long a client may take to send a request's head.
    ///
    /// Counted from the first byte, or from the connection's start for the first request. After it the client gets 408.
    /// 0 turns it off.
    header_timeout: Duration = 15s
        uwsgi "http-headers-timeout";

    /// How long a client may pause while sending a body.
    ///
    /// Above it the client gets 408. 0 turns it off.
    body_timeout: Duration = 30s;

    /// Bytes per second that a client must send of a body.
    ///
    /// The average over the body is checked once `body_timeout` has passed; a slower client gets 408. 0 turns it off.
    body_rate_min: Bytes = 256;

    /// How long a client may accept no bytes of a response.
    ///
    /// After it the connection is reset. 0 turns it off.
    write_timeout: Duration = 60s;

    /// How long to keep reading before closing a connection.
    ///
    /// After the last response, Farrier reads and drops what the client still sends. Closing earlier would send a
    /// reset, and the client could lose the response. 0 closes at once.
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

    /// Most header fields of a request; more get 431.
    ///
    /// 0 leaves it to `limit_request_head`.
    limit_request_fields: u32 = 100
        gunicorn "limit_request_fields";

    /// Longest header field; a longer one gets 431.
    ///
    /// Counts the bytes of name, colon and value, without the line end. 0 leaves it to `limit_request_head`.
    limit_request_field_size: Bytes = 8190
        gunicorn "limit_request_field_size";

    /// Longest request head; a longer one gets 431.
    ///
    /// Counts the bytes of the request line and all fields, with their line ends. Unless it is set, it grows when
    /// `limit_request_line` or `limit_request_field_size` is set above its default.
    limit_request_head: Bytes = 64KiB
        at_least 256, uwsgi "buffer-size";

    /// Longest request body; a longer one gets 413.
    ///
    /// If the request states a longer length, it is refused before its body is read. 0 refuses every body.
    limit_request_body: Bytes = 10MiB
        uwsgi "limit-post";

    /// How much of a request body is kept in memory.
    ///
    /// The rest is written to an unnamed temporary file. 0 keeps nothing in memory.
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

    /// Folder for temporary files of request bodies.
    ///
    /// The default is the system's folder for temporary files.
    tmp_upload_dir: Option<PathBuf> = none
        takes "FOLDER", gunicorn "tmp_upload_dir";

    /// Call applications before the request body has arrived.
    ///
    /// `wsgi.input` then reads the body as the client sends it: nothing is kept, and the application can answer early. A
    /// client that sends slowly occupies a thread. A mount can have its own value.
    stream_request_body: bool = false;

    /// How much of a streamed body may wait for the application.
    ///
    /// Above it the server reads no more from the client until the application has taken half. Only with
    /// `stream_request_body`.
    request_buffer_bytes: Bytes = 256KiB
        at_least 4KiB;

    /// How much of a response may wait for a slow client.
    ///
    /// For a response that the application produces piece by piece: if more is unsent when the next piece comes, the
    /// application's thread waits. Complete responses do not wait; see `response_memory_max`.
    response_buffer_bytes: Bytes = 256KiB
        at_least 4KiB;

    /// Longest line that begins a chunk; a longer one gets 400.
    ///
    /// Counts the bytes of the chunk's size and extensions, without the line end.
    limit_chunk_line: Bytes = 256
        at_least 16;

    /// Longest trailer section; a longer one gets 400.
    ///
    /// Counts the bytes of all lines after a chunked body. 0 refuses every trailer.
    limit_trailers: Bytes = 8190;

    /// Accept any method that RFC 9110 allows.
    ///
    /// By default a method is at most 20 bytes of capital letters and `-`, and any other is answered with 400.
    permit_unconventional_http_method: bool = false
        gunicorn "permit_unconventional_http_method";

    /// Accept header fields that are folded over several lines.
    ///
    /// RFC 9112 forbids it. Servers that read such a field differently make request smuggling possible.
    permit_obsolete_folding: bool = false
        gunicorn "permit_obsolete_folding";

    section "Responses";

    /// Unsent response bytes that a worker keeps in memory.
    ///
    /// A complete response frees its thread at once. What its client has not taken waits in memory, up to this bound for
    /// all responses of the worker. The rest waits in nameless temporary files in `tmp_upload_dir`.
    response_memory_max: Bytes = 64MiB;

    /// Unsent response bytes that a worker keeps in temporary files.
    ///
    /// Beyond this bound, or if no file can be written, the application's thread waits for the client. 0 turns files off.
    response_disk_max: Bytes = 1GiB;

    /// Bytes per second that a client must take of a response.
    ///
    /// The rate is checked over each period of `write_timeout` in which something waits for the client; the connection of a
    /// slower client is closed. 0 turns it off.
    response_rate_min: Bytes = 256;

    /// The `Server` field of responses; empty or `none` sends none.
    ///
    /// A `Server` field that the application sends takes its place.
    server_header: String = farrier
        takes "TEXT";

    /// Let the kernel send files (`sendfile`).
    ///
    /// Turn it off for file systems that do not support it.
    sendfile: bool = true
        env "SENDFILE", gunicorn "sendfile";

    /// Header field that gives each request a unique ID.
    ///
    /// For example `X-Request-ID`. An ID from a trusted proxy is kept; any other request gets a new one of 32
    /// hexadecimal digits. The application finds it in this field, and the response carries it too. The access log
    /// shows it as `%({x-request-id}i)s`.
    request_id_header: Option<FieldName> = none
        takes "NAME";

    section "Logging";

    /// Access log: a file, or `-` for standard output.
    ///
    /// `none` writes no access log.
    accesslog: Option<LogTarget> = none
        cli "--access-logfile", gunicorn "accesslog", uwsgi "req-logger";

    /// Format of the access log's lines.
    ///
    /// A pattern of atoms such as `%(h)s`, or one of the words `json`, `common` and `combined`.
    access_log_format: AccessLogFormat = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#
        cli "--access-logformat", gunicorn "access_log_format", uwsgi "log-format";

    /// Error log: a file, or `-` for standard error.
    errorlog: LogTarget = "-"
        cli "--error-logfile" "--log-file", gunicorn "errorlog", uwsgi "logto";

    /// Lowest level that is written to the error log.
    loglevel: LogLevel = info
        cli "--log-level", gunicorn "loglevel";

    /// How much of a log may wait for a slow disk or reader.
    ///
    /// Further lines are dropped and counted, so that a full pipe does not stop the server.
    log_buffer_bytes: Bytes = 1MiB
        at_least 4KiB;

    /// Write what the application prints to the error log.
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
    /// `udp://HOST:PORT`, `tcp://HOST:PORT`, or `unix://PATH` followed by `#dgram` or `#stream`.
    syslog_addr: SyslogAddress = "udp://localhost:514"
        cli "--log-syslog-to", gunicorn "syslog_addr";

    /// Program name in syslog, between `gunicorn.` and the log's name.
    syslog_prefix: Option<String> = none
        cli "--log-syslog-prefix", takes "NAME", gunicorn "syslog_prefix";

    /// Facility in syslog.
    syslog_facility: SyslogFacility = user
        cli "--log-syslog-facility", gunicorn "syslog_facility";

    /// Keep the access log out of syslog.
    disable_redirect_access_to_syslog: bool = false
        gunicorn "disable_redirect_access_to_syslog";

    section "Metrics";

    /// Address that serves statistics of the workers as JSON.
    ///
    /// `127.0.0.1:PORT` or `unix:PATH`; an address that other machines can reach is written `public:HOST:PORT`. Each
    /// connection gets one document and is closed. The document has the format of uWSGI's stats server, so `uwsgitop`
    /// can show it. A change takes effect at the next start.
    stats: Option<StatsAddress> = none
        uwsgi "stats";

    /// StatsD server that gets a count and a time per request.
    ///
    /// `HOST:PORT` or `unix://PATH`.
    statsd_host: Option<StatsdAddress> = none
        gunicorn "statsd_host";

    /// Prefix of every metric's name; a dot is added.
    statsd_prefix: String = ""
        gunicorn "statsd_prefix";

    /// DogStatsD tags for every metric, such as `env:live,app:shop`.
    dogstatsd_tags: String = ""
        takes "TAGS", gunicorn "dogstatsd_tags";

    /// Send the number of connections that the kernel has queued.
    enable_backlog_metric: bool = false
        gunicorn "enable_backlog_metric";

    section "Security";

    /// Trusted proxies; repeat for several.
    ///
    /// Addresses, networks such as `10.0.0.0/8`, or `*`. From these peers, `Forwarded`, `X-Forwarded-For`, `-Proto`,
    /// `-Host`, `-Port` and `-Prefix` are read from the right, through any number of trusted proxies. From all other
    /// peers these fields are removed, and so are every other `X-Forwarded-*` and `X-Real-IP`. Peers on unix sockets
    /// are always trusted. It sets both `forwarded_allow_ips` and `proxy_headers`. Without it those two settings apply,
    /// with Gunicorn's meaning.
    trusted_proxy: Vec<TrustedPeer> = none
        takes "PEERS";

    /// Proxies whose header fields about the client are trusted.
    ///
    /// Addresses, networks such as `10.0.0.0/8`, or `*` for every peer. `*` is safe only if nobody but the proxy can
    /// connect. An empty value trusts nobody; peers on unix sockets are always trusted. `secure_scheme_headers`,
    /// `forwarder_headers` and `proxy_headers` say which fields are trusted.
    forwarded_allow_ips: Vec<TrustedPeer> = "127.0.0.1,::1"
        env "FORWARDED_ALLOW_IPS", gunicorn "forwarded_allow_ips";

    /// Header fields by which a proxy reports that the client uses TLS.
    ///
    /// Each is `NAME=VALUE`, and is read from `forwarded_allow_ips` only. A field of this name with another value means
    /// plain HTTP.
    secure_scheme_headers: Vec<SchemeField> = "X-FORWARDED-PROTOCOL=ssl,X-FORWARDED-PROTO=https,X-FORWARDED-SSL=on"
        gunicorn "secure_scheme_headers";

    /// Header fields with `_` that proxies may send.
    ///
    /// Names, or `*` for all; accepted from `forwarded_allow_ips` only. `SCRIPT_NAME` sets the variable of that name;
    /// any other becomes `HTTP_NAME`.
    forwarder_headers: Vec<String> = "SCRIPT_NAME,PATH_INFO"
        takes "NAMES", gunicorn "forwarder_headers";

    /// Other header fields that are trusted from proxies.
    ///
    /// `x-forwarded-for`, `x-real-ip` and `forwarded` set `REMOTE_ADDR`. `x-forwarded-host` and `x-forwarded-port` set
    /// the host and port that links are built from. `x-forwarded-prefix` sets `SCRIPT_NAME`. Name only fields that
    /// every proxy sets or clears; otherwise a client can send them through the proxy. A field that is named here is
    /// removed from peers that are not in `forwarded_allow_ips`. Any other field reaches the application unchanged.
    proxy_headers: Vec<ProxyHeader> = none
        takes "NAMES";

    /// What to do with other header fields with `_`.
    ///
    /// The application sees `a_b` and `a-b` as the same variable, so a client could fake one with the other. `drop`
    /// removes such a field and names it once in the log. `refuse` answers 400. `dangerous` lets it through.
    header_map: HeaderMap = drop
        gunicorn "header_map";

    /// Peers that may speak the uwsgi protocol.
    ///
    /// Addresses, networks such as `10.0.0.0/8`, or `*`. The client's address and scheme that these peers report are
    /// trusted. All other peers get 403. Peers on unix sockets are always allowed.
    uwsgi_allow_ips: Vec<TrustedPeer> = "127.0.0.1,::1"
        cli "--uwsgi-allow-from", gunicorn "uwsgi_allow_ips";

    /// Peers that may speak FastCGI.
    ///
    /// The same rules apply as for `uwsgi_allow_ips`.
    fastcgi_allow_ips: Vec<TrustedPeer> = "127.0.0.1,::1"
        cli "--fastcgi-allow-from";

    /// Version of the PROXY header that connections begin with.
    ///
    /// The header carries the client's address. `v1` is the text form, `v2` the binary form, and `auto` accepts both.
    /// The peers in `proxy_allow_ips` must send the header; if it is missing or invalid, the connection is answered
    /// with 400. It is read from no other peers.
    proxy_protocol: ProxyProtocol = off
        gunicorn "proxy_protocol", uwsgi "http-enable-proxy-protocol";

    /// Peers whose connections begin with a PROXY header.
    ///
    /// Addresses, networks, or `*`. It has an effect only with `proxy_protocol`. Peers on unix sockets are always
    /// included.
    proxy_allow_ips: Vec<TrustedPeer> = "127.0.0.1,::1"
        cli "--proxy-allow-from", gunicorn "proxy_allow_ips";

    section "TLS";

    /// Certificates in PEM, each with its chain; repeat for several.
    ///
    /// With a certificate, addresses in `bind` speak TLS unless they begin with `http://`. The certificate is chosen by
    /// the name that the client sends (SNI); the first one is the default. Files that change are read again without a
    /// reload.
    certfile: Vec<PathBuf> = none
        takes "FILE", gunicorn "certfile";

    /// Files with the private keys, in the order of `certfile`.
    ///
    /// In PEM, and not encrypted. Not needed if the files of `certfile` contain the keys.
    keyfile: Vec<PathBuf> = none
        takes "FILE", gunicorn "keyfile";

    /// CA certificates that client certificates are verified against.
    ///
    /// A file in PEM.
    ca_certs: Option<PathBuf> = none
        takes "FILE", gunicorn "ca_certs";

    /// Whether to ask clients for a certificate.
    ///
    /// `none`, `optional` or `required`, or the numbers of Python's `ssl` module for these: 0, 1 and 2. The environ has
    /// the verified certificate as `SSL_CLIENT_S_DN` and similar variables.
    cert_reqs: ClientCertificates = none
        gunicorn "cert_reqs";

    /// Cipher suites to offer, as OpenSSL or IANA names them.
    ///
    /// Separated by colons. The default is all suites with forward secrecy and authenticated encryption; others cannot
    /// be chosen.
    ciphers: Option<String> = none
        takes "NAMES", gunicorn "ciphers";

    /// Lowest version of TLS: `1.2` or `1.3`.
    tls_min_version: TlsVersion = "1.2";

    /// How often the key of session tickets is replaced.
    ///
    /// With a ticket, a returning client skips most of the handshake, at any worker. Tickets are accepted for one more
    /// period after their key was replaced. 0 issues no tickets.
    tls_ticket_rotation: Duration = 12h;

    /// Speak TLS with a self-signed certificate for development.
    ///
    /// Farrier makes it for `localhost`, `127.0.0.1`, `::1` and the machine's own name, and keeps it in the user's
    /// cache folder. No authority has signed it, so browsers warn.
    dev_tls: bool = false;

    /// Redirect requests without TLS to `https://`.
    ///
    /// The redirect is 308 and keeps host, path and query; its port is that of the first address that speaks TLS.
    /// `livez_path`, `readyz_path` and `/.well-known/acme-challenge/` are not redirected. Neither are requests whose
    /// client used TLS according to a trusted proxy.
    https_redirect: bool = false;

    /// How long browsers must use TLS only (HSTS).
    ///
    /// Sent over TLS as `Strict-Transport-Security`, unless the application sends this field itself. 0 sends none.
    /// Begin with a short time: it cannot be revoked before it has passed.
    hsts: Duration = 0s;

    /// Make `hsts` apply to all subdomains as well.
    hsts_include_subdomains: bool = false;

    /// Allow the host on the preload list that browsers ship with.
    ///
    /// Needs `hsts` of a year and `hsts_include_subdomains`.
    hsts_preload: bool = false;

    /// How long a TLS handshake may take.
    ///
    /// Counted from the connection's start. 0 turns it off.
    handshake_timeout: Duration = 15s;
    section "HTTP/2";

    /// Versions of HTTP that clients may choose over TLS.
    ///
    /// `h2` and `h1`, in the order of preference. A connection that chooses none uses HTTP/1.1.
    http_protocols: Vec<HttpVersion> = "h2,h1"
        gunicorn "http_protocols";

    /// Accept HTTP/2 without TLS.
    ///
    /// `prior-knowledge` serves peers that begin with HTTP/2 at once, as proxies do. Only peers in
    /// `forwarded_allow_ips` and on unix sockets may use it; all others get HTTP/1.1 only. `Upgrade: h2c` is not
    /// supported.
    http2_cleartext: Http2Cleartext = off
        gunicorn "http2_cleartext";

    /// Most requests on one connection at the same time.
    ///
    /// Any further stream is refused (`REFUSED_STREAM`), and the client tries again.
    http2_max_concurrent_streams: u32 = 100
        at_least 1, at_most 10000, gunicorn "http2_max_concurrent_streams";

    /// Flow-control window of a request's content.
    ///
    /// Farrier reads content as it arrives, so a larger window speeds up uploads over long distances.
    http2_initial_window_size: Bytes = 65535
        at_least 1, at_most 256MiB, gunicorn "http2_initial_window_size";

    /// Flow-control window of all content on a connection.
    http2_connection_window_size: Bytes = 1MiB
        at_least 65535, at_most 256MiB;

    /// Largest frame that a client may send.
    http2_max_frame_size: Bytes = 16384
        at_least 16384, at_most 16777215, gunicorn "http2_max_frame_size";

    /// Largest header list, decoded; a larger one gets 431.
    ///
    /// Counts the bytes of all names and values, and 32 for each field. A list far above it ends the connection.
    http2_max_header_list_size: Bytes = 65536
        at_least 1024, at_most 16MiB, gunicorn "http2_max_header_list_size";

    /// Most requests a client may reset before they are answered.
    ///
    /// The allowance grows again with answered requests and with time. When it is used up, the connection is closed
    /// with `ENHANCE_YOUR_CALM`.
    http2_resets_max: u32 = 200
        at_least 1;

    /// Most control frames beyond those that a client's requests need.
    ///
    /// Counts `PING`, `SETTINGS`, `PRIORITY`, `WINDOW_UPDATE`, empty `DATA` and unknown frames. The allowance grows
    /// again with answered requests and with time. When it is used up, the connection is closed with
    /// `ENHANCE_YOUR_CALM`.
    http2_control_frames_max: u32 = 1000
        at_least 10;

    section "ACME";

    /// Get a certificate for these names, and renew it.
    ///
    /// Names of one certificate are separated by commas; repeat the flag for several certificates. Addresses in `bind`
    /// then speak TLS as with `certfile`. By setting it you agree to the authority's terms of service. Until the first
    /// certificate arrives, Farrier serves a temporary one that no browser trusts; see the page on ACME.
    acme: Vec<CertificateNames> = none;

    /// E-mail address that the authority may write to.
    acme_email: Option<Email> = none;

    /// The authority: `letsencrypt`, `staging` or an address.
    ///
    /// An address is the URL of an ACME directory. `staging` is Let's Encrypt's test server: its certificates are not
    /// trusted and its rate limits are high.
    acme_directory: AcmeDirectory = letsencrypt;

    /// Challenge type: `http-01`, `tls-alpn-01` or `auto`.
    ///
    /// The authority connects to port 80 of each name for `http-01`, and to port 443 for `tls-alpn-01`. `auto` uses a
    /// challenge that the addresses in `bind` allow: first `http-01`, and after a failure the other one.
    acme_challenge: AcmeChallenge = auto;

    /// Folder for keys, certificates and the account.
    ///
    /// Several servers may share it; one of them orders certificates. The default is `acme` in `$STATE_DIRECTORY`,
    /// which systemd sets; otherwise `/var/lib/farrier/acme` for root and `~/.local/state/farrier/acme` for other
    /// users.
    acme_state_dir: Option<PathBuf> = none
        takes "FOLDER";

    /// CA certificates that the ACME server is verified against.
    ///
    /// A file in PEM, for a private authority. The default is the authorities that the system trusts.
    acme_ca_certs: Option<PathBuf> = none
        takes "FILE";

    /// Key identifier of an external account.
    ///
    /// Some authorities require an external account; they give you this identifier and a key.
    acme_eab_kid: Option<String> = none
        takes "ID";

    /// File with the key of an external account, in base64.
    acme_eab_hmac_file: Option<PathBuf> = none
        takes "FILE";

    /// How long before its expiry a certificate is renewed.
    ///
    /// 0 means a third of its lifetime. If the authority suggests a time (renewal information, RFC 9773), Farrier uses
    /// that.
    acme_renew_before: Duration = 0s;

    /// Time to wait after a failed order.
    ///
    /// Each further wait is twice as long. Farrier never lets more than four orders fail in an hour, because
    /// authorities limit failures.
    acme_retry_delay: Duration = 60s
        at_least 1s;

    /// Longest time to wait after a failed order.
    acme_retry_delay_max: Duration = 6h
        at_least 1s;

    /// How long the authority may take for an order.
    acme_timeout: Duration = 3m
        at_least 1s;

    section "Static files";

    /// Serve the files of a folder at a path; repeat for several.
    ///
    /// `URL=DIR`. In `farrier.toml` each is a table `[[static]]` with further keys. The application does not see
    /// requests below the path. `auto` takes the folders from Django's settings: `STATIC_URL` and `STATIC_ROOT`,
    /// `MEDIA_URL` and `MEDIA_ROOT`.
    static_files as "static": Vec<StaticMount> = none
        uwsgi "static-map";

    /// Let the application name files to send; repeatable.
    ///
    /// `URL=DIR`, or a table `[[internal]]`. If the application's response has `X-Accel-Redirect: URL/name` or
    /// `X-Sendfile: DIR/name`, Farrier sends that file in place of the application's content. Clients never see these
    /// fields. If no folder is declared, the fields are sent to proxies in `forwarded_allow_ips` only.
    internal: Vec<InternalFolder> = none;

    /// File names that `static` never serves.
    ///
    /// A whole name, or `*` with an ending: `settings.py`, `*.key`. Case does not matter. A hidden name with `.gz`, `.br`,
    /// `.zst`, `.bz2` or `.xz` behind it is hidden too. The answer is 404. The list replaces the default; `none` hides
    /// none. Names that begin with a dot are always hidden. Files that the application names (`internal`) are sent.
    static_hide: Vec<NamePattern> = "*.py,*.pyc,*.pyo,*.sqlite,*.sqlite3,*.sqlite3-journal,*.sqlite3-wal,*.db,*.sql,*.key,*.pem,*.p12,*.pfx,*.env,*.bak,*.old,*.orig,*.swp,*.swo,*~"
        takes "NAMES";

    /// File names that a worker caches.
    ///
    /// A cached file is checked for changes at most once a second; otherwise it is served without looking it up on
    /// disk.
    static_cache_entries: u32 = 4096
        at_least 1;

    /// Memory that a worker may use for file contents.
    static_cache_bytes: Bytes = 32MiB;

    /// Largest file whose content is kept in memory.
    ///
    /// A larger file is kept open and sent by the kernel.
    static_cache_file_bytes: Bytes = 64KiB;

    /// Files that a worker keeps open.
    ///
    /// Each uses a file descriptor (`ulimit -n`), as connections do.
    static_open_files: u32 = 256
        at_least 1;

    section "Compression";

    /// Compress responses of the application.
    ///
    /// `on` offers zstd, gzip and brotli, each at a level that suits dynamic content. `br:5,gzip:6` names codings and
    /// levels, the preferred one first. Do not compress pages over TLS that contain both a secret and text from the
    /// visitor; see the page on compression.
    compress: Compress = off
        uwsgi "http-auto-gzip";

    /// Smallest response that is compressed.
    ///
    /// It applies if the length is known before the first byte. 0 compresses responses of any size.
    compress_min_bytes: Bytes = 1KiB;

    /// Media types that are compressed.
    ///
    /// `text/html`, `text/*`, or `*+json` for every type with this ending. `text/event-stream` is never compressed.
    compress_types: Vec<MediaPattern> = "text/*,application/json,application/javascript,application/xml,application/wasm,application/x-ndjson,application/yaml,application/toml,*+json,*+xml,*+yaml,font/ttf,font/otf,image/bmp,image/x-icon,image/vnd.microsoft.icon"
        takes "TYPES";

    /// Largest file from the application that is compressed.
    ///
    /// A larger file that the application returns with `wsgi.file_wrapper` is sent by the kernel, uncompressed.
    compress_file_bytes_max: Bytes = 1MiB;

    section "Sites";

    /// Mount an application, folder or other server at a path.
    ///
    /// Repeat the flag for several. `PATH=MODULE:APP` is an application, which sees the path as `SCRIPT_NAME`. In
    /// `farrier.toml` each is a table `[[mount]]`, whose keys name an application, a folder of files, another server, a
    /// redirect or a fixed response. The longest matching path wins. A path matches whole segments: `/api` matches `/api/x`, not
    /// `/apix`. `wsgi_app` is the mount `/`.
    mounts as "mount": Vec<Mount> = none
        uwsgi "mount";

    /// Sites by host name.
    ///
    /// Each is a table `[[site]]` in `farrier.toml` with its host names and mounts; see the page on sites. The settings
    /// outside of any `site` (`wsgi_app`, `mount`, `static` and the settings below) form the default site, which serves
    /// all other names.
    sites as "site": Vec<Site> = none;

    /// Host names that are served; any other gets 421.
    ///
    /// It applies to the default site; a `site` has its names in `hosts`. `example.org`, `*.example.org` for every
    /// subdomain, `.example.org` for both, or an address. By default every name is served that no `site` has.
    allowed_hosts: Vec<HostPattern> = none
        takes "NAMES";

    /// Redirect every other host name to this one.
    ///
    /// With 308, keeping scheme, path and query. It applies to the default site.
    canonical_host: Option<HostName> = none;

    /// Error pages for responses of the server itself.
    ///
    /// `STATUS=FILE`, such as `404=pages/404.html`; in `farrier.toml` a table `[error_pages]`. The pages are read at
    /// the start and kept in memory. A `site` without its own page for a status uses the one given here.
    error_pages: ErrorPages = none
        cli "--error-page";
    section "Reverse proxy";

    /// Forward requests below a path to another server.
    ///
    /// Repeat the flag for several. `PATH=URL`, such as `/api=http://127.0.0.1:9000`, `/=unix:/run/app.sock` or
    /// `/=http://unix:/run/app.sock`; or `PATH=NAME` for an `[[upstream]]`. It is short for a `[[mount]]` with `proxy`,
    /// which has more keys. If requests are forwarded and no application is named, none is looked for.
    proxies as "proxy": Vec<ProxyMount> = none;

    /// Servers that requests are forwarded to, under a name.
    ///
    /// Repeat the flag for several. `NAME=URL,URL`, such as `app=http://10.0.0.1:8000,http://10.0.0.2:8000`. In
    /// `farrier.toml` each is a table `[[upstream]]`, whose keys give the servers, how one is chosen, time-outs, bounds and
    /// what is done when a server fails. A mount names it in `proxy`.
    upstreams as "upstream": Vec<Upstream> = none;

    section "Limits per client";

    /// Request rate of one client, such as `10/s`.
    ///
    /// `300/m burst 50` allows 50 at once; the default burst is the number in the rate. Any further request is answered
    /// with 429 and `Retry-After`. A client is an IPv4 address or an IPv6 /64 network, as reported by a trusted proxy.
    /// All workers count together. Addresses in `trusted_proxy` and peers on unix sockets are not limited.
    rate_limit: Option<Rate> = none;

    /// Connections that one client may have open.
    ///
    /// Any further connection is answered with 429 and closed; with TLS it is closed at once. A client is an IPv4
    /// address or an IPv6 /64 network. All workers count together. Addresses in `trusted_proxy`, web servers that speak
    /// uwsgi or FastCGI, peers whose connections begin with a PROXY header, and peers on unix sockets are not limited.
    /// 0 sets no limit; `worker_connections` limits all connections together in any case.
    limit_connections_per_address: u32 = 0
        at_most 65534;

    actions "Configuration";

    /// Read the settings from this file.
    ///
    /// `FILE.toml`, or `python:MODULE`; any other `FILE` is read as Python, as `gunicorn.conf.py` is. Without it and
    /// without `FARRIER_CONFIG`, Farrier reads the first that exists of `farrier.toml`, `farrier.conf.py` and
    /// `gunicorn.conf.py` in the current folder.
    config cli "-c", takes "FILE", gunicorn "config";

    /// Read the settings from this uWSGI configuration.
    ///
    /// `FILE` or `FILE:SECTION`, in place of `--config`. The file is ini, YAML or JSON. Options without a counterpart
    /// are named in the log. `farrier import-uwsgi FILE` writes the same settings as a commented `farrier.toml`.
    ini takes "FILE", uwsgi "ini";

    /// Load the settings and the application, then exit.
    ///
    /// The exit code is 0 if that worked.
    check_config gunicorn "check_config";

    /// Print every setting, its value and where it came from.
    ///
    /// The output is TOML and can be used as `farrier.toml`.
    print_config gunicorn "print_config", uwsgi "show-config";

    /// Print the completions for a shell: `bash`, `zsh` or `fish`.
    completions takes "SHELL";

    /// Print this list, or everything about one setting.
    help cli "-h", takes "[NAME]";

    /// Print the version.
    version cli "-V" "-v";
}
