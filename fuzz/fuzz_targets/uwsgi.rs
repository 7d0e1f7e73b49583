//! Any bytes, as a uwsgi packet with content: what they say may not depend on how they arrive, and nothing panics.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/farrier-http/tests/gateway_connection/mod.rs"]
mod gateway_connection;
mod pieces;

fuzz_target!(|stream: &[u8]| {
    gateway_connection::check(gateway_connection::Codec::Uwsgi, stream, &pieces::pieces(stream));
});
