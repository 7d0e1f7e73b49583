//! Switches: on or off.

use super::{Completes, Plain, Rejected, Shape, Value};
use crate::answer::Raw;

impl Value for bool {
    const EXPECTED: &'static str = "`true` or `false`";
    const METAVAR: &'static str = "";
    const SHAPE: Shape = Shape::Switch;
    const COMPLETES: Completes = Completes::Words(&["true", "false"]);

    fn parse(text: &str) -> Result<Self, Rejected> {
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "y" | "on" | "1" => Ok(true),
            "false" | "no" | "n" | "off" | "0" => Ok(false),
            _ => Err(Rejected::unexpected(text)),
        }
    }

    fn text(&self) -> String {
        self.to_string()
    }

    fn read(raw: &Raw) -> Result<Self, Rejected> {
        match raw {
            Raw::Switch(on) => Ok(*on),
            Raw::Text(text) => Self::parse(text),
            other => Err(Rejected::unexpected_raw(other)),
        }
    }

    fn plain(&self) -> Plain {
        Plain::Switch(*self)
    }

    fn toml(&self) -> String {
        self.to_string()
    }
}
