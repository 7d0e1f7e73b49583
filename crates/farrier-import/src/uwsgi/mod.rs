//! Translates a uWSGI configuration into Farrier's settings, for `farrier import-uwsgi` and `--ini`.
//!
//! [`import`] reads the ini, YAML or JSON form with what it includes ([`read`]), fills the placeholders
//! ([`placeholders`]), and translates each option by its row of [`options`]. Every option is accounted for: it became a
//! setting, is not needed, has no counterpart, or is unknown.

mod application;
mod document;
mod draft;
mod ini;
mod log_format;
mod logs;
mod options;
mod placeholders;
mod read;
mod sockets;
mod static_map;
mod translate;
mod tree;
mod write;

use std::io;
use std::path::Path;

pub use document::options_markdown;
pub use placeholders::Machine;

use draft::{Draft, Fate};
use farrier_config::Config;
use farrier_config::Layer;
use farrier_config::Layers;
use farrier_config::{ConfigError, Problem};

/// A uWSGI configuration that was translated.
#[derive(Debug)]
pub struct Import {
    draft: Draft,
    config: Config,
    from: String,
}

/// Reads `file` (`PATH` or `PATH:SECTION`) and translates it. `open` reads a file as UTF-8 text.
///
/// # Errors Every error at once, each with its file and line: files that cannot be read, conditions, values that cannot
/// be known or that no setting accepts.
pub fn import(
    file: &str,
    machine: &Machine,
    open: &mut dyn FnMut(&Path) -> io::Result<String>,
) -> Result<Import, ConfigError> {
    let read = read::read(file, machine, open).map_err(ConfigError::of)?;
    let mut draft = translate::translate(read, machine);
    let layers = Layers { platform: Layer::default(), own: vec![draft.layer()] };
    match Config::resolve(&layers) {
        Ok(config) if draft.problems.is_empty() => Ok(Import { draft, config, from: file.to_string() }),
        Ok(_) => Err(ConfigError::of(draft.problems)),
        Err(error) => {
            draft.problems.extend(error.problems);
            Err(ConfigError::of(draft.problems))
        }
    }
}

impl Import {
    /// A commented `farrier.toml`.
    pub fn toml(&self) -> String {
        write::toml(&self.draft, &self.config, &self.from)
    }

    /// The settings, each with the line that it comes from.
    pub fn layer(&self) -> Layer {
        self.draft.layer()
    }

    /// Options that have no counterpart or are unknown, each with its line.
    pub fn warnings(&self) -> Vec<Problem> {
        let told = self.draft.entries.iter().zip(&self.draft.fates).filter_map(|(entry, fate)| {
            let message = match fate {
                Fate::Without(instead) => format!("{} has no counterpart: {instead}", entry.name),
                Fate::Unknown(hint) => format!("{} is unknown: {hint}", entry.name),
                Fate::Became(_) | Fate::Needless(_) => return None,
            };
            Some(Problem::at(entry.source(), message))
        });
        told.collect()
    }
}
