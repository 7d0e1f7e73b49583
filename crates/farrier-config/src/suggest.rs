//! Compares names: whether two are the same word, and which known name is nearest to a mistyped one.

/// The candidate nearest to `typed`, if one is near enough: at most a third of its letters are wrong, or one is the
/// beginning of the other.
pub fn nearest<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut best: Option<(usize, &'a str)> = None;
    for candidate in candidates {
        let mut distance = edit_distance(typed, candidate);
        let is_beginning = typed.len() >= 3 && (candidate.starts_with(typed) || typed.starts_with(candidate));
        if !is_beginning && distance > (typed.chars().count().max(3)) / 3 {
            continue;
        }
        if is_beginning {
            distance = distance.min(2);
        }
        if best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Number of letters to insert, drop, replace or swap with the neighbour to make `a` into `b`.
pub(crate) fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// Equal but for `-` and `_`. The dashes that make a flag are not part of its word: `__workers` names nothing.
pub(crate) fn is_same_word(known: &str, wanted: &str) -> bool {
    let (known_word, wanted_word) = (known.trim_start_matches('-'), wanted.trim_start_matches('-'));
    let letters = || wanted_word.bytes().zip(known_word.bytes());
    known.len() == wanted.len()
        && known_word.len() == wanted_word.len()
        && letters().all(|(a, b)| a == b || matches!((a, b), (b'-', b'_') | (b'_', b'-')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_and_underscores_are_the_same_inside_a_word() {
        for (known, wanted, same) in [
            ("--limit-request-field-size", "--limit-request-field_size", true),
            ("graceful_timeout", "graceful-timeout", true),
            ("-w", "-w", true),
            ("--workers", "__workers", false),
            ("--workers", "-_workers", false),
            ("workers", "--workers", false),
            ("workers", "worker", false),
        ] {
            assert_eq!(is_same_word(known, wanted), same, "{known} {wanted}");
        }
    }

    #[test]
    fn distance_counts_single_mistakes() {
        for (a, b, distance) in [
            ("workers", "workers", 0),
            ("worker", "workers", 1),
            ("wrokers", "workers", 1),
            ("timeuot", "timeout", 1),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(edit_distance(a, b), distance, "{a} → {b}");
        }
    }

    #[test]
    fn a_far_name_suggests_nothing() {
        assert_eq!(nearest("zebra", ["workers", "threads"]), None);
        assert_eq!(nearest("", ["workers", "threads"]), None);
    }

    #[test]
    fn the_nearest_wins() {
        assert_eq!(nearest("timout", ["timeout", "header_timeout"]), Some("timeout"));
        assert_eq!(nearest("graceful", ["timeout", "graceful_timeout"]), Some("graceful_timeout"));
    }
}
