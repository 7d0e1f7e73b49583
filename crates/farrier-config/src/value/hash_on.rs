//! The part of a request whose hash decides which server gets it.

use super::{Rejected, Value};

/// The part of a request whose hash decides which server gets it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HashOn {
    /// Path and query.
    Uri,
    /// The path.
    Path,
    /// The client's address.
    Client,
    /// A field, by its name in lower case.
    Header(String),
    /// A cookie.
    Cookie(String),
    /// A part of the query.
    Query(String),
}

impl Value for HashOn {
    const EXPECTED: &'static str = "`uri`, `path`, `client`, `header:NAME`, `cookie:NAME` or `query:NAME`";
    const METAVAR: &'static str = "PART";

    fn parse(text: &str) -> Result<Self, Rejected> {
        let is_name = |name: &str| {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}&".contains(&byte))
        };
        match text.split_once(':') {
            None if text == "uri" => Ok(HashOn::Uri),
            None if text == "path" => Ok(HashOn::Path),
            None if text == "client" => Ok(HashOn::Client),
            Some(("header", name)) if is_name(name) => Ok(HashOn::Header(name.to_ascii_lowercase())),
            Some(("cookie", name)) if is_name(name) => Ok(HashOn::Cookie(name.to_owned())),
            Some(("query", name)) if is_name(name) => Ok(HashOn::Query(name.to_owned())),
            _ => Err(Rejected::unexpected(text)),
        }
    }

    fn text(&self) -> String {
        match self {
            HashOn::Uri => "uri".to_owned(),
            HashOn::Path => "path".to_owned(),
            HashOn::Client => "client".to_owned(),
            HashOn::Header(name) => format!("header:{name}"),
            HashOn::Cookie(name) => format!("cookie:{name}"),
            HashOn::Query(name) => format!("query:{name}"),
        }
    }
}
