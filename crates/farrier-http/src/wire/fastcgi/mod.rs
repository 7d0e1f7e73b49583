//! FastCGI 1.0 on the application's side, in the role of a responder: records with one request at a time, and perhaps several
//! requests one after the other on a connection.

pub mod content;
pub mod encode;
pub mod head;

mod params;
mod record;
pub(crate) mod stdout;
mod values;

pub use content::StdinDecoder;
pub use head::HeadDecoder;
