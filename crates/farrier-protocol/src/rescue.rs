//! Turns errors into responses. The only module that maps a kind of error to a status.

use std::borrow::Cow;

use farrier_http::{Error, Kind, ResponseHead, Side, Status};

/// A page for an error, instead of a line of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Its media type.
    pub content_type: &'static str,
    /// Its content.
    pub content: Vec<u8>,
}

/// The status for an error; `None` if no answer can reach the client.
pub fn status_of(error: &Error) -> Option<Status> {
    let code = match error.kind {
        Kind::BadRequest => 400,
        Kind::TargetTooLong => 414,
        Kind::HeadTooLarge => 431,
        Kind::BodyTooLarge => 413,
        Kind::Forbidden => 403,
        Kind::ExpectationFailed => 417,
        Kind::UnknownMethod | Kind::UnknownCoding | Kind::UnknownPacket => 501,
        Kind::UnsupportedVersion => 505,
        Kind::RequestTimeout => 408,
        Kind::TooManyRequests => 429,
        Kind::BadGateway => 502,
        Kind::Overloaded | Kind::Stopping | Kind::NoUpstream => 503,
        Kind::Overdue | Kind::GatewayTimeout => 504,
        Kind::NoRoom => 507,
        Kind::ApplicationFailed | Kind::Internal => 500,
        Kind::Answer(status) => status.0,
        Kind::ClientGone | Kind::WriteTimeout => return None,
    };
    Some(Status(code))
}

/// The status that the access log shows for an error, even if no answer was sent: 499 for a client that left.
pub fn logged_status_of(error: &Error) -> Status {
    status_of(error).unwrap_or(Status(499))
}

/// A whole response for an error: head and content. The content is the error page for the status, or a line of text. It
/// names the cause only if the client is at fault.
pub fn response_to<'a>(
    error: &Error,
    retry_after_s: u64,
    page: impl FnOnce(Status) -> Option<&'a Page>,
) -> Option<(ResponseHead, Cow<'a, [u8]>)> {
    let status = status_of(error)?;
    let mut head = ResponseHead::new(status);
    let (content_type, content) = match page(status) {
        Some(page) => (page.content_type, Cow::Borrowed(&*page.content)),
        None => {
            let mut content = format!("{} {}\n", status.0, status.reason());
            if error.side == Side::Client && !error.cause.is_empty() {
                content.push_str(&error.cause);
                content.push('\n');
            }
            ("text/plain; charset=utf-8", Cow::Owned(content.into_bytes()))
        }
    };
    // These names and values are tokens and digits, so `add` refuses none.
    let _ = head.add(b"Content-Type", content_type.as_bytes());
    let is_temporary = matches!(
        error.kind,
        Kind::Overloaded | Kind::Stopping | Kind::NoUpstream | Kind::TooManyRequests | Kind::Answer(Status(503))
    );
    if is_temporary {
        let _ = head.add(b"Retry-After", retry_after_s.max(1).to_string().as_bytes());
    }
    Some((head, content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_causes_of_server_and_application_errors_stay_in_the_log() {
        let (_, content) = response_to(&Error::application("secret"), 1, |_| None).expect("has a response");
        assert_eq!(&*content, b"500 Internal Server Error\n");
    }

    #[test]
    fn a_page_takes_the_place_of_the_text_and_the_status_stays() {
        let page = Page { content_type: "text/html; charset=utf-8", content: b"<p>gone".to_vec() };
        let found = |status| (status == Status(404)).then_some(&page);
        let (head, content) = response_to(&Error::answer(Status(404)), 1, found).expect("has a response");
        assert_eq!((head.status(), &*content), (Status(404), &b"<p>gone"[..]));
        assert!(head.fields().any(|field| field == (b"Content-Type", b"text/html; charset=utf-8")));
        let (_, content) = response_to(&Error::answer(Status(421)), 1, found).expect("has a response");
        assert_eq!(&*content, b"421 Misdirected Request\n");
    }

    #[test]
    fn a_failure_of_an_upstream_is_a_status_of_gateways() {
        for (kind, code) in [(Kind::BadGateway, 502), (Kind::GatewayTimeout, 504), (Kind::NoUpstream, 503)] {
            let error = Error { kind, side: Side::Upstream, cause: "10.0.0.1 refused".into() };
            let (head, content) = response_to(&error, 3, |_| None).expect("has a response");
            assert_eq!(head.status(), Status(code));
            assert!(!content.windows(4).any(|window| window == b"10.0"), "the cause stays in the log");
            assert_eq!(head.fields().any(|(name, _)| name == b"Retry-After"), code == 503);
        }
    }

    #[test]
    fn an_overloaded_server_sends_retry_after() {
        let error = Error::server(Kind::Overloaded, "queue full");
        let (head, _) = response_to(&error, 3, |_| None).expect("has a response");
        assert!(head.fields().any(|field| field == (b"Retry-After", b"3")));
    }
}
