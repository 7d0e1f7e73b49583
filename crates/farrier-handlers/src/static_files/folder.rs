//! A folder of static files, as its settings describe it.

use std::path::PathBuf;
use std::time::Duration;

use super::hidden::HiddenNames;

/// A folder and how it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// The path that it is served at, decoded and without a slash at its end. Empty for the root.
    pub prefix: String,
    /// The folder, as an absolute path.
    pub directory: PathBuf,
    /// The name of the index file, which is served for a folder.
    pub index: Option<String>,
    /// The file that is served in the place of one that is missing.
    pub fallback: Option<String>,
    /// How long clients may use a file without asking again.
    pub max_age: Duration,
    /// Patterns of names whose content never changes. Names with a hash, as Django makes them, need no pattern.
    pub immutable: Vec<String>,
    /// Whether `NAME.zst`, `NAME.br` and `NAME.gz` are compressed forms of a file `NAME`.
    pub precompressed: bool,
    /// Names of files that are not served.
    pub hidden: HiddenNames,
}
