//! Error pages: content for the server's own responses, read from files once.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use farrier_http::{Status, media_type};
use farrier_protocol::rescue::Page;

/// The largest page, in bytes.
pub const PAGE_BYTES_MAX: u64 = 1024 * 1024;

/// The error pages of a site, by status.
#[derive(Debug, Default)]
pub(super) struct Pages(BTreeMap<u16, Page>);

impl Pages {
    /// Reads the files. Adds a sentence to `problems` for each that cannot be used.
    pub(super) fn read(files: &BTreeMap<u16, PathBuf>, problems: &mut Vec<String>) -> Pages {
        let mut pages = BTreeMap::new();
        for (status, path) in files {
            match page(path) {
                Ok(page) => drop(pages.insert(*status, page)),
                Err(reason) => {
                    problems.push(format!("error_pages: the page for {status}, `{}`, {reason}", path.display()))
                }
            }
        }
        Pages(pages)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn page(&self, status: Status) -> Option<&Page> {
        self.0.get(&status.0)
    }
}

fn page(path: &Path) -> Result<Page, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let kind = std::fs::metadata(path).map_err(unreadable)?;
    if !kind.is_file() {
        return Err("is not a file".to_string());
    }
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut content = Vec::new();
    file.take(PAGE_BYTES_MAX + 1).read_to_end(&mut content).map_err(unreadable)?;
    if content.len() as u64 > PAGE_BYTES_MAX {
        return Err(format!("is larger than {} MiB", PAGE_BYTES_MAX >> 20));
    }
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let content_type = match media_type::of(name) {
        media_type::UNKNOWN => "text/html; charset=utf-8",
        known => known,
    };
    Ok(Page { content_type, content })
}
