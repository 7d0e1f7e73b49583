//! Handlers that answer a request without an application, and handlers that change another handler's response.

#![forbid(unsafe_code)]

pub mod acme_challenge;
pub mod compression;
pub mod health;
pub mod hsts;
pub mod https_redirect;
pub mod internal_files;
pub mod rate_limit;
pub mod request_id;
pub mod sites;
pub mod static_files;
