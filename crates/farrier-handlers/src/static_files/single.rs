//! One file that is served at its own path, such as `/robots.txt`, without the folder around it.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The folder of a file and the file's name below it, if `path` is a file and the URL `prefix` ends as it does. A file in the
/// place of a folder is a mistake otherwise.
pub(super) fn file(prefix: &str, path: &Path) -> Option<(PathBuf, Box<[u8]>)> {
    let ending = Path::new(prefix).extension()?;
    let (parent, name) = (path.parent()?, path.file_name()?);
    let is_one = path.extension() == Some(ending) && path.is_file();
    is_one.then(|| (parent.to_owned(), [b"/", name.as_bytes()].concat().into_boxed_slice()))
}
