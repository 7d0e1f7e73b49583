//! A whole error response as bytes, for a request whose own seat cannot answer it.

use farrier_http::wire::h1::RequestFacts;
use farrier_http::wire::h1::encode::encode_head;
use farrier_http::wire::h1::framing::response_framing;
use farrier_http::wire::uwsgi;
use farrier_http::{Error, Via};

use crate::protocol::response_form::ResponseForm;
use crate::reactor::clock::Date;
use crate::rules::Rules;

/// The response to an error, after which the connection closes; empty for an error that nobody can be told.
pub(crate) fn whole_response(error: &Error, facts: RequestFacts, via: Via, choice: u32, rules: &Rules) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some((head, content)) = rules.response_to(error, choice) {
        let facts = RequestFacts { keep_alive: false, ..facts };
        let framing = response_framing(facts, &head, Some(content.len() as u64));
        let content = if facts.is_head { &[][..] } else { &content };
        let mut form = ResponseForm::of(via);
        form.note(error);
        match &mut form {
            ResponseForm::Http => {
                let mut date = Date::default();
                encode_head(&mut bytes, &head, framing, facts, false, date.now().as_bytes(), &rules.server_header);
                bytes.extend_from_slice(content);
            }
            ResponseForm::Uwsgi => {
                uwsgi::encode::encode_head(&mut bytes, &head, framing);
                bytes.extend_from_slice(content);
            }
            ResponseForm::FastCgi(stdout) => {
                stdout.head(&mut bytes, &head, framing);
                bytes.extend_from_slice(content);
                stdout.close(&mut bytes, 0);
                stdout.end(&mut bytes);
            }
        }
    }
    bytes
}
