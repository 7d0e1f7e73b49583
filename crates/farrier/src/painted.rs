//! Colours for tracebacks in a terminal: the last line red, the application's own code bright, libraries dim.

use std::borrow::Cow;
use std::io::IsTerminal;

use farrier_config::{Config, LogTarget};

/// Colours tracebacks, or leaves them unchanged. Decided once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint(bool);

impl Paint {
    /// In colours if the error log is a terminal and `NO_COLOR` is not set (see no-color.org).
    pub(crate) fn of(config: &Config) -> Paint {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
        // Python's loggers format the lines that go through them.
        let plain = config.logconfig.is_some() || config.logconfig_json.is_some() || config.logger_class.is_some();
        let standard = matches!(config.errorlog, LogTarget::Standard);
        Paint(standard && !plain && !unwanted && std::io::stderr().is_terminal())
    }

    /// The text of a traceback, with or without a line before it.
    pub(crate) fn traceback<'t>(self, text: &'t str) -> Cow<'t, str> {
        if self.0 { Cow::Owned(coloured(text)) } else { Cow::Borrowed(text) }
    }
}

const RED: &str = "\x1b[1;31m";
const CYAN: &str = "\x1b[36m";
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

fn coloured(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut frame_style = "";
    let mut inside = false;
    for line in text.split_inclusive('\n') {
        let (content, end) = line.strip_suffix('\n').map_or((line, ""), |content| (content, "\n"));
        let style = if content.starts_with("Traceback (most recent call last)") {
            inside = true;
            DIM
        } else if let Some(frame) = content.strip_prefix("  File \"") {
            inside = true;
            frame_style = if is_library(frame) { DIM } else { BOLD };
            if frame_style == DIM { DIM } else { CYAN }
        } else if inside && content.starts_with(' ') {
            frame_style
        } else if inside && !content.is_empty() {
            RED
        } else {
            ""
        };
        if style.is_empty() || content.is_empty() {
            out.push_str(line);
        } else {
            out.extend([style, content, PLAIN, end]);
        }
    }
    out
}

/// Whether a file is library code.
fn is_library(frame: &str) -> bool {
    ["/site-packages/", "/dist-packages/", "/lib/python", "<frozen"].iter().any(|part| frame.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Error handling request GET /\nTraceback (most recent call last):\n  File \"/srv/app.py\", line 1, in f\n    \
                        g()\n  File \"/usr/lib/python3.11/json.py\", line 2, in g\n    raise\nValueError: no\n";

    #[test]
    fn own_code_is_bright_and_the_last_line_is_red() {
        let painted = coloured(TEXT);
        let lines: Vec<&str> = painted.lines().collect();
        assert_eq!(lines[0], "Error handling request GET /");
        assert_eq!(lines[2], "\x1b[36m  File \"/srv/app.py\", line 1, in f\x1b[0m");
        assert_eq!(lines[3], "\x1b[1m    g()\x1b[0m");
        assert_eq!(lines[5], "\x1b[2m    raise\x1b[0m");
        assert_eq!(lines[6], "\x1b[1;31mValueError: no\x1b[0m");
    }

    #[test]
    fn without_the_colours_the_text_is_the_same() {
        let painted = coloured(TEXT);
        let bare = [RED, CYAN, BOLD, DIM, PLAIN].iter().fold(painted, |text, code| text.replace(code, ""));
        assert_eq!(bare, TEXT);
        assert_eq!(Paint(false).traceback(TEXT), TEXT);
    }
}
