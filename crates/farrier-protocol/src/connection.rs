//! One accepted connection while it waits: small, and without a buffer unless it holds part of a message.

use std::sync::Arc;

use farrier_http::pipe::PipeSource;
use farrier_http::{Limits, Origin, Plan, Request};

use crate::admission::Opening;
use crate::after_response::AfterResponse;
use crate::exchanging::Exchanging;
use crate::h2::session::Session;
use crate::h2::stream::StreamLink;
use crate::reader::{ContentReader, HeadReader};
use crate::rules::Rules;
use crate::tunnel;
use crate::upload::{Inlet, Turn, Upload, UploadStatus};
use farrier_transport::link::Link;
use farrier_transport::reactor::slots::Endpoint;
use farrier_transport::reactor::token::Token;
use farrier_transport::spool::Sink;

/// A connection. Exactly one seat owns it, or the leader's table while it waits.
pub struct Connection {
    /// Its name in the poller and the slots.
    pub token: Token,
    /// Its socket and what is unsent.
    pub link: Arc<Link>,
    /// Peer and listener.
    pub origin: Origin,
    /// The protocols that may be used on it.
    pub opening: Opening,
    /// What it does now.
    pub phase: Phase,
    /// When waiting ends in a time-out, in ms of the worker's clock.
    pub deadline_ms: u64,
    /// Requests answered.
    pub requests: u64,
    /// There may be bytes to read that no event will announce again.
    pub readable: bool,
    /// The client has ended its direction: reading continues until the end is reached.
    pub ended: bool,
    /// The client has hung up or reset the connection. The poller says so once, and it may say so together with a request.
    pub hung_up: bool,
    /// This represents one stream of an HTTP/2 connection, which has the same token and link. It is never in the
    /// leader's table.
    pub stream: Option<Arc<StreamLink>>,
    /// This represents a request whose content is still read. The connection itself, which has the same token and link,
    /// is in the leader's table.
    pub upload: Option<Arc<UploadStatus>>,
}

impl Endpoint for Connection {
    type Link = Link;

    fn token(&self) -> Token {
        self.token
    }

    fn link(&self) -> &Arc<Link> {
        &self.link
    }
}

impl Connection {
    /// Represents one stream of an HTTP/2 connection while its request is handled.
    pub fn of_stream(token: Token, link: Arc<Link>, origin: Origin, stream: Arc<StreamLink>) -> Connection {
        Connection {
            token,
            link,
            origin,
            opening: Opening::http2(),
            phase: Phase::Idle,
            deadline_ms: u64::MAX,
            requests: 0,
            readable: false,
            ended: false,
            hung_up: false,
            stream: Some(stream),
            upload: None,
        }
    }

    /// Reads more of the content that a seat or an exchange takes as it arrives.
    pub fn read_upload(&mut self, upload: &mut Upload, rules: &Rules) -> Turn {
        let mut inlet = Inlet { is_readable: self.readable, has_ended: self.ended };
        let turn = upload.advance(&self.link, &mut inlet, rules);
        self.readable = inlet.is_readable;
        turn
    }

    /// Reads what the client sends after a change of protocol. True: there was something.
    pub fn read_tunnel(&mut self, source: &PipeSource) -> bool {
        let mut inlet = Inlet { is_readable: self.readable, has_ended: self.ended };
        let has_read = tunnel::read(&self.link, &mut inlet, source);
        self.readable = inlet.is_readable;
        has_read
    }

    /// Represents a request of this connection while its content is still read.
    pub fn for_upload(&self, upload: Arc<UploadStatus>) -> Connection {
        let Connection { token, link, origin, opening, requests, .. } = self;
        Connection {
            token: *token,
            link: Arc::clone(link),
            origin: *origin,
            opening: *opening,
            phase: Phase::Idle,
            deadline_ms: u64::MAX,
            requests: *requests,
            readable: false,
            ended: false,
            hung_up: false,
            stream: None,
            upload: Some(upload),
        }
    }
}

/// What a connection waits for.
pub enum Phase {
    /// The first byte of a request.
    Idle,
    /// The rest of a head.
    Head(Box<PartialHead>),
    /// The rest of the content.
    Content(Box<PartialContent>),
    /// The rest of the content, which a seat takes as it arrives.
    Streaming(Box<Upload>),
    /// An exchange that answers the request.
    Exchange(Box<Exchanging>),
    /// The client to take the rest of a response.
    Flushing {
        /// What follows the response.
        then: AfterResponse,
        /// Bytes of the next request that came with the last one.
        next: Option<Box<PartialHead>>,
    },
    /// HTTP/2 is spoken, until the session ends.
    Http2(Box<Session>),
    /// The client to close, so that it can read the answer before a reset discards it.
    Lingering {
        /// Bytes that may still be read.
        left_bytes: u64,
    },
}

/// A head whose end is missing.
pub struct PartialHead {
    /// What is known of the request.
    pub request: Box<Request>,
    /// Its decoder.
    pub reader: HeadReader,
    /// When its first byte came, in ms.
    pub since_ms: u64,
}

/// A request whose content is incomplete. The arena holds the head, and behind it input that is not decoded yet.
pub struct PartialContent {
    /// What is known of the request.
    pub request: Box<Request>,
    /// The handler's plan, once the handler was asked.
    pub plan: Option<Plan>,
    /// Its decoder.
    pub reader: ContentReader,
    /// Its limits, if its mount has limits of its own.
    pub limits: Option<Box<Limits>>,
    /// Where its content goes.
    pub sink: Sink,
    /// When the head was complete, in ms.
    pub since_ms: u64,
    /// Bytes of the connection received for this content, for the minimum rate.
    pub received_bytes: u64,
    /// All of it has come.
    pub is_complete: bool,
    /// Since when it waits for the disk rather than for the client, in ms.
    pub disk_since_ms: Option<u64>,
}
