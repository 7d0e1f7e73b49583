//! Gives each request an id that the client, the application and the logs share.

use std::cell::RefCell;
use std::sync::Arc;

use aws_lc_rs::rand;
use farrier_http::{Error, Handler, Plan, Request, Respond, Stamps};

/// The longest id that is accepted from a proxy.
const ID_BYTES_MAX: usize = 128;

/// Random bytes in an id. Each is written as two hexadecimal digits.
const RANDOM_BYTES: usize = 16;

/// The number of ids for which a thread fetches random bytes at once, to save system calls.
const IDS_FETCHED: usize = 32;

/// Gives an id to each request that `inner` answers, if a field is set for it. It is the id that a trusted proxy has
/// put into this field, or else a new one. The application finds it in the same field, and the response carries it too.
///
/// # Arguments
///
/// `field` is the field's name, a token.
pub fn around(inner: Arc<dyn Handler>, field: Option<&str>) -> Arc<dyn Handler> {
    match field {
        Some(field) => Arc::new(WithId { lower: field.to_ascii_lowercase(), field: field.to_owned(), inner }),
        None => inner,
    }
}

/// The handler around `inner`.
struct WithId {
    field: String,
    lower: String,
    inner: Arc<dyn Handler>,
}

impl WithId {
    /// The id that a trusted proxy has put into the request.
    fn id_from_proxy<'a>(&'a self, request: &'a Request) -> Option<&'a [u8]> {
        if !request.is_from_proxy {
            return None;
        }
        let mut values = request.values(&self.lower);
        let first = values.next().filter(|value| is_id(value));
        first.filter(|_| values.next().is_none())
    }
}

impl Handler for WithId {
    fn plan(&self, request: &mut Request) -> Plan {
        // This is called once, before any other handler sees the request. So a request has one id.
        if self.id_from_proxy(request).is_none() {
            request.replace_field(&self.lower, &new_id());
        }
        let plan = self.inner.plan(request);
        plan.filtered(|| {
            let name = request.values(&self.lower).next()?;
            Some(Box::new(Stamps(vec![(self.field.clone(), name.to_vec())])))
        })
    }

    fn handle(&self, request: &mut Request, respond: &mut dyn Respond) -> Result<(), Error> {
        if let Some(id) = request.values(&self.lower).next() {
            respond.stamp(&self.field, id);
        }
        self.inner.handle(request, respond)
    }
}

/// Whether the value has only letters, digits and joining characters, which are harmless in a log or a shell.
fn is_id(value: &[u8]) -> bool {
    let is_good = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~+/=:@".contains(byte);
    (1..=ID_BYTES_MAX).contains(&value.len()) && value.iter().all(is_good)
}

/// A new id of 32 digits, like nginx's `$request_id`.
fn new_id() -> [u8; RANDOM_BYTES * 2] {
    thread_local! {
        static FETCHED: RefCell<RandomBytes> = const { RefCell::new(RandomBytes { bytes: [0; RANDOM_BYTES * IDS_FETCHED], left: 0 }) };
    }
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let bytes = FETCHED.with_borrow_mut(RandomBytes::take);
    let mut id = [0; RANDOM_BYTES * 2];
    for (pair, byte) in id.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    id
}

/// Random bytes that a thread has fetched. It begins empty, so that two processes never share any after a fork.
struct RandomBytes {
    bytes: [u8; RANDOM_BYTES * IDS_FETCHED],
    /// The number of ids that are left.
    left: usize,
}

impl RandomBytes {
    fn take(&mut self) -> [u8; RANDOM_BYTES] {
        if self.left == 0 {
            // This fails only if the system has no random bytes. Then ids repeat, which is better than no response.
            let _ = rand::fill(&mut self.bytes);
            self.left = IDS_FETCHED;
        }
        self.left -= 1;
        let mut taken = [0; RANDOM_BYTES];
        taken.copy_from_slice(&self.bytes[self.left * RANDOM_BYTES..][..RANDOM_BYTES]);
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn new_ids_are_valid_and_differ() {
        let threads: Vec<_> =
            (0..4).map(|_| std::thread::spawn(|| (0..100).map(|_| new_id()).collect::<Vec<_>>())).collect();
        let ids: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().expect("ends")).collect();
        assert!(ids.iter().all(|id| is_id(id)));
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 400);
    }

    #[test]
    fn an_id_is_short_and_harmless() {
        for id in ["a", "5f2b1c3e-9a", "Root=1-67891233-abcdef012345678912345678", "a/b_c.d~e+f:g@h"] {
            assert!(is_id(id.as_bytes()), "{id}");
        }
        for id in ["", "a b", "a\"b", "a,b", "a\x7fb", "\u{e4}", "a%0a", "<a>", &"a".repeat(129)] {
            assert!(!is_id(id.as_bytes()), "{id}");
        }
    }
}
