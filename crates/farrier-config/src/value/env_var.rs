//! A variable for the application's environment.

use super::{Rejected, Value};

/// One `NAME=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvVar {
    /// The text before the first `=`; not empty.
    pub name: String,
    /// The text after it; may be empty.
    pub value: String,
}

impl Value for EnvVar {
    const EXPECTED: &'static str = "`NAME=VALUE`";
    const METAVAR: &'static str = "NAME=VALUE";
    const ENDS_AT_COMMA: bool = false;

    fn parse(text: &str) -> Result<Self, Rejected> {
        match text.split_once('=') {
            // An environment variable cannot contain a NUL.
            Some((name, value)) if !name.is_empty() && !text.contains('\0') => {
                Ok(EnvVar { name: name.to_string(), value: value.to_string() })
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
    fn the_first_equals_sign_divides() {
        for (text, pair) in [
            ("A=1", Some(("A", "1"))),
            ("A=", Some(("A", ""))),
            ("A=b=c", Some(("A", "b=c"))),
            ("A", None),
            ("=1", None),
            ("A=\0", None),
        ] {
            let parsed = EnvVar::parse(text).ok();
            assert_eq!(parsed.as_ref().map(|v| (v.name.as_str(), v.value.as_str())), pair, "{text:?}");
        }
    }
}
