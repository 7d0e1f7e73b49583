//! What came of writing to a client and of reading from it.

/// What a write came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The kernel has everything.
    All,
    /// Something waits for the client: so many bytes as copies, and perhaps files and content kept by reference.
    Unsent(u64),
    /// The client is gone, or a file is not what was promised.
    Broken,
}

/// What a read came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// So many bytes in the clear, where TLS should have begun. The connection goes on in the clear.
    Plain(usize),
    /// The client sends no more.
    End,
    /// The connection is broken.
    Broken,
}
