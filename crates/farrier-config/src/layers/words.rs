//! Splits a variable that holds a command line into its words, as a POSIX shell does.

/// The words; `None` if a quote is not closed.
pub(crate) fn split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next()? {
                        '\'' => break,
                        inside => word.push(inside),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next()? {
                        '"' => break,
                        '\\' => match letters.next()? {
                            escaped @ ('"' | '\\') => word.push(escaped),
                            other => word.extend(['\\', other]),
                        },
                        inside => word.push(inside),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(letters.next()?),
            plain => word.get_or_insert_default().push(plain),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_does() {
        for (text, words) in [
            ("", &[][..]),
            ("  -w 4\t--bind=:80 \n", &["-w", "4", "--bind=:80"]),
            (r#"--name 'my site' -e "A=\"b\"\n""#, &["--name", "my site", "-e", r#"A="b"\n"#]),
            (r"a\ b ''", &["a b", ""]),
            (r#"--access-logformat '%(h)s "%(r)s"'"#, &["--access-logformat", r#"%(h)s "%(r)s""#]),
        ] {
            assert_eq!(
                split(text).as_deref(),
                Some(&words.iter().map(|w| (*w).to_string()).collect::<Vec<_>>()[..]),
                "{text}"
            );
        }
        for open in ["'a", "\"a", "a\\", "\"a\\"] {
            assert_eq!(split(open), None, "{open}");
        }
    }
}
