//! The macro that makes the table: from rows to `Config`, `SETTINGS` and `ACTIONS`.

/// Turns the rows of `table.rs` into the struct `Config`, and into `SETTINGS`, the rows as data. It also makes
/// `ACTIONS`: flags that ask for something other than serving and so have no field.
macro_rules! settings {
    (
        $(
            section $section:literal;
            $(
                $(#[doc = $doc:literal])+
                $name:ident $(as $written:literal)? : $type:ty = $default:tt $( $key:ident $($word:literal)+ ),* ;
            )+
        )+
        actions $heading:literal;
        $(
            $(#[doc = $action_doc:literal])+
            $action:ident $( $action_key:ident $($action_word:literal)+ ),* ;
        )+
    ) => {
        /// The resolved settings: one typed field per row of the table, and where each value came from.
        ///
        /// Two configs are equal when their values are equal, even if the sources differ.
        #[derive(Debug, Clone)]
        pub struct Config {
            $($(
                $(#[doc = $doc])+
                pub $name: $type,
            )+)+
            sources: std::collections::BTreeMap<&'static str, crate::answer::Source>,
            /// Gunicorn's settings that are no rows of the table.
            pub(crate) beyond: crate::beyond::Beyond,
        }

        impl Config {
            /// Takes every setting from the layers; what follows from one setting for another is not filled in yet.
            pub(crate) fn from_layers(layers: &crate::resolve::Layers) -> (Config, Vec<crate::error::Problem>) {
                let mut resolver = crate::resolve::Resolver::new(layers);
                let mut rows = SETTINGS.iter();
                // One row and one field per setting, made from the same list, in the same order.
                let mut row = || match rows.next() {
                    Some(row) => row,
                    None => unreachable!("there are as many rows as fields"),
                };
                let mut config = Config {
                    $($( $name: resolver.take::<$type>(row()), )+)+
                    sources: std::collections::BTreeMap::new(),
                    beyond: crate::beyond::Beyond::default(),
                };
                config.sources = resolver.sources;
                (config, resolver.problems)
            }

            /// Warnings to log once at the start, each with its place: settings without effect, names that look misspelt.
            pub fn warnings(&self) -> &[crate::error::Problem] {
                &self.beyond.warnings
            }

            /// The answers to Gunicorn's settings that are no rows of the table, by name.
            pub fn answers_beyond(&self) -> impl Iterator<Item = (&'static str, &crate::answer::Answer)> {
                self.beyond.answers.iter().map(|(name, answer)| (*name, answer))
            }

            /// Records that the value of `name` follows from that of `origin`.
            pub(crate) fn follow(&mut self, name: &'static str, origin: &'static str) {
                self.sources.insert(name, crate::answer::Source::Setting(origin));
            }

            /// Where the value of the setting `name` came from; `None` if there is no such setting.
            pub fn source_of(&self, name: &str) -> Option<&crate::answer::Source> {
                self.sources.get(name)
            }

            /// Every setting in the table's order, with its value as a type that every language has.
            pub fn plain_values(&self) -> Vec<(&'static crate::setting::Setting, crate::value::Plain)> {
                let values = [ $($( crate::value::Value::plain(&self.$name), )+)+ ];
                SETTINGS.iter().zip(values).collect()
            }

            /// Every setting in the table's order, with its value as written in a file.
            pub(crate) fn written_values(&self) -> Vec<(&'static crate::setting::Setting, crate::tables::Written)> {
                let values = [ $($( crate::value::Value::written(&self.$name), )+)+ ];
                SETTINGS.iter().zip(values).collect()
            }

            /// Every setting in the table's order, with its value as TOML.
            pub fn values(&self) -> Vec<(&'static crate::setting::Setting, String)> {
                let values = [ $($( crate::value::Value::toml(&self.$name), )+)+ ];
                SETTINGS.iter().zip(values).collect()
            }
        }

        impl PartialEq for Config {
            fn eq(&self, other: &Config) -> bool {
                true $($( && self.$name == other.$name )+)+
            }
        }

        /// Every setting, in the order of the documents.
        pub const SETTINGS: &[crate::setting::Setting] = &[
            $($(
                crate::setting::Setting {
                    name: crate::macros::named(stringify!($name), &[$($written)?]),
                    section: $section,
                    docs: concat!($($doc, "\n"),+),
                    default: crate::macros::written(stringify!($default)),
                    attributes: &[ $( crate::macros::attribute!($key $($word)+), )* ],
                    expected: <$type as crate::value::Value>::EXPECTED,
                    shape: <$type as crate::value::Value>::SHAPE,
                    keys: <$type as crate::value::Value>::KEYS,
                    completes: <$type as crate::value::Value>::COMPLETES,
                    metavar: <$type as crate::value::Value>::METAVAR,
                },
            )+)+
        ];

        /// The flags that are not settings: they name the file to read, or ask for something other than serving.
        pub const ACTIONS: &[crate::setting::Setting] = &[
            $(
                crate::setting::Setting {
                    name: stringify!($action),
                    section: $heading,
                    docs: concat!($($action_doc, "\n"),+),
                    default: "none",
                    attributes: &[ $( crate::macros::attribute!($action_key $($action_word)+), )* ],
                    expected: "a value",
                    shape: crate::value::Shape::Single,
                    keys: &[],
                    completes: crate::value::Completes::Nothing,
                    metavar: "",
                },
            )+
        ];
    };
}

/// One attribute of a row: a word of `Attribute` and its literals.
macro_rules! attribute {
    ($key:ident $($word:literal)+) => {
        crate::setting::Attribute::$key(&[ $( crate::macros::written(stringify!($word)) ),+ ])
    };
}

pub(crate) use {attribute, settings};

/// A field's name outside of Rust: its own, unless the row gives another.
pub(crate) const fn named(field: &'static str, written: &[&'static str]) -> &'static str {
    match written {
        [name, ..] => name,
        [] => field,
    }
}

/// The value of a literal: `30s` stays, `"info"` and `r#"info"#` lose their quotes. Escapes are not resolved; the table
/// has none.
pub(crate) const fn written(literal: &'static str) -> &'static str {
    let bytes = literal.as_bytes();
    let margin = match bytes {
        [b'"', .., b'"'] => (1, 1),
        [b'r', b'#', b'"', .., b'"', b'#'] => (3, 2),
        _ => return literal,
    };
    literal.split_at(literal.len() - margin.1).0.split_at(margin.0).1
}
