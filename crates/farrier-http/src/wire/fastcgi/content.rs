//! Decodes a request's content: the stream STDIN, whose length CONTENT_LENGTH may declare.

use super::record::{self, Active, Next, Records};
use crate::error::{Error, Kind};
use crate::gateway::Via;
use crate::limits::Limits;
use crate::request::{BodyFraming, RequestHead};
use crate::wire::h1::Decoded;

/// Decodes the content of one request. As with the head, the result depends only on the bytes, not on how they arrive.
/// After an error the decoder refuses everything.
#[derive(Debug, Clone)]
pub struct StdinDecoder {
    records: Records,
    active: Active,
    /// The value of CONTENT_LENGTH.
    length: Option<u64>,
    total: u64,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    Done,
    Failed,
}

impl StdinDecoder {
    /// A decoder for the content that follows a head.
    ///
    /// # Errors
    /// The declared length is above `limits.body_bytes_max`.
    pub fn new(head: &RequestHead, limits: &Limits) -> Result<Self, Error> {
        let length = match head.framing {
            BodyFraming::Length(length) => Some(length),
            _ => None,
        };
        if length.is_some_and(|length| length > limits.body_bytes_max) {
            return Err(TOO_LARGE);
        }
        let id = match head.gateway.via {
            Via::FastCgi(id) => id,
            _ => 0,
        };
        let active = Active { id, keep_alive: head.keep_alive };
        Ok(StdinDecoder { records: Records::default(), active, length, total: 0, stage: Stage::Open })
    }

    /// Decodes from the front of `input` and stops after one run of content. Call it again with the rest, followed by
    /// new bytes. If it consumes nothing and is not done, more bytes are needed.
    ///
    /// # Errors The protocol is violated, a limit is exceeded, the length is not the declared one, or the web server
    /// aborts.
    pub fn decode(&mut self, input: &[u8], limits: &Limits, replies: &mut Vec<u8>) -> Result<Decoded, Error> {
        let outcome = self.step(input, limits, replies);
        if outcome.is_err() {
            self.stage = Stage::Failed;
        }
        outcome
    }

    fn step(&mut self, input: &[u8], limits: &Limits, replies: &mut Vec<u8>) -> Result<Decoded, Error> {
        match self.stage {
            Stage::Open => {}
            Stage::Done => return Ok(Decoded { consumed: 0, content: 0..0, done: true }),
            Stage::Failed => return Err(Error::bad_request("the connection has failed before")),
        }
        let mut at = 0;
        loop {
            match self.records.next(input, &mut at, record::STDIN, Some(self.active), replies)? {
                Next::Nothing => return Ok(Decoded { consumed: at, content: at..at, done: false }),
                Next::Record(bytes) => {
                    self.total += bytes as u64;
                    if self.length.is_some_and(|length| self.total > length) {
                        return Err(Error::bad_request("the content is longer than CONTENT_LENGTH says"));
                    }
                    if self.total > limits.body_bytes_max {
                        return Err(TOO_LARGE);
                    }
                }
                Next::Content(bytes) => {
                    return Ok(Decoded { consumed: at + bytes, content: at..at + bytes, done: false });
                }
                Next::End => {
                    if self.length.is_some_and(|length| self.total < length) {
                        return Err(Error::bad_request("the content is shorter than CONTENT_LENGTH says"));
                    }
                    self.stage = Stage::Done;
                    return Ok(Decoded { consumed: at, content: at..at, done: true });
                }
                // A request is active, so no other can begin.
                Next::Begin(_) => {}
            }
        }
    }
}

const TOO_LARGE: Error = Error::client(Kind::BodyTooLarge, "the content is above its bound (see limit_request_body)");
