//! A folder of static files, as its settings describe it.

use std::path::PathBuf;
use std::time::Duration;

/// A folder and how it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// The path it is served at, decoded and without a slash at its end; empty for the root.
    pub prefix: String,
    /// The folder, as an absolute path.
    pub directory: PathBuf,
    /// The file that stands for a folder.
    pub index: Option<String>,
    /// How long clients may keep a file without asking.
    pub max_age: Duration,
    /// Patterns of names that never change their content, beside those that hold a hash as Django makes them.
    pub immutable: Vec<String>,
    /// Files ending in `.zst`, `.br` and `.gz` beside a file are forms of it.
    pub precompressed: bool,
}
