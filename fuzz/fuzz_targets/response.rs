//! Any bytes, as the answers of an HTTP/1.x or a uwsgi upstream: what they say may not depend on how they arrive, and nothing
//! panics.

#![no_main]

use libfuzzer_sys::fuzz_target;

mod pieces;
#[path = "../../crates/farrier-http/tests/response_connection/mod.rs"]
mod response_connection;

fuzz_target!(|stream: &[u8]| {
    response_connection::check(stream, &pieces::pieces(stream));
});
