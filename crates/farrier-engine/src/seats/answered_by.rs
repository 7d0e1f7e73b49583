//! Who answers a request: the server itself, or a seat that calls the application.

/// Who answers a request, as [`Plan`](farrier_http::Plan) has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnsweredBy {
    /// The server itself, at once.
    Server,
    /// The server itself; the request is neither counted nor logged.
    ServerUnseen,
    /// A seat, which calls the application.
    Seat,
}
