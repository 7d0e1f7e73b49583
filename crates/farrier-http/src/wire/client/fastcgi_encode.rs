//! Writes the records of a FastCGI request (FastCGI 1.0 §3.3, §5).
//!
//! A request is its beginning, all variables, and the stream of content: [`encode_begin`], [`append_pair`] for each variable into a
//! buffer and then [`encode_params`], [`encode_stdin_header`] before each piece of content, and [`encode_stdin_end`].

use crate::wire::fastcgi::encode::{RECORD_BYTES_MAX, begin_record, end_record};
use crate::wire::fastcgi::record;

/// The id of the only request on a connection.
pub const REQUEST_ID: u16 = 1;

/// Appends the beginning of a request in the role of a responder. `keep_connection`: the application leaves the connection open.
pub fn encode_begin(out: &mut Vec<u8>, keep_connection: bool) {
    let start = begin_record(out, record::BEGIN_REQUEST, REQUEST_ID);
    let [high, low] = record::RESPONDER.to_be_bytes();
    let flags = if keep_connection { record::KEEP_CONN } else { 0 };
    out.extend_from_slice(&[high, low, flags, 0, 0, 0, 0, 0]);
    end_record(out, start);
}

/// Appends a variable to the buffer of variables (§3.4): lengths below 128 in one byte, others in four.
pub fn append_pair(params: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for length in [name.len(), value.len()] {
        match u8::try_from(length) {
            Ok(length @ 0..=127) => params.push(length),
            // Values are bounded by the limits on heads, far below 31 bits.
            _ => params.extend_from_slice(&(length as u32 | 1 << 31).to_be_bytes()),
        }
    }
    params.extend_from_slice(name);
    params.extend_from_slice(value);
}

/// Appends all variables in as many records as they need, and the end of their stream.
pub fn encode_params(out: &mut Vec<u8>, params: &[u8]) {
    for piece in params.chunks(RECORD_BYTES_MAX) {
        let start = begin_record(out, record::PARAMS, REQUEST_ID);
        out.extend_from_slice(piece);
        end_record(out, start);
    }
    begin_record(out, record::PARAMS, REQUEST_ID);
}

/// Appends what stands before a piece of content that is not copied, and returns how many bytes of it belong there: at most
/// [`RECORD_BYTES_MAX`]. `bytes` is not 0, which would end the stream.
pub fn encode_stdin_header(out: &mut Vec<u8>, bytes: usize) -> usize {
    debug_assert!(bytes > 0, "an empty record ends the stream");
    let bytes = bytes.min(RECORD_BYTES_MAX);
    let start = begin_record(out, record::STDIN, REQUEST_ID);
    crate::wire::fastcgi::encode::end_record_before(out, start, bytes);
    bytes
}

/// Appends the end of the content.
pub fn encode_stdin_end(out: &mut Vec<u8>) {
    begin_record(out, record::STDIN, REQUEST_ID);
}

/// Appends the word that the request is given up (§5.4). Few applications act on it, so the connection is closed as well.
pub fn encode_abort(out: &mut Vec<u8>) {
    begin_record(out, record::ABORT_REQUEST, REQUEST_ID);
}
