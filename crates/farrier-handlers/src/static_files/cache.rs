//! A worker's cache of looked-up names, with limits on names, bytes and descriptors.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::found::{Content, Found, What};

/// The most names without a file that are cached. They are counted apart, so that requests for missing files cannot
/// evict files.
const NOTHINGS_MAX: usize = 1024;

/// The longest name that is cached.
const NAME_BYTES_MAX: usize = 1024;

/// The estimated memory of an entry beside its content.
const ENTRY_BYTES: u64 = 1024;

/// The limits of a worker's cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheBounds {
    /// The most names.
    pub entries_max: usize,
    /// The most bytes in memory, for content and heads.
    pub bytes_max: u64,
    /// The largest file whose content is kept in memory.
    pub file_bytes_max: u64,
    /// The most files that are kept open.
    pub open_files_max: usize,
}

/// A worker's cache, shared by all folders.
pub struct Cache {
    pub(crate) bounds: CacheBounds,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    /// Entries by folder, then by name.
    folders: Vec<Folder>,
    /// Names in the order of eviction. A name that was used since its last turn gets another turn (second chance).
    round: VecDeque<(usize, Arc<[u8]>)>,
    nothings: usize,
    bytes: u64,
    open_files: usize,
}

#[derive(Default)]
struct Folder {
    files: HashMap<Arc<[u8]>, Kept>,
    nothings: HashMap<Box<[u8]>, Arc<Found>>,
}

struct Kept {
    found: Arc<Found>,
    is_used: bool,
}

impl Cache {
    /// An empty cache.
    pub fn new(mut bounds: CacheBounds) -> Arc<Cache> {
        // One file must not evict most others.
        bounds.file_bytes_max = bounds.file_bytes_max.min(bounds.bytes_max / 8);
        Arc::new(Cache { bounds, memory: Mutex::default() })
    }

    /// Adds a folder. Returns its number.
    pub(crate) fn add_folder(&self) -> usize {
        let mut memory = self.memory();
        memory.folders.push(Folder::default());
        memory.folders.len() - 1
    }

    /// The cached result for a name.
    pub(crate) fn get(&self, folder: usize, name: &[u8]) -> Option<Arc<Found>> {
        let mut memory = self.memory();
        let folder = memory.folders.get_mut(folder)?;
        if let Some(kept) = folder.files.get_mut(name) {
            kept.is_used = true;
            return Some(Arc::clone(&kept.found));
        }
        folder.nothings.get(name).map(Arc::clone)
    }

    /// Stores the result for a name, in place of an older one.
    pub(crate) fn put(&self, folder: usize, name: &[u8], found: &Arc<Found>) {
        if name.len() > NAME_BYTES_MAX {
            return;
        }
        let mut memory = self.memory();
        memory.forget(folder, name);
        if let What::File(_) | What::Folder = found.what {
            memory.remember(folder, name, found, &self.bounds);
        } else {
            if memory.nothings >= NOTHINGS_MAX {
                memory.folders.iter_mut().for_each(|folder| folder.nothings.clear());
                memory.nothings = 0;
            }
            if let Some(folder) = memory.folders.get_mut(folder) {
                folder.nothings.insert(name.into(), Arc::clone(found));
                memory.nothings += 1;
            }
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn remember(&mut self, folder: usize, name: &[u8], found: &Arc<Found>, bounds: &CacheBounds) {
        let (bytes, open_files) = cost(found);
        if bytes > bounds.bytes_max || open_files > bounds.open_files_max {
            return;
        }
        let is_full = |memory: &Memory| {
            memory.round.len() >= bounds.entries_max
                || memory.bytes + bytes > bounds.bytes_max
                || memory.open_files + open_files > bounds.open_files_max
        };
        while is_full(self) {
            if !self.make_room() {
                return;
            }
        }
        let name: Arc<[u8]> = name.into();
        let Some(folder_memory) = self.folders.get_mut(folder) else { return };
        folder_memory.files.insert(Arc::clone(&name), Kept { found: Arc::clone(found), is_used: false });
        self.round.push_back((folder, name));
        self.bytes += bytes;
        self.open_files += open_files;
    }

    /// Evicts one name that was not used since its last turn. False if there is none.
    fn make_room(&mut self) -> bool {
        while let Some((folder, name)) = self.round.pop_front() {
            let Some(files) = self.folders.get_mut(folder).map(|folder| &mut folder.files) else { continue };
            match files.get_mut(&name) {
                Some(kept) if kept.is_used => {
                    kept.is_used = false;
                    self.round.push_back((folder, name));
                }
                Some(_) => {
                    if let Some(kept) = files.remove(&name) {
                        self.uncount(&kept.found);
                    }
                    return true;
                }
                None => return true,
            }
        }
        false
    }

    fn forget(&mut self, folder: usize, name: &[u8]) {
        let Some(folder_memory) = self.folders.get_mut(folder) else { return };
        if folder_memory.nothings.remove(name).is_some() {
            self.nothings -= 1;
        }
        if let Some(kept) = folder_memory.files.remove(name) {
            self.uncount(&kept.found);
            // This is rare: the file has changed. Its name must not be in the order of eviction twice.
            self.round.retain(|(its_folder, its_name)| *its_folder != folder || **its_name != *name);
        }
    }

    fn uncount(&mut self, found: &Found) {
        let (bytes, open_files) = cost(found);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.open_files = self.open_files.saturating_sub(open_files);
    }
}

/// The bytes and descriptors of an entry.
fn cost(found: &Found) -> (u64, usize) {
    found.representations().fold((ENTRY_BYTES, 0), |(bytes, files), each| match &each.content {
        Content::Memory(content) => (bytes + ENTRY_BYTES + content.len() as u64, files),
        Content::Open(_) => (bytes + ENTRY_BYTES, files + 1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(entries_max: usize) -> CacheBounds {
        CacheBounds { entries_max, bytes_max: 1 << 20, file_bytes_max: 1 << 16, open_files_max: 10 }
    }

    #[test]
    fn used_entries_survive_eviction() {
        let cache = Cache::new(bounds(3));
        let folder = cache.add_folder();
        for name in ["/a", "/b", "/c"] {
            cache.put(folder, name.as_bytes(), &Arc::new(Found::new(What::Folder)));
        }
        assert!(cache.get(folder, b"/a").is_some());
        cache.put(folder, b"/d", &Arc::new(Found::new(What::Folder)));
        let known = |name: &str| cache.get(folder, name.as_bytes()).is_some();
        assert!(known("/a") && !known("/b") && known("/c") && known("/d"));
    }

    #[test]
    fn names_without_a_file_evict_no_file() {
        let cache = Cache::new(bounds(3));
        let folder = cache.add_folder();
        cache.put(folder, b"/a", &Arc::new(Found::new(What::Folder)));
        for number in 0..5000 {
            cache.put(folder, format!("/{number}").as_bytes(), &Arc::new(Found::new(What::Nothing)));
        }
        assert!(cache.get(folder, b"/a").is_some());
        assert!(cache.memory().nothings <= NOTHINGS_MAX);
    }

    #[test]
    fn an_entry_larger_than_the_cache_evicts_nothing() {
        let cache = Cache::new(CacheBounds { bytes_max: ENTRY_BYTES, ..bounds(3) });
        let folder = cache.add_folder();
        cache.put(folder, b"/a", &Arc::new(Found::new(What::Folder)));
        let mut memory = cache.memory();
        let bounds = CacheBounds { bytes_max: ENTRY_BYTES - 1, ..bounds(3) };
        memory.remember(folder, b"/b", &Arc::new(Found::new(What::Folder)), &bounds);
        assert_eq!(memory.round.len(), 1);
    }

    #[test]
    fn a_name_that_is_put_again_counts_once() {
        let cache = Cache::new(bounds(2));
        let folder = cache.add_folder();
        for _ in 0..10 {
            cache.put(folder, b"/a", &Arc::new(Found::new(What::Folder)));
        }
        let memory = cache.memory();
        assert_eq!((memory.round.len(), memory.bytes), (1, ENTRY_BYTES));
    }
}
