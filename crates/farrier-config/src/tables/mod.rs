//! Settings that are tables of a file, such as `[[static]]`. Their keys are documented and typed as the settings are.
//! Here is also the code that reads and writes them.

mod internal_folder;
mod macros;
mod mount;
mod place;
mod read;
mod site;
mod static_mount;
mod upstream;
mod upstream_health;
mod upstream_parts;
mod upstream_server;
mod written;

pub use internal_folder::InternalFolder;
pub use mount::Mount;
pub use place::Place;
pub use site::Site;
pub use static_mount::StaticMount;
pub use upstream::Upstream;
pub use upstream_health::{UpstreamHealth, UpstreamSticky};
pub use upstream_parts::{UpstreamFail, UpstreamTls};
pub use upstream_server::UpstreamServer;
pub(crate) use written::inline;
pub use written::{TableText, Written};

/// One key of a table.
#[derive(Debug)]
pub struct Key {
    /// The key as a file spells it.
    pub name: &'static str,
    /// The documentation: a sentence, then perhaps more of them.
    pub docs: &'static str,
    /// The default as a user would write it; `required` for a required key, `none` for one without a value.
    pub default: &'static str,
    /// What it accepts; completes the sentence "expected …".
    pub expected: &'static str,
    /// The keys of the tables below it; empty where it is no table.
    pub keys: &'static [Key],
}

impl Key {
    /// The documentation on one line.
    pub fn text(&self) -> String {
        let lines: Vec<&str> = self.docs.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines.join(" ")
    }

    /// Whether it is required.
    pub fn is_required(&self) -> bool {
        self.default == REQUIRED
    }
}

/// The default of a required key.
const REQUIRED: &str = "required";
