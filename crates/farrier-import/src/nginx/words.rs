//! Splits the text of an nginx configuration into words, ends of directives and blocks, each with its line.

use farrier_config::Problem;
use farrier_config::Source;

/// A longer word is refused, as nginx refuses it.
const WORD_BYTES_MAX: usize = 4096;

/// A piece of a configuration's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A word, without its quotes and escapes.
    Word(String),
    /// `;`
    End,
    /// `{`
    Open,
    /// `}`
    Close,
}

/// The tokens of `text`, each with its line.
///
/// # Errors
/// A quote that does not end, a word that is too long, and text that directly follows a quoted word.
pub(super) fn tokens(path: &str, text: &str) -> Result<Vec<(Token, usize)>, Problem> {
    let mut reader = Reader { letters: text.chars().peekable(), line: 1 };
    let mut tokens = Vec::new();
    while let Some(letter) = reader.next() {
        let line = reader.line;
        let problem = |message: String| Problem::at(Source::File { path: path.to_owned(), line }, message);
        let token = match letter {
            '\n' => continue,
            letter if letter.is_ascii_whitespace() || letter == '\u{feff}' => continue,
            ';' => Token::End,
            '{' if is_lua(&tokens) => {
                reader.skip_block().map_err(problem)?;
                // The block is read as an empty one: its content is a program.
                tokens.push((Token::Open, line));
                Token::Close
            }
            '{' => Token::Open,
            '}' => Token::Close,
            '#' => {
                reader.skip_line();
                continue;
            }
            '"' | '\'' => Token::Word(reader.quoted(letter).map_err(problem)?),
            letter => Token::Word(reader.word(letter).map_err(problem)?),
        };
        tokens.push((token, line));
    }
    Ok(tokens)
}

/// Whether the last word is a directive whose block holds Lua code.
fn is_lua(tokens: &[(Token, usize)]) -> bool {
    matches!(tokens.last(), Some((Token::Word(name), _)) if name.ends_with("_by_lua_block"))
}

struct Reader<'a> {
    letters: std::iter::Peekable<std::str::Chars<'a>>,
    line: usize,
}

impl Reader<'_> {
    /// The next letter. `line` is the line that it is on.
    fn next(&mut self) -> Option<char> {
        let letter = self.letters.next()?;
        if letter == '\n' {
            self.line += 1;
        }
        Some(letter)
    }

    fn skip_line(&mut self) {
        while self.letters.peek().is_some_and(|letter| *letter != '\n') {
            self.letters.next();
        }
    }

    /// The rest of a block of code. Braces in its strings and comments must be in pairs.
    fn skip_block(&mut self) -> Result<(), String> {
        let mut depth = 1_usize;
        while depth > 0 {
            match self.next() {
                Some('{') => depth += 1,
                Some('}') => depth -= 1,
                Some(_) => {}
                None => return Err("the block of code has no end: `}` is missing".to_owned()),
            }
        }
        Ok(())
    }

    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let mut word = String::new();
        loop {
            match self.next() {
                None => return Err(format!("the text that begins with `{quote}` has no end")),
                Some('\\') => self.escape(&mut word),
                Some(letter) if letter == quote => break,
                Some(letter) => word.push(letter),
            }
            is_short(&word)?;
        }
        match self.letters.peek() {
            None | Some(';' | '{' | ')') => Ok(word),
            Some(letter) if letter.is_ascii_whitespace() => Ok(word),
            Some(letter) => Err(format!("`{letter}` directly follows the end of a quoted text")),
        }
    }

    /// A word without quotes. The brace of `${name}` opens no block.
    fn word(&mut self, first: char) -> Result<String, String> {
        let mut word = String::new();
        let mut is_variable = false;
        let mut letter = first;
        loop {
            match letter {
                '\\' => self.escape(&mut word),
                letter => word.push(letter),
            }
            is_variable = letter == '$' || (is_variable && letter == '{');
            is_short(&word)?;
            match self.letters.peek() {
                None | Some(';') => break,
                Some('{') if !is_variable => break,
                Some(next) if next.is_ascii_whitespace() => break,
                Some(_) => {}
            }
            match self.next() {
                Some(next) => letter = next,
                None => break,
            }
        }
        Ok(word)
    }

    /// What a backslash and the letter behind it stand for: patterns keep their backslashes.
    fn escape(&mut self, word: &mut String) {
        match self.next() {
            Some(letter @ ('"' | '\'' | '\\')) => word.push(letter),
            Some('t') => word.push('\t'),
            Some('r') => word.push('\r'),
            Some('n') => word.push('\n'),
            Some(letter) => word.extend(['\\', letter]),
            None => word.push('\\'),
        }
    }
}

fn is_short(word: &str) -> Result<(), String> {
    if word.len() > WORD_BYTES_MAX { Err(format!("a word is longer than {WORD_BYTES_MAX} bytes")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The words of a text, with `;`, `{` and `}` for themselves.
    fn words(text: &str) -> Result<Vec<String>, String> {
        let told = |token| match token {
            Token::Word(word) => word,
            Token::End => ";".to_owned(),
            Token::Open => "{".to_owned(),
            Token::Close => "}".to_owned(),
        };
        let read = tokens("nginx.conf", text).map_err(|problem| problem.to_string())?;
        Ok(read.into_iter().map(|(token, _)| told(token)).collect())
    }

    #[test]
    fn words_end_at_blanks_ends_and_blocks() {
        for (text, expected) in [
            ("listen 80;", &["listen", "80", ";"][..]),
            ("a{b;}", &["a", "{", "b", ";", "}"]),
            ("a  # b; {\nc", &["a", "c"]),
            ("a#b", &["a#b"]),
            ("\"a b\" 'c;d'", &["a b", "c;d"]),
            ("a\"b", &["a\"b"]),
            ("\"a\\\"b\"", &["a\"b"]),
            ("~ \\.php$ {", &["~", "\\.php$", "{"]),
            ("a\\ b", &["a\\ b"]),
            ("a\\;b", &["a\\;b"]),
            ("${host}x;", &["${host}x", ";"]),
            ("\"\"", &[""]),
            ("content_by_lua_block { if a { b; } }", &["content_by_lua_block", "{", "}"]),
            ("\u{feff}a", &["a"]),
        ] {
            let expected: Vec<String> = expected.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(words(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_nginx_refuses_is_refused_with_its_line() {
        for (text, message) in [
            ("\n\"a", "nginx.conf:2: the text that begins with `\"` has no end"),
            ("\"a\"b", "nginx.conf:1: `b` directly follows the end of a quoted text"),
            ("x_by_lua_block {", "nginx.conf:1: the block of code has no end: `}` is missing"),
        ] {
            assert_eq!(words(text), Err(message.to_owned()), "{text}");
        }
        assert!(words(&"a".repeat(4097)).is_err_and(|message| message.contains("longer than 4096 bytes")));
    }

    #[test]
    fn each_token_has_the_line_that_it_begins_on() {
        let lines = tokens("f", "a\n\"b\nc\" d;\n").map(|read| read.into_iter().map(|(_, line)| line).collect());
        assert_eq!(lines, Ok(vec![1, 2, 3, 3]));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[ -~\\n{};\"'\\\\$#]{0,200}") {
            if let Ok(read) = tokens("f", &text) {
                prop_assert!(read.len() <= text.chars().count() + 1);
            }
        }
    }
}
