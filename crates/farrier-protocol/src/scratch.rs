//! The reusable buffers of a seat: it uses them for one request after the other, so that serving allocates nothing.

use farrier_http::Request;
use http::HeaderValue;

use farrier_transport::reactor::clock::Date;

/// Size of a seat's arena: a usual head and a small content in one read.
pub const ARENA_ROOM_BYTES: usize = 16 * 1024;

/// A seat's buffers.
pub struct Scratch {
    spare: Option<Box<Request>>,
    /// Buffer for content that does not come with its head.
    content: Vec<u8>,
    /// Staged bytes of a response.
    pub out: Vec<u8>,
    /// The Date field's value.
    pub date: Date,
    /// The values of the Date and Server fields in the form that HTTP/2 needs.
    date_value: Option<HeaderValue>,
    server_value: Option<HeaderValue>,
}

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch::new()
    }
}

impl Scratch {
    /// Empty buffers.
    pub fn new() -> Scratch {
        Scratch {
            spare: None,
            content: Vec::new(),
            out: Vec::new(),
            date: Date::default(),
            date_value: None,
            server_value: None,
        }
    }

    /// The Date field's value.
    pub fn date_value(&mut self) -> Option<HeaderValue> {
        let text = self.date.now();
        if self.date_value.as_ref().is_none_or(|value| value.as_bytes() != text.as_bytes()) {
            self.date_value = HeaderValue::from_str(text).ok();
        }
        self.date_value.clone()
    }

    /// The Server field's value, which never changes.
    pub fn server_value(&mut self, text: &[u8]) -> Option<HeaderValue> {
        if self.server_value.is_none() {
            self.server_value = HeaderValue::from_bytes(text).ok();
        }
        self.server_value.clone()
    }

    /// A buffer to read content into; it still holds what was read last.
    pub fn content_room(&mut self, bytes: usize) -> &mut [u8] {
        if self.content.len() < bytes {
            self.content.resize(bytes, 0);
        }
        &mut self.content[..bytes]
    }

    /// An empty request with a full arena.
    pub fn take_request(&mut self) -> Box<Request> {
        self.spare.take().unwrap_or_else(|| Box::new(Request::with_room(ARENA_ROOM_BYTES)))
    }

    /// Takes back a request that is no longer needed.
    pub fn give_back(&mut self, mut request: Box<Request>) {
        if self.spare.is_none() && request.arena.room() >= ARENA_ROOM_BYTES {
            request.clear(ARENA_ROOM_BYTES);
            self.spare = Some(request);
        }
    }

    /// Makes a request that waits for its answer small, and keeps its memory for the next one. Shrunk in place, it would leave
    /// gaps that are too small for another arena.
    pub fn compact(&mut self, request: &mut Request) {
        let memory = request.arena.compact();
        if self.spare.is_none() && memory.len() >= ARENA_ROOM_BYTES {
            self.spare = Some(Box::new(Request::with_memory(memory)));
        }
    }

    /// Gives away the spare request: a follower has no use for it, but the leader has.
    pub fn take_spare(&mut self) -> Option<Box<Request>> {
        self.spare.take()
    }

    /// Stores a spare request, if there is none; otherwise returns it.
    pub fn put_spare(&mut self, spare: Option<Box<Request>>) -> Option<Box<Request>> {
        if self.spare.is_some() {
            return spare;
        }
        self.spare = spare;
        None
    }
}
