//! The text of `--print-config`: TOML that gives the same config again, with each value's source in a comment.

use crate::answer::Raw;
use crate::table::Config;
use crate::tables::Written;

/// Comments stand in this column, or after the value where it is longer.
const COMMENT_COLUMN: usize = 44;

/// Every setting of the config, by section.
pub(crate) fn print_config(config: &Config) -> String {
    let mut text = String::new();
    let mut section = "";
    let mut tables = String::new();
    for (setting, value) in config.written_values() {
        if setting.section != section {
            section = setting.section;
            let margin = if text.is_empty() { "" } else { "\n" };
            text.push_str(&format!("{margin}# {section}\n"));
        }
        let source = config.source_of(setting.name).map(ToString::to_string).unwrap_or_default();
        // A path may contain a line end, which would end the comment.
        let source = source.replace(char::is_control, "?");
        let value = match value {
            Written::Inline(value) => value,
            // Keys of the top level must come before the first table.
            Written::Tables(items) => {
                let entry = format!("# {}: {} below", setting.name, items.len());
                text.push_str(&format!("{entry:<COMMENT_COLUMN$}  # {source}\n"));
                items.iter().for_each(|item| tables.push_str(&item.under(setting.name)));
                continue;
            }
        };
        let entry = format!("{} = {value}", setting.name);
        text.push_str(&format!("{entry:<COMMENT_COLUMN$}  # {source}\n"));
    }
    text.push_str(&tables);
    text.push_str(&beyond(config));
    text
}

/// Gunicorn's settings that are no rows of the table, as comments: a TOML file cannot hold them.
fn beyond(config: &Config) -> String {
    let mut text = String::new();
    for (name, answer) in config.answers_beyond() {
        if text.is_empty() {
            text.push_str("\n# Beside these\n");
        }
        let value = match &answer.raw {
            Raw::Text(text) | Raw::Number(text) | Raw::Object(text) => text.clone(),
            Raw::Integer(number) => number.to_string(),
            Raw::Switch(on) => on.to_string(),
            Raw::List(items) => format!("{} items", items.len()),
            Raw::Table(entries) => format!("{} keys", entries.len()),
            Raw::Absent => "None".to_string(),
            Raw::Other(kind) => (*kind).to_string(),
        };
        let entry = format!("# {name}: {value}").replace(char::is_control, "?");
        let source = answer.source.to_string().replace(char::is_control, "?");
        text.push_str(&format!("{entry:<COMMENT_COLUMN$}  # {source}\n"));
    }
    text
}
