//! The text of `--print-config`: TOML that gives the same config again, with the source of each value beside it.

use crate::table::Config;

/// Comments stand in this column, or after the value where it is longer.
const COMMENT_COLUMN: usize = 44;

/// Every setting of the config, by section.
pub(crate) fn print_config(config: &Config) -> String {
    let mut text = String::new();
    let mut section = "";
    for (setting, value) in config.values() {
        if setting.section != section {
            section = setting.section;
            let margin = if text.is_empty() { "" } else { "\n" };
            text.push_str(&format!("{margin}# {section}\n"));
        }
        let source = config.source_of(setting.name).map(ToString::to_string).unwrap_or_default();
        // A path may contain anything, a comment ends with its line.
        let source = source.replace(char::is_control, "?");
        let entry = format!("{} = {value}", setting.name);
        text.push_str(&format!("{entry:<COMMENT_COLUMN$}  # {source}\n"));
    }
    text
}
