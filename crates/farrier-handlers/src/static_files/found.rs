//! The result of looking a name up: a file in all its codings, with prepared heads, and with small content in memory.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use farrier_http::conditional::Validators;
use farrier_http::{Coding, Error, ResponseHead, Status, http_date};
use rustix::fs::{Stat, fstat};

use super::clock::clock_ms;

/// How long the result of a lookup is valid, in ms.
pub(crate) const LOOKED_AT_MS: u64 = 1000;

/// The result of a lookup, and its time.
pub(crate) struct Found {
    pub(crate) what: What,
    looked_ms: AtomicU64,
}

/// What a name leads to.
pub(crate) enum What {
    /// A file.
    File(Box<StaticFile>),
    /// A folder whose name lacks the slash at its end.
    Folder,
    /// Nothing.
    Nothing,
    /// A file or folder without permission to read it.
    Unreadable,
    /// Unknown: the process is out of descriptors or memory.
    Unknown,
}

/// A file, and the compressed forms beside it.
pub(crate) struct StaticFile {
    pub(crate) plain: Representation,
    /// In the order of the server's preference.
    pub(crate) encoded: Vec<(Coding, Representation)>,
}

/// One form of a file.
pub(crate) struct Representation {
    pub(crate) version: Version,
    pub(crate) content: Content,
    pub(crate) bytes: u64,
    pub(crate) media_type: &'static str,
    pub(crate) coding: Option<Coding>,
    pub(crate) etag: String,
    /// Seconds since 1970. `None` for a date in the future, which must not be sent (RFC 9110 §8.8.2.1).
    pub(crate) modified_s: Option<i64>,
    /// The head of a 200.
    pub(crate) whole: ResponseHead,
    /// The head of a 304.
    pub(crate) unchanged: ResponseHead,
}

/// The place of the content.
pub(crate) enum Content {
    /// In memory.
    Memory(Box<[u8]>),
    /// In a file that is kept open.
    Open(Arc<File>),
}

/// Identifies a version of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    place: (u64, u64),
    pub(crate) bytes: i64,
    pub(crate) modified: (i64, i64),
    changed: (i64, i64),
    /// Whether it changed so recently that a further change could have the same time: file systems have coarse clocks.
    is_settled: bool,
}

/// The caching of a file, which its head states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) cache_control: String,
}

impl Lease {
    /// The caching of files that may change.
    pub(crate) fn of(max_age: Duration) -> Lease {
        Lease { cache_control: format!("max-age={}", max_age.as_secs()) }
    }

    /// The caching of files whose content never changes.
    pub(crate) fn immutable() -> Lease {
        Lease { cache_control: "max-age=31536000, immutable".to_owned() }
    }
}

impl Found {
    pub(crate) fn new(what: What) -> Found {
        Found { what, looked_ms: AtomicU64::new(clock_ms()) }
    }

    /// Whether the lookup is recent enough.
    pub(crate) fn is_fresh(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.looked_ms.load(Ordering::Relaxed)) < LOOKED_AT_MS
    }

    /// Notes that a lookup now had the same result.
    pub(crate) fn refresh(&self) {
        self.looked_ms.store(clock_ms(), Ordering::Relaxed);
    }

    /// The file's forms.
    pub(crate) fn representations(&self) -> impl Iterator<Item = &Representation> {
        let file = match &self.what {
            What::File(file) => Some(&**file),
            _ => None,
        };
        file.into_iter().flat_map(|file| std::iter::once(&file.plain).chain(file.encoded.iter().map(|(_, each)| each)))
    }
}

impl Representation {
    /// A form of a file. `varies` means that there are other forms, so the head has `Vary: Accept-Encoding`.
    pub(crate) fn new(
        version: Version,
        content: Content,
        coding: Option<Coding>,
        media_type: &'static str,
        varies: bool,
        lease: &Lease,
    ) -> Result<Representation, Error> {
        let seconds = version.modified.0;
        let is_past = seconds <= rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse).tv_sec;
        let mut representation = Representation {
            version,
            content,
            bytes: version.bytes.max(0) as u64,
            media_type,
            coding,
            etag: version.etag(coding),
            modified_s: is_past.then_some(seconds),
            whole: ResponseHead::new(Status::OK),
            unchanged: ResponseHead::new(Status::NOT_MODIFIED),
        };
        let mut whole = ResponseHead::new(Status::OK);
        representation.describe(&mut whole, varies, lease)?;
        let mut unchanged = ResponseHead::new(Status::NOT_MODIFIED);
        representation.validate(&mut unchanged, varies, lease)?;
        (representation.whole, representation.unchanged) = (whole, unchanged);
        Ok(representation)
    }

    /// The validators that conditional requests are compared with.
    pub(crate) fn validators(&self) -> Validators<'_> {
        Validators { etag: self.etag.as_bytes(), modified_s: self.modified_s }
    }

    /// Adds the fields of a response with content.
    fn describe(&self, head: &mut ResponseHead, varies: bool, lease: &Lease) -> Result<(), Error> {
        head.add(b"Content-Type", self.media_type.as_bytes())?;
        if let Some(coding) = self.coding {
            head.add(b"Content-Encoding", coding.name().as_bytes())?;
        }
        self.validate(head, varies, lease)?;
        head.add(b"Accept-Ranges", b"bytes")?;
        head.add(b"X-Content-Type-Options", b"nosniff")
    }

    /// Adds the validators: `ETag` and `Last-Modified`.
    pub(crate) fn identify(&self, head: &mut ResponseHead) -> Result<(), Error> {
        if let Some(seconds) = self.modified_s {
            head.add(b"Last-Modified", http_date::format(seconds).as_bytes())?;
        }
        head.add(b"ETag", self.etag.as_bytes())
    }

    /// Whether the content still matches the head. Content in memory always does.
    pub(crate) fn is_there(&self) -> bool {
        match &self.content {
            Content::Memory(_) => true,
            Content::Open(file) => fstat(file).is_ok_and(|stat| self.version.has_content_of(&stat)),
        }
    }

    /// Adds the fields that a 304 must have too (RFC 9110 §15.4.5).
    fn validate(&self, head: &mut ResponseHead, varies: bool, lease: &Lease) -> Result<(), Error> {
        self.identify(head)?;
        head.add(b"Cache-Control", lease.cache_control.as_bytes())?;
        if varies { head.add(b"Vary", b"Accept-Encoding") } else { Ok(()) }
    }
}

impl Version {
    pub(crate) fn of(stat: &Stat) -> Version {
        let now_s = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse).tv_sec;
        Version {
            place: (stat.st_dev, stat.st_ino),
            bytes: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec as i64),
            changed: (stat.st_ctime, stat.st_ctime_nsec as i64),
            is_settled: now_s - stat.st_ctime > 1,
        }
    }

    /// Whether content that was read from this version is still valid for a file of the version `present`.
    pub(crate) fn is_still(&self, present: &Version) -> bool {
        self.is_settled && Version { is_settled: true, ..*present } == *self
    }

    /// Whether an open file still has the content of this version. It may have been deleted or renamed.
    pub(crate) fn has_content_of(&self, stat: &Stat) -> bool {
        let present = Version::of(stat);
        (self.bytes, self.modified) == (present.bytes, present.modified)
    }

    /// A strong tag (RFC 9110 §8.8.3). Each coding has its own, as its bytes differ.
    fn etag(&self, coding: Option<Coding>) -> String {
        let (seconds, nanoseconds) = self.modified;
        let time = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
        match coding {
            None => format!("\"{time:x}-{:x}\"", self.bytes),
            Some(coding) => format!("\"{time:x}-{:x}-{}\"", self.bytes, coding.name()),
        }
    }
}
