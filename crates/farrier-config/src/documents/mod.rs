//! What is written from the table: `--help`, `--print-config`, the reference page, completions.

mod completions;
mod facts;
pub(crate) mod help;
mod print_config;
mod reference;

pub(crate) use completions::{SHELLS, completions};
pub(crate) use print_config::print_config;
pub use reference::reference_markdown;
