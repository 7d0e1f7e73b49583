//! Status codes (RFC 9110 §15) that the server itself sends, and their reasons.

/// A three-digit status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Status(pub u16);

impl Status {
    /// Early Hints.
    pub const EARLY_HINTS: Status = Status(103);
    /// Switching Protocols.
    pub const SWITCHING_PROTOCOLS: Status = Status(101);
    /// OK.
    pub const OK: Status = Status(200);
    /// No Content.
    pub const NO_CONTENT: Status = Status(204);
    /// Partial Content.
    pub const PARTIAL_CONTENT: Status = Status(206);
    /// Moved Permanently.
    pub const MOVED_PERMANENTLY: Status = Status(301);
    /// Permanent Redirect: the method stays the same.
    pub const PERMANENT_REDIRECT: Status = Status(308);
    /// Not Modified.
    pub const NOT_MODIFIED: Status = Status(304);
    /// Bad Request.
    pub const BAD_REQUEST: Status = Status(400);
    /// Forbidden.
    pub const FORBIDDEN: Status = Status(403);
    /// Not Found.
    pub const NOT_FOUND: Status = Status(404);
    /// Method Not Allowed.
    pub const METHOD_NOT_ALLOWED: Status = Status(405);
    /// Precondition Failed.
    pub const PRECONDITION_FAILED: Status = Status(412);
    /// Misdirected Request.
    pub const MISDIRECTED: Status = Status(421);
    /// Range Not Satisfiable.
    pub const RANGE_NOT_SATISFIABLE: Status = Status(416);

    /// Whether a response with it has no content, regardless of its fields (RFC 9110 §6.4.1, §15.3.6): 1xx, 204, 205, 304.
    pub fn has_no_content(self) -> bool {
        self.0 < 200 || matches!(self.0, 204 | 205 | 304)
    }

    /// Whether an interim response may have it (RFC 9110 §15.2). 101 is none: it ends HTTP on the connection.
    pub fn is_interim(self) -> bool {
        matches!(self.0, 100 | 102..=199)
    }

    /// The standard reason; empty for a code that is not in the table.
    pub fn reason(self) -> &'static str {
        match self.0 {
            100 => "Continue",
            103 => "Early Hints",
            200 => "OK",
            204 => "No Content",
            206 => "Partial Content",
            301 => "Moved Permanently",
            302 => "Found",
            304 => "Not Modified",
            307 => "Temporary Redirect",
            308 => "Permanent Redirect",
            400 => "Bad Request",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            408 => "Request Timeout",
            412 => "Precondition Failed",
            413 => "Content Too Large",
            414 => "URI Too Long",
            416 => "Range Not Satisfiable",
            417 => "Expectation Failed",
            421 => "Misdirected Request",
            429 => "Too Many Requests",
            431 => "Request Header Fields Too Large",
            500 => "Internal Server Error",
            501 => "Not Implemented",
            502 => "Bad Gateway",
            503 => "Service Unavailable",
            504 => "Gateway Timeout",
            505 => "HTTP Version Not Supported",
            507 => "Insufficient Storage",
            _ => "",
        }
    }
}
