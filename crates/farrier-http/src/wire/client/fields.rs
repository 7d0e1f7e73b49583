//! Field lines of a received head or trailer section, with the bytes that they stand in.

use crate::field::{Field, KnownField, Span};
use crate::wire::h1::field_line::FieldLine;
use crate::wire::h1::list;

/// Field lines in the order received, duplicates included. Their owner reuses the memory.
#[derive(Debug, Default, Clone)]
pub struct FieldLines {
    pub(super) bytes: Vec<u8>,
    pub(super) fields: Vec<Field>,
}

impl FieldLines {
    /// Names and values. A name is as received, a value without the white space around it.
    pub fn iter(&self) -> impl Iterator<Item = (KnownField, &[u8], &[u8])> {
        self.fields.iter().map(|field| (field.known, self.slice(field.name), self.slice(field.value)))
    }

    /// All values of the fields of that name, which is in lower case.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(_, its, _)| its.eq_ignore_ascii_case(name.as_bytes())).map(|(.., value)| value)
    }

    /// The elements of all fields of that name, taken as one list (RFC 9110 §5.6.1). Empty ones are left out.
    pub fn elements<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.values(name).flat_map(list::elements).filter(|element| !element.is_empty())
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.fields.clear();
    }

    /// Notes a parsed line that begins at `at` of the bytes.
    pub(super) fn note(&mut self, at: usize, line: &FieldLine) {
        self.fields.push(Field {
            known: line.known,
            name: Span::new(at, at + line.name_bytes),
            value: Span::new(at + line.value.start, at + line.value.end),
        });
    }

    /// Copies a parsed line.
    pub(super) fn append(&mut self, text: &[u8], line: &FieldLine) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(text);
        self.note(at, line);
    }

    pub(super) fn slice(&self, span: Span) -> &[u8] {
        self.bytes.get(span.range()).unwrap_or_default()
    }
}
