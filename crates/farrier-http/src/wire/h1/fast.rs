//! The fast path for a head that is wholly there: `httparse` finds the lines, and what it lets through is re-checked.
//!
//! It accepts or it declines, it never refuses: what it declines goes to the line-by-line decoder, which names the error.
//! What it accepts, that decoder accepts with the same result; a property test and a fuzz target hold it to that.

use std::mem::MaybeUninit;

use super::{request_line, target};
use crate::field::{Field, KnownField, Span};
use crate::limits::Limits;
use crate::request::{RequestHead, Version};

/// Heads with more fields than this are left to the slow path.
const FIELDS_MAX: usize = 100;

/// Fills `head` with request line, fields and length, if the head is complete and clean. False: nothing is known.
pub(super) fn fill(bytes: &[u8], limits: &Limits, head: &mut RequestHead) -> bool {
    let mut slots = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let slots = &mut slots[..limits.fields_max.min(FIELDS_MAX)];
    let mut request = httparse::Request::new(&mut []);
    let Ok(httparse::Status::Complete(end)) = request.parse_with_uninit_headers(bytes, slots) else {
        return false;
    };
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return false;
    };
    let offset = |part: &[u8]| part.as_ptr().addr() - bytes.as_ptr().addr();

    // httparse skips any number of empty lines; one is allowed.
    let start = offset(method.as_bytes());
    if !(start == 0 || start == 2 && bytes[0] == b'\r') {
        return false;
    }
    if request_line::check_method(method.as_bytes(), limits).is_err() {
        return false;
    }
    let Ok(parts) = target::parse(method.as_bytes(), target.as_bytes()) else {
        return false;
    };
    let target_start = start + method.len() + 1;
    let line_end = target_start + target.len() + " HTTP/1.1".len();
    if line_end - start > limits.request_line_bytes_max || end > limits.head_bytes_max {
        return false;
    }

    // httparse takes a bare LF for a line end, so look at what stands before each line and before the end.
    let mut line = line_end + 2;
    if bytes[line_end] != b'\r' || bytes[end - 4..end] != *b"\r\n\r\n" {
        return false;
    }
    head.clear();
    for field in request.headers.iter() {
        let name = offset(field.name.as_bytes());
        if bytes[name - 2] != b'\r' || name - line > limits.field_bytes_max + 2 {
            return false;
        }
        line = name;
        let value = offset(field.value);
        head.fields.push(Field {
            known: KnownField::of(field.name.as_bytes()),
            name: Span::new(name, name + field.name.len()),
            value: Span::new(value, value + field.value.len()),
        });
    }
    if end - 2 - line > limits.field_bytes_max + 2 {
        return false;
    }

    let within = |part: std::ops::Range<usize>| Span::new(target_start + part.start, target_start + part.end);
    head.method = Span::new(start, start + method.len());
    head.target = Span::new(target_start, target_start + target.len());
    head.form = parts.form;
    head.path = within(parts.path);
    head.query = within(parts.query);
    head.version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    head.bytes = end;
    true
}
