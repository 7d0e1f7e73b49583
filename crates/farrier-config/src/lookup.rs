//! Finds the row of a name or a flag, and the row that a wrong name may have meant.

use crate::gunicorn::{self, Gunicorn};
use crate::setting::Setting;
use crate::suggest::{edit_distance, is_same_word, nearest};
use crate::table::{ACTIONS, SETTINGS};
use crate::value::Shape;

/// The setting of this name, written with underscores or dashes.
pub(crate) fn by_name(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| is_same_word(setting.name, name))
}

/// The name as the tables spell it, if it is a setting of Farrier, or one of Gunicorn that is no row.
pub fn setting_name(name: &str) -> Option<&'static str> {
    let elsewhere = || gunicorn::without_row().find(|setting| is_same_word(setting.name, name));
    by_name(name).map(|row| row.name).or_else(|| elsewhere().map(|setting| setting.name))
}

/// The setting that a variable of a Python file was probably meant to be. Such files have variables of their own, so
/// only a flag's name and an error of one or two letters count.
pub fn probably_meant(variable: &str) -> Option<&'static str> {
    let flag = format!("--{variable}");
    let by_flag = SETTINGS.iter().find(|row| variable.len() > 6 && row.flags().iter().any(|f| is_same_word(f, &flag)));
    let slips = if variable.len() < 6 { 1 } else { 2 };
    let names = || SETTINGS.iter().map(|row| row.name).chain(gunicorn::without_row().map(|setting| setting.name));
    let is_slip = |name: &&str| variable.len() > 4 && edit_distance(variable, name) <= slips;
    by_flag.map(|row| row.name).or_else(|| names().find(is_slip))
}

/// What a flag stands for.
pub(crate) enum Flag {
    /// A row, and for a switch whether it is turned on.
    Row(&'static Setting, bool),
    /// A setting of Gunicorn's that is no row.
    Gunicorn(&'static Gunicorn),
    /// The beginning of several flags.
    Ambiguous(Vec<String>),
    /// No known flag.
    Unknown,
}

/// Finds a flag by its whole spelling, otherwise by the beginning of one. Gunicorn's flags are tried first for
/// beginnings, so that every abbreviation that works with Gunicorn works here.
pub(crate) fn flag(spelling: &str) -> Flag {
    if let Some((row, on)) = by_flag(spelling) {
        return Flag::Row(row, on);
    }
    let gunicorns =
        || gunicorn::all().flat_map(|setting| setting.flags.split_whitespace().map(move |flag| (flag, setting)));
    if let Some((_, setting)) = gunicorns().find(|(known, _)| is_same_word(known, spelling)) {
        return Flag::Gunicorn(setting);
    }
    if spelling.len() < 4 || !spelling.starts_with("--") {
        return Flag::Unknown;
    }
    let begins = |known: &str| known.get(..spelling.len()).is_some_and(|beginning| is_same_word(beginning, spelling));
    let mut settings: Vec<(&'static str, &'static Gunicorn)> = Vec::new();
    for (known, setting) in gunicorns().filter(|(known, _)| begins(known)) {
        if settings.iter().all(|(_, found)| found.name != setting.name) {
            settings.push((known, setting));
        }
    }
    match settings.as_slice() {
        [] => {}
        [(known, setting)] => {
            return by_flag(known).map_or(Flag::Gunicorn(setting), |(row, on)| Flag::Row(row, on));
        }
        several => return Flag::Ambiguous(several.iter().map(|(known, _)| (*known).to_string()).collect()),
    }
    let rows = || SETTINGS.iter().chain(ACTIONS);
    let positive: Vec<_> = rows().filter(|row| row.flags().iter().any(|flag| begins(flag))).collect();
    match positive.as_slice() {
        [row] => Flag::Row(row, true),
        [] => Flag::Unknown,
        several => Flag::Ambiguous(several.iter().map(|row| row.long_flag()).collect()),
    }
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

/// The setting that a wrong name probably means: one with this name on the command line, in Gunicorn or in uWSGI,
/// otherwise the one with the nearest name.
pub(crate) fn meant_by_name(name: &str) -> Option<&'static Setting> {
    let word = name.to_ascii_lowercase().replace('-', "_");
    let flag = format!("--{word}");
    let elsewhere = |row: &&Setting| {
        row.flags().iter().any(|known| is_same_word(known, &flag))
            || row.foreign_names().any(|n| is_same_word(n, &word))
    };
    SETTINGS.iter().find(elsewhere).or_else(|| by_name(nearest(&word, SETTINGS.iter().map(|row| row.name))?))
}

/// The flag that a wrong one probably means.
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

/// Whether the row is an action of the command line and not a setting.
pub(crate) fn is_action(row: &Setting) -> bool {
    ACTIONS.iter().any(|action| action.name == row.name)
}

#[cfg(test)]
mod tests {
    use super::*;

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
