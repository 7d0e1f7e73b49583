//! The blocks around a place of the configuration, and what a directive's value is there.

use super::tree::Directive;

/// A text that grows beyond it by its variables is left as it is then.
const TEXT_BYTES_MAX: usize = 4096;

/// The blocks around a place, the innermost first.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope<'t>(pub(super) Vec<&'t [Directive]>);

impl<'t> Scope<'t> {
    /// The scope inside of a block.
    pub(super) fn inside(&self, block: &'t Directive) -> Scope<'t> {
        let mut levels = vec![block.children()];
        levels.extend(&self.0);
        Scope(levels)
    }

    /// The directive of this name that counts here: the innermost, and the last of several.
    pub(super) fn one(&self, name: &str) -> Option<&'t Directive> {
        self.all(&[name]).pop()
    }

    /// The directives of these names that count here: a level replaces all of the levels around it.
    pub(super) fn all(&self, names: &[&str]) -> Vec<&'t Directive> {
        self.0.iter().map(|level| named(level, names)).find(|found| !found.is_empty()).unwrap_or_default()
    }

    /// The directives of these names in the innermost block itself.
    pub(super) fn own(&self, names: &[&str]) -> Vec<&'t Directive> {
        self.0.first().map(|level| named(level, names)).unwrap_or_default()
    }

    /// Those of these names at every level.
    pub(super) fn every(&self, names: &[&str]) -> Vec<&'t Directive> {
        self.0.iter().flat_map(|level| named(level, names)).collect()
    }

    /// A text with the variables filled in that `set` gives a fixed value.
    pub(super) fn filled(&self, text: &str) -> String {
        let mut text = text.to_owned();
        // A value may name another variable.
        for _ in 0..8 {
            let before = text.clone();
            for set in self.every(&["set"]) {
                if let [name, value] = set.args.as_slice()
                    && name.starts_with('$')
                {
                    text = replaced(&text, &name[1..], value);
                    if text.len() > TEXT_BYTES_MAX {
                        return text;
                    }
                }
            }
            if text == before {
                break;
            }
        }
        text
    }
}

fn named<'t>(level: &'t [Directive], names: &[&str]) -> Vec<&'t Directive> {
    level.iter().filter(|directive| names.contains(&directive.name.as_str())).collect()
}

/// The text with a value in the place of `$name` and `${name}`.
pub(super) fn replaced(text: &str, name: &str, value: &str) -> String {
    let mut result = text.replace(&format!("${{{name}}}"), value);
    let plain = format!("${name}");
    let mut from = 0;
    while let Some(found) = result[from..].find(&plain) {
        let (start, end) = (from + found, from + found + plain.len());
        let goes_on = result[end..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        if goes_on {
            from = end;
        } else {
            result.replace_range(start..end, value);
            from = start + value.len();
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_ends_where_its_name_ends() {
        for (text, result) in [("$a/$ab/${a}b", "1/$ab/1b"), ("$a", "1"), ("a", "a"), ("$b$a$a", "$b11")] {
            assert_eq!(replaced(text, "a", "1"), result);
        }
    }
}
