//! `[[mount]]`: an application, folder, other server, redirect or fixed response below a path.

use std::path::PathBuf;
use std::time::Duration;

use super::macros::record;
use crate::value::{
    AccelField, Bytes, Compress, CookiePath, Flush, Forwarded, ProxyHost, ProxyMount, ProxyTarget, RedirectTarget,
    Rejected, ResponseStatus, TextMap, UrlPrefix, Value,
};

record! {
    /// What is served below a path: one of `app`, `static`, `proxy`, `redirect`, `respond`, or a `status` alone.
    Mount, "PATH=APP", "`PATH=MODULE:APP` such as `/api=api.wsgi:application`, or a table with `path` and what answers there";

    /// Path of the mount, such as `/api`: it serves this path and everything below it.
    path: UrlPrefix = required;

    /// A WSGI application, as in `wsgi_app`. It sees the path as `SCRIPT_NAME`.
    app: Option<String> = none;

    /// A folder of files; `[[static]]` has more options.
    directory as "static": Option<PathBuf> = none;

    /// Forward requests to another server: the name of an `[[upstream]]`, or an address such as `http://127.0.0.1:9000`
    /// or `http://unix:/run/app.sock`.
    proxy: Option<ProxyTarget> = none;

    /// Redirect to this URL or path. `$path` is the path of the request, and `$rest` the part of it below the mount.
    /// `$query` is its query with the `?`, `$host` its host with port, and `$scheme` its scheme. `$$` is a dollar sign.
    redirect: Option<RedirectTarget> = none;

    /// Respond with this text.
    respond: Option<String> = none;

    /// Status of `redirect` (default 308) or of `respond` (default 200). Alone, it responds with this status and its
    /// page of `error_pages`.
    status: Option<ResponseStatus> = none;

    /// Media type of `respond`.
    content_type: String = "text/plain; charset=utf-8";

    /// Longest request body below this path; a longer one gets 413.
    limit_request_body: Option<Bytes> = none;

    /// Codings for responses of `app` or `proxy`, `on` or `off`; replaces the setting `compress`.
    compress: Option<Compress> = none;

    /// Call `app` before the request body has arrived, in place of the setting `stream_request_body`.
    stream_request_body: Option<bool> = none;

    /// Take the mount's path away before the server sees the path. `X-Forwarded-Prefix` then names it.
    strip_prefix: bool = false;

    /// Put this path in place of the mount's path.
    rewrite_prefix: Option<UrlPrefix> = none;

    /// Host field that the server sees: `client` for the client's, `upstream` for the server's own, or a host.
    host: ProxyHost = client;

    /// Fields that tell the server of the client: `x` for `X-Forwarded-For` and the like, `rfc7239` for `Forwarded`,
    /// `both` or `none`.
    forwarded: Forwarded = x;

    /// Name of this proxy in the field `Via`; empty for no field, and then a loop is not noticed.
    via: String = farrier;

    /// Fields that the server gets in place of the client's. Values may have `$host`, `$scheme`, `$remote_addr`,
    /// `$request_id`, `$path` and `$query`; `$$` is a dollar sign.
    set_headers: TextMap = none;

    /// Fields of the client that the server does not get.
    remove_headers: Vec<String> = none;

    /// Fields that the client gets in place of the server's.
    response_headers: TextMap = none;

    /// Fields of the server that the client does not get.
    hide_headers: Vec<String> = none;

    /// Pass on the server's field `Server`.
    pass_server: bool = false;

    /// Change `Location`, `Content-Location` and `Refresh` that name the server, so that they name this one.
    rewrite_location: bool = true;

    /// Change the Path of cookies as `strip_prefix` and `rewrite_prefix` change paths: `auto` or `off`.
    cookie_path: CookiePath = auto;

    /// Domains of cookies and what they become: `{ "app.internal" = "example.org" }`. An empty text leaves the
    /// attribute out.
    cookie_domain: TextMap = none;

    /// Receive the whole request body before a server is asked. Without it the body is passed on as it comes, and no
    /// other server is asked once more than 64 KiB of it were sent.
    request_buffering: bool = true;

    /// Content of a response that is kept in memory for a slow client.
    response_buffer: Bytes = 256KiB;

    /// Content of a response that is kept in a file for a slow client.
    response_spool: Bytes = 0;

    /// Send content on at once: `auto`, `on` or `off`.
    flush: Flush = auto;

    /// Fields of the server that are obeyed: `buffering`, `expires`, `charset` and `redirect` for `X-Accel-Buffering`
    /// and the like. Clients get none of them.
    accel: Vec<AccelField> = "buffering,expires,charset";

    /// Statuses of the server that are answered with the page of `error_pages`.
    intercept_errors: Vec<ResponseStatus> = none;

    /// Protocols that a connection may be switched to.
    upgrade: Vec<String> = websocket;

    /// How long a switched connection may be silent.
    tunnel_timeout: Duration = 1h;

    /// How long a switched connection may last; 0 sets no limit.
    tunnel_max: Duration = 0s;

    /// How long one side may go on sending after the other has ended.
    tunnel_fin_timeout: Duration = 30s;

    /// Methods that are forwarded; any other gets 405. By default all except CONNECT and TRACE.
    methods: Vec<String> = none;

    /// FastCGI: folder of the scripts.
    fastcgi_root: Option<PathBuf> = none;

    /// FastCGI: script for a path that ends with a slash.
    fastcgi_index: Option<String> = none;

    /// FastCGI: what ends the script's name in a path, such as `.php`.
    fastcgi_split: Option<String> = none;

    /// FastCGI and uwsgi: further variables.
    params: TextMap = none;
}

impl Mount {
    /// An empty mount at a path.
    pub(crate) fn at(path: UrlPrefix) -> Mount {
        Mount {
            path,
            app: None,
            directory: None,
            proxy: None,
            redirect: None,
            respond: None,
            status: None,
            content_type: "text/plain; charset=utf-8".to_string(),
            limit_request_body: None,
            compress: None,
            stream_request_body: None,
            strip_prefix: false,
            rewrite_prefix: None,
            host: ProxyHost::Client,
            forwarded: Forwarded::X,
            via: "farrier".to_string(),
            set_headers: TextMap::default(),
            remove_headers: Vec::new(),
            response_headers: TextMap::default(),
            hide_headers: Vec::new(),
            pass_server: false,
            rewrite_location: true,
            cookie_path: CookiePath::Auto,
            cookie_domain: TextMap::default(),
            request_buffering: true,
            response_buffer: Bytes(256 * 1024),
            response_spool: Bytes(0),
            flush: Flush::Auto,
            accel: vec![AccelField::Buffering, AccelField::Expires, AccelField::Charset],
            intercept_errors: Vec::new(),
            upgrade: vec!["websocket".to_string()],
            tunnel_timeout: Duration::from_secs(3600),
            tunnel_max: Duration::ZERO,
            tunnel_fin_timeout: Duration::from_secs(30),
            methods: Vec::new(),
            fastcgi_root: None,
            fastcgi_index: None,
            fastcgi_split: None,
            params: TextMap::default(),
            place: super::Place::default(),
        }
    }

    /// The keys that differ from their defaults.
    pub(crate) fn keys_set(&self) -> Vec<&'static str> {
        self.table().map(|table| table.entries.iter().map(|(key, _)| *key).collect()).unwrap_or_default()
    }

    /// The mount of a line of `proxy`.
    pub(crate) fn of_proxy(line: &ProxyMount) -> Mount {
        Mount { proxy: Some(line.target.clone()), place: line.place.clone(), ..Mount::at(line.path.clone()) }
    }

    fn from_text(text: &str) -> Result<Mount, Rejected> {
        match text.split_once('=') {
            Some((path, app)) if !app.is_empty() => {
                Ok(Mount { app: Some(app.to_string()), ..Mount::at(UrlPrefix::parse(path)?) })
            }
            _ => Err(Rejected::unexpected(text)),
        }
    }

    fn to_text(&self) -> String {
        format!("{}={}", self.path.text(), self.app.as_deref().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{Answer, Raw, Source};

    #[test]
    fn the_defaults_of_a_table_and_of_a_line_are_the_same() {
        let text = |text: &str| Answer { raw: Raw::Text(text.into()), source: Source::Default };
        let entries = vec![("path".to_owned(), text("/a")), ("app".to_owned(), text("b:c"))];
        let read = Mount::read(&Raw::Table(entries));
        assert_eq!(read, Mount::parse("/a=b:c"));
        assert_eq!(read.map(|mount| mount.keys_set()), Ok(vec!["path", "app"]));
    }
}
