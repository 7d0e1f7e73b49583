//! Answers the HTTP validation of an ACME authority (RFC 8555 §8.3), before any other handler sees the request.
//!
//! The answers are small files, which exist for the minutes of an order. If there is no file for a token, the next
//! handler gets the request, so that another ACME client can use the path too.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use farrier_http::{Error, Flush, Handler, Plan, Request, Respond, ResponseHead, Status};

/// The path prefix of validations.
const PATH: &[u8] = b"/.well-known/acme-challenge/";

/// The longest token that is accepted. Tokens of authorities are shorter.
const TOKEN_BYTES_MAX: usize = 128;

/// The most bytes of an answer: a token, a dot and the digest of a key.
const ANSWER_BYTES_MAX: u64 = 512;

/// The handler around `inner`.
struct AcmeChallenge {
    answers: PathBuf,
    inner: Arc<dyn Handler>,
}

/// Answers from the files in `answers`, if it is given. All other requests go to `inner`.
pub fn around(inner: Arc<dyn Handler>, answers: Option<PathBuf>) -> Arc<dyn Handler> {
    match answers {
        Some(answers) => Arc::new(AcmeChallenge { answers, inner }),
        None => inner,
    }
}

impl AcmeChallenge {
    /// The content for a validation request, if there is a file for it.
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
    fn plan(&self, request: &mut Request) -> Plan {
        if !request.path().starts_with(PATH) {
            return self.inner.plan(request);
        }
        match self.answer(request) {
            Some(content) => {
                request.found = Some(Arc::new(Answer(content)));
                Plan::Now
            }
            None => self.inner.plan(request),
        }
    }

    fn handle(&self, request: &mut Request, respond: &mut dyn Respond) -> Result<(), Error> {
        let answer = request.found.as_ref().and_then(|found| found.downcast_ref::<Answer>());
        let Some(Answer(content)) = answer else { return self.inner.handle(request, respond) };
        let mut head = ResponseHead::new(Status::OK);
        head.add(b"Content-Type", b"application/octet-stream")?;
        head.add(b"Cache-Control", b"no-store")?;
        respond.head(&head, Some(content.len() as u64));
        // An error means that the client has disconnected: nothing is left to do.
        let _ = respond.send(content, Flush::Later);
        respond.finish();
        Ok(())
    }
}

/// The content that was found for a validation request.
struct Answer(Vec<u8>);

/// The token becomes the name of a file. It must be base64url, so it has neither a separator nor a dot.
fn is_token(token: &[u8]) -> bool {
    (1..=TOKEN_BYTES_MAX).contains(&token.len())
        && token.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_cannot_name_another_path() {
        assert!(is_token(b"evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr_oA") && is_token(&[b'a'; TOKEN_BYTES_MAX]));
        let bad: [&[u8]; 8] = [b"", b".", b"..", b"a/b", b"a%2fb", b"a\0", b"a b", &[b'a'; TOKEN_BYTES_MAX + 1]];
        for token in bad {
            assert!(!is_token(token), "{token:?}");
        }
    }
}
