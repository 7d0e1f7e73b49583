//! Error pages for responses of the server itself, by status.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Plain, Rejected, Shape, Value, quoted};
use crate::answer::Raw;
use crate::tables::inline;

/// Files by the status that they are shown for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ErrorPages(pub BTreeMap<u16, PathBuf>);

impl ErrorPages {
    fn insert(&mut self, status: &str, path: &str) -> Result<(), Rejected> {
        let code = match status.trim().parse() {
            Ok(code @ 400..=599) => code,
            _ => {
                return Err(Rejected::because(format!(
                    "`{status}` is no status of an error, which is from 400 to 599"
                )));
            }
        };
        if path.is_empty() {
            return Err(Rejected::because(format!("{status}: the path of a page is missing")));
        }
        match self.0.insert(code, PathBuf::from(path)) {
            None => Ok(()),
            Some(_) => Err(Rejected::because(format!("{status} has two pages"))),
        }
    }
}

impl Value for ErrorPages {
    const EXPECTED: &'static str = "`STATUS=FILE` such as `404=pages/404.html`, or a table of them";
    const METAVAR: &'static str = "STATUS=FILE";
    const SHAPE: Shape = Shape::List;

    fn parse(text: &str) -> Result<Self, Rejected> {
        let mut pages = ErrorPages::default();
        if !matches!(text.trim(), "" | "none") {
            for item in text.split(',') {
                let (status, path) = item.split_once('=').ok_or_else(|| Rejected::unexpected(item))?;
                pages.insert(status, path.trim())?;
            }
        }
        Ok(pages)
    }

    fn text(&self) -> String {
        let items: Vec<String> = self.0.iter().map(|(status, path)| format!("{status}={}", path.display())).collect();
        items.join(",")
    }

    fn read(raw: &Raw) -> Result<Self, Rejected> {
        let mut pages = ErrorPages::default();
        match raw {
            Raw::Text(text) => return Self::parse(text),
            Raw::Table(entries) => {
                for (status, answer) in entries {
                    let Raw::Text(path) = &answer.raw else {
                        return Err(Rejected::unexpected_raw(&answer.raw).or_at(&answer.source));
                    };
                    pages.insert(status, path).map_err(|rejected| rejected.or_at(&answer.source))?;
                }
            }
            Raw::List(items) => {
                for item in items {
                    let read = Self::read(&item.raw).map_err(|rejected| rejected.or_at(&item.source))?;
                    pages.0.extend(read.0);
                }
            }
            other => return Err(Rejected::unexpected_raw(other)),
        }
        Ok(pages)
    }

    fn toml(&self) -> String {
        let page = |(status, path): (&u16, &PathBuf)| (status.to_string(), quoted(&path.to_string_lossy()));
        inline(self.0.iter().map(page))
    }

    fn plain(&self) -> Plain {
        let page = |(status, path): (&u16, &PathBuf)| (status.to_string(), Plain::Text(path.display().to_string()));
        Plain::Table(self.0.iter().map(page).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_belongs_to_a_status_of_an_error() {
        let pages = ErrorPages::parse("404=a.html, 503=b.html");
        assert_eq!(pages.as_ref().map(Value::text), Ok("404=a.html,503=b.html".to_string()));
        assert_eq!(pages.map(|pages| pages.toml()), Ok("{ 404 = \"a.html\", 503 = \"b.html\" }".to_string()));
        assert_eq!(ErrorPages::parse("none"), Ok(ErrorPages::default()));
        for text in ["404", "404=", "200=a", "x=a", "404=a,404=b"] {
            assert!(ErrorPages::parse(text).is_err(), "{text}");
        }
    }
}
