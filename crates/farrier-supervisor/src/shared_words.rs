//! Words of memory that a process shares with all processes that it forks, for counting across workers.

#![allow(unsafe_code)]

use std::fmt;
use std::io;
use std::ops::Deref;
use std::ptr;
use std::sync::atomic::AtomicU64;

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

/// Words that are zero at first, page-aligned. There is no file, and untouched pages use no memory.
#[derive(Clone, Copy)]
pub struct SharedWords(&'static [AtomicU64]);

impl SharedWords {
    /// Maps `count` words. The mapping lasts as long as the process: forked workers use it until their last instruction.
    ///
    /// # Errors
    ///
    /// The kernel's: no memory.
    pub fn new(count: usize) -> io::Result<SharedWords> {
        let count = count.max(1);
        let bytes = count.checked_mul(size_of::<AtomicU64>()).ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no memory in use.
        let start =
            unsafe { mmap_anonymous(ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED)? };
        // SAFETY: the mapping is page-aligned, hence aligned for the words, and holds `count` of them. The kernel has
        // zeroed it, which is a valid value of an atomic. It is never unmapped, and is only reached through atomics.
        Ok(SharedWords(unsafe { std::slice::from_raw_parts(start.cast::<AtomicU64>(), count) }))
    }

    /// The words.
    pub fn words(self) -> &'static [AtomicU64] {
        self.0
    }
}

impl Deref for SharedWords {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        self.0
    }
}

impl fmt::Debug for SharedWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedWords").field("count", &self.0.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn they_are_zero_and_every_holder_sees_the_same() {
        let words = SharedWords::new(1000).expect("mapped");
        assert!(words.len() == 1000 && words.iter().all(|word| word.load(Ordering::Relaxed) == 0));
        let copy = words;
        std::thread::spawn(move || copy[999].fetch_add(7, Ordering::Relaxed)).join().expect("ends");
        assert_eq!(words[999].load(Ordering::Relaxed), 7);
    }
}
