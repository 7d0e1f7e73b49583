//! A whole error response as bytes, for a request whose own seat cannot answer it.

use farrier_http::wire::h1::RequestFacts;
use farrier_http::wire::response_encoder::ServerFields;
use farrier_http::wire::{ResponseAccount, ResponseEncoder};
use farrier_http::{Error, Via};

use crate::rules::Rules;
use farrier_transport::reactor::clock::Date;

/// The response to an error, after which the connection closes; empty if no answer can be sent for the error.
pub fn whole_response(error: &Error, facts: RequestFacts, via: Via, choice: u32, rules: &Rules) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some((head, content)) = rules.response_to(error, choice) {
        let mut encoder = ResponseEncoder::new(RequestFacts { keep_alive: false, ..facts }, via);
        encoder.note(error);
        let mut date = Date::default();
        let fields = ServerFields { date: date.now().as_bytes(), server: &rules.server_header };
        encoder.head(&mut bytes, &head, Some(content.len() as u64), fields, &mut ResponseAccount::default());
        if !facts.is_head && !content.is_empty() {
            encoder.copy(&mut bytes, &content);
        }
        encoder.finish(&mut bytes);
    }
    bytes
}
