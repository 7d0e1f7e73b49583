//! FastCGI 1.0 on the application's side, as a responder. A connection has one request at a time, and may carry several
//! requests one after the other.

pub mod content;
pub mod encode;
pub mod head;

mod params;
pub(crate) mod record;
pub(crate) mod stdout;
mod values;

pub use content::StdinDecoder;
pub use head::HeadDecoder;
