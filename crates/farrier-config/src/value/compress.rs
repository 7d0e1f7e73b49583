//! How responses are compressed: codings and their levels, or not at all.

use std::fmt;

use super::{Completes, Plain, Rejected, Value};
use crate::answer::Raw;

/// A content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContentCoding {
    /// `zstd`
    Zstd,
    /// `br`
    Brotli,
    /// `gzip`
    Gzip,
}

impl ContentCoding {
    /// In the order of `on`. At the levels that suit dynamic content, gzip reaches the size of brotli with half the
    /// work.
    const ALL: [ContentCoding; 3] = [ContentCoding::Zstd, ContentCoding::Gzip, ContentCoding::Brotli];

    fn name(self) -> &'static str {
        match self {
            ContentCoding::Zstd => "zstd",
            ContentCoding::Brotli => "br",
            ContentCoding::Gzip => "gzip",
        }
    }

    /// The default level, which balances size and work, and the range of levels.
    fn levels(self) -> (u8, std::ops::RangeInclusive<u8>) {
        match self {
            ContentCoding::Zstd => (3, 1..=19),
            ContentCoding::Brotli => (4, 0..=11),
            ContentCoding::Gzip => (5, 1..=9),
        }
    }
}

/// The codings of responses with their levels, the preferred one first; none for no compression.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Compress(pub Vec<(ContentCoding, u8)>);

impl Compress {
    fn usual() -> Compress {
        Compress(ContentCoding::ALL.map(|coding| (coding, coding.levels().0)).into())
    }
}

impl fmt::Display for Compress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("off");
        }
        for (index, (coding, level)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}:{level}", coding.name())?;
        }
        Ok(())
    }
}

impl Value for Compress {
    const EXPECTED: &'static str =
        "`off`, `on`, or codings of `zstd`, `br` and `gzip` with levels, such as `br:5,gzip`";
    const METAVAR: &'static str = "CODINGS";
    const COMPLETES: Completes = Completes::Words(&["off", "on", "zstd", "br", "gzip"]);

    fn parse(text: &str) -> Result<Self, Rejected> {
        match text.trim().to_ascii_lowercase().as_str() {
            "off" | "none" | "false" | "no" | "0" | "" => return Ok(Compress::default()),
            "on" | "true" | "yes" | "1" => return Ok(Compress::usual()),
            _ => {}
        }
        let mut codings: Vec<(ContentCoding, u8)> = Vec::new();
        for item in text.split(',').map(str::trim) {
            let (name, level) = item.split_once(':').map_or((item, None), |(name, level)| (name.trim(), Some(level)));
            let known = ContentCoding::ALL.into_iter().find(|coding| coding.name().eq_ignore_ascii_case(name));
            let coding = known.ok_or_else(|| Rejected::unexpected(text))?;
            let (usual, levels) = coding.levels();
            let level = match level {
                None => usual,
                Some(level) => level.trim().parse().ok().filter(|level| levels.contains(level)).ok_or_else(|| {
                    let (least, most) = (levels.start(), levels.end());
                    Rejected::because(format!("the level of {} in `{text}` must be {least} to {most}", coding.name()))
                })?,
            };
            if codings.iter().any(|(other, _)| *other == coding) {
                return Err(Rejected::because(format!("`{text}` names {} twice", coding.name())));
            }
            codings.push((coding, level));
        }
        Ok(Compress(codings))
    }

    fn text(&self) -> String {
        self.to_string()
    }

    fn read(raw: &Raw) -> Result<Self, Rejected> {
        match raw {
            Raw::Text(text) => Self::parse(text),
            Raw::Switch(on) => Ok(if *on { Compress::usual() } else { Compress::default() }),
            Raw::List(items) => {
                let mut parts = Vec::new();
                for item in items {
                    match &item.raw {
                        Raw::Text(part) => parts.push(part.as_str()),
                        other => return Err(Rejected::unexpected_raw(other).or_at(&item.source)),
                    }
                }
                Self::parse(&parts.join(","))
            }
            other => Err(Rejected::unexpected_raw(other)),
        }
    }

    fn plain(&self) -> Plain {
        Plain::Text(self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Result<String, Rejected> {
        Compress::parse(text).map(|compress| compress.text())
    }

    #[test]
    fn one_word_is_enough_and_levels_may_be_named() {
        for (text, expected) in [
            ("off", "off"),
            ("none", "off"),
            ("on", "zstd:3,gzip:5,br:4"),
            ("gzip", "gzip:5"),
            ("BR:11, zstd", "br:11,zstd:3"),
            ("br:0", "br:0"),
        ] {
            assert_eq!(written(text).as_deref(), Ok(expected), "{text}");
            assert_eq!(written(expected).as_deref(), Ok(expected));
        }
        assert_eq!(Compress::read(&Raw::Switch(true)), Ok(Compress::usual()));
    }

    #[test]
    fn what_is_no_coding_and_no_level_is_refused() {
        for text in ["deflate", "gzip,", "gzip:0", "gzip:10", "br:12", "zstd:20", "gzip:x", "gzip,gzip:2", "6"] {
            assert!(Compress::parse(text).is_err(), "{text}");
        }
    }
}
