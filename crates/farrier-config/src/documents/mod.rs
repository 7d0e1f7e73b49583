//! Documents made from the tables: `--help`, `--print-config`, the reference page, completions, Gunicorn's settings.

mod completions;
mod facts;
mod gunicorn_table;
pub(crate) mod help;
mod print_config;
mod reference;

pub(crate) use completions::{SHELLS, completions};
pub use gunicorn_table::{GUNICORN_TABLE_MARKS, gunicorn_table_markdown};
pub(crate) use print_config::print_config;
pub use reference::reference_markdown;
