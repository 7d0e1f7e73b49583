//! The regular expressions of locations that have a known meaning.

/// What a pattern matches.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Names that begin with a dot.
    Hidden,
    /// Scripts of PHP.
    Php,
    /// Names with one of these endings.
    Endings(Vec<String>),
    /// Paths with one of these beginnings.
    Prefixes(Vec<String>),
    /// Something else.
    Other,
}

/// The shape of a pattern.
pub(super) fn shape(pattern: &str) -> Shape {
    let plain = pattern.replace("(?:", "(").replace("\\/", "/");
    // `/\.`, `/\.ht`, `/\.(git|svn)`, `/\.(?!well-known)`, `(^|/)\.`
    let hidden =
        plain.strip_prefix("(^|/)\\.").or_else(|| plain.strip_prefix("^/\\.")).or_else(|| plain.strip_prefix("/\\."));
    if let Some(rest) = hidden {
        let is_names = rest.chars().all(|c| {
            c.is_alphanumeric()
                || matches!(c, '(' | ')' | '|' | '-' | '_' | '?' | '!' | '.' | '*' | '+' | '$' | '/' | '\\')
        });
        return if is_names { Shape::Hidden } else { Shape::Other };
    }
    if plain.contains("\\.php") {
        return Shape::Php;
    }
    if let Some(words) =
        plain.trim_start_matches(['^', '.', '+', '*']).strip_prefix("\\.").and_then(|rest| rest.strip_suffix('$'))
        && let Some(words) = alternatives(words)
    {
        return Shape::Endings(words.into_iter().map(|word| format!(".{word}")).collect());
    }
    let beginning = plain.strip_prefix("^/").map(|rest| rest.trim_end_matches(".*").trim_end_matches('/'));
    if let Some(words) = beginning.and_then(alternatives) {
        return Shape::Prefixes(words.into_iter().map(|word| format!("/{word}/")).collect());
    }
    Shape::Other
}

/// The words of `(a|b|c)`, or one word.
fn alternatives(text: &str) -> Option<Vec<String>> {
    let inner = match text.strip_prefix('(') {
        Some(rest) => rest.strip_suffix(')')?,
        None if text.contains('|') => return None,
        None => text,
    };
    let words: Vec<String> = inner.split('|').flat_map(spellings).collect();
    let is_word =
        |word: &String| !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'));
    words.iter().all(is_word).then_some(words)
}

/// `jpe?g` is `jpeg` and `jpg`.
fn spellings(word: &str) -> Vec<String> {
    match word.split_once('?') {
        Some((before, after)) if !after.contains('?') && !before.is_empty() => {
            let without: String = before.chars().take(before.chars().count() - 1).collect();
            vec![format!("{before}{after}"), format!("{without}{after}")]
        }
        _ => vec![word.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_patterns_have_a_shape() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
        for (pattern, expected) in [
            ("/\\.", Shape::Hidden),
            ("/\\.ht", Shape::Hidden),
            ("/\\.(?!well-known).*", Shape::Hidden),
            ("(^|/)\\.", Shape::Hidden),
            ("\\.php$", Shape::Php),
            ("[^/]\\.php(/|$)", Shape::Php),
            ("\\.(css|js|jpe?g)$", Shape::Endings(words(&[".css", ".js", ".jpeg", ".jpg"]))),
            ("^.+\\.(?:css|js)$", Shape::Endings(words(&[".css", ".js"]))),
            ("^/(static|media)/", Shape::Prefixes(words(&["/static/", "/media/"]))),
            ("^/api/.*", Shape::Prefixes(words(&["/api/"]))),
            ("^/user/(\\d+)$", Shape::Other),
            ("", Shape::Other),
            ("^/", Shape::Other),
        ] {
            assert_eq!(shape(pattern), expected, "{pattern}");
        }
    }
}
