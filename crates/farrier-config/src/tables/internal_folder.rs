//! `[[internal]]`: a folder whose files are sent when the application names them.

use std::path::PathBuf;

use super::macros::record;
use crate::value::{Rejected, UrlPrefix, Value};

record! {
    /// A folder whose files are sent only when the application names them.
    InternalFolder, "URL=DIR", "`URL=DIR` such as `/protected/=/srv/protected`, or a table with `url` and `dir`";

    /// URL path for `X-Accel-Redirect`, such as `/protected/`. Clients cannot request it.
    url: UrlPrefix = required;

    /// Folder of the files; `X-Sendfile` names them by their path. A relative path is relative to `chdir`.
    directory as "dir": PathBuf = required;
}

impl InternalFolder {
    fn from_text(text: &str) -> Result<InternalFolder, Rejected> {
        match text.split_once('=') {
            Some((url, directory)) if !directory.is_empty() => Ok(InternalFolder {
                url: UrlPrefix::parse(url)?,
                directory: PathBuf::from(directory),
                place: super::Place::default(),
            }),
            _ => Err(Rejected::unexpected(text)),
        }
    }

    fn to_text(&self) -> String {
        format!("{}={}", self.url.text(), self.directory.display())
    }
}
