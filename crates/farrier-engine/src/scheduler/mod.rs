//! Which request is served when, and by whom.

pub(crate) mod routes;
pub(crate) mod state;
