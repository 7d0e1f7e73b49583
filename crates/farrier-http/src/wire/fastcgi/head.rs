//! Decodes the beginning of a request: the record that begins it, and the stream of variables over any number of records.

use super::params;
use super::record::{self, Active, Next, Records};
use crate::error::{Error, Kind};
use crate::gateway::Via;
use crate::limits::Limits;
use crate::request::{Arena, RequestHead};
use crate::wire::variables::{Mounting, Variables};

/// Decodes one request's variables. After it, what follows in the arena is the stream of content: see
/// [`super::StdinDecoder`].
///
/// The content of the records is moved together at the front of the arena, so that a variable may lie in several. What each
/// call has dealt with is removed at its end: the arena never holds more than the variables, one small record and what was
/// received last. The outcome does not depend on how the bytes arrive, but for the place where the head ends in the arena.
#[derive(Debug, Default)]
pub struct HeadDecoder {
    records: Records,
    active: Option<Active>,
    /// Bytes of variables at the front of the arena.
    params: usize,
    failed: bool,
}

impl HeadDecoder {
    /// Looks at what was received. True when the variables are complete and `head` is filled; `head.bytes` is where the next
    /// record begins then. Answers to records beside the request are appended to `replies`, also in case of an error.
    ///
    /// The arena begins with what the last call left in it, and has only grown since.
    ///
    /// # Errors
    /// The request is refused. No further byte of the connection may be parsed. If `head.gateway` names the request, it can be
    /// answered by FastCGI.
    pub fn decode(
        &mut self,
        arena: &mut Arena,
        limits: &Limits,
        head: &mut RequestHead,
        replies: &mut Vec<u8>,
    ) -> Result<bool, Error> {
        if self.failed {
            return Err(Error::bad_request("the connection has failed before"));
        }
        let mut at = self.params;
        let outcome = self.records(arena, &mut at, limits, head, replies);
        self.failed = outcome.is_err();
        if outcome.is_err()
            && let Some(active) = self.active
        {
            head.gateway.via = Via::FastCgi(active.id);
        }
        if outcome == Ok(false) {
            arena.remove(self.params, at - self.params);
        }
        outcome
    }

    /// Whether nothing of a request has come yet.
    pub fn is_idle(&self) -> bool {
        self.active.is_none() && self.records.is_between()
    }

    fn records(
        &mut self,
        arena: &mut Arena,
        at: &mut usize,
        limits: &Limits,
        head: &mut RequestHead,
        replies: &mut Vec<u8>,
    ) -> Result<bool, Error> {
        loop {
            match self.records.next(arena.filled(), at, record::PARAMS, self.active, replies)? {
                Next::Nothing => return Ok(false),
                Next::Begin(active) => self.active = Some(active),
                Next::Record(bytes) if self.params + bytes > limits.head_bytes_max => {
                    return Err(Error::client(
                        Kind::HeadTooLarge,
                        "the variables are above their bound (see limit_request_head)",
                    ));
                }
                Next::Record(_) => {}
                Next::Content(bytes) => {
                    arena.filled_mut().copy_within(*at..*at + bytes, self.params);
                    self.params += bytes;
                    *at += bytes;
                }
                Next::End => {
                    self.understand(arena, *at, limits, head)?;
                    return Ok(true);
                }
            }
        }
    }

    fn understand(&self, arena: &mut Arena, end: usize, limits: &Limits, head: &mut RequestHead) -> Result<(), Error> {
        let Some(Active { id, keep_alive }) = self.active else {
            return Err(Error::bad_request("variables of no request"));
        };
        let mut variables = Variables::new(&mut arena.filled_mut()[..self.params], head, limits, Via::FastCgi(id));
        let mut at = 0;
        while at < self.params {
            let Some((name, value)) = params::pair(variables.bytes(), at) else {
                return Err(Error::bad_request("a FastCGI variable goes beyond the end of its stream"));
            };
            variables.take(name, value)?;
            at = value.range().end;
        }
        variables.finish(Mounting::AsTold, end)?;
        head.keep_alive = keep_alive;
        Ok(())
    }
}
