//! What a connection does after a response.

/// What follows a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterResponse {
    /// The next request.
    KeepAlive,
    /// The end of the connection.
    Close,
    /// The end of the connection, once the client had a moment to read.
    Linger,
}
