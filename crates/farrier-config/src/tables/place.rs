//! Where a table was given, kept beside its values.

use std::fmt;

use crate::answer::Source;

/// Where a table was given. Two tables are equal when their values are equal, whatever their places.
#[derive(Debug, Clone, Default)]
pub struct Place(pub Source);

impl PartialEq for Place {
    fn eq(&self, _: &Place) -> bool {
        true
    }
}

impl Eq for Place {}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
