//! The sources of settings, one per file: each turns what it reads into a `Layer`.

pub(crate) mod command_line;
pub(crate) mod environment;
pub(crate) mod file;
pub(crate) mod words;
