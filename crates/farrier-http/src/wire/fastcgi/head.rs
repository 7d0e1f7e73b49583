//! Decodes the beginning of a request: its first record, and the stream of variables in any number of records.

use super::params;
use super::record::{self, Active, Next, Records};
use crate::error::{Error, Kind};
use crate::gateway::Via;
use crate::limits::Limits;
use crate::request::{Arena, RequestHead};
use crate::wire::variables::{Mounting, Variables};

/// Decodes one request's variables. The stream of content follows them in the arena: see [`super::StdinDecoder`].
///
/// The content of the records is joined at the front of the arena, so that a variable may span several records. Each
/// call removes the bytes that it has handled: the arena never holds more than the variables, one small record and the
/// bytes received last. The result does not depend on how the bytes arrive, except for the position where the head ends
/// in the arena.
#[derive(Debug, Default)]
pub struct HeadDecoder {
    records: Records,
    active: Option<Active>,
    /// Bytes of variables at the front of the arena.
    params: usize,
    failed: bool,
}

impl HeadDecoder {
    /// Decodes the received bytes. True when the variables are complete and `head` is filled; then `head.bytes` is
    /// where the next record begins. Answers to management records are appended to `replies`, even if there is an
    /// error.
    ///
    /// The arena begins with the bytes that the last call left, and has only grown since.
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

    /// Whether no byte of a request has arrived yet.
    pub fn is_idle(&self) -> bool {
        self.active.is_none() && self.records.is_between()
    }

    /// The request that has begun.
    pub fn request_id(&self) -> Option<u16> {
        self.active.map(|active| active.id)
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
