//! Reads the configurations of other servers and translates them into Farrier's settings.
//!
//! Every option of theirs is accounted for: it became a setting, is not needed, has no counterpart, or is unknown. Nothing here
//! opens a file or asks the machine: the caller gives both.

#![forbid(unsafe_code)]

mod comment;
pub mod nginx;
pub mod uwsgi;
