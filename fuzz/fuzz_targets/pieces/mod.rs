//! How a fuzzed stream arrives.

/// Sizes of the pieces in which the stream arrives: random, but the same for the same stream, so that a finding is one file.
pub(crate) fn pieces(stream: &[u8]) -> Vec<usize> {
    let mut state = stream
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        1 + (state >> 32) as usize % 24
    })
    .take(stream.len() / 8)
    .collect()
}
