//! Writes a forwarded request for a uwsgi or a FastCGI upstream.

use std::borrow::Cow;

use farrier_http::Request;
use farrier_http::wire::client::fastcgi_encode::{append_pair, encode_begin, encode_params};
use farrier_http::wire::client::uwsgi::{append_variable, begin_packet, end_packet};
use farrier_http::wire::client::{Fault, FaultKind};

use crate::request::{Facts, Refused, RequestPolicy};
use crate::variables::{FastCgiFacts, Params, Variables};

/// The size of uWSGI's buffer for variables, where its option `buffer-size` is not set, in bytes.
const UWSGI_BUFFER_BYTES: usize = 4096;

/// Appends a uwsgi packet. The content follows as it is. The bytes of variables in it, for [`explain_unanswered`].
///
/// # Errors
/// The request is not forwarded, or its variables are too large for a packet. Nothing is appended.
pub fn encode_uwsgi(
    out: &mut Vec<u8>,
    request: &Request,
    policy: &RequestPolicy,
    params: &Params,
    facts: &Facts<'_>,
    variables: &mut Variables,
) -> Result<usize, Refused> {
    let start = begin_packet(out);
    let outcome =
        variables.give(request, policy, params, facts, None, &mut |name, value| append_variable(out, name, value));
    if outcome.is_err() {
        out.truncate(start);
    }
    outcome?;
    Ok(end_packet(out, start)?)
}

/// Appends the beginning of a FastCGI request and its variables. The content follows in records, and their end.
///
/// # Errors
/// The request is not forwarded. Nothing is appended.
pub fn encode_fastcgi(
    out: &mut Vec<u8>,
    request: &Request,
    policy: &RequestPolicy,
    params: &Params,
    facts: &Facts<'_>,
    fastcgi: &FastCgiFacts<'_>,
    variables: &mut Variables,
) -> Result<(), Refused> {
    let mut pairs = Vec::with_capacity(1024);
    variables.give(request, policy, params, facts, Some(fastcgi), &mut |name, value| {
        append_pair(&mut pairs, name, value);
        Ok(())
    })?;
    encode_begin(out, !facts.is_last);
    encode_params(out, &pairs);
    Ok(())
}

/// A fault of a uwsgi upstream, with the usual reason for a connection that is closed without an answer.
pub fn explain_unanswered(fault: Fault, block_bytes: usize) -> Fault {
    if fault.kind != FaultKind::Unanswered || block_bytes <= UWSGI_BUFFER_BYTES {
        return fault;
    }
    let cause = format!(
        "{}; the request's variables are {block_bytes} bytes, and uWSGI takes {UWSGI_BUFFER_BYTES} unless its option \
         buffer-size is larger",
        fault.cause
    );
    Fault { cause: Cow::Owned(cause), ..fault }
}
