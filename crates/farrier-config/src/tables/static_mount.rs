//! `[[static]]`: a folder whose files are served at a path.

use std::path::PathBuf;
use std::time::Duration;

use super::macros::record;
use crate::value::{Rejected, UrlPrefix, Value};

record! {
    /// A folder whose files are served at a path, without the application.
    StaticMount, "URL=DIR", "`URL=DIR` such as `/static/=/srv/static`, or a table with `url` and `dir`";

    /// Path that the files are served at, such as `/static/`.
    url: UrlPrefix = required;

    /// Folder of the files. A relative one is looked for where `chdir` leads.
    directory as "dir": PathBuf = required;

    /// File that stands for a folder, such as `index.html`; without it a folder is answered with 404.
    index: Option<String> = none;

    /// How long clients may keep a file without asking again.
    max_age: Duration = 60s;
}

impl StaticMount {
    /// A folder at a path, and the defaults for the rest.
    pub fn new(url: UrlPrefix, directory: PathBuf) -> StaticMount {
        let place = super::Place::default();
        StaticMount { url, directory, index: None, max_age: Duration::from_secs(60), place }
    }

    fn from_text(text: &str) -> Result<StaticMount, Rejected> {
        match text.split_once('=') {
            Some((url, directory)) if !directory.is_empty() => {
                Ok(StaticMount::new(UrlPrefix::parse(url)?, PathBuf::from(directory)))
            }
            _ => Err(Rejected::unexpected(text)),
        }
    }

    fn to_text(&self) -> String {
        format!("{}={}", self.url.text(), self.directory.display())
    }
}
