//! `[[site]]`: a site, chosen by host name.

use super::macros::record;
use super::{Mount, StaticMount};
use crate::value::{Bytes, Compress, ErrorPages, HostName, HostPattern, Rejected};

record! {
    /// A site: its host names, and what it serves.
    Site, "TABLE", "a table `[[site]]` with `hosts`";

    /// Host names that it serves: `example.org`, `*.example.org` for every subdomain, `.example.org` for both, or an
    /// address.
    hosts: Vec<HostPattern> = none;

    /// Serve every name that no other site serves.
    is_default as "default": bool = false;

    /// The WSGI application of the site, as in `wsgi_app`: a mount at `/`.
    app: Option<String> = none;

    /// Canonical host name: requests for the site's other names are redirected to it.
    canonical_host: Option<HostName> = none;

    /// Longest request body of the site; a longer one gets 413.
    limit_request_body: Option<Bytes> = none;

    /// Codings for responses of the site's applications, `on` or `off`; replaces the setting `compress`.
    compress: Option<Compress> = none;

    /// Call the site's applications before the request body has arrived; replaces the setting `stream_request_body`.
    stream_request_body: Option<bool> = none;

    /// Error pages for responses of the server itself, by status: `404 = "pages/404.html"`.
    error_pages: ErrorPages = none;

    /// Mounts of the site.
    mounts as "mount": Vec<Mount> = none;

    /// Folders of files of the site.
    static_files as "static": Vec<StaticMount> = none;
}

impl Site {
    fn from_text(_: &str) -> Result<Site, Rejected> {
        Err(Rejected::because("a site cannot be written on one line: write it as `[[site]]` in farrier.toml"))
    }

    fn to_text(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(ToString::to_string).collect();
        hosts.join(" ")
    }
}
