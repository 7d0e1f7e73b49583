//! Values of fields that a configuration sets, with parts of the request in them.

use farrier_http::field::is_value;

/// A value with variables: `$host $scheme $remote_addr $request_id $path $query`; `$$` is a dollar sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Box<[u8]>),
    Variable(Variable),
}

/// A part of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variable {
    /// The Host that the client asked for.
    Host,
    /// `http` or `https`.
    Scheme,
    /// The client's address; empty for one without.
    RemoteAddr,
    /// The id of the request; empty if it has none.
    RequestId,
    /// The path as the client sent it.
    Path,
    /// The query without its `?`.
    Query,
}

const VARIABLES: [(&str, Variable); 6] = [
    ("host", Variable::Host),
    ("scheme", Variable::Scheme),
    ("remote_addr", Variable::RemoteAddr),
    ("request_id", Variable::RequestId),
    ("path", Variable::Path),
    ("query", Variable::Query),
];

impl Template {
    /// Reads a configured value.
    ///
    /// # Errors
    /// A variable that does not exist, or a character that may not stand in a field value. The text says which.
    pub fn parse(text: &str) -> Result<Template, String> {
        if !is_value(text.as_bytes()) {
            return Err("the value contains a control character".to_owned());
        }
        let mut pieces = Vec::new();
        let mut plain = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            plain.extend_from_slice(before.as_bytes());
            if let Some(after) = after.strip_prefix('$') {
                plain.push(b'$');
                rest = after;
                continue;
            }
            let end = after.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(after.len());
            let (name, after) = after.split_at(end);
            let Some((_, variable)) = VARIABLES.iter().find(|(its, _)| *its == name) else {
                let names: Vec<String> = VARIABLES.iter().map(|(name, _)| format!("${name}")).collect();
                return Err(format!("${name} is no variable; use {}, or $$ for a dollar sign", names.join(", ")));
            };
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain).into()));
            }
            pieces.push(Piece::Variable(*variable));
            rest = after;
        }
        plain.extend_from_slice(rest.as_bytes());
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain.into()));
        }
        Ok(Template(pieces))
    }

    /// Appends the value; `append_variable` appends that of a variable.
    pub fn append(&self, out: &mut Vec<u8>, mut append_variable: impl FnMut(Variable, &mut Vec<u8>)) {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Variable(variable) => append_variable(*variable, out),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_and_two_dollars_are_one() {
        let template = Template::parse("a$$b $scheme://$host$path?$query.").expect("is valid");
        let mut out = Vec::new();
        template.append(&mut out, |variable, out| out.extend_from_slice(format!("<{variable:?}>").as_bytes()));
        assert_eq!(String::from_utf8_lossy(&out), "a$b <Scheme>://<Host><Path>?<Query>.");
    }

    #[test]
    fn an_unknown_variable_or_a_control_character_is_an_error_of_the_configuration() {
        for text in ["$nothing", "$", "$Host", "a\r\nb", "\0"] {
            assert!(Template::parse(text).is_err(), "{text:?}");
        }
    }
}
