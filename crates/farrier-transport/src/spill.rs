//! Stores the part of a response that waits for its client and does not fit in memory. It is written to nameless files
//! and sent from them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::account::Kept;
use crate::file_stretch::FileStretch;
use crate::nameless_file;
use crate::response_budget::ResponseBudget;

/// A file with more content is not appended to: its disk space is freed only when all of it has been sent.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Appends what one response cannot keep in memory. Only the producer of the response writes to it.
#[derive(Default)]
pub struct Spill {
    last: Option<(Arc<SpillFile>, u64)>,
}

/// A file of a spill. Its disk space is counted until its last stretch is dropped.
#[derive(Debug)]
pub struct SpillFile {
    file: Arc<File>,
    kept: Mutex<Kept>,
}

/// A stretch that was appended, to be sent in order.
pub struct Spilled {
    /// Its place in the file.
    pub stretch: FileStretch,
    /// Held as long as the stretch exists.
    pub file: Arc<SpillFile>,
}

impl Spill {
    /// Appends bytes. This may wait for the disk.
    ///
    /// # Errors
    /// The disk is full, the limit for all responses is reached, or the process is out of file descriptors.
    pub fn append(&mut self, bytes: &[u8], budget: &ResponseBudget, directory: &Path) -> io::Result<Spilled> {
        let kept = budget.try_keep_on_disk(bytes.len() as u64);
        let kept = kept.ok_or_else(|| io::Error::other("unsent responses have reached their limit"))?;
        let (file, end) = match self.last.take().filter(|(_, end)| *end < FILE_BYTES_MAX) {
            Some((file, end)) => {
                file.kept.lock().unwrap_or_else(PoisonError::into_inner).absorb(kept);
                (file, end)
            }
            None => {
                let file = Arc::new(nameless_file::create(directory)?);
                (Arc::new(SpillFile { file, kept: Mutex::new(kept) }), 0)
            }
        };
        file.file.write_all_at(bytes, end)?;
        let stretch = FileStretch::new(Arc::clone(&file.file), end, bytes.len() as u64, false)?;
        self.last = Some((Arc::clone(&file), end + bytes.len() as u64));
        Ok(Spilled { stretch, file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file_stretch::Piece;

    fn content(spilled: &mut Spilled) -> Vec<u8> {
        let mut content = vec![0; spilled.stretch.left_bytes()];
        match spilled.stretch.read_next(&mut content).expect("readable") {
            Piece::Bytes(count) => assert_eq!(count, content.len()),
            Piece::Cold => panic!("it was written just now"),
        }
        content
    }

    #[test]
    fn what_is_appended_is_read_back_and_its_room_comes_back_with_the_last_stretch() {
        let budget = ResponseBudget::new(0, 100);
        let mut spill = Spill::default();
        let directory = std::env::temp_dir();
        let mut first = spill.append(b"first", &budget, &directory).expect("there is room");
        let mut second = spill.append(b"second", &budget, &directory).expect("there is room");
        assert_eq!((content(&mut first), content(&mut second)), (b"first".to_vec(), b"second".to_vec()));
        assert_eq!(budget.disk_bytes(), 11);
        drop((first, spill));
        assert_eq!(budget.disk_bytes(), 11);
        drop(second);
        assert_eq!(budget.disk_bytes(), 0);
    }

    #[test]
    fn the_bound_of_the_disk_and_a_directory_that_takes_no_file_are_errors() {
        let budget = ResponseBudget::new(0, 4);
        assert!(Spill::default().append(b"12345", &budget, &std::env::temp_dir()).is_err());
        assert!(Spill::default().append(b"1", &budget, Path::new("/nonexistent")).is_err());
        assert_eq!(budget.disk_bytes(), 0);
    }
}
