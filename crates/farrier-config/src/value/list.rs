//! Lists: a flag repeated, a TOML array, or text with commas.

use super::{Completes, Plain, Rejected, Shape, Value};
use crate::answer::{Raw, Source};
use crate::tables::{Key, Written};

impl<T: Value> Value for Vec<T> {
    const EXPECTED: &'static str = T::EXPECTED;
    const METAVAR: &'static str = T::METAVAR;
    const SHAPE: Shape = Shape::List;
    const COMPLETES: Completes = T::COMPLETES;
    const KEYS: &'static [Key] = T::KEYS;

    fn parse(text: &str) -> Result<Self, Rejected> {
        match text.trim() {
            "" | "none" => Ok(Vec::new()),
            _ if !T::ENDS_AT_COMMA => Ok(vec![T::parse(text)?]),
            text => text.split(',').map(|item| T::parse(item.trim())).collect(),
        }
    }

    /// In text, a comma inside a value looks like the end of the value; TOML has no such ambiguity.
    fn text(&self) -> String {
        let items: Vec<String> = self.iter().map(T::text).collect();
        items.join(",")
    }

    fn read(raw: &Raw) -> Result<Self, Rejected> {
        let Raw::List(items) = raw else {
            return match raw {
                Raw::Text(text) => Self::parse(text),
                other => Ok(vec![T::read(other)?]),
            };
        };
        let (mut values, mut rejected) = (Vec::new(), Vec::new());
        for item in items {
            let read = match &item.raw {
                Raw::List(_) => Err(Rejected::unexpected_raw(&item.raw)),
                raw => Self::read(raw),
            };
            match read {
                Ok(mut read) => {
                    read.placed(&item.source);
                    values.extend(read);
                }
                Err(each) => rejected.push(each.or_at(&item.source)),
            }
        }
        Rejected::all(rejected).map(|()| values)
    }

    fn placed(&mut self, source: &Source) {
        self.iter_mut().for_each(|value| value.placed(source));
    }

    fn written(&self) -> Written {
        match self.iter().map(T::table).collect::<Option<Vec<_>>>() {
            Some(tables) if !tables.is_empty() => Written::Tables(tables),
            _ => Written::Inline(self.toml()),
        }
    }

    fn plain(&self) -> Plain {
        Plain::List(self.iter().map(T::plain).collect())
    }

    fn toml(&self) -> String {
        let items: Vec<String> = self.iter().map(T::toml).collect();
        format!("[{}]", items.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::super::EnvVar;
    use super::*;
    use crate::answer::Answer;

    fn item(text: &str, line: usize) -> Answer {
        Answer { raw: Raw::Text(text.into()), source: Source::File { path: "f".into(), line } }
    }

    #[test]
    fn commas_separate_and_blanks_do_not_count() {
        assert_eq!(Vec::<u32>::parse("1, 2,3"), Ok(vec![1, 2, 3]));
        assert_eq!(Vec::<u32>::parse(""), Ok(vec![]));
        assert_eq!(Vec::<u32>::parse("none"), Ok(vec![]));
        assert_eq!(Vec::<u32>::parse("1,,2"), Err(Rejected::unexpected("")));
    }

    #[test]
    fn the_items_of_a_repeated_flag_may_have_commas_too() {
        let raw = Raw::List(vec![item("1,2", 1), item("3", 2)]);
        assert_eq!(Vec::<u32>::read(&raw), Ok(vec![1, 2, 3]));
    }

    #[test]
    fn a_bad_item_is_named_by_its_own_place() {
        let raw = Raw::List(vec![item("1", 4), item("x", 5)]);
        assert_eq!(Vec::<u32>::read(&raw), Err(Rejected::unexpected("x").or_at(&item("", 5).source)));
    }

    #[test]
    fn a_comma_belongs_to_the_value_of_a_variable() {
        let both = |name: &str, value: &str| EnvVar { name: name.into(), value: value.into() };
        assert_eq!(Vec::<EnvVar>::parse("A=1,B=2"), Ok(vec![both("A", "1,B=2")]));
    }
}
