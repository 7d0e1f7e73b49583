//! What is written from the table: `--help`, `--print-config`, the reference page, completions.

mod completions;
pub(crate) mod help;
mod print_config;
mod reference;

pub(crate) use completions::completions;
pub(crate) use print_config::print_config;
pub use reference::reference_markdown;
