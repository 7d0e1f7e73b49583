//! A header field by which a proxy says that the client uses TLS.

use super::{Rejected, Value};

/// A field and the value that means `https`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SchemeField {
    /// The field's name in capitals.
    pub name: String,
    /// The value, compared exactly.
    pub value: String,
}

impl Value for SchemeField {
    const EXPECTED: &'static str = "`NAME=VALUE` such as `X-FORWARDED-PROTO=https`";
    const METAVAR: &'static str = "NAME=VALUE";

    fn parse(text: &str) -> Result<Self, Rejected> {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        match text.split_once('=') {
            Some((name, value))
                if !name.is_empty() && name.chars().all(is_token) && !value.contains(char::is_control) =>
            {
                Ok(SchemeField { name: name.to_ascii_uppercase(), value: value.to_string() })
            }
            _ => Err(Rejected::unexpected(text)),
        }
    }

    fn text(&self) -> String {
        format!("{}={}", self.name, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_token_in_capitals() {
        let field = |name: &str, value: &str| Ok(SchemeField { name: name.into(), value: value.into() });
        assert_eq!(SchemeField::parse("x-forwarded-proto=https"), field("X-FORWARDED-PROTO", "https"));
        assert_eq!(SchemeField::parse("A="), field("A", ""));
        for text in ["", "A", "=x", "a b=c", "A=b\n"] {
            assert_eq!(SchemeField::parse(text), Err(Rejected::unexpected(text)), "{text:?}");
        }
    }
}
