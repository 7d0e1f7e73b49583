//! PEP 3333 in one place: an application is called with environ and start_response, and its iterable becomes a response.
//!
//! Everything that holds or releases the interpreter is in [`seam`]. Nothing here uses a socket: responses go through
//! [`farrier_http::Respond`].

mod call;
mod early_hints;
mod environ;
mod error_stream;
mod file_wrapper;
pub mod forked;
mod gateway_variables;
mod input;
mod names;
mod notes;
pub mod overdue;
mod request_hooks;
pub mod seam;
mod secure_variables;
mod send_trailers;
mod start_response;
mod streamed_input;
pub mod traceback;
mod websocket_note;

pub use call::WsgiHandler;
pub use environ::{Listener, Surroundings};
pub use error_stream::Diagnostics;
pub use request_hooks::RequestHooks;
