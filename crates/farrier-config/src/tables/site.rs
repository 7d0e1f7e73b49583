//! `[[site]]`: what answers for names of hosts.

use super::macros::record;
use super::{Mount, StaticMount};
use crate::value::{Bytes, Compress, ErrorPages, HostName, HostPattern, Rejected};

record! {
    /// What answers for some names of hosts.
    Site, "TABLE", "a table `[[site]]` with `hosts`";

    /// Names that it serves: `example.org`, `*.example.org` for every name below, `.example.org` for both, or an address.
    hosts: Vec<HostPattern> = none;

    /// Serve every name that no other site serves.
    is_default as "default": bool = false;

    /// The WSGI application of the site, as in `wsgi_app`: a mount at `/`.
    app: Option<String> = none;

    /// The one name that the site goes by: requests for its others are redirected to it.
    canonical_host: Option<HostName> = none;

    /// Longest request body of the site; a longer one gets 413.
    limit_request_body: Option<Bytes> = none;

    /// Codings for what the site's applications answer, `on` or `off`, in place of the setting `compress`.
    compress: Option<Compress> = none;

    /// Call the site's applications before the request body has arrived, in place of the setting `stream_request_body`.
    stream_request_body: Option<bool> = none;

    /// Pages for answers that the server makes itself, by status: `404 = "pages/404.html"`.
    error_pages: ErrorPages = none;

    /// What answers below paths of the site.
    mounts as "mount": Vec<Mount> = none;

    /// Folders of files of the site.
    static_files as "static": Vec<StaticMount> = none;
}

impl Site {
    fn from_text(_: &str) -> Result<Site, Rejected> {
        Err(Rejected::because("a site is more than a line can say: write it as `[[site]]` into farrier.toml"))
    }

    fn to_text(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(ToString::to_string).collect();
        hosts.join(" ")
    }
}
