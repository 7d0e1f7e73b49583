//! `[[mount]]`: an application, folder, other server, redirect or fixed response below a path.

use std::path::PathBuf;

use super::macros::record;
use crate::value::{
    Bytes, Compress, ProxyMount, ProxyTarget, RedirectTarget, Rejected, ResponseStatus, UrlPrefix, Value,
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
            place: super::Place::default(),
        }
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
