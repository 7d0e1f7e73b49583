//! Turns errors into responses. The only room that maps a kind of error to a status.

use farrier_http::{Error, Kind, ResponseHead, Side, Status};

/// The status for an error; `None` where no answer can reach anybody.
pub fn status_of(error: &Error) -> Option<Status> {
    let code = match error.kind {
        Kind::BadRequest => 400,
        Kind::TargetTooLong => 414,
        Kind::HeadTooLarge => 431,
        Kind::BodyTooLarge => 413,
        Kind::Forbidden => 403,
        Kind::ExpectationFailed => 417,
        Kind::UnknownCoding | Kind::UnknownPacket => 501,
        Kind::UnsupportedVersion => 505,
        Kind::RequestTimeout => 408,
        Kind::TooManyRequests => 429,
        Kind::Overloaded | Kind::Stopping => 503,
        Kind::Overdue => 504,
        Kind::NoRoom => 507,
        Kind::ApplicationFailed | Kind::Internal => 500,
        Kind::ClientGone | Kind::WriteTimeout => return None,
    };
    Some(Status(code))
}

/// What the access log shows for an error, also where no answer was sent: 499 for a client that left.
pub fn logged_status_of(error: &Error) -> Status {
    status_of(error).unwrap_or(Status(499))
}

/// A whole response for an error: head and content. The cause is told to the client only where it is the client's.
pub fn response_to(error: &Error, retry_after_s: u64) -> Option<(ResponseHead, Vec<u8>)> {
    let status = status_of(error)?;
    let mut head = ResponseHead::new(status);
    let mut content = format!("{} {}\n", status.0, status.reason());
    if error.side == Side::Client {
        content.push_str(&error.cause);
        content.push('\n');
    }
    // These names and values are tokens and digits; `add` has nothing to refuse.
    let _ = head.add(b"Content-Type", b"text/plain; charset=utf-8");
    if matches!(error.kind, Kind::Overloaded | Kind::Stopping | Kind::TooManyRequests) {
        let _ = head.add(b"Retry-After", retry_after_s.max(1).to_string().as_bytes());
    }
    Some((head, content.into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_causes_of_server_and_application_errors_stay_in_the_log() {
        let (_, content) = response_to(&Error::application("secret"), 1).expect("has a response");
        assert_eq!(content, b"500 Internal Server Error\n");
    }

    #[test]
    fn an_overloaded_server_says_when_to_come_back() {
        let error = Error::server(Kind::Overloaded, "queue full");
        let (head, _) = response_to(&error, 3).expect("has a response");
        assert!(head.fields().any(|field| field == (b"Retry-After", b"3")));
    }
}
