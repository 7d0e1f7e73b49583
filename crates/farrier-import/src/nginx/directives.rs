//! The table of nginx's directives, and how each is handled. A name that ends in `*` stands for all names that begin
//! like it. `PASS_` stands for `proxy_`, `uwsgi_` and `fastcgi_`.

/// Directives that are handled in the same way.
#[derive(Debug)]
pub(super) struct Known {
    /// Their names, separated by blanks.
    names: &'static str,
    /// How they are handled.
    pub(super) becomes: Becomes,
    /// A remark: why they are not needed, what to do instead, how the setting differs.
    pub(super) says: &'static str,
}

/// How a directive is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Becomes {
    /// It is a part of these settings, in Markdown.
    Part(&'static str),
    /// It is ignored, because Farrier does it anyway or has nothing that it could act on.
    Needless,
    /// It is ignored although it had an effect; the remark says what to do instead.
    Without,
    /// It restricts access. Where it is not translated, the import fails.
    Access(&'static str),
}

/// The prefixes that `PASS_` stands for.
const PASSES: [&str; 3] = ["proxy_", "uwsgi_", "fastcgi_"];

impl Known {
    /// The names as the table has them, for the documentation.
    pub(super) fn written_names(&self) -> impl Iterator<Item = String> {
        self.names.split(' ').map(|name| match name.strip_prefix("PASS_") {
            Some(rest) => format!("(proxy|uwsgi|fastcgi)_{rest}"),
            None => name.to_owned(),
        })
    }

    /// The names, with `PASS_` filled in.
    pub(super) fn names(&self) -> Vec<String> {
        let expand = |name: &str| match name.strip_prefix("PASS_") {
            Some(rest) => PASSES.iter().map(|pass| format!("{pass}{rest}")).collect(),
            None => vec![name.to_owned()],
        };
        self.names.split(' ').flat_map(expand).collect()
    }
}

/// The row of a directive.
pub(super) fn by_name(name: &str) -> Option<&'static Known> {
    let is = |known: &&Known| known.names().iter().any(|its| its == name);
    let begins = |known: &&Known| {
        known.names().iter().any(|its| its.strip_suffix('*').is_some_and(|beginning| name.starts_with(beginning)))
    };
    DIRECTIVES.iter().find(is).or_else(|| DIRECTIVES.iter().find(begins))
}

const fn part(names: &'static str, target: &'static str, says: &'static str) -> Known {
    Known { names, becomes: Becomes::Part(target), says }
}

const fn needless(names: &'static str, says: &'static str) -> Known {
    Known { names, becomes: Becomes::Needless, says }
}

const fn without(names: &'static str, says: &'static str) -> Known {
    Known { names, becomes: Becomes::Without, says }
}

const fn access(names: &'static str, target: &'static str, says: &'static str) -> Known {
    Known { names, becomes: Becomes::Access(target), says }
}

/// Why the path of a request names no script, and what to do.
pub(super) const NO_SCRIPTS: &str =
    "paths do not name scripts: name one that answers for all paths in `params`, as `SCRIPT_FILENAME`";

/// What to do about a rule of access that Farrier has not.
pub(super) const BY_HAND: &str = "let a firewall or the application check it";

pub(super) const DIRECTIVES: &[Known] = &[
    // Blocks.
    part("server", "`[[site]]`", "servers of one name are one site, whatever their ports"),
    part(
        "location",
        "`[[site.mount]]`, `[[site.static]]`",
        "a mount takes its path and everything below it; of regular expressions only known forms are translated",
    ),
    part("upstream", "`[[upstream]]`", ""),
    needless("include", "its directives stand here with their own lines"),
    needless("http", "its directives hold for all sites"),
    needless("events types", "there is nothing to set"),
    // Addresses and names.
    part("listen", "`bind`, `default`, `proxy_protocol`, `reuse_port`, `backlog`", "`ssl` becomes `https://`"),
    part("server_name", "`hosts`", "regular expressions have no counterpart"),
    needless("http2 http3_*", "HTTP/2 is offered over TLS anyway"),
    without("http3 quic_*", "HTTP/3 is not served"),
    needless(
        "server_name_in_redirect port_in_redirect absolute_redirect",
        "redirects keep the host and port of the client",
    ),
    needless(
        "server_names_hash_* variables_hash_* types_hash_* map_hash_* proxy_headers_hash_*",
        "tables grow by themselves",
    ),
    // TLS.
    part("ssl_certificate", "`certfile`", "the certificate is chosen by the name that the client sends"),
    part("ssl_certificate_key", "`keyfile`", ""),
    part("ssl_protocols", "`tls_min_version`", "TLS 1.0 and 1.1 are not spoken"),
    part("ssl", "`bind`", "as `listen … ssl`"),
    access("ssl_client_certificate", "`ca_certs`", "one file for the whole server"),
    access("ssl_verify_client", "`cert_reqs`", "for the whole server"),
    access("ssl_crl ssl_ocsp*", "", "revoked certificates of clients are not known"),
    needless("ssl_reject_handshake", "unknown names are answered with 421"),
    needless(
        "ssl_ciphers",
        "all suites with forward secrecy and authenticated encryption are offered, and no others; `ciphers` chooses among them",
    ),
    needless(
        "ssl_session_cache ssl_session_timeout ssl_session_ticket_key",
        "clients resume with tickets that every worker reads (`tls_ticket_rotation`)",
    ),
    part("ssl_session_tickets", "`tls_ticket_rotation`", "`off` becomes 0"),
    needless("ssl_dhparam ssl_ecdh_curve ssl_conf_command", "safe groups are chosen anyway"),
    needless("ssl_prefer_server_ciphers", "every suite that is offered is safe"),
    needless("ssl_stapling* ssl_trusted_certificate", "authorities no longer offer OCSP"),
    needless("ssl_buffer_size ssl_early_data ssl_verify_depth", "there is nothing to set"),
    without("ssl_password_file", "keys must not be encrypted: limit who may read the file"),
    // Files.
    part("root alias", "`dir`", "a file is never looked for outside of the folder"),
    part("index", "`index`", "the first name of several"),
    part(
        "try_files",
        "`[[site.static]]`, or the mount that it falls back to",
        "the forms `$uri [$uri/] =404`, `… @name` and `… /index.html`",
    ),
    part("internal", "`[[internal]]`", ""),
    part(
        "expires",
        "`max_age` or `immutable` of a `[[site.static]]`",
        "for a server behind the proxy it is the server's own to say",
    ),
    without("autoindex*", "folders are not listed"),
    without(
        "addition_* add_before_body add_after_body sub_filter* ssi* xslt_* image_filter* charset_map",
        "content is not changed on its way",
    ),
    without(
        "secure_link* mp4* flv* hls* dav_* create_full_put_path random_index memcached_* perl* js_* *_by_lua* lua_*",
        "let the application do it",
    ),
    needless(
        "sendfile_max_chunk tcp_nopush tcp_nodelay aio* directio* output_buffers open_file_cache* read_ahead postpone_output",
        "files and sockets are set up well already",
    ),
    part("sendfile", "`sendfile`", "on anyway"),
    needless(
        "default_type etag if_modified_since max_ranges gzip_static brotli_static disable_symlinks log_not_found charset charset_types override_charset source_charset log_subrequest recursive_error_pages",
        "files are served so anyway",
    ),
    part("error_page", "`error_pages`, `intercept_errors`", "a file of this machine"),
    // Answers.
    part("return", "`redirect`, `respond` or `status`", "`444` becomes 403, or 421 for unknown names"),
    part("rewrite", "`redirect`", "only with `permanent` or `redirect`, of a whole path or the beginning of one"),
    part(
        "if",
        "`https_redirect`, `canonical_host`, `methods`",
        "the known forms; every other one must be done by hand",
    ),
    part("set", "its value", "filled in where it is used"),
    without("break rewrite_log uninitialized_variable_warn", "there are no rewrites inside of a server"),
    part("map", "", "only the map for `$connection_upgrade`, which is not needed"),
    without("geo split_clients", "there are no such variables: let the application decide"),
    part("add_header", "`response_headers`, `hsts`, `max_age`", "the field takes the place of the server's own"),
    without("add_trailer more_set_headers more_clear_headers", "fields are set with `response_headers`"),
    // Forwarding.
    part(
        "PASS_pass",
        "`proxy` of a mount",
        "the addresses are `http://`, `https://`, `uwsgi://`, `suwsgi://` and `fastcgi://`",
    ),
    without("grpc_* scgi_* memcached_pass", "this protocol is not forwarded"),
    part(
        "proxy_set_header",
        "`host`, `set_headers`, `remove_headers`",
        "`X-Forwarded-*`, `X-Real-IP`, `Upgrade` and `Connection` are set anyway",
    ),
    part("PASS_hide_header", "`hide_headers`", ""),
    part("PASS_pass_header", "`pass_server`", ""),
    part("proxy_redirect", "`rewrite_location`", ""),
    part("proxy_cookie_path", "`cookie_path`", "as the path of requests is changed"),
    part("proxy_cookie_domain", "`cookie_domain`", ""),
    without(
        "proxy_cookie_flags proxy_set_body proxy_method proxy_store* uwsgi_store* fastcgi_store*",
        "requests and responses are not changed so",
    ),
    without(
        "proxy_pass_request_headers proxy_pass_request_body uwsgi_pass_request_headers uwsgi_pass_request_body fastcgi_pass_request_headers fastcgi_pass_request_body",
        "requests are forwarded whole",
    ),
    needless(
        "proxy_http_version uwsgi_modifier1 uwsgi_modifier2 uwsgi_string fastcgi_keep_conn",
        "connections are kept as far as the server keeps them",
    ),
    part("PASS_connect_timeout", "`connect_timeout`", ""),
    part("PASS_read_timeout", "`first_byte_timeout`, `read_timeout`, `tunnel_timeout`", ""),
    part("PASS_send_timeout", "`send_timeout`", ""),
    part("PASS_next_upstream", "`retry_on`, `retry_unsafe`, `retries`", ""),
    part("PASS_next_upstream_tries", "`retries`", "one less: the first attempt is none"),
    part("PASS_next_upstream_timeout", "`retry_timeout`", ""),
    part("PASS_buffering", "`flush`", ""),
    part("PASS_request_buffering", "`request_buffering`", ""),
    without(
        "PASS_max_temp_file_size",
        "content is read from the server as fast as the client takes it (`response_buffer_bytes`)",
    ),
    needless(
        "PASS_buffers PASS_buffer_size PASS_busy_buffers_size PASS_temp_file_write_size PASS_temp_path PASS_headers_hash_max_size PASS_headers_hash_bucket_size PASS_force_ranges PASS_socket_keepalive PASS_send_lowat PASS_ignore_client_abort PASS_catch_stderr",
        "`response_buffer_bytes` and the defaults serve well",
    ),
    part("PASS_intercept_errors", "`intercept_errors`", "with the statuses of `error_page`"),
    part("PASS_ignore_headers", "`accel`", ""),
    part("PASS_bind", "`source`", ""),
    without("PASS_limit_rate limit_rate limit_rate_after", "the kernel shares the line among clients"),
    without(
        "PASS_cache* PASS_no_cache slice",
        "responses are not cached: let the application cache, or a cache in front",
    ),
    part(
        "proxy_ssl_verify proxy_ssl_trusted_certificate proxy_ssl_name proxy_ssl_certificate proxy_ssl_certificate_key proxy_ssl_protocols uwsgi_ssl_verify uwsgi_ssl_trusted_certificate uwsgi_ssl_name uwsgi_ssl_certificate uwsgi_ssl_certificate_key uwsgi_ssl_protocols",
        "`tls` of an `[[upstream]]`",
        "the certificate of the server is checked, unless nginx says `off`",
    ),
    needless(
        "proxy_ssl_server_name proxy_ssl_session_reuse proxy_ssl_ciphers proxy_ssl_verify_depth proxy_ssl_conf_command uwsgi_ssl_server_name uwsgi_ssl_session_reuse uwsgi_ssl_ciphers uwsgi_ssl_verify_depth uwsgi_ssl_conf_command",
        "names are sent and sessions resumed anyway",
    ),
    access("proxy_ssl_crl uwsgi_ssl_crl", "", "revoked certificates of servers are not known"),
    without(
        "proxy_ssl_password_file uwsgi_ssl_password_file",
        "keys must not be encrypted: limit who may read the file",
    ),
    part(
        "uwsgi_param fastcgi_param",
        "`params`",
        "what applications read of `uwsgi_params` and `fastcgi_params` is sent anyway; a `SCRIPT_FILENAME` must be fixed",
    ),
    without("fastcgi_index fastcgi_split_path_info", NO_SCRIPTS),
    needless("resolver resolver_timeout", "names are looked up by the system, every 10 seconds"),
    // Upstreams.
    part(
        "least_conn ip_hash hash random least_time",
        "`balance`, `hash_on`",
        "without one of them nginx takes turns, and Farrier takes the server with the fewest requests in flight",
    ),
    part("keepalive keepalive_time", "`keepalive`, `keepalive_time`", "in an upstream"),
    part("queue", "`queue`, `queue_timeout`", ""),
    needless("zone state ntlm", "workers share what they must"),
    part("sticky", "`sticky`", "`cookie` and `learn`; not `route`"),
    without("sticky_cookie_insert upstream_conf health_check match", "servers are checked by `[upstream.health]`"),
    // Requests of clients.
    part("client_max_body_size", "`limit_request_body`", "nginx's default is 1 MiB; 0 becomes 1024 GiB"),
    part("client_body_timeout", "`body_timeout`", ""),
    part("client_header_timeout", "`header_timeout`", ""),
    part("client_body_buffer_size", "`body_buffer_bytes`", "at least the default"),
    part("client_body_temp_path", "`tmp_upload_dir`", ""),
    part("large_client_header_buffers", "`limit_request_line`, `limit_request_field_size`", "sizes above 8 KiB"),
    part("send_timeout", "`write_timeout`", ""),
    part("keepalive_timeout", "`keepalive`, `keepalive_timeout`", ""),
    part("keepalive_requests", "`keepalive_requests`", ""),
    part("lingering_timeout", "`linger_timeout`", ""),
    part("underscores_in_headers", "`header_map`", ""),
    needless(
        "client_header_buffer_size client_body_in_file_only client_body_in_single_buffer connection_pool_size request_pool_size reset_timedout_connection lingering_close lingering_time keepalive_disable keepalive_min_timeout chunked_transfer_encoding ignore_invalid_headers msie_* server_tokens merge_slashes http2_* subrequest_output_buffer_size satisfy_any early_hints",
        "there is nothing to set",
    ),
    // Limits and access.
    access("limit_req limit_req_zone", "`rate_limit`", "for the whole server"),
    access("limit_conn limit_conn_zone", "`limit_connections_per_address`", "for the whole server"),
    needless(
        "limit_req_status limit_conn_status limit_req_log_level limit_conn_log_level limit_req_dry_run limit_conn_dry_run",
        "above a limit the answer is 429",
    ),
    access(
        "allow deny",
        "`status = 403`",
        "`deny all` alone; a mount with any other rule is refused to everybody until you decide",
    ),
    access("limit_except", "`methods`", "with `deny all` alone"),
    access(
        "auth_basic auth_basic_user_file auth_request auth_request_set auth_jwt* satisfy valid_referers auth_delay",
        "",
        "a mount with such a rule is refused to everybody until you decide",
    ),
    part("set_real_ip_from", "`trusted_proxy`, `forwarded_allow_ips`, `proxy_allow_ips`", ""),
    part("real_ip_header", "`trusted_proxy`, `proxy_headers`, `proxy_protocol`", ""),
    needless("real_ip_recursive", "addresses are read from the right, through all trusted proxies"),
    // Compression.
    part(
        "gzip",
        "`compress`",
        "zstd, brotli and gzip, as the client prefers; files only if a compressed copy stands beside them",
    ),
    part("brotli zstd", "`compress`", ""),
    part("gzip_types", "`compress_types`", "text/html is always among them"),
    part("gzip_min_length", "`compress_min_bytes`", ""),
    needless("gzip_* brotli_* zstd_* gunzip*", "chosen well for each response"),
    // Logs and processes.
    part("access_log", "`accesslog`", "one log for the whole server"),
    part("log_format", "`access_log_format`", "`combined`, JSON, or variables that have an atom"),
    part("error_log", "`errorlog`, `loglevel`", "one log for the whole server"),
    needless("open_log_file_cache rewrite_log_level debug_connection", "there is nothing to set"),
    part("user", "`user`, `group`", ""),
    part("worker_processes", "`workers`", ""),
    part("worker_connections", "`worker_connections`", ""),
    part("env", "`raw_env`", ""),
    part("worker_shutdown_timeout", "`graceful_timeout`", ""),
    needless("pid lock_file daemon master_process", "a file of its own: `pidfile`"),
    needless(
        "use multi_accept accept_mutex* worker_aio_requests worker_cpu_affinity worker_priority timer_resolution pcre_jit thread_pool debug_points working_directory",
        "there is nothing to set",
    ),
    without("worker_rlimit_nofile worker_rlimit_core", "let the service manager set limits (`LimitNOFILE=`)"),
    needless("load_module", "nothing needs to be loaded"),
    without("stub_status api status status_zone", "`stats` serves counts as JSON"),
    without("stream mail", "only HTTP is forwarded"),
    without(
        "mirror* post_action empty_gif userid* browser* modern_browser ancient_browser geoip* opentracing* otel* ssl_preread",
        "let the application do it",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_listed_twice() {
        let mut seen = std::collections::BTreeSet::new();
        for name in DIRECTIVES.iter().flat_map(Known::names) {
            assert!(seen.insert(name.clone()), "{name}");
        }
    }

    #[test]
    fn a_directive_without_a_setting_has_a_reason() {
        for known in DIRECTIVES {
            let has_target =
                matches!(known.becomes, Becomes::Part(target) | Becomes::Access(target) if !target.is_empty());
            assert!(has_target || !known.says.is_empty(), "{known:?}");
        }
    }

    #[test]
    fn a_longer_name_is_found_before_a_beginning() {
        let becomes = |name| by_name(name).map(|known| known.becomes);
        assert_eq!(becomes("gzip_vary"), Some(Becomes::Needless));
        assert_eq!(becomes("gzip_types"), Some(Becomes::Part("`compress_types`")));
        assert_eq!(becomes("fastcgi_cache_path"), Some(Becomes::Without));
        assert_eq!(becomes("no_such"), None);
    }
}
