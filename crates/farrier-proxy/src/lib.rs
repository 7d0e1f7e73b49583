//! The semantics of a reverse proxy: which fields of a request go to the upstream, what is added, what is changed in the
//! response, and what a failure of an upstream means (RFC 9110 §7).
//!
//! Nothing in this crate does I/O or reads a clock. A mount has a [`RequestPolicy`] and a [`ResponsePolicy`], made from the
//! configuration once. For each request the caller fills [`Facts`] and writes the head in the upstream's protocol, as in
//! [`http1::encode_head`] and [`gateway`]. The upstream's [`farrier_http::wire::client::ReceivedHead`] becomes a
//! [`farrier_http::ResponseHead`] by [`ResponsePolicy::fill`]. An upstream that fails is a [`Failure`], which becomes an
//! [`farrier_http::Error`].
//!
//! [`Upgrades::asked`] finds the protocol that a request may switch to, and [`upgrade::check_switch`] judges the answer.

#![forbid(unsafe_code)]

mod balance;
mod budget;
pub mod client_fields;
pub mod connection;
mod exchange;
pub mod failure;
pub mod gateway;
pub mod group;
pub mod handler;
mod hash;
pub mod health;
pub mod http1;
pub mod methods;
pub mod mount;
pub mod names;
pub mod request;
pub mod response;
pub mod rewrite;
pub mod server;
pub mod sticky;
pub mod target;
pub mod template;
pub mod upgrade;
pub mod variables;
pub mod via;
pub mod websocket;
pub mod websocket_frames;

pub use balance::{Balance, HashOn};
pub use client_fields::ForwardedForm;
pub use failure::{Failure, Retry};
pub use methods::Methods;
pub use request::{Facts, Refused, RequestPolicy};
pub use response::{Accel, ResponsePolicy, Signals};
pub use rewrite::Rewrite;
pub use template::Template;
pub use upgrade::Upgrades;
