//! Stores a request's content as it arrives: in memory up to a limit, above it in a nameless temporary file.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use farrier_http::{Body, BodyFraming, Error, Kind};

use crate::account::{Kept, kept_bytes};
use crate::spool_file::{Spool, SpoolFile};
use crate::upload_budget::{ConnectionShare, UploadBudget};

/// Content of one request that may wait for the disk thread. Above this, no more is read from its client.
const AHEAD_BYTES_MAX: usize = 512 * 1024;

/// Least memory of content.
const MEMORY_BYTES_MIN: usize = 1024;

/// Where content goes.
#[derive(Debug, Clone)]
pub struct SpoolSettings {
    /// Content up to this many bytes stays in memory.
    pub memory_bytes_max: usize,
    /// Directory of the temporary files.
    pub directory: PathBuf,
    /// The bounds for all requests.
    pub budget: UploadBudget,
}

/// Content on its way in.
#[derive(Default)]
pub struct Sink {
    form: Form,
    /// Bytes that the client has announced.
    expected_bytes: usize,
    /// Its part of what the connection may keep, if the connection has several requests.
    share: Option<ConnectionShare>,
}

#[derive(Default)]
enum Form {
    /// Nothing came yet.
    #[default]
    Empty,
    /// In memory; its room is counted.
    Memory(Vec<u8>, Kept),
    /// In a file, or on its way there.
    File(Arc<Spool>),
}

impl Sink {
    /// A sink for content of this framing; `share` is that of a connection with several requests.
    pub fn expecting(framing: BodyFraming, share: Option<ConnectionShare>) -> Sink {
        let expected_bytes = match framing {
            BodyFraming::Length(bytes) => usize::try_from(bytes).unwrap_or(usize::MAX),
            BodyFraming::None | BodyFraming::Chunked => 0,
        };
        Sink { form: Form::Empty, expected_bytes, share }
    }

    /// Adds a piece. It never waits for the disk.
    ///
    /// # Errors
    /// [`Kind::NoRoom`]: the disk is full or cannot be written. [`Kind::Overloaded`]: the connection's share is used
    /// up.
    pub fn take(&mut self, piece: &[u8], settings: &SpoolSettings) -> Result<(), Error> {
        if let Some(share) = &mut self.share {
            share.grow(piece.len() as u64)?;
        }
        let budget = &settings.budget;
        if let Form::Empty = self.form {
            self.form = Form::Memory(Vec::new(), budget.memory.keep_nothing());
        }
        if let Form::Memory(content, kept) = &mut self.form {
            if has_room(content, kept, piece.len(), self.expected_bytes, settings.memory_bytes_max) {
                content.extend_from_slice(piece);
                return Ok(());
            }
            self.form = Form::File(Arc::new(Spool::begin(budget, std::mem::take(content), kept.split())?));
        }
        match &self.form {
            Form::File(spool) => spool.add(piece, budget),
            Form::Empty | Form::Memory(..) => Ok(()),
        }
    }

    /// How many of the bytes that its client has sent may be read now; 0 while the disk is behind.
    pub fn room_bytes(&self, usual: usize, settings: &SpoolSettings) -> usize {
        let Form::File(spool) = &self.form else { return usual };
        match spool.waiting_bytes() {
            0 if settings.budget.is_disk_behind() => usual.min(16 * 1024),
            0 => usual,
            waiting if waiting >= AHEAD_BYTES_MAX || settings.budget.is_disk_behind() => 0,
            _ => usual,
        }
    }

    /// Bytes that wait for the disk.
    pub fn waiting_bytes(&self) -> usize {
        match &self.form {
            Form::Empty | Form::Memory(..) => 0,
            Form::File(spool) => spool.waiting_bytes(),
        }
    }

    /// Returns what the disk thread has to write, unless it is writing already. [`Spool::write`] follows, on that
    /// thread.
    pub fn take_load(&self) -> Option<Arc<Spool>> {
        match &self.form {
            Form::File(spool) if spool.begin_write() => Some(Arc::clone(spool)),
            _ => None,
        }
    }

    /// Fails if the disk thread has failed.
    ///
    /// # Errors
    /// [`Kind::NoRoom`]
    pub fn check(&self, settings: &SpoolSettings) -> Result<(), Error> {
        match &self.form {
            Form::File(spool) => spool.check().map_err(|error| no_room(settings, &error)),
            Form::Empty | Form::Memory(..) => Ok(()),
        }
    }

    /// The content as a body, to be read from its start. Nothing of it may still wait for the disk.
    ///
    /// # Errors
    /// [`Kind::NoRoom`]: the file cannot be rewound.
    pub fn into_body(self, settings: &SpoolSettings) -> Result<Body, Error> {
        let Sink { form, share, .. } = self;
        Ok(match form {
            Form::Empty => Body::Empty,
            Form::Memory(content, kept) => Body::Memory(kept_bytes(Content { content, _share: share }, kept)),
            Form::File(spool) => {
                let mut file = spool.take_file().map_err(|error| no_room(settings, &error))?;
                let bytes = file.written_bytes();
                file.seek(SeekFrom::Start(0)).map_err(|error| no_room(settings, &error))?;
                Body::Spooled { file: Box::new(SpooledContent { file, _share: share }), bytes }
            }
        })
    }
}

/// Makes room in memory for a piece, and counts it. False: the content belongs in a file.
fn has_room(
    content: &mut Vec<u8>,
    kept: &mut Kept,
    piece_bytes: usize,
    expected_bytes: usize,
    bytes_max: usize,
) -> bool {
    let wanted = content.len() + piece_bytes;
    if wanted > bytes_max {
        return false;
    }
    if wanted <= content.capacity() {
        return true;
    }
    let usual = match expected_bytes {
        // It would not fit in memory, or its length was not announced.
        expected if expected < wanted || expected > bytes_max => (content.capacity() * 2).max(MEMORY_BYTES_MIN),
        expected => expected,
    };
    let usual = usual.min(bytes_max).max(wanted);
    [usual, wanted].into_iter().any(|room| {
        let grows = kept.try_grow((room as u64).saturating_sub(kept.bytes()));
        if grows {
            content.reserve_exact(room - content.len());
        }
        grows
    })
}

struct Content {
    content: Vec<u8>,
    _share: Option<ConnectionShare>,
}

impl AsRef<[u8]> for Content {
    fn as_ref(&self) -> &[u8] {
        &self.content
    }
}

/// The file as a handler reads it.
struct SpooledContent {
    file: SpoolFile,
    _share: Option<ConnectionShare>,
}

impl Read for SpooledContent {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.file.read(into)
    }
}

impl Seek for SpooledContent {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// The error for a disk that cannot take the content.
pub fn no_room(settings: &SpoolSettings, error: &io::Error) -> Error {
    let directory = settings.directory.display();
    Error::server(
        Kind::NoRoom,
        format!("cannot keep the request's content in {directory}: {error} (see tmp_upload_dir)"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(memory_bytes_max: usize, budget: UploadBudget) -> SpoolSettings {
        SpoolSettings { memory_bytes_max, directory: std::env::temp_dir(), budget }
    }

    fn write(sink: &Sink, settings: &SpoolSettings) {
        sink.take_load().expect("something waits").write(&settings.directory);
    }

    #[test]
    fn content_past_the_memory_bound_is_spooled_whole() {
        let settings = settings(8, UploadBudget::new(100, 100, 100));
        let mut sink = Sink::default();
        for piece in [&b"12345"[..], b"678", b"9", b"0"] {
            sink.take(piece, &settings).expect("there is room");
        }
        assert_eq!(sink.waiting_bytes(), 10);
        write(&sink, &settings);
        sink.take(b"ab", &settings).expect("there is room");
        write(&sink, &settings);
        assert!(sink.take_load().is_none() && sink.check(&settings).is_ok());
        let budget = &settings.budget;
        assert_eq!((budget.memory.bytes(), budget.waiting.bytes(), budget.disk.bytes()), (0, 0, 12));
        let body = sink.into_body(&settings).expect("complete");
        let Body::Spooled { mut file, bytes } = body else { panic!("not spooled") };
        let mut content = String::new();
        file.read_to_string(&mut content).expect("readable");
        assert_eq!((content.as_str(), bytes), ("1234567890ab", 12));
        drop(file);
        assert_eq!(settings.budget.disk.bytes(), 0);
    }

    #[test]
    fn content_goes_to_files_when_the_memory_of_all_is_used_up() {
        let settings = settings(1 << 20, UploadBudget::new(2048, 1 << 20, 100));
        let (mut first, mut second) = (Sink::default(), Sink::default());
        first.take(&[1; 1500], &settings).expect("there is room");
        second.take(&[1; 1500], &settings).expect("there is room");
        assert_eq!((first.waiting_bytes(), second.waiting_bytes()), (0, 1500));
        let body = first.into_body(&settings).expect("complete");
        assert_eq!((body.bytes(), settings.budget.memory.bytes()), (1500, 1500));
        drop((body, second));
        let budget = &settings.budget;
        assert_eq!((budget.memory.bytes(), budget.waiting.bytes(), budget.disk.bytes()), (0, 0, 0));
    }

    #[test]
    fn a_bound_of_the_disk_is_an_error_that_names_its_setting() {
        let settings = settings(0, UploadBudget::new(100, 10, 100));
        let mut sink = Sink::default();
        sink.take(b"12345678", &settings).expect("there is room");
        let error = sink.take(b"123", &settings).expect_err("above the bound");
        assert_eq!(error.kind, Kind::NoRoom);
        assert!(error.cause.contains("upload_disk_max"));
    }

    #[test]
    fn a_directory_that_takes_no_file_gives_an_error_that_names_it() {
        let settings = SpoolSettings { directory: "/nonexistent".into(), ..settings(1, UploadBudget::new(9, 9, 9)) };
        let mut sink = Sink::default();
        sink.take(b"12", &settings).expect("it is not written yet");
        write(&sink, &settings);
        let error = sink.check(&settings).expect_err("no such directory");
        assert_eq!(error.kind, Kind::NoRoom);
        assert!(error.cause.contains("/nonexistent"));
    }
}
