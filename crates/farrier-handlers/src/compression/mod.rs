//! Compresses an application's responses for clients that accept it (RFC 9110 §8.4), without holding the interpreter.

mod answer;
mod eligible;
mod encoder;
mod filter;
mod respond;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use farrier_http::{AcceptEncoding, Coding, Error, Handler, Kind, Plan, Request, Respond};

pub use self::eligible::MediaPattern;
use self::encoder::Encoders;
use self::filter::CompressingFilter;
use self::respond::Compressing;
use farrier_protocol::host::Host;

/// Which responses are compressed, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompressionRules {
    /// The codings and their levels, the preferred one first. If it is empty, nothing is compressed.
    pub codings: Vec<(Coding, u8)>,
    /// The least length of content that is compressed, if the length is known beforehand.
    pub least_bytes: u64,
    /// The largest file that is compressed. The kernel sends larger files directly.
    pub file_bytes_max: u64,
    /// The media types that are compressed. `text/event-stream` never is.
    pub types: Vec<MediaPattern>,
}

/// Compresses responses. All handlers of a worker share one, with its encoders.
pub struct Compressor {
    encoders: Vec<Encoders>,
    /// Those of exchanges, for the same codings.
    exchange_encoders: Vec<Encoders>,
    rules: CompressionRules,
    host: Arc<dyn Host>,
    /// The exchanges whose answers are being compressed.
    exchanges: AtomicUsize,
}

impl Compressor {
    /// A compressor. `None` if the rules name no coding.
    pub fn new(rules: CompressionRules, host: Arc<dyn Host>) -> Option<Arc<Compressor>> {
        if rules.codings.is_empty() {
            return None;
        }
        let encoders = rules.codings.iter().map(|&(coding, level)| Encoders::new(coding, level)).collect();
        let level = |coding, level: u8| level.min(exchange_level_max(coding));
        let exchange_encoders =
            rules.codings.iter().map(|&(coding, set)| Encoders::new(coding, level(coding, set))).collect();
        Some(Arc::new(Compressor { encoders, exchange_encoders, rules, host, exchanges: AtomicUsize::new(0) }))
    }

    /// The place of the encoders for the offered coding that the client prefers.
    fn choice_for(&self, request: &Request) -> Option<usize> {
        let best = AcceptEncoding::of_request(request).best(self.encoders.iter().map(Encoders::coding))?;
        self.encoders.iter().position(|encoders| encoders.coding() == best)
    }
}

/// The highest level for the answer of an exchange. The leader encodes it, between the requests of others. Above these levels
/// an encoder collects up to 256 KiB and then works on them for tens or hundreds of milliseconds.
const fn exchange_level_max(coding: Coding) -> u8 {
    match coding {
        Coding::Zstd => 9,
        Coding::Brotli => 5,
        Coding::Gzip => 6,
    }
}

/// Compresses the responses of `inner`, if there is a compressor.
pub fn around(inner: Arc<dyn Handler>, compressor: Option<&Arc<Compressor>>) -> Arc<dyn Handler> {
    match compressor {
        Some(compressor) => Arc::new(Compressed { compressor: Arc::clone(compressor), inner }),
        None => inner,
    }
}

/// The handler around `inner`.
struct Compressed {
    compressor: Arc<Compressor>,
    inner: Arc<dyn Handler>,
}

impl Handler for Compressed {
    fn plan(&self, request: &mut Request) -> Plan {
        let plan = self.inner.plan(request);
        plan.filtered(|| Some(Box::new(CompressingFilter::new(&self.compressor, request))))
    }

    fn handle(&self, request: &mut Request, respond: &mut dyn Respond) -> Result<(), Error> {
        let mut compressing = Compressing::new(&self.compressor, request, respond);
        let handled = self.inner.handle(request, &mut compressing);
        handled.and(compressing.end())
    }
}

/// The error for a failure of the compression library: it is out of memory, or has a bug.
fn failed(error: &std::io::Error) -> Error {
    Error::server(Kind::Internal, format!("the response cannot be compressed: {error}"))
}
