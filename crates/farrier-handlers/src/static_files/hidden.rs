//! Names of files that a folder does not serve, because they are never public: sources, databases, keys, copies of editors.

/// Endings of packed files. A packed file is hidden as the file inside is.
const PACKED: [&[u8]; 5] = [b".gz", b".br", b".zst", b".bz2", b".xz"];

/// Patterns of hidden names. A comparison reads only the end of a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HiddenNames {
    names: Vec<Box<[u8]>>,
    endings: Vec<Box<[u8]>>,
}

impl HiddenNames {
    /// From patterns: a whole name, or `*` with an ending behind it. Case does not matter.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> HiddenNames {
        let mut hidden = HiddenNames::default();
        for pattern in patterns {
            match pattern.strip_prefix('*') {
                Some(ending) => hidden.endings.push(ending.as_bytes().into()),
                None => hidden.names.push(pattern.as_bytes().into()),
            }
        }
        hidden
    }

    /// The pattern that the last segment of a path matches.
    pub(crate) fn pattern_of(&self, path: &[u8]) -> Option<String> {
        let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        self.pattern_of_name(name)
            .or_else(|| self.pattern_of_name(PACKED.iter().find_map(|ending| without_ending(name, ending))?))
    }

    fn pattern_of_name(&self, name: &[u8]) -> Option<String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if let Some(ending) = self.endings.iter().find(|ending| without_ending(name, ending).is_some()) {
            return Some(format!("*{}", text(ending)));
        }
        self.names.iter().find(|hidden| name.eq_ignore_ascii_case(hidden)).map(|name| text(name))
    }
}

fn without_ending<'a>(name: &'a [u8], ending: &[u8]) -> Option<&'a [u8]> {
    let (front, end) = name.split_at_checked(name.len().checked_sub(ending.len())?)?;
    end.eq_ignore_ascii_case(ending).then_some(front)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_hidden_by_its_ending_or_as_a_whole() {
        let hidden = HiddenNames::new(["*.key", "*~", "*.sql", "secrets.txt"]);
        let check = |path: &str, expected: Option<&str>| {
            assert_eq!(hidden.pattern_of(path.as_bytes()).as_deref(), expected, "{path}");
        };
        check("/site.key", Some("*.key"));
        check("/a/SITE.KEY", Some("*.key"));
        check("/index.html~", Some("*~"));
        check("/secrets.txt", Some("secrets.txt"));
        check("/dump.sql.gz", Some("*.sql"));
        check("/.key", Some("*.key"));
        check("/more-secrets.txt", None);
        check("/a.key/b.css", None);
        check("/key", None);
        check("/a.keys", None);
        check("/", None);
        check("", None);
    }
}
