//! A connection that has switched protocols: what its client sends are bytes for the other side.

use std::cell::RefCell;

use bytes::Bytes;
use farrier_http::pipe::PipeSource;

use crate::upload::Inlet;
use farrier_transport::link::Link;
use farrier_transport::moved::Received;

/// Bytes of one read.
const READ_BYTES: usize = 16 * 1024;

/// Bytes that wait between the two sides; a tunnel that is idle has none.
pub const PIPE_BYTES: usize = 32 * 1024;

thread_local! {
    /// Memory that all tunnels of a thread use in turn.
    static INBOX: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Reads what the client has sent, if there is room for it. True: there was something.
pub(crate) fn read(link: &Link, inlet: &mut Inlet, source: &PipeSource) -> bool {
    if !inlet.is_readable || !source.has_room() {
        return false;
    }
    INBOX.with_borrow_mut(|inbox| {
        inbox.resize(READ_BYTES, 0);
        match link.receive(inbox) {
            Received::Bytes(count) => {
                inlet.is_readable = count == inbox.len() || inlet.has_ended;
                source.push(Bytes::copy_from_slice(&inbox[..count]));
                return true;
            }
            Received::Nothing => {
                inlet.is_readable = false;
                return false;
            }
            Received::End => source.finish(),
            Received::Plain(_) | Received::Broken => link.set_gone(),
        }
        inlet.is_readable = false;
        true
    })
}
