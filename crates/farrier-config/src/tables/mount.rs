//! `[[mount]]`: what answers below a path.

use std::path::PathBuf;

use super::macros::record;
use crate::value::{Bytes, Compress, RedirectTarget, Rejected, ResponseStatus, UrlPrefix, Value};

record! {
    /// What answers below a path: one of `app`, `static`, `redirect`, `respond`, or a `status` alone.
    Mount, "PATH=APP", "`PATH=MODULE:APP` such as `/api=api.wsgi:application`, or a table with `path` and what answers there";

    /// Path that it begins at, such as `/api`: it takes this path and all below it.
    path: UrlPrefix = required;

    /// A WSGI application, as in `wsgi_app`. It sees the path as `SCRIPT_NAME`.
    app: Option<String> = none;

    /// A folder of files; `[[static]]` can say more of it.
    directory as "static": Option<PathBuf> = none;

    /// Where clients are sent: a URL or a path. `$path` is the path of the request, `$rest` the part of it below the mount,
    /// `$query` its query with the `?`, `$host` its host with port, `$scheme` its scheme, `$$` a dollar.
    redirect: Option<RedirectTarget> = none;

    /// A text that is the answer.
    respond: Option<String> = none;

    /// Status of `redirect` (308 where nothing is said) or of `respond` (200). Alone, it is an answer of this status with the
    /// page of `error_pages`.
    status: Option<ResponseStatus> = none;

    /// Media type of `respond`.
    content_type: String = "text/plain; charset=utf-8";

    /// Longest request body here; a longer one gets 413.
    limit_request_body: Option<Bytes> = none;

    /// Codings for what `app` answers here, `on` or `off`, in place of the setting `compress`.
    compress: Option<Compress> = none;

    /// Call `app` before the request body has arrived, in place of the setting `stream_request_body`.
    stream_request_body: Option<bool> = none;
}

impl Mount {
    /// Nothing at a path yet.
    pub(crate) fn at(path: UrlPrefix) -> Mount {
        Mount {
            path,
            app: None,
            directory: None,
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
