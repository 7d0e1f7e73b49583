//! The macro that makes a table's struct from its keys.

/// Turns keys into a struct with a field for each, the rows [`super::Key`] for the documents, and the
/// [`crate::value::Value`] that reads and writes the table. The struct defines its text form, for flags, with
/// `from_text` and `to_text`.
macro_rules! record {
    (
        $(#[doc = $about:literal])+
        $record:ident, $metavar:literal, $expected:literal;
        $(
            $(#[doc = $doc:literal])+
            $name:ident $(as $key:literal)? : $type:ty = $default:tt;
        )+
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq)]
        pub struct $record {
            $(
                $(#[doc = $doc])+
                pub $name: $type,
            )+
            /// Where the table was given.
            pub place: crate::tables::Place,
        }

        impl $record {
            /// The documentation of each key.
            pub const KEYS: &'static [crate::tables::Key] = &[
                $(
                    crate::tables::Key {
                        name: crate::macros::named(stringify!($name), &[$($key)?]),
                        docs: concat!($($doc, "\n"),+),
                        default: crate::macros::written(stringify!($default)),
                        expected: <$type as crate::value::Value>::EXPECTED,
                        keys: <$type as crate::value::Value>::KEYS,
                    },
                )+
            ];

            /// The table of these entries; keys that are missing have their defaults.
            fn of_entries(
                entries: &[(String, crate::answer::Answer)],
            ) -> Result<$record, crate::value::Rejected> {
                let mut reader = crate::tables::read::TableReader::new(entries, Self::KEYS);
                let mut keys = Self::KEYS.iter();
                // One key and one field each, made from the same list, in the same order.
                let mut key = || match keys.next() {
                    Some(key) => key,
                    None => unreachable!("there are as many keys as fields"),
                };
                $( let $name = reader.take::<$type>(key()); )+
                let made = || Some($record { $( $name: $name?, )+ place: crate::tables::Place::default() });
                let table = made();
                reader.done(table)
            }
        }

        impl crate::value::Value for $record {
            const EXPECTED: &'static str = $expected;
            const METAVAR: &'static str = $metavar;
            const KEYS: &'static [crate::tables::Key] = $record::KEYS;
            const ENDS_AT_COMMA: bool = false;

            fn parse(text: &str) -> Result<Self, crate::value::Rejected> {
                $record::from_text(text)
            }

            fn text(&self) -> String {
                self.to_text()
            }

            fn read(raw: &crate::answer::Raw) -> Result<Self, crate::value::Rejected> {
                match raw {
                    crate::answer::Raw::Table(entries) => $record::of_entries(entries),
                    crate::answer::Raw::Text(text) => $record::from_text(text),
                    other => Err(crate::value::Rejected::unexpected_raw(other)),
                }
            }

            fn toml(&self) -> String {
                self.table().map(|table| table.on_one_line()).unwrap_or_default()
            }

            fn table(&self) -> Option<crate::tables::TableText> {
                let mut entries = Vec::new();
                let mut keys = Self::KEYS.iter();
                $(
                    let is_default = <$type as crate::value::Value>::parse(
                        crate::macros::written(stringify!($default))
                    ).is_ok_and(|default| default == self.$name);
                    if let Some(key) = keys.next().filter(|key| key.is_required() || !is_default) {
                        entries.push((key.name, crate::value::Value::written(&self.$name)));
                    }
                )+
                Some(crate::tables::TableText { place: self.place.clone(), entries })
            }

            fn plain(&self) -> crate::value::Plain {
                let values = [ $( crate::value::Value::plain(&self.$name), )+ ];
                let keys = Self::KEYS.iter().map(|key| key.name.to_string());
                crate::value::Plain::Table(keys.zip(values).collect())
            }

            fn placed(&mut self, source: &crate::answer::Source) {
                if self.place.0 == crate::answer::Source::Default {
                    self.place.0 = source.clone();
                }
            }
        }
    };
}

pub(super) use record;
