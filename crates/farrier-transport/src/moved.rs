//! The results of writing to a client and of reading from it.

/// The result of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The kernel has everything.
    All,
    /// Data waits for the client: so many bytes as copies, and perhaps files and content kept by reference.
    Unsent(u64),
    /// The client is gone, or a file has changed.
    Broken,
}

/// The result of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// So many unencrypted bytes, where TLS should have begun. The connection goes on without TLS.
    Plain(usize),
    /// The client sends no more.
    End,
    /// The connection is broken.
    Broken,
}
