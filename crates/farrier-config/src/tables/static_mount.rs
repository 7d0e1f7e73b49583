//! `[[static]]`: a folder whose files are served at a path.

use std::path::PathBuf;
use std::time::Duration;

use super::macros::record;
use crate::value::{Rejected, UrlPrefix, Value};

/// The word that stands for the folders of the application's own settings.
const AUTO: &str = "auto";

record! {
    /// A folder whose files are served at a path, without the application.
    StaticMount, "URL=DIR", "`URL=DIR` such as `/static/=/srv/static`, `auto`, or a table with `url` and `dir`";

    /// URL path of the files, such as `/static/`.
    url: UrlPrefix = required;

    /// Folder of the files, or one file for a `url` with the same ending, such as `/robots.txt`. A relative path is
    /// relative to `chdir`.
    directory as "dir": PathBuf = required;

    /// File to send for a folder, such as `index.html`; without it a folder is answered with 404.
    index: Option<String> = none;

    /// File to send, with 200, in the place of one that is missing: `index.html` of an application that runs in the
    /// browser and has its own paths. Without it a missing file is answered with 404.
    fallback: Option<String> = none;

    /// How long clients may keep a file without asking again.
    max_age: Duration = 60s;

    /// Files that never change under their name; clients keep them for a year. Patterns of paths below the folder, such
    /// as `assets/**` for Vite or `**/*.????????.js` for webpack; `*` matches within one segment. Names with Django's
    /// hash (`app.0123456789ab.css`) need no pattern.
    immutable: Vec<String> = none;

    /// Send `NAME.zst`, `NAME.br` or `NAME.gz` in place of a file, if it exists and the client accepts it.
    precompressed: bool = true;
}

impl StaticMount {
    /// A folder at a path, and the defaults for the rest.
    pub fn new(url: UrlPrefix, directory: PathBuf) -> StaticMount {
        StaticMount {
            url,
            directory,
            index: None,
            fallback: None,
            max_age: Duration::from_secs(60),
            immutable: Vec::new(),
            precompressed: true,
            place: super::Place::default(),
        }
    }

    /// Whether it stands for the folders that the application's own settings name.
    pub fn is_auto(&self) -> bool {
        self.url.is_root() && self.directory.as_os_str() == AUTO
    }

    fn from_text(text: &str) -> Result<StaticMount, Rejected> {
        if text == AUTO {
            return Ok(StaticMount::new(UrlPrefix::root(), PathBuf::from(AUTO)));
        }
        match text.split_once('=') {
            Some((url, directory)) if !directory.is_empty() => {
                Ok(StaticMount::new(UrlPrefix::parse(url)?, PathBuf::from(directory)))
            }
            _ => Err(Rejected::unexpected(text)),
        }
    }

    fn to_text(&self) -> String {
        if self.is_auto() {
            return AUTO.to_owned();
        }
        format!("{}={}", self.url.text(), self.directory.display())
    }
}
