//! Any bytes, as a whole HTTP/1.1 connection: what they say may not depend on how they arrive, and nothing panics.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/farrier-http/tests/h1_connection/mod.rs"]
mod h1_connection;
mod pieces;

fuzz_target!(|stream: &[u8]| {
    h1_connection::check(stream, &pieces::pieces(stream));
});
