//! Settings that are tables of a file, such as `[[static]]`: their keys, documented and typed as the rows of the table
//! are, and what reads and writes them.

mod internal_folder;
mod macros;
mod mount;
mod place;
mod read;
mod site;
mod static_mount;
mod written;

pub use internal_folder::InternalFolder;
pub use mount::Mount;
pub use place::Place;
pub use site::Site;
pub use static_mount::StaticMount;
pub(crate) use written::inline;
pub use written::{TableText, Written};

/// One key of a table: what there is to know of it.
#[derive(Debug)]
pub struct Key {
    /// The key as a file spells it.
    pub name: &'static str,
    /// The documentation: a sentence, then perhaps more of them.
    pub docs: &'static str,
    /// The default as a user would write it; `required` for a key that must be there, `none` for one without a value.
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

    /// Whether it must be there.
    pub fn is_required(&self) -> bool {
        self.default == REQUIRED
    }
}

/// The default of a key that must be there.
const REQUIRED: &str = "required";
