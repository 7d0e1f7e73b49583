//! Any bytes, as a request that a proxy forwards: every upstream gets one well-formed request, and nothing panics. The first two
//! bytes choose the policy.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/farrier-proxy/tests/any_request/mod.rs"]
mod any_request;

fuzz_target!(|input: &[u8]| {
    if let Some((flags, request)) = input.split_first_chunk::<2>() {
        any_request::check(u16::from_le_bytes(*flags), request);
    }
});
