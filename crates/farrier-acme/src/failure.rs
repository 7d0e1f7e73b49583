//! Why an order failed: a message, and what it means for the next try.

use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use instant_acme::{Error, Problem};

use crate::state::StateError;

/// A failed order.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The message, with the authority's own text.
    pub(crate) reason: String,
    /// The authority may have counted it as a failure: it could not validate a name, or did not issue the certificate
    /// after validation.
    pub(crate) counts: bool,
    /// The pause that it asked for.
    pub(crate) wait: Option<Duration>,
    /// Another kind of challenge might succeed.
    pub(crate) is_validation: bool,
    /// The authority does not know the account any more.
    pub(crate) lost_account: bool,
}

impl Failure {
    /// A failure that the authority cannot have counted.
    pub(crate) fn of_ours(reason: impl Into<String>) -> Failure {
        Failure { reason: reason.into(), counts: false, wait: None, is_validation: false, lost_account: false }
    }

    /// The authority could not validate the challenge.
    pub(crate) fn of_validation(reason: impl Into<String>) -> Failure {
        Failure { counts: true, is_validation: true, ..Failure::of_ours(reason) }
    }

    /// The same failure, which the authority may have counted.
    pub(crate) fn counted(self) -> Failure {
        Failure { counts: true, ..self }
    }

    /// The library's error as a message.
    ///
    /// # Arguments
    ///
    /// `doing` completes "while ".
    pub(crate) fn of(error: &Error, doing: &str, wait: Option<Duration>) -> Failure {
        let said = match error {
            Error::Api(problem) => format!("the authority refused while {doing}: {}", words(problem)),
            Error::Timeout(_) => format!("the authority took too long while {doing}"),
            other => format!("failed while {doing}: {}", with_causes(other)),
        };
        let kind = match error {
            Error::Api(problem) => problem.r#type.as_deref().unwrap_or_default(),
            _ => "",
        };
        Failure { wait, lost_account: kind.ends_with(":accountDoesNotExist"), ..Failure::of_ours(said) }
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Failure {
        Failure::of_ours(error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// A problem document (RFC 7807) on one line.
pub(crate) fn words(problem: &Problem) -> String {
    let kind = problem.r#type.as_deref().unwrap_or_default().rsplit(':').next().unwrap_or_default();
    let detail = problem.detail.as_deref().unwrap_or("no detail");
    let mut text = if kind.is_empty() { detail.to_owned() } else { format!("{detail} ({kind})") };
    for part in &problem.subproblems {
        text.push_str("; ");
        text.push_str(&part.to_string());
    }
    clean(&text)
}

/// One line of bounded length, because the text comes from the network.
fn clean(text: &str) -> String {
    text.chars().take(1_000).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn with_causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        // Some libraries repeat the cause in their own message.
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = inner.source();
    }
    clean(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_s_text_is_one_line() {
        let problem: Problem = Problem {
            r#type: Some("urn:ietf:params:acme:error:rateLimited".to_owned()),
            detail: Some("too many\nnew orders".to_owned()),
            status: Some(429),
            subproblems: Vec::new(),
        };
        let failure = Failure::of(&Error::Api(problem), "ordering", Some(Duration::from_secs(7)));
        assert_eq!(failure.to_string(), "the authority refused while ordering: too many new orders (rateLimited)");
        assert!(!failure.is_validation && failure.wait == Some(Duration::from_secs(7)));
    }

    #[test]
    fn only_what_came_after_the_proof_is_counted() {
        assert!(!Failure::of(&Error::Str("none"), "ordering", None).counts);
        assert!(Failure::of(&Error::Str("none"), "asking for the certificate", None).counted().counts);
        assert!(Failure::of_validation("not seen").counts);
    }

    #[test]
    fn an_authority_that_cannot_be_reached_has_counted_nothing() {
        let error = Error::Other("connection refused".into());
        assert!(!Failure::of(&error, "ordering", None).counts);
    }
}
