//! Answers an authority that comes to see whether a name leads here (RFC 8555 §8.3), before anything else looks at the request.
//!
//! The answers are small files, there for the minutes of an order. A name without a file is left to whoever answers other
//! requests, so that another client of the authority's can have the path too.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use farrier_http::{Error, Flush, Handler, Occupies, Request, Respond, ResponseHead, Status};

/// Where the authority asks.
const PATH: &[u8] = b"/.well-known/acme-challenge/";

/// A token of this length has more than enough of chance in it.
const TOKEN_BYTES_MAX: usize = 128;

/// A token, a dot and the digest of a key.
const ANSWER_BYTES_MAX: u64 = 512;

/// A handler around another one.
struct AcmeChallenge {
    answers: PathBuf,
    inner: Arc<dyn Handler>,
}

/// Answers from the files in `answers`, if that is given, and leaves all other requests to `inner`.
pub fn around(inner: Arc<dyn Handler>, answers: Option<PathBuf>) -> Arc<dyn Handler> {
    match answers {
        Some(answers) => Arc::new(AcmeChallenge { answers, inner }),
        None => inner,
    }
}

impl AcmeChallenge {
    /// The content for a request of the authority's, if there is a file for it.
    fn answer(&self, request: &Request) -> Option<Vec<u8>> {
        let token = request.path().strip_prefix(PATH)?;
        if !matches!(request.method(), b"GET" | b"HEAD") || !is_token(token) {
            return None;
        }
        let mut content = Vec::new();
        let file = File::open(self.answers.join(std::str::from_utf8(token).ok()?)).ok()?;
        file.take(ANSWER_BYTES_MAX).read_to_end(&mut content).ok()?;
        Some(content)
    }
}

impl Handler for AcmeChallenge {
    fn occupies(&self, request: &mut Request) -> Occupies {
        if !request.path().starts_with(PATH) {
            return self.inner.occupies(request);
        }
        match self.answer(request) {
            Some(content) => {
                request.found = Some(Arc::new(Answer(content)));
                Occupies::Nothing
            }
            None => self.inner.occupies(request),
        }
    }

    fn handle(&self, request: &mut Request, respond: &mut dyn Respond) -> Result<(), Error> {
        let answer = request.found.as_ref().and_then(|found| found.downcast_ref::<Answer>());
        let Some(Answer(content)) = answer else { return self.inner.handle(request, respond) };
        let mut head = ResponseHead::new(Status::OK);
        head.add(b"Content-Type", b"application/octet-stream")?;
        head.add(b"Cache-Control", b"no-store")?;
        respond.head(&head, Some(content.len() as u64));
        // A client that has left need not know.
        let _ = respond.send(content, Flush::Later);
        respond.finish();
        Ok(())
    }
}

/// What was found for a request of the authority's.
struct Answer(Vec<u8>);

/// It becomes the name of a file: base64url, and so neither a separator nor a dot.
fn is_token(token: &[u8]) -> bool {
    (1..=TOKEN_BYTES_MAX).contains(&token.len())
        && token.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_nowhere_else() {
        assert!(is_token(b"evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr_oA") && is_token(&[b'a'; TOKEN_BYTES_MAX]));
        let bad: [&[u8]; 8] = [b"", b".", b"..", b"a/b", b"a%2fb", b"a\0", b"a b", &[b'a'; TOKEN_BYTES_MAX + 1]];
        for token in bad {
            assert!(!is_token(token), "{token:?}");
        }
    }
}
