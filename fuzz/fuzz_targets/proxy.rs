//! Any bytes, as the beginning of a connection with a PROXY header: every part of it must agree with the whole, and nothing
//! panics.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/farrier-http/tests/proxy_header/mod.rs"]
mod proxy_header;

fuzz_target!(|stream: &[u8]| proxy_header::check(stream));
