//! Answers a web server's questions about the application (§4.1).

use super::{encode, params, record};
use crate::error::Error;

/// The number of concurrent connections and requests to report: the default of a worker. Nothing depends on it.
const ROOM: &[u8] = b"10000";

/// Appends the answer to a GET_VALUES record.
///
/// # Errors
/// The question is malformed.
pub(super) fn answer(question: &[u8], replies: &mut Vec<u8>) -> Result<(), Error> {
    let start = encode::begin_record(replies, record::GET_VALUES_RESULT, 0);
    let mut at = 0;
    let mut told = [false; 3];
    while at < question.len() {
        let Some((name, value)) = params::pair(question, at) else {
            return Err(Error::bad_request("a FastCGI variable goes beyond the end of its record"));
        };
        at = value.range().end;
        let name = &question[name.range()];
        // Unknown names are left out of the answer; a name that is asked twice is answered once.
        let rows: [(&[u8], &[u8]); 3] =
            [(b"FCGI_MAX_CONNS", ROOM), (b"FCGI_MAX_REQS", ROOM), (b"FCGI_MPXS_CONNS", b"0")];
        for (row, told) in rows.iter().zip(&mut told) {
            if row.0 == name && !std::mem::replace(told, true) {
                replies.extend_from_slice(&[name.len() as u8, row.1.len() as u8]);
                replies.extend_from_slice(name);
                replies.extend_from_slice(row.1);
            }
        }
    }
    encode::end_record(replies, start);
    Ok(())
}
