//! The name of a header field.

use super::{Rejected, Value};

/// A field's name (RFC 9110 §5.1), without `_`, which would not reach an application.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FieldName(pub String);

impl Value for FieldName {
    const EXPECTED: &'static str = "a header field's name such as `X-Request-ID`";
    const METAVAR: &'static str = "NAME";

    fn parse(text: &str) -> Result<Self, Rejected> {
        let is_good = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let is_name = (1..=64).contains(&text.len()) && text.chars().all(is_good) && !text.starts_with('-');
        // Fields that already have another meaning, mostly for the server.
        let is_taken = TAKEN.iter().any(|name| name.eq_ignore_ascii_case(text));
        if is_name && !is_taken { Ok(FieldName(text.to_string())) } else { Err(Rejected::unexpected(text)) }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

const TAKEN: [&str; 10] = [
    "Connection",
    "Content-Length",
    "Content-Type",
    "Cookie",
    "Date",
    "Host",
    "Set-Cookie",
    "TE",
    "Trailer",
    "Transfer-Encoding",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_letters_digits_and_hyphens_and_not_another_fields() {
        assert_eq!(FieldName::parse("X-Request-ID"), Ok(FieldName("X-Request-ID".into())));
        for text in ["", "X_Request_ID", "X Request", "X-A:", "-x", "ä", "transfer-encoding", "Host"] {
            assert_eq!(FieldName::parse(text), Err(Rejected::unexpected(text)), "{text:?}");
        }
    }
}
