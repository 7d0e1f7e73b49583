//! Decodes a uwsgi packet: four bytes of header, then variables as `u16 length, name, u16 length, value`, little-endian.

use crate::error::{Error, Kind};
use crate::field::Span;
use crate::gateway::Via;
use crate::limits::Limits;
use crate::request::RequestHead;
use crate::wire::variables::{Mounting, Variables};

/// A complete packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketKind {
    /// A request; the head is filled.
    Request,
    /// A ping, which [`super::encode::PONG`] answers.
    Ping,
}

/// Decodes one packet. A connection has one.
///
/// The packet begins with its size, so nothing is read between the header and the packet's end. The result depends only
/// on the bytes, and each byte is read once. After an error the decoder refuses everything.
#[derive(Debug, Default)]
pub struct HeadDecoder {
    failed: bool,
}

/// `modifier1, size, size, modifier2`.
const HEADER_BYTES: usize = 4;

/// A WSGI request.
const REQUEST: u8 = 0;
/// A WSGI request whose PATH_INFO still begins with SCRIPT_NAME.
const REQUEST_WITH_SCRIPT_NAME: u8 = 30;
/// A ping.
const PING: u8 = 100;

/// The first bytes of HTTP clients. None of these is a uwsgi packet of an assigned kind and a valid size.
const HTTP_BEGINNINGS: [&[u8; 4]; 10] =
    [b"GET ", b"HEAD", b"POST", b"PUT ", b"PATC", b"DELE", b"OPTI", b"CONN", b"TRAC", b"PRI "];

impl HeadDecoder {
    /// Decodes all bytes received so far, which begin with the connection's first one and only grow between calls.
    /// `None` until the packet is complete. Names of fields are rewritten in `bytes`, in HTTP's spelling.
    ///
    /// # Errors
    /// The packet is refused. No further byte of the connection may be parsed.
    pub fn decode(
        &mut self,
        bytes: &mut [u8],
        limits: &Limits,
        head: &mut RequestHead,
    ) -> Result<Option<PacketKind>, Error> {
        if self.failed {
            return Err(Error::bad_request("the connection has failed before"));
        }
        let outcome = packet(bytes, limits, head);
        self.failed = outcome.is_err();
        outcome
    }
}

fn packet(bytes: &mut [u8], limits: &Limits, head: &mut RequestHead) -> Result<Option<PacketKind>, Error> {
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let [modifier, low, high, _] = *header;
    let size = usize::from(u16::from_le_bytes([low, high]));
    if HTTP_BEGINNINGS.contains(&header) {
        return Err(Error::bad_request(
            "this address speaks the uwsgi protocol and not HTTP (see bind and protocol; protocol auto takes both)",
        ));
    }
    let mounting = match modifier {
        REQUEST => Mounting::AsTold,
        REQUEST_WITH_SCRIPT_NAME => Mounting::StripScriptName,
        PING if size == 0 => return Ok(Some(PacketKind::Ping)),
        _ => return Err(Error::client(Kind::UnknownPacket, "a uwsgi packet whose modifier1 is none of 0, 30 and 100")),
    };
    if size + HEADER_BYTES > limits.head_bytes_max {
        return Err(Error::client(
            Kind::HeadTooLarge,
            "the block of variables is above its bound (see limit_request_head)",
        ));
    }
    if size == 0 {
        return Err(Error::bad_request("the block of variables is empty"));
    }
    let end = HEADER_BYTES + size;
    let Some(block) = bytes.get_mut(..end) else { return Ok(None) };
    let mut variables = Variables::new(block, head, limits, Via::Uwsgi);
    let mut at = HEADER_BYTES;
    while at < end {
        let name = item(variables.bytes(), at)?;
        let value = item(variables.bytes(), name.range().end)?;
        variables.take(name, value)?;
        at = value.range().end;
    }
    variables.finish(mounting, end)?;
    Ok(Some(PacketKind::Request))
}

/// The item whose length is at `at`.
fn item(block: &[u8], at: usize) -> Result<Span, Error> {
    let length = block.get(at..).and_then(|rest| rest.first_chunk::<2>()).map(|length| u16::from_le_bytes(*length));
    let start = at + 2;
    match length.map(|length| start + usize::from(length)) {
        Some(end) if end <= block.len() => Ok(Span::new(start, end)),
        _ => Err(Error::bad_request("a variable goes beyond the end of its block")),
    }
}
