//! Gives each request a name of its own, by which the client, the application and the logs can speak of it.

use std::cell::RefCell;
use std::sync::Arc;

use aws_lc_rs::rand;
use farrier_http::{Error, Handler, Occupies, Request, Respond};

/// Longest name that is taken over.
const NAME_BYTES_MAX: usize = 128;

/// Bytes of chance in a name, of which it shows two digits each.
const CHANCE_BYTES: usize = 16;

/// Names for which a thread has chance at hand: so the generator is asked once in so many requests.
const NAMES_AT_HAND: usize = 32;

/// Gives a name to each request that `inner` answers, if there is a field for it: the one that a trusted proxy has given it
/// in this field, else a new one. The application finds it in the same field, and the response has it too.
///
/// # Arguments
///
/// `field` is the field's name, a token.
pub fn around(inner: Arc<dyn Handler>, field: Option<&str>) -> Arc<dyn Handler> {
    match field {
        Some(field) => Arc::new(Named { lower: field.to_ascii_lowercase(), field: field.to_owned(), inner }),
        None => inner,
    }
}

/// A handler around another one.
struct Named {
    field: String,
    lower: String,
    inner: Arc<dyn Handler>,
}

impl Named {
    /// The name that the request has brought along, where it can be believed.
    fn brought<'a>(&'a self, request: &'a Request) -> Option<&'a [u8]> {
        if !request.is_from_proxy {
            return None;
        }
        let mut values = request.values(&self.lower);
        let first = values.next().filter(|value| is_name(value));
        first.filter(|_| values.next().is_none())
    }
}

impl Handler for Named {
    fn occupies(&self, request: &mut Request) -> Occupies {
        // Before anybody else sees the request. It is asked once, so a request has one name.
        if self.brought(request).is_none() {
            request.replace_field(&self.lower, &new_name());
        }
        self.inner.occupies(request)
    }

    fn handle(&self, request: &mut Request, respond: &mut dyn Respond) -> Result<(), Error> {
        if let Some(name) = request.values(&self.lower).next() {
            respond.stamp(&self.field, name);
        }
        self.inner.handle(request, respond)
    }
}

/// Letters, digits and what people join them with: nothing that a log or a shell would take amiss.
fn is_name(value: &[u8]) -> bool {
    let is_good = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~+/=:@".contains(byte);
    (1..=NAME_BYTES_MAX).contains(&value.len()) && value.iter().all(is_good)
}

/// 32 digits, as nginx's `$request_id` has them.
fn new_name() -> [u8; CHANCE_BYTES * 2] {
    thread_local! {
        static AT_HAND: RefCell<Chance> = const { RefCell::new(Chance { bytes: [0; CHANCE_BYTES * NAMES_AT_HAND], left: 0 }) };
    }
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let bytes = AT_HAND.with_borrow_mut(Chance::take);
    let mut name = [0; CHANCE_BYTES * 2];
    for (pair, byte) in name.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    name
}

/// Chance that a thread has at hand. It begins empty, so that two processes never share any.
struct Chance {
    bytes: [u8; CHANCE_BYTES * NAMES_AT_HAND],
    /// Names that it still lasts for.
    left: usize,
}

impl Chance {
    fn take(&mut self) -> [u8; CHANCE_BYTES] {
        if self.left == 0 {
            // It fails only where the system has no chance to give; then names repeat, which serves better than no answer.
            let _ = rand::fill(&mut self.bytes);
            self.left = NAMES_AT_HAND;
        }
        self.left -= 1;
        let mut taken = [0; CHANCE_BYTES];
        taken.copy_from_slice(&self.bytes[self.left * CHANCE_BYTES..][..CHANCE_BYTES]);
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_that_are_made_are_names_and_differ() {
        let threads: Vec<_> =
            (0..4).map(|_| std::thread::spawn(|| (0..100).map(|_| new_name()).collect::<Vec<_>>())).collect();
        let names: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().expect("ends")).collect();
        assert!(names.iter().all(|name| is_name(name)));
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), 400);
    }

    #[test]
    fn a_name_is_short_and_harmless() {
        for name in ["a", "5f2b1c3e-9a", "Root=1-67891233-abcdef012345678912345678", "a/b_c.d~e+f:g@h"] {
            assert!(is_name(name.as_bytes()), "{name}");
        }
        for name in ["", "a b", "a\"b", "a,b", "a\x7fb", "\u{e4}", "a%0a", "<a>", &"a".repeat(129)] {
            assert!(!is_name(name.as_bytes()), "{name}");
        }
    }
}
