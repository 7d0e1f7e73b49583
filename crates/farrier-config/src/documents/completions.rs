//! Completion scripts for bash, zsh and fish.

use crate::documents::help::metavar;
use crate::setting::Setting;
use crate::table::{ACTIONS, SETTINGS};
use crate::value::{Completes, Shape};

/// The shells that have a completion script.
pub(crate) const SHELLS: &[&str] = &["bash", "zsh", "fish"];

/// The completion script for a shell; `None` for an unknown shell.
pub(crate) fn completions(shell: &str) -> Option<String> {
    match shell {
        "bash" => Some(bash()),
        "zsh" => Some(zsh()),
        "fish" => Some(fish()),
        _ => None,
    }
}

/// One spelling of a flag, as the scripts need it.
struct Flag {
    /// The row it belongs to.
    row: &'static Setting,
    /// The spelling without dashes.
    word: String,
    /// Whether it is a single letter after one dash.
    is_short: bool,
    /// Whether a value follows.
    takes_value: bool,
    /// The first sentence of the row, without Markdown and without the final dot.
    sentence: String,
}

impl Flag {
    fn spelling(&self) -> String {
        if self.is_short { format!("-{}", self.word) } else { format!("--{}", self.word) }
    }
}

/// The flags to offer: the documented spelling of every row, its letter, and `--no-` for a switch that is on.
fn flags() -> Vec<Flag> {
    let mut flags = Vec::new();
    for row in SETTINGS.iter().chain(ACTIONS).filter(|row| row.positional().is_none()) {
        let takes_value = !metavar(row).is_empty() && row.name != "help";
        let sentence = row.summary().replace('`', "").trim_end_matches('.').to_string();
        let flag = |word: String, is_short| Flag { row, word, is_short, takes_value, sentence: sentence.clone() };
        let long = row.long_flag().trim_start_matches('-').to_string();
        if let Some(short) = row.short_flag() {
            flags.push(flag(short.trim_start_matches('-').to_string(), true));
        }
        if row.shape == Shape::Switch {
            flags.push(Flag { sentence: format!("Off: {sentence}"), ..flag(format!("no-{long}"), false) });
        }
        flags.push(flag(long, false));
    }
    flags
}

/// What to offer for the value of a row.
fn offered(row: &Setting) -> Completes {
    match row.name {
        "completions" => Completes::Words(SHELLS),
        "config" => Completes::Path,
        _ => row.completes,
    }
}

fn bash() -> String {
    let spellings: Vec<String> = flags().iter().map(Flag::spelling).collect();
    // One `case` for all flags whose values have the same completions.
    let mut cases: Vec<(String, Vec<String>)> = Vec::new();
    for flag in flags().iter().filter(|flag| flag.takes_value) {
        let answer = match offered(flag.row) {
            Completes::Words(words) => format!("COMPREPLY=($(compgen -W '{}' -- \"$current\"))", words.join(" ")),
            Completes::Path => "COMPREPLY=($(compgen -f -- \"$current\"))".to_string(),
            Completes::Nothing => "COMPREPLY=()".to_string(),
        };
        match cases.iter_mut().find(|(known, _)| *known == answer) {
            Some((_, spellings)) => spellings.push(flag.spelling()),
            None => cases.push((answer, vec![flag.spelling()])),
        }
    }
    let cases: String = cases
        .iter()
        .map(|(answer, spellings)| format!("        {})\n            {answer}; return ;;\n", spellings.join("|")))
        .collect();
    format!(
        "\
# bash completion for farrier; put it into a file that ~/.bashrc reads.
_farrier() {{
    local current=\"${{COMP_WORDS[COMP_CWORD]}}\" previous=\"${{COMP_WORDS[COMP_CWORD-1]}}\"
    case \"$previous\" in
{cases}    esac
    if [[ $current == -* ]]; then
        COMPREPLY=($(compgen -W '{}' -- \"$current\"))
    fi
}}
complete -o filenames -F _farrier farrier
",
        spellings.join(" ")
    )
}

fn zsh() -> String {
    let mut specs = String::new();
    for flag in flags() {
        let sentence = flag.sentence.replace('\'', "'\\''").replace('[', "\\[").replace(']', "\\]");
        let repeat = if flag.row.shape == Shape::List { "*" } else { "" };
        let value = match offered(flag.row) {
            _ if !flag.takes_value => String::new(),
            Completes::Words(words) => format!(":{}:({})", flag.row.name, words.join(" ")),
            Completes::Path => format!(":{}:_files", flag.row.name),
            Completes::Nothing => format!(":{}: ", flag.row.name),
        };
        let spelling = flag.spelling();
        // In zsh's syntax a suffix says how a value may follow: `+` after a letter, `=` after a word.
        let joint = match (flag.takes_value, flag.is_short) {
            (false, _) => "",
            (true, true) => "+",
            (true, false) => "=",
        };
        specs.push_str(&format!("    '{repeat}{spelling}{joint}[{sentence}]{value}' \\\n"));
    }
    format!(
        "\
#compdef farrier
# zsh completion for farrier; save it as _farrier in a folder of $fpath.
_arguments -s \\
{specs}    '::application: '
"
    )
}

fn fish() -> String {
    let mut script =
        "# fish completion for farrier; save it as ~/.config/fish/completions/farrier.fish.\ncomplete -c farrier -f\n"
            .to_string();
    for flag in flags() {
        let option = if flag.is_short { "-s" } else { "-l" };
        let value = match offered(flag.row) {
            _ if !flag.takes_value => String::new(),
            Completes::Words(words) => format!(" -x -a '{}'", words.join(" ")),
            Completes::Path => " -r -F".to_string(),
            Completes::Nothing => " -x".to_string(),
        };
        let sentence = flag.sentence.replace('\'', "\\'");
        script.push_str(&format!("complete -c farrier {option} {}{value} -d '{sentence}'\n", flag.word));
    }
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_offers_every_row() {
        for shell in SHELLS {
            let script = completions(shell).unwrap_or_default();
            for flag in flags() {
                let spelling = match *shell {
                    "fish" => format!("{} {}", if flag.is_short { "-s" } else { "-l" }, flag.word),
                    _ => flag.spelling(),
                };
                assert!(script.contains(&spelling), "{shell}: {spelling}");
            }
        }
        assert_eq!(completions("tcsh"), None);
    }

    #[test]
    fn a_choice_offers_its_words() {
        assert!(
            bash().contains("--log-level)\n            COMPREPLY=($(compgen -W 'debug info warning error critical'")
        );
        assert!(zsh().contains("]:loglevel:(debug info"));
        assert!(fish().contains("-l completions -x -a 'bash zsh fish'"));
    }

    #[test]
    fn no_sentence_breaks_a_scripts_quotes() {
        for script in [bash(), zsh(), fish()] {
            for line in script.lines().filter(|line| !line.starts_with('#')) {
                let quotes = line.replace("'\\''", "").replace("\\'", "").matches('\'').count();
                assert_eq!(quotes % 2, 0, "{line}");
            }
        }
    }
}
