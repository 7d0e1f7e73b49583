//! Finds the files that a pattern of `include` names.

use std::path::{Component, Path, PathBuf};

use super::tree::Files;

/// The most paths that a pattern may match.
const PATHS_MAX: usize = 1_000;

/// Whether a path is a pattern.
pub(super) fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

/// The paths that match a pattern, sorted.
pub(super) fn matches(pattern: &Path, files: &mut dyn Files) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let text = component.as_os_str().to_string_lossy().into_owned();
        if !matches!(component, Component::Normal(_)) || !is_pattern(&text) {
            found.iter_mut().for_each(|path| path.push(component));
            continue;
        }
        let wanted: Vec<char> = text.chars().collect();
        let mut next = Vec::new();
        for folder in &found {
            let Ok(mut names) = files.names(folder) else { continue };
            names.sort();
            let is_wanted = |name: &String| {
                (!name.starts_with('.') || text.starts_with('.'))
                    && is_match(&wanted, &name.chars().collect::<Vec<char>>())
            };
            next.extend(names.iter().filter(|name| is_wanted(name)).map(|name| folder.join(name)));
            next.truncate(PATHS_MAX);
        }
        found = next;
    }
    found
}

/// Whether a name matches a pattern of `*`, `?` and `[…]`.
fn is_match(pattern: &[char], name: &[char]) -> bool {
    // The place to go on from when the text behind the last `*` did not match.
    let (mut at, mut next, mut star) = (0, 0, None);
    while next < name.len() {
        match one(&pattern[at..], name[next]) {
            Some(used) => {
                at += used;
                next += 1;
            }
            None if pattern.get(at) == Some(&'*') => {
                star = Some((at + 1, next));
                at += 1;
            }
            None => match star {
                Some((behind, from)) => {
                    star = Some((behind, from + 1));
                    (at, next) = (behind, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|letter| *letter == '*')
}

/// How much of the pattern matches this one letter; `None` if it does not match, or begins with `*`.
fn one(pattern: &[char], letter: char) -> Option<usize> {
    match pattern.first()? {
        '*' => None,
        '?' => Some(1),
        '[' => {
            let end = pattern.iter().skip(2).position(|letter| *letter == ']')? + 2;
            let (negated, inner) = match pattern[1] {
                '!' | '^' => (true, &pattern[2..end]),
                _ => (false, &pattern[1..end]),
            };
            (is_in(inner, letter) != negated).then_some(end + 1)
        }
        '\\' if pattern.len() > 1 => (pattern[1] == letter).then_some(2),
        known => (*known == letter).then_some(1),
    }
}

fn is_in(set: &[char], letter: char) -> bool {
    let mut rest = set;
    loop {
        rest = match rest {
            [] => return false,
            [first, '-', last, ..] if (*first..=*last).contains(&letter) => return true,
            [_, '-', _, behind @ ..] => behind,
            [one, ..] if *one == letter => return true,
            [_, behind @ ..] => behind,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_a_shell() {
        for (pattern, name, matches) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "a.conf.bak", false),
            ("*", "", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b", false),
            ("a?c", "abc", true),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[ab", "[ab", false),
            ("\\*", "*", true),
        ] {
            let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
            assert_eq!(is_match(&pattern, &name), matches, "{pattern:?} {name:?}");
        }
    }
}
