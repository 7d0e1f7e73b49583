//! The number of worker processes.

use super::{Completes, Plain, Rejected, Value, number};

/// How many workers to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Workers {
    /// One per core that the process may use.
    Auto,
    /// This many; at least 1.
    Count(u32),
}

impl Workers {
    /// The number to start where `cores` may be used; at least 1.
    pub fn on(self, cores: u32) -> u32 {
        match self {
            Workers::Auto => cores.max(1),
            Workers::Count(count) => count,
        }
    }
}

impl Value for Workers {
    const EXPECTED: &'static str = "a whole number of at least 1 or `auto`";
    const METAVAR: &'static str = "N";
    const COMPLETES: Completes = Completes::Words(&["auto"]);
    const IS_NUMBER: bool = true;

    fn parse(text: &str) -> Result<Self, Rejected> {
        if text.trim() == "auto" {
            return Ok(Workers::Auto);
        }
        let count = number::whole(text).and_then(|count| u32::try_from(count).ok()).filter(|count| *count > 0);
        count.map(Workers::Count).ok_or_else(|| Rejected::unexpected(text))
    }

    fn text(&self) -> String {
        match self {
            Workers::Auto => "auto".to_string(),
            Workers::Count(count) => count.to_string(),
        }
    }

    fn plain(&self) -> Plain {
        match self {
            Workers::Auto => Plain::Text("auto".to_string()),
            Workers::Count(count) => Plain::Whole(u64::from(*count)),
        }
    }

    fn toml(&self) -> String {
        match self {
            Workers::Auto => "\"auto\"".to_string(),
            Workers::Count(count) => count.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_of_at_least_one_or_auto() {
        assert_eq!(Workers::parse("auto"), Ok(Workers::Auto));
        assert_eq!(Workers::parse("4"), Ok(Workers::Count(4)));
        for text in ["0", "-1", "", "Auto", "1.5", "4294967296"] {
            assert_eq!(Workers::parse(text), Err(Rejected::unexpected(text)), "{text:?}");
        }
    }

    #[test]
    fn auto_is_one_per_core_and_never_none() {
        assert_eq!(Workers::Auto.on(8), 8);
        assert_eq!(Workers::Auto.on(0), 1);
        assert_eq!(Workers::Count(3).on(8), 3);
    }
}
