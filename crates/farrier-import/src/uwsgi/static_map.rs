//! Translates folders of files: `static-map` and `static-map2`.

use std::path::Path;

use super::draft::Draft;
use super::options::Role;
use farrier_config::value::{UrlPrefix, Value};

/// Makes a `[[static]]` of each folder.
pub(super) fn translate(draft: &mut Draft) {
    let mut seen: Vec<UrlPrefix> = Vec::new();
    for index in draft.of(Role::StaticMap) {
        let value = draft.value(index);
        let (url, folder) = value.split_once('=').unwrap_or((&value, ""));
        let folder = folder.trim();
        let url = match UrlPrefix::parse(url.trim()) {
            Ok(url) if !folder.is_empty() && !seen.contains(&url) => url,
            _ => {
                draft.without(index, "`[[static]]` takes each path once, as `/path` and a folder");
                continue;
            }
        };
        // `static-map2` looks for the whole path below the folder.
        let folder = match draft.entries[index].name.ends_with('2') {
            true => Path::new(folder).join(url.as_str().trim_start_matches('/')).to_string_lossy().into_owned(),
            false => folder.to_string(),
        };
        draft.add("static", format!("{}={folder}", url.text()), index);
        seen.push(url);
    }
}
