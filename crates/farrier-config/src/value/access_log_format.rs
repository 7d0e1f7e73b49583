//! The format of the access log's lines.

use super::{Completes, Rejected, Value};

/// The format of a line of the access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// One JSON object per line.
    Json,
    /// A pattern of Gunicorn's atoms, such as `%(h)s`.
    Pattern(String),
}

/// Formats that go by a name: those of Apache, in Gunicorn's atoms.
const NAMED: &[(&str, &str)] = &[
    ("common", r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s"#),
    ("combined", r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#),
];

impl Value for AccessLogFormat {
    const EXPECTED: &'static str = "a pattern such as `%(h)s \"%(r)s\" %(s)s`, or `json`, `common` or `combined`";
    const METAVAR: &'static str = "FORMAT";
    const COMPLETES: Completes = Completes::Words(&["json", "common", "combined"]);

    fn parse(text: &str) -> Result<Self, Rejected> {
        if text == "json" {
            return Ok(AccessLogFormat::Json);
        }
        if let Some((_, pattern)) = NAMED.iter().find(|(name, _)| *name == text) {
            return Ok(AccessLogFormat::Pattern((*pattern).to_string()));
        }
        // A pattern without an atom would write the same line for every request, so it is taken for a misspelt word.
        if text.contains("%(") && !text.contains(['\n', '\r']) {
            Ok(AccessLogFormat::Pattern(text.to_string()))
        } else {
            Err(Rejected::unexpected(text))
        }
    }

    fn text(&self) -> String {
        match self {
            AccessLogFormat::Json => "json".to_string(),
            AccessLogFormat::Pattern(pattern) => pattern.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_for_its_pattern() {
        assert_eq!(AccessLogFormat::parse("json"), Ok(AccessLogFormat::Json));
        for (name, pattern) in NAMED {
            assert_eq!(AccessLogFormat::parse(name), AccessLogFormat::parse(pattern));
        }
    }

    #[test]
    fn a_pattern_needs_an_atom_and_keeps_to_one_line() {
        for text in ["", "jsno", "%h %l", "%(h)s\n%(r)s"] {
            assert_eq!(AccessLogFormat::parse(text), Err(Rejected::unexpected(text)), "{text:?}");
        }
    }
}
