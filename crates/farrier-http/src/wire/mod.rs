//! The codecs, one module per protocol. Each is sans-I/O: bytes in, values out.

pub mod client;
pub mod fastcgi;
pub mod h1;
pub mod h2;
pub mod proxy;
pub mod response_account;
pub mod response_encoder;
pub mod uwsgi;

mod variables;

pub use response_account::ResponseAccount;
pub use response_encoder::ResponseEncoder;
