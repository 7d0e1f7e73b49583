//! The directives of an nginx configuration as a tree, with the files that it includes in their places.

use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::glob;
use super::words::{Token, tokens};
use farrier_config::Problem;
use farrier_config::Source;

/// The deepest nesting of blocks, and of files that include each other.
const DEPTH_MAX: usize = 32;
/// The most directives of a configuration with all its files.
const DIRECTIVES_MAX: usize = 100_000;
/// The most files.
const FILES_MAX: usize = 1_000;
/// The most bytes of all files.
const BYTES_MAX: usize = 16 << 20;

/// Files as the reader sees them.
pub trait Files {
    /// The text of a file.
    ///
    /// # Errors
    /// It cannot be read.
    fn read(&mut self, path: &Path) -> io::Result<String>;

    /// The names in a folder.
    ///
    /// # Errors
    /// It cannot be read.
    fn names(&mut self, folder: &Path) -> io::Result<Vec<String>>;
}

/// One directive.
#[derive(Debug, Clone)]
pub(super) struct Directive {
    /// Its name.
    pub(super) name: String,
    /// What stands behind the name.
    pub(super) args: Vec<String>,
    /// The directives in its block; `None` if it ends with `;`.
    pub(super) block: Option<Vec<Directive>>,
    /// The file, as it was named.
    pub(super) path: Rc<str>,
    /// The line, from 1.
    pub(super) line: usize,
    /// Its number among all directives, in the order of the files.
    pub(super) index: usize,
}

impl Directive {
    /// Its first argument, or an empty text.
    pub(super) fn arg(&self) -> &str {
        self.args.first().map_or("", String::as_str)
    }

    /// The directives in its block.
    pub(super) fn children(&self) -> &[Directive] {
        self.block.as_deref().unwrap_or_default()
    }

    /// Its place.
    pub(super) fn source(&self) -> Source {
        Source::File { path: self.path.to_string(), line: self.line }
    }

    /// The directive on one line, as the file has it.
    pub(super) fn written(&self) -> String {
        let words = std::iter::once(&self.name).chain(&self.args);
        let mut text = words.map(|word| shown(word)).collect::<Vec<_>>().join(" ");
        if self.block.is_some() {
            text.push_str(" { … }");
        }
        text
    }
}

/// A word with quotes, where it needs them.
fn shown(word: &str) -> String {
    let needs_quotes = word.is_empty() || word.contains(|c: char| c.is_whitespace() || matches!(c, ';' | '{' | '}'));
    if needs_quotes { format!("\"{}\"", word.replace('"', "\\\"")) } else { word.to_owned() }
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// The directives of the top level.
    pub(super) top: Vec<Directive>,
    /// How many directives there are.
    pub(super) count: usize,
    /// Well-known files that are not there; nothing of them is missed.
    pub(super) absent: Vec<Directive>,
}

/// Reads `file` and everything that it includes.
///
/// # Errors
/// Text that nginx would refuse, files that cannot be read, and a configuration that exceeds a bound.
pub(super) fn read(file: &str, files: &mut dyn Files) -> Result<Tree, Problem> {
    let folder = Path::new(file).parent().unwrap_or(Path::new("")).to_owned();
    let mut reader = Reader { files, folder, count: 0, opened: 0, bytes: 0, absent: Vec::new() };
    let top = reader.file(Path::new(file), None, 0)?;
    Ok(Tree { top, count: reader.count, absent: reader.absent })
}

struct Reader<'a> {
    files: &'a mut dyn Files,
    /// What relative paths of `include` are relative to.
    folder: PathBuf,
    count: usize,
    opened: usize,
    bytes: usize,
    absent: Vec<Directive>,
}

impl Reader<'_> {
    /// The directives of a file, that `by` includes.
    fn file(&mut self, path: &Path, by: Option<&Directive>, depth: usize) -> Result<Vec<Directive>, Problem> {
        let shown = path.display().to_string();
        let source = || by.map_or(Source::File { path: shown.clone(), line: 1 }, Directive::source);
        if depth > DEPTH_MAX {
            return Err(Problem::at(source(), format!("files include each other more than {DEPTH_MAX} deep")));
        }
        self.opened += 1;
        if self.opened > FILES_MAX {
            return Err(Problem::at(source(), format!("there are more than {FILES_MAX} files")));
        }
        let text = self
            .files
            .read(path)
            .map_err(|error| Problem::at(source(), format!("cannot read {}: {error}", path.display())))?;
        self.bytes += text.len();
        if self.bytes > BYTES_MAX {
            return Err(Problem::at(source(), format!("the files have more than {} MiB together", BYTES_MAX >> 20)));
        }
        let mut tokens = tokens(&shown, &text)?.into_iter();
        let (directives, end) = self.block(&mut tokens, &Rc::from(shown.as_str()), depth, 0)?;
        match end {
            None => Ok(directives),
            Some(line) => Err(Problem::at(Source::File { path: shown, line }, "`}` closes no block")),
        }
    }

    /// The directives up to the end of a block, with the line of its `}`, or up to the end of the file.
    fn block(
        &mut self,
        tokens: &mut std::vec::IntoIter<(Token, usize)>,
        path: &Rc<str>,
        depth: usize,
        blocks: usize,
    ) -> Result<(Vec<Directive>, Option<usize>), Problem> {
        let mut directives = Vec::new();
        let mut words: Vec<(String, usize)> = Vec::new();
        while let Some((token, line)) = tokens.next() {
            let problem = |line, message: String| Problem::at(Source::File { path: path.to_string(), line }, message);
            match token {
                Token::Word(word) => words.push((word, line)),
                Token::Close if words.is_empty() => return Ok((directives, Some(line))),
                Token::Close => return Err(problem(words.first().map_or(line, |(_, line)| *line), unended(&words))),
                Token::End if words.is_empty() => return Err(problem(line, "`;` ends no directive".to_owned())),
                Token::Open if words.is_empty() => {
                    return Err(problem(line, "`{` opens a block without a name".to_owned()));
                }
                Token::End | Token::Open => {
                    let mut directive = self.directive(std::mem::take(&mut words), path)?;
                    if token == Token::Open {
                        if blocks >= DEPTH_MAX {
                            return Err(problem(line, format!("blocks are more than {DEPTH_MAX} deep")));
                        }
                        let (children, end) = self.block(tokens, path, depth, blocks + 1)?;
                        if end.is_none() {
                            let name = &directive.name;
                            return Err(problem(directive.line, format!("the block `{name}` has no end")));
                        }
                        directive.block = Some(children);
                        directives.push(directive);
                    } else if directive.name == "include" {
                        self.include(&directive, depth, &mut directives)?;
                    } else {
                        directives.push(directive);
                    }
                }
            }
        }
        match words.first() {
            None => Ok((directives, None)),
            Some((_, line)) => Err(Problem::at(Source::File { path: path.to_string(), line: *line }, unended(&words))),
        }
    }

    fn directive(&mut self, words: Vec<(String, usize)>, path: &Rc<str>) -> Result<Directive, Problem> {
        let mut words = words.into_iter();
        let (name, line) = words.next().unwrap_or_default();
        let index = self.count;
        self.count += 1;
        if self.count > DIRECTIVES_MAX {
            let message = format!("there are more than {DIRECTIVES_MAX} directives");
            return Err(Problem::at(Source::File { path: path.to_string(), line }, message));
        }
        let args = words.map(|(word, _)| word).collect();
        Ok(Directive { name, args, block: None, path: Rc::clone(path), line, index })
    }

    /// Puts the directives of included files in the place of an `include`, behind the `include` itself.
    fn include(&mut self, by: &Directive, depth: usize, into: &mut Vec<Directive>) -> Result<(), Problem> {
        let [pattern] = by.args.as_slice() else {
            return Err(Problem::at(by.source(), "`include` takes one file or pattern"));
        };
        let found = if glob::is_pattern(pattern) {
            self.bases()
                .iter()
                .map(|base| glob::matches(&base.join(pattern), self.files))
                .find(|found| !found.is_empty())
        } else {
            let names = self.bases().into_iter().map(|base| base.join(pattern));
            names.into_iter().find(|path| self.is_there(path)).map(|path| vec![path])
        };
        let paths = match found {
            Some(paths) => paths,
            None if glob::is_pattern(pattern) => Vec::new(),
            None if is_well_known(pattern) => {
                self.absent.push(by.clone());
                into.push(by.clone());
                return Ok(());
            }
            None => vec![self.folder.join(pattern)],
        };
        into.push(by.clone());
        for path in paths {
            let directives = self.file(&path, Some(by), depth + 1)?;
            into.extend(directives);
        }
        Ok(())
    }

    /// The folders that relative paths may be relative to: the main file's, and for a file of a site on its own nginx's.
    fn bases(&self) -> Vec<PathBuf> {
        let mut bases = vec![self.folder.clone()];
        let name = self.folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if matches!(name.as_str(), "sites-available" | "sites-enabled" | "conf.d")
            && let Some(above) = self.folder.parent()
        {
            bases.push(above.to_owned());
        }
        bases
    }

    fn is_there(&mut self, path: &Path) -> bool {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return false };
        self.files.names(folder).is_ok_and(|names| names.iter().any(|known| Path::new(known) == Path::new(name)))
    }
}

fn unended(words: &[(String, usize)]) -> String {
    let name = words.first().map_or("", |(word, _)| word);
    format!("`{name}` does not end with `;`")
}

/// Files that nginx's packages and certbot install: what they say is known without them.
fn is_well_known(pattern: &str) -> bool {
    let name = pattern.rsplit('/').next().unwrap_or_default();
    matches!(
        name,
        "mime.types"
            | "uwsgi_params"
            | "fastcgi_params"
            | "fastcgi.conf"
            | "scgi_params"
            | "proxy_params"
            | "fastcgi-php.conf"
            | "snakeoil.conf"
            | "options-ssl-nginx.conf"
    )
}
