//! Reads the layer of the command line: flags, their values, and the application's name.

use std::ffi::OsString;

use lexopt::Arg;

use crate::answer::{Answer, Layer, Raw, Source};
use crate::documents::{SHELLS, completions, help};
use crate::error::{ConfigError, Problem};
use crate::gunicorn::Gunicorn;
use crate::layers::file::UWSGI;
use crate::lookup::{Flag, by_flag, by_name, flag as find_flag, is_action, meant_by_flag, meant_by_name};
use crate::setting::Setting;
use crate::table::SETTINGS;
use crate::value::Shape;

/// What the command line says.
#[derive(Debug, Default)]
pub(crate) struct CommandLine {
    pub(crate) layer: Layer,
    pub(crate) request: Request,
    pub(crate) config_file: Option<(String, Source)>,
    pub(crate) problems: Vec<Problem>,
    /// The variable that holds this command line, if one does.
    variable: Option<&'static str>,
}

/// What to do with the config.
#[derive(Debug, Default)]
pub(crate) enum Request {
    #[default]
    Run,
    Help(String),
    Version,
    PrintConfig,
    CheckConfig,
    Completions(String),
}

/// Reads the arguments that follow the program's name. Stops at the first argument that it does not know, because the
/// next one may be its value.
pub(crate) fn read(arguments: Vec<OsString>, variable: Option<&'static str>) -> Result<CommandLine, ConfigError> {
    let mut line = CommandLine { variable, ..CommandLine::default() };
    let read = line.take(arguments);
    // An error without a place of its own is attributed to the variable.
    let placed = |mut error: ConfigError| {
        for problem in &mut error.problems {
            problem.source = problem.source.take().or(variable.map(|name| Source::Environment(name.to_string())));
        }
        error
    };
    read.map(|()| line).map_err(placed)
}

impl CommandLine {
    fn take(&mut self, arguments: Vec<OsString>) -> Result<(), ConfigError> {
        let mut parser = lexopt::Parser::from_args(arguments);
        while let Some(argument) = parser.next().map_err(|error| Problem::of_usage(error.to_string()))? {
            let flag = match argument {
                // Gunicorn ignores an application in its variable.
                Arg::Value(_) if self.variable.is_some() => continue,
                Arg::Value(word) => {
                    self.positional(text(word, "the application")?)?;
                    continue;
                }
                Arg::Short(letter) => format!("-{letter}"),
                Arg::Long(word) => format!("--{word}"),
            };
            match find_flag(&flag) {
                Flag::Row(setting, _) if is_action(setting) => {
                    self.action(setting, flag, &mut parser)?;
                    if let Request::Help(_) | Request::Version | Request::Completions(_) = self.request {
                        break;
                    }
                }
                Flag::Row(setting, positive) => self.setting(setting, positive, flag, &mut parser)?,
                Flag::Gunicorn(setting) => self.gunicorns(setting, flag, &mut parser)?,
                Flag::Ambiguous(flags) => return Err(ambiguous(&flag, &flags).into()),
                Flag::Unknown => return Err(unknown(&flag).into()),
            }
        }
        Ok(())
    }

    /// The place of a flag of this command line.
    fn place(&self, flag: String) -> Source {
        match self.variable {
            Some(variable) => Source::Flags { variable, flag },
            None => Source::CommandLine(flag),
        }
    }

    /// A flag of Gunicorn's that is no row here. It is read as Gunicorn reads it, so that its value is not taken for
    /// another argument.
    fn gunicorns(
        &mut self,
        setting: &'static Gunicorn,
        flag: String,
        parser: &mut lexopt::Parser,
    ) -> Result<(), Problem> {
        let raw = match parser.optional_value() {
            Some(value) => Raw::Text(text(value, &flag)?),
            None if setting.is_switch() => Raw::Switch(true),
            None => {
                let missing = |_| Problem::of_usage(format!("`{flag}` needs a value"));
                Raw::Text(text(parser.value().map_err(missing)?, &flag)?)
            }
        };
        let answer = Answer { raw, source: self.place(flag) };
        match setting.is_list() {
            true => self.layer.append(setting.name, answer),
            false => drop(self.layer.insert(setting.name, answer)),
        }
        Ok(())
    }

    fn positional(&mut self, word: String) -> Result<(), Problem> {
        let Some((setting, shown)) = SETTINGS.iter().find_map(|s| s.positional().map(|shown| (s, shown))) else {
            return Err(Problem::of_usage(format!("unexpected argument `{word}`")));
        };
        let answer = Answer { raw: Raw::Text(word.clone()), source: Source::CommandLine(shown.to_string()) };
        match self.layer.insert(setting.name, answer) {
            Some(Answer { raw: Raw::Text(first), .. }) => {
                let is_word = first.chars().all(|letter| letter.is_ascii_lowercase());
                let hint = if is_word {
                    format!("; there is no command `{first}`: try `farrier {word}`")
                } else {
                    String::new()
                };
                Err(Problem::of_usage(format!(
                    "unexpected argument `{word}`: the application is already `{first}`{hint}"
                )))
            }
            _ => Ok(()),
        }
    }

    fn setting(
        &mut self,
        setting: &'static Setting,
        positive: bool,
        flag: String,
        parser: &mut lexopt::Parser,
    ) -> Result<(), Problem> {
        let raw = match (setting.shape, parser.optional_value()) {
            (Shape::Switch, None) => Raw::Switch(positive),
            (Shape::Switch, Some(_)) if !positive => {
                return Err(Problem::of_usage(format!("`{flag}` takes no value")));
            }
            (_, Some(value)) => Raw::Text(text(value, &flag)?),
            // The one flag whose value is optional, as in Gunicorn.
            (_, None) if setting.name == "proxy_protocol" && !next_is_word_of_proxy_protocol(parser) => {
                Raw::Text("auto".to_string())
            }
            (_, None) => Raw::Text(value_of(&flag, setting, parser)?),
        };
        let answer = Answer { raw, source: self.place(flag) };
        if setting.shape == Shape::List {
            self.layer.append(setting.name, answer);
        } else {
            // The last one wins, so that a wrapper script's flags can be overridden by appending.
            self.layer.insert(setting.name, answer);
        }
        Ok(())
    }

    fn action(&mut self, action: &'static Setting, flag: String, parser: &mut lexopt::Parser) -> Result<(), Problem> {
        self.request = match action.name {
            "config" => {
                let path = value_of(&flag, action, parser)?;
                self.config_file = Some((path, self.place(flag)));
                return Ok(());
            }
            "ini" => {
                let path = value_of(&flag, action, parser)?;
                self.config_file = Some((format!("{UWSGI}{path}"), self.place(flag)));
                return Ok(());
            }
            "completions" => {
                let shell = value_of(&flag, action, parser)?;
                let script = completions(&shell).ok_or_else(|| {
                    let message = format!("there are completions for {}, not for `{shell}`", SHELLS.join(", "));
                    Problem::at(self.place(flag), message)
                })?;
                Request::Completions(script)
            }
            "help" => {
                let about = parser.optional_value().or_else(|| parser.value().ok());
                match about.and_then(|word| word.into_string().ok()).filter(|word| !word.starts_with('-')) {
                    None => Request::Help(help::overview()),
                    Some(word) => Request::Help(help::on(about_setting(&word)?)),
                }
            }
            "check_config" => Request::CheckConfig,
            "print_config" => Request::PrintConfig,
            // The one action left in the table; a test asks for each.
            _ => Request::Version,
        };
        Ok(())
    }
}

fn value_of(flag: &str, row: &Setting, parser: &mut lexopt::Parser) -> Result<String, Problem> {
    let missing = || match row.takes() {
        Some(word) if is_action(row) => Problem::of_usage(format!("`{flag}` needs a value: `{flag} {word}`")),
        _ => Problem::of_usage(format!("`{flag}` needs a value: {}", row.accepts())),
    };
    let value = text(parser.value().map_err(|_| missing())?, flag)?;
    // A flag in the place of a value means that the value was forgotten. A value that begins with dashes is written
    // `--flag=--value`.
    let word = value.split('=').next().unwrap_or_default();
    if word.starts_with('-') && by_flag(word).is_some() { Err(missing()) } else { Ok(value) }
}

fn text(value: OsString, flag: &str) -> Result<String, Problem> {
    value.into_string().map_err(|value| Problem::of_usage(format!("{flag}: {value:?} is not UTF-8")))
}

fn about_setting(word: &str) -> Result<&'static Setting, Problem> {
    if let Some(setting) = by_name(word).or_else(|| by_flag(&format!("--{word}")).map(|(row, _)| row)) {
        return Ok(setting);
    }
    let hint = meant_by_name(word).map_or(String::new(), |setting| format!("; did you mean `{}`?", setting.name));
    Err(Problem::of_usage(format!("unknown setting `{word}`{hint}")))
}

fn next_is_word_of_proxy_protocol(parser: &mut lexopt::Parser) -> bool {
    let next = parser.try_raw_args().and_then(|rest| rest.peek().map(|word| word.to_string_lossy().to_lowercase()));
    next.is_some_and(|word| ["off", "v1", "v2", "auto", "true", "false"].contains(&word.as_str()))
}

fn ambiguous(flag: &str, flags: &[String]) -> Problem {
    let flags: Vec<String> = flags.iter().map(|flag| format!("`{flag}`")).collect();
    Problem::of_usage(format!("`{flag}` may mean {}", flags.join(", ")))
}

fn unknown(flag: &str) -> Problem {
    let hint = match meant_by_flag(flag) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "`farrier --help` lists the flags".to_string(),
    };
    Problem::of_usage(format!("unknown flag `{flag}`; {hint}"))
}
