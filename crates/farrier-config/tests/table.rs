//! Tests that hold for every row of the table.

use std::collections::HashMap;
use std::io;

use farrier_config::{ACTIONS, Config, ConfigError, Outcome, SETTINGS, Setting, gather};

fn rows() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().chain(ACTIONS)
}

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Outcome, ConfigError> {
    gather(arguments, variables.iter().copied(), |_| Err(io::ErrorKind::NotFound.into()))
}

fn config(arguments: &[&str], variables: &[(&str, &str)]) -> Config {
    match run(arguments, variables) {
        Ok(Outcome::Run(config)) => *config,
        other => panic!("{arguments:?} {variables:?}: {other:?}"),
    }
}

fn unique(what: &str, words: impl Iterator<Item = (String, &'static str)>) {
    let mut seen: HashMap<String, &str> = HashMap::new();
    for (word, row) in words {
        if let Some(first) = seen.insert(word.replace('_', "-"), row) {
            panic!("the {what} `{word}` belongs to both {first} and {row}");
        }
    }
}

#[test]
fn names_flags_and_variables_are_unique() {
    unique("name", rows().map(|row| (row.name.to_string(), row.name)));
    unique("flag", rows().flat_map(|row| row.flags().into_iter().map(|flag| (flag, row.name))));
    let own = SETTINGS.iter().map(|row| (row.variable(), row.name));
    let platform =
        SETTINGS.iter().flat_map(|row| row.platform_variables().map(|(name, _)| (name.to_string(), row.name)));
    unique("variable", own.chain(platform));
}

#[test]
fn no_flag_reads_as_the_negation_of_another() {
    for row in rows() {
        assert!(!row.name.starts_with("no_"), "{}", row.name);
    }
}

#[test]
fn names_are_lower_case_words() {
    for row in rows() {
        assert!(row.name.starts_with(|c: char| c.is_ascii_lowercase()), "{}", row.name);
        assert!(row.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{}", row.name);
    }
}

#[test]
fn a_section_is_one_block() {
    let mut sections: Vec<&str> = rows().map(|row| row.section).collect();
    sections.dedup();
    unique("section", sections.into_iter().map(|section| (section.to_string(), section)));
}

#[test]
fn every_row_begins_with_one_sentence_on_one_line() {
    for row in rows() {
        let summary = row.summary();
        assert!(summary.ends_with('.') && summary.len() > 10, "{}: {summary:?}", row.name);
        assert!(summary.chars().count() <= 64, "{}: {summary:?} does not fit the list of --help", row.name);
        let second_line = row.docs.lines().nth(1).unwrap_or_default();
        assert!(second_line.trim().is_empty(), "{}: the sentence goes on in the second line", row.name);
    }
}

#[test]
fn every_default_is_read_and_written_back() {
    let defaults = Config::default();
    for row in SETTINGS {
        let config = config(&[], &[(&row.variable(), row.default)]);
        let value = |config: &Config| config.values().into_iter().find(|(each, _)| each.name == row.name);
        assert_eq!(value(&config).map(|(_, text)| text), value(&defaults).map(|(_, text)| text), "{}", row.name);
        assert_eq!(
            config.source_of(row.name).map(ToString::to_string),
            Some(format!("environment {}", row.variable()))
        );
    }
}

#[test]
fn every_default_keeps_its_bounds_and_every_bound_is_kept() {
    for row in SETTINGS {
        for bound in [row.at_least(), row.at_most()].into_iter().flatten() {
            config(&[], &[(&row.variable(), bound)]);
        }
        // 0 is below every lowest value, and this number is above every highest one.
        let beyond = row.at_least().map(|_| "0").into_iter().chain(row.at_most().map(|_| "300000000"));
        for value in beyond {
            let error = run(&[], &[(&row.variable(), value)]).expect_err(row.name).to_string();
            assert!(error.contains(&format!("got `{value}`")), "{}: {error}", row.name);
        }
    }
}

#[test]
fn every_flag_sets_its_setting() {
    for row in SETTINGS {
        for flag in row.flags() {
            let arguments = match row.default {
                "true" | "false" => vec![flag.clone()],
                default => vec![flag.clone(), default.to_string()],
            };
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let source = config(&arguments, &[]).source_of(row.name).map(ToString::to_string);
            assert_eq!(source, Some(format!("command line {flag}")));
        }
    }
}

#[test]
fn every_action_answers() {
    for row in ACTIONS {
        for flag in row.flags() {
            let outcome = match row.name {
                "config" => gather([flag.as_str(), "empty.toml"], [("", ""); 0], |_| Ok(String::new())),
                "ini" => gather([flag.as_str(), "empty.ini"], [("", ""); 0], |_| Ok("[uwsgi]".to_string())),
                "completions" => run(&[&flag, "bash"], &[]),
                _ => run(&[&flag], &[]),
            };
            let is_answer = match outcome {
                Ok(Outcome::Run(_)) => row.name == "config",
                // The caller reads such a file.
                Err(error) if row.name == "ini" => error.to_string().contains("are not read here"),
                Ok(Outcome::CheckConfig(_)) => row.name == "check_config",
                Ok(Outcome::PrintConfig { .. }) => row.name == "print_config",
                Ok(Outcome::Completions(_)) => row.name == "completions",
                Ok(Outcome::Help(_)) => row.name == "help",
                Ok(Outcome::Version) => row.name == "version",
                Err(error) => panic!("{flag}: {error}"),
            };
            assert!(is_answer, "{flag} does not do what `{}` says", row.name);
        }
    }
}

#[test]
fn every_row_has_a_help_of_its_own() {
    for row in rows() {
        match run(&["--help", row.name], &[]) {
            Ok(Outcome::Help(text)) => assert!(text.starts_with(row.summary()), "{}: {text}", row.name),
            other => panic!("{}: {other:?}", row.name),
        }
    }
}

#[test]
fn there_is_one_positional_setting() {
    assert_eq!(SETTINGS.iter().filter(|row| row.positional().is_some()).count(), 1);
}
