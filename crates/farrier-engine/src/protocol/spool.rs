//! Takes a request's content as it arrives: into memory first, past a bound into an unlinked temporary file.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use farrier_http::{Body, Error, Kind};

use crate::transport::nameless_file;

/// Where content goes that exceeds memory.
#[derive(Debug, Clone)]
pub(crate) struct SpoolSettings {
    /// Content up to this many bytes stays in memory.
    pub(crate) memory_bytes_max: usize,
    /// Directory of the temporary files.
    pub(crate) directory: PathBuf,
}

/// Content on its way in.
#[derive(Default)]
pub(crate) enum Sink {
    /// Nothing came yet.
    #[default]
    Empty,
    /// In memory.
    Memory(Vec<u8>),
    /// In a file.
    File {
        /// The unlinked file.
        file: File,
        /// Bytes in it.
        bytes: u64,
    },
}

impl Sink {
    /// Takes a piece.
    ///
    /// # Errors
    /// [`Kind::NoRoom`]: no temporary file can be made or written.
    pub(crate) fn take(&mut self, piece: &[u8], settings: &SpoolSettings) -> Result<(), Error> {
        match self {
            Sink::File { file, bytes } => {
                file.write_all(piece).map_err(|error| no_room(&settings.directory, &error))?;
                *bytes += piece.len() as u64;
            }
            Sink::Memory(content) if content.len() + piece.len() > settings.memory_bytes_max => {
                let mut file = nameless_file::create(&settings.directory)
                    .and_then(|mut file| file.write_all(content).map(|()| file))
                    .map_err(|error| no_room(&settings.directory, &error))?;
                file.write_all(piece).map_err(|error| no_room(&settings.directory, &error))?;
                *self = Sink::File { file, bytes: (content.len() + piece.len()) as u64 };
            }
            Sink::Memory(content) => content.extend_from_slice(piece),
            Sink::Empty => {
                *self = Sink::Memory(Vec::new());
                return self.take(piece, settings);
            }
        }
        Ok(())
    }

    /// The content as a body, ready to be read from its start.
    ///
    /// # Errors
    /// [`Kind::NoRoom`]: the file cannot be rewound.
    pub(crate) fn into_body(self, settings: &SpoolSettings) -> Result<Body, Error> {
        Ok(match self {
            Sink::Empty => Body::Empty,
            Sink::Memory(content) => Body::Memory(content),
            Sink::File { mut file, bytes } => {
                file.seek(SeekFrom::Start(0)).map_err(|error| no_room(&settings.directory, &error))?;
                Body::Spooled { file: Box::new(file), bytes }
            }
        })
    }
}

fn no_room(directory: &Path, error: &std::io::Error) -> Error {
    Error::server(
        Kind::NoRoom,
        format!("cannot keep the request's content in {}: {error} (see tmp_upload_dir)", directory.display()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn content_past_the_memory_bound_is_spooled_whole() {
        let settings = SpoolSettings { memory_bytes_max: 8, directory: std::env::temp_dir() };
        let mut sink = Sink::default();
        for piece in [&b"12345"[..], b"678", b"9", b"0"] {
            sink.take(piece, &settings).expect("there is room");
        }
        let Ok(Body::Spooled { mut file, bytes }) = sink.into_body(&settings) else { panic!("not spooled") };
        let mut content = String::new();
        file.read_to_string(&mut content).expect("readable");
        assert_eq!((content.as_str(), bytes), ("1234567890", 10));
    }

    #[test]
    fn a_directory_that_takes_no_file_gives_an_error_that_names_it() {
        let settings = SpoolSettings { memory_bytes_max: 1, directory: "/nonexistent".into() };
        let mut sink = Sink::default();
        let error = sink.take(b"12", &settings).expect_err("no such directory");
        assert_eq!(error.kind, Kind::NoRoom);
        assert!(error.cause.contains("/nonexistent"));
    }
}
