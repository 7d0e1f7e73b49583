//! Makes handlers for folders of files from settings.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use farrier_config::value::Value;
use farrier_config::{Config, NamePattern, StaticMount, UrlPrefix};
use farrier_handlers::internal_files::InternalFiles;
use farrier_handlers::static_files::{self, Cache, CacheBounds, Folder, HiddenNames};
use farrier_http::Handler;
use farrier_log::error::ErrorLog;
use pyo3::prelude::*;

use crate::host::Interpreter;

/// The parts that all folders of a worker share.
pub(crate) struct Files {
    cache: Arc<Cache>,
    log: Arc<ErrorLog>,
    hidden: HiddenNames,
}

impl Files {
    pub(crate) fn new(config: &Config, log: &Arc<ErrorLog>) -> Files {
        let bounds = CacheBounds {
            entries_max: config.static_cache_entries as usize,
            bytes_max: config.static_cache_bytes.0,
            file_bytes_max: config.static_cache_file_bytes.0,
            open_files_max: config.static_open_files as usize,
        };
        let hidden = HiddenNames::new(config.static_hide.iter().map(NamePattern::as_str));
        Files { cache: Cache::new(bounds), log: Arc::clone(log), hidden }
    }

    /// The handler for one folder.
    ///
    /// # Errors It cannot be served: a message with the place of the setting.
    pub(crate) fn folder(&self, mount: &StaticMount) -> Result<Arc<dyn Handler>, String> {
        let folder = Folder {
            prefix: mount.url.as_str().to_owned(),
            directory: absolute(&mount.directory),
            index: mount.index.clone(),
            fallback: mount.fallback.clone(),
            max_age: mount.max_age,
            immutable: mount.immutable.clone(),
            precompressed: mount.precompressed,
            hidden: self.hidden.clone(),
        };
        static_files::serve(folder, &self.cache, &self.log).map_err(|reason| placed(mount, &reason))
    }
}

/// Lets applications name files of the folders that are declared for it; has no effect if there are none.
///
/// # Errors A folder cannot be served.
pub(crate) fn internal(config: &Config, files: &Files) -> Result<Option<Arc<InternalFiles>>, String> {
    let folders = config.internal.iter().map(|folder| Folder {
        prefix: folder.url.as_str().to_owned(),
        directory: absolute(&folder.directory),
        index: None,
        fallback: None,
        max_age: Duration::ZERO,
        immutable: Vec::new(),
        precompressed: false,
        // The application names these files, and knows what it names.
        hidden: HiddenNames::default(),
    });
    InternalFiles::open(folders.collect(), &files.cache, &files.log, Arc::new(Interpreter))
        .map_err(|reason| format!("internal: {reason}"))
}

/// Checks whether the folders of `internal` can be served.
///
/// # Errors
/// One cannot: one clear sentence.
pub(crate) fn check_internal(config: &Config) -> Result<(), String> {
    config.internal.iter().try_for_each(|folder| {
        static_files::check("", &absolute(&folder.directory))
            .map_err(|reason| format!("internal: {reason} ({})", folder.place))
    })
}

/// Checks whether folders can be served.
///
/// # Errors
/// One cannot: one clear sentence.
pub(crate) fn check_mounts(mounts: &[StaticMount]) -> Result<(), String> {
    let mut named = mounts.iter().filter(|mount| !mount.is_auto());
    named.try_for_each(|mount| {
        let checked = static_files::check(mount.url.as_str(), &absolute(&mount.directory));
        checked.map_err(|reason| placed(mount, &reason))
    })
}

/// The folders, with `auto` replaced by those of the loaded application.
///
/// # Errors The application names none that can be served.
pub(crate) fn expand(py: Python<'_>, mounts: &[StaticMount]) -> Result<Vec<StaticMount>, String> {
    let mut expanded = Vec::new();
    for mount in mounts {
        if !mount.is_auto() {
            expanded.push(mount.clone());
            continue;
        }
        let found = py
            .import("farrier._django")
            .and_then(|module| module.call_method0("static_folders")?.extract::<Vec<(String, PathBuf)>>());
        let found = found.map_err(|raised| placed(mount, &raised.value(py).to_string()))?;
        for (url, directory) in found {
            let url = UrlPrefix::parse(&url)
                .map_err(|_| placed(mount, &format!("Django's settings serve files at {url:?}, which is no path")))?;
            expanded.push(StaticMount { url, directory, ..mount.clone() });
        }
    }
    Ok(expanded)
}

fn placed(mount: &StaticMount, reason: &str) -> String {
    format!("static: {reason} ({})", mount.place)
}

/// Relative to the working directory of this process.
fn absolute(directory: &Path) -> PathBuf {
    std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned())
}
