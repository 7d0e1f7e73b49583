//! Output of commands that serve nothing, to standard output and standard error.

use farrier_config::Problem;

/// Writes each problem to standard error, one a line.
pub(crate) fn print_problems(problems: &[Problem]) {
    for problem in problems {
        eprintln!("farrier: {problem}");
    }
}

/// Writes the text to standard output and gives the exit code.
pub(crate) fn print(text: &str) -> i32 {
    use std::io::Write;
    // A reader that stops early (`farrier --help | head`) is no error.
    let _ = std::io::stdout().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush());
    0
}
