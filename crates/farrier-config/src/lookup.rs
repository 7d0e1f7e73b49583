//! How a name or a flag finds its row, and which one a wrong name may have meant.

use crate::setting::Setting;
use crate::suggest::nearest;
use crate::table::{ACTIONS, SETTINGS};
use crate::value::Shape;

/// The setting of this name, written with underscores or dashes.
pub(crate) fn by_name(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| is_same_word(setting.name, name))
}

/// The row that a flag such as `-w`, `--workers` or `--no-sendfile` names, and for a switch whether it turns it on.
pub(crate) fn by_flag(flag: &str) -> Option<(&'static Setting, bool)> {
    let goes_by = |row: &Setting, wanted: &str| row.flags().iter().any(|known| is_same_word(known, wanted));
    if let Some(row) = SETTINGS.iter().chain(ACTIONS).find(|row| goes_by(row, flag)) {
        return Some((row, true));
    }
    let positive = format!("--{}", flag.strip_prefix("--no-").or_else(|| flag.strip_prefix("--no_"))?);
    SETTINGS.iter().find(|row| row.shape == Shape::Switch && goes_by(row, &positive)).map(|row| (row, false))
}

/// The setting that a wrong name means: one that goes by it on the command line, in Gunicorn or in uWSGI, else the one
/// with the nearest name.
pub(crate) fn meant_by_name(name: &str) -> Option<&'static Setting> {
    let word = name.to_ascii_lowercase().replace('-', "_");
    let flag = format!("--{word}");
    let elsewhere = |row: &&Setting| {
        row.flags().iter().any(|known| is_same_word(known, &flag))
            || row.foreign_names().any(|n| is_same_word(n, &word))
    };
    SETTINGS.iter().find(elsewhere).or_else(|| by_name(nearest(&word, SETTINGS.iter().map(|row| row.name))?))
}

/// The flag that a wrong one means, as it is spelt.
pub(crate) fn meant_by_flag(flag: &str) -> Option<String> {
    let word = flag.strip_prefix("--")?.to_ascii_lowercase().replace('_', "-");
    let rows = || SETTINGS.iter().chain(ACTIONS);
    if let Some(row) = rows().find(|row| row.foreign_names().any(|name| is_same_word(name, &word))) {
        return Some(row.long_flag());
    }
    let mut known: Vec<String> = Vec::new();
    for row in rows() {
        let flags = row.flags();
        let long = || flags.iter().filter_map(|flag| flag.strip_prefix("--"));
        known.extend(long().map(str::to_string));
        if row.shape == Shape::Switch {
            known.extend(long().map(|word| format!("no-{word}")));
        }
    }
    nearest(&word, known.iter().map(String::as_str)).map(|word| format!("--{word}"))
}

/// Equal but for `-` and `_`. The dashes that make a flag are not part of its word: `__workers` names nothing.
fn is_same_word(known: &str, wanted: &str) -> bool {
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
    fn a_wrong_name_finds_what_was_meant() {
        for (wrong, meant) in [
            ("worker", Some("workers")),
            ("wrokers", Some("workers")),
            ("keep_alive", Some("keepalive")),
            ("access_logfile", Some("accesslog")),
            ("preload", Some("preload_app")),
            ("processes", Some("workers")),
            ("chmod-socket", Some("unix_socket_mode")),
            ("limit_request_field", Some("limit_request_fields")),
            ("zebra", None),
        ] {
            assert_eq!(meant_by_name(wrong).map(|row| row.name), meant, "{wrong}");
        }
    }

    #[test]
    fn a_wrong_flag_finds_what_was_meant() {
        for (wrong, meant) in [
            ("--worker", Some("--workers")),
            ("--Workers", Some("--workers")),
            ("--timeuot", Some("--timeout")),
            ("--no-sendfiel", Some("--no-sendfile")),
            ("--accesslogfile", Some("--access-logfile")),
            ("--http-socket", Some("--bind")),
            ("--check_confg", Some("--check-config")),
            ("--zebra", None),
            ("-z", None),
        ] {
            assert_eq!(meant_by_flag(wrong).as_deref(), meant, "{wrong}");
        }
    }
}
