//! HTTP/1.1 and HTTP/1.0 on the client's side: what an upstream answers, and what it is asked.
//!
//! [`response::ResponseReader`] reads one response after the other from a connection:
//!
//! ```
//! use farrier_http::wire::client::{Asked, Event, ResponseLimits, ResponseReader};
//!
//! let limits = ResponseLimits::default();
//! let mut reader = ResponseReader::default();
//! reader.restart(Asked::of(b"GET"));
//! let received = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
//! let mut at = 0;
//! let mut content = Vec::new();
//! loop {
//!     let step = reader.read(&received[at..], &limits)?;
//!     match step.event {
//!         Event::NeedMore => break,                   // read from the socket, behind the bytes that are left
//!         Event::Interim => {}                        // reader.head(): 100, 102, 103
//!         Event::Head => assert_eq!(reader.head().status().0, 200),
//!         Event::Data(range) => content.extend_from_slice(&received[at..][range]),
//!         Event::Trailers => {}                       // reader.trailers()
//!         Event::Switched | Event::End => break,      // the rest: another protocol's, or nobody's
//!     }
//!     at += step.consumed;
//! }
//! assert_eq!(content, b"hello");
//! # Ok::<(), farrier_http::wire::client::Fault>(())
//! ```
//!
//! - The caller drops `step.consumed` bytes after each step. What is left is given again, with new bytes behind it. A range
//!   counts from the beginning of the input, so `consumed` is added after the range was used.
//! - At the end of the input the caller asks [`response::ResponseReader::closed`], with the bytes that are left. The kinds of
//!   [`fault::Fault`] tell a connection that was closed unanswered from one that broke later.
//! - After `End` the connection may carry another request if [`response::ResponseReader::is_reusable`] says so. A surplus
//!   byte forbids it.
//! - The reader owns the head and reuses its memory. Content is neither copied nor allocated.
//!
//! [`encode`] writes the head of a request and its framing. Chunks are written with [`super::h1::encode`].
//!
//! The gateway protocols have modules of their own. A uwsgi request is written with [`uwsgi`], and its answer is read after
//! [`response::ResponseReader::restart_uwsgi`]. FastCGI has [`fastcgi::FastCgiReader`], which works in the same steps, and
//! [`fastcgi_encode`].

pub mod encode;
pub mod fastcgi;
pub mod fastcgi_encode;
pub mod fault;
pub mod fields;
pub mod head;
pub mod response;
pub mod uwsgi;

pub use fastcgi::FastCgiReader;
pub use fault::{Fault, FaultKind};
pub use fields::FieldLines;
pub use head::{Asked, ReceivedHead, ResponseLimits};
pub use response::{Event, ResponseReader, Step};
