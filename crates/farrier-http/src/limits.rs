//! The limits of a message. Each is a setting; the defaults here are the settings' defaults.

/// Limits of a request, in bytes or counts. A request above one is refused with the status named beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Request line without its CRLF; above it 414.
    pub request_line_bytes_max: usize,
    /// One field line without its CRLF; above it 431.
    pub field_bytes_max: usize,
    /// Number of field lines; above it 431.
    pub fields_max: usize,
    /// The whole head with all line ends; above it 431.
    pub head_bytes_max: usize,
    /// Content after decoding; above it 413.
    pub body_bytes_max: u64,
    /// One chunk's size line, extensions included; above it 400.
    pub chunk_line_bytes_max: usize,
    /// The whole trailer section; above it 400.
    pub trailer_bytes_max: usize,
    /// Accept methods that are longer than 20 bytes or not all upper-case letters and `-` (still RFC 9110 tokens).
    pub permit_unconventional_method: bool,
    /// Accept a value that continues on the next line (RFC 9112 §5.2), except in fields that decide framing or routing.
    pub permit_folding: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            request_line_bytes_max: 8190,
            field_bytes_max: 8190,
            fields_max: 100,
            head_bytes_max: 64 * 1024,
            body_bytes_max: 10 * 1024 * 1024,
            chunk_line_bytes_max: 256,
            trailer_bytes_max: 8190,
            permit_unconventional_method: false,
            permit_folding: false,
        }
    }
}
