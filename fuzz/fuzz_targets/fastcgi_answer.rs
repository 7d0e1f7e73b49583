//! Any bytes, as the answer of a FastCGI application: what they say may not depend on how they arrive, and nothing panics.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/farrier-http/tests/fastcgi_answer/mod.rs"]
mod fastcgi_answer;
mod pieces;

fuzz_target!(|stream: &[u8]| {
    fastcgi_answer::check(stream, &pieces::pieces(stream));
});
