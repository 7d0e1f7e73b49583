//! A served folder. It looks names up, in the cache first, then on the disk.

use std::borrow::Cow;
use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use farrier_http::{Coding, DiskLookup, Error, Request, immutable_name, media_type};
use rustix::fs::{Stat, fstat};
use rustix::io::Errno;

use super::cache::Cache;
use super::clock::clock_ms;
use super::folder::Folder;
use super::found::{Content, Found, Lease, Representation, StaticFile, Version, What};
use super::name::{self, NoName};
use super::root::{Named, Root};
use farrier_log::error::{ErrorLog, Level};
use farrier_transport::file_stretch::read_at;

/// How much older than the file a compressed form may be. Archives round times to one second, or to two.
const OLDER_MAX_S: i64 = 2;

/// A folder that is served.
pub(crate) struct Room {
    pub(crate) folder: Folder,
    /// The name of the file, if it is one file that is served and no folder.
    single: Option<Box<[u8]>>,
    root: Root,
    cache: Arc<Cache>,
    number: usize,
    lease: Lease,
    immutable: Lease,
    log: Arc<ErrorLog>,
    /// Whether the log has a line about a hidden file of this folder.
    has_said_hidden: AtomicBool,
}

/// The answer needs the disk, which was not to be waited for.
struct IsCold;

impl Room {
    /// Opens a folder. `single` is the name of the only file in it that is served.
    pub(crate) fn open(
        folder: Folder,
        single: Option<Box<[u8]>>,
        cache: Arc<Cache>,
        log: Arc<ErrorLog>,
    ) -> Result<Room, String> {
        let root = Root::open(&folder.directory)?;
        let number = cache.add_folder();
        let lease = Lease::of(folder.max_age);
        Ok(Room {
            folder,
            single,
            root,
            cache,
            number,
            lease,
            immutable: Lease::immutable(),
            log,
            has_said_hidden: AtomicBool::new(false),
        })
    }

    /// The name below the folder that a request's path stands for.
    pub(crate) fn name_of<'a>(&'a self, request: &'a Request) -> Result<Cow<'a, [u8]>, NoName> {
        let name = name::below(request.path(), request.head.gateway.path_is_decoded, &self.folder.prefix)?;
        match &self.single {
            None => Ok(name),
            Some(single) if name.is_empty() => Ok(Cow::Borrowed(single)),
            Some(_) => Err(NoName::Hidden),
        }
    }

    /// Looks a name up without waiting for the disk, or the file in its place. `None` if the disk is needed.
    pub(crate) fn look(&self, name: &[u8]) -> Option<Arc<Found>> {
        let found = self.look_at(name)?;
        match self.in_place_of(&found) {
            Some(fallback) => self.look_at(&fallback),
            None => Some(found),
        }
    }

    /// Looks a name up, or the file in its place. May wait for the disk.
    pub(crate) fn look_and_wait(&self, name: &[u8]) -> Arc<Found> {
        let found = self.look_at_and_wait(name);
        match self.in_place_of(&found) {
            Some(fallback) => self.look_at_and_wait(&fallback),
            None => found,
        }
    }

    /// Looks a name up, ignoring the cache, or the file in its place. May wait for the disk.
    pub(crate) fn look_again(&self, name: &[u8]) -> Arc<Found> {
        let anew =
            |name: &[u8]| self.find(name, None, true).unwrap_or_else(|IsCold| Arc::new(Found::new(What::Nothing)));
        let found = anew(name);
        match self.in_place_of(&found) {
            Some(fallback) => anew(&fallback),
            None => found,
        }
    }

    /// The name of the file in the place of one that is missing.
    fn in_place_of(&self, found: &Found) -> Option<Vec<u8>> {
        let fallback = self.folder.fallback.as_ref().filter(|_| matches!(found.what, What::Nothing))?;
        Some([b"/", fallback.trim_start_matches('/').as_bytes()].concat())
    }

    fn look_at(&self, name: &[u8]) -> Option<Arc<Found>> {
        let known = self.cache.get(self.number, name);
        if known.as_ref().is_some_and(|found| found.is_fresh(clock_ms())) {
            return known;
        }
        self.find(name, known, false).ok()
    }

    fn look_at_and_wait(&self, name: &[u8]) -> Arc<Found> {
        match self.cache.get(self.number, name) {
            Some(found) if found.is_fresh(clock_ms()) => found,
            known => self.find(name, known, true).unwrap_or_else(|IsCold| Arc::new(Found::new(What::Nothing))),
        }
    }

    /// Looks a name up on the disk, and caches the result.
    fn find(&self, name: &[u8], known: Option<Arc<Found>>, may_wait: bool) -> Result<Arc<Found>, IsCold> {
        let (what, is_known) = match self.root.find(name, may_wait) {
            Named::Cold => return Err(IsCold),
            Named::File(..) if self.hides(name) => (What::Nothing, false),
            Named::File(file, stat) => return self.found_file(name, name, file, &stat, known, may_wait),
            Named::Folder => match &self.folder.index {
                Some(index) if name.ends_with(b"/") => {
                    let inner = [name, index.as_bytes()].concat();
                    match self.root.find(&inner, may_wait) {
                        Named::Cold => return Err(IsCold),
                        Named::File(file, stat) => {
                            return self.found_file(name, &inner, file, &stat, known, may_wait);
                        }
                        Named::Unreadable(error) => (self.unreadable(&inner, error), false),
                        _ => (What::Nothing, false),
                    }
                }
                _ if name.ends_with(b"/") => (What::Nothing, false),
                _ => (What::Folder, false),
            },
            Named::Nothing => (What::Nothing, known.as_ref().is_some_and(|known| matches!(known.what, What::Nothing))),
            Named::Unreadable(error) => (self.unreadable(name, error), false),
            Named::NoRoom(error) => {
                // This is not cached: it says nothing about the file.
                self.unreadable(name, error);
                return Ok(Arc::new(Found::new(What::Unknown)));
            }
        };
        if let Some(known) = known.filter(|_| is_known) {
            known.refresh();
            return Ok(known);
        }
        let found = Arc::new(Found::new(what));
        self.cache.put(self.number, name, &found);
        Ok(found)
    }

    /// Caches a file and the compressed forms beside it. `inner` is the file's own name, `name` the one asked for.
    fn found_file(
        &self,
        name: &[u8],
        inner: &[u8],
        file: File,
        stat: &Stat,
        known: Option<Arc<Found>>,
        may_wait: bool,
    ) -> Result<Arc<Found>, IsCold> {
        let mut forms = vec![(None, file, Version::of(stat))];
        if self.folder.precompressed {
            for coding in Coding::ALL {
                let beside = [inner, ending(coding)].concat();
                match self.root.find(&beside, may_wait) {
                    Named::Cold => return Err(IsCold),
                    // An older form was made from an older version of the file, so it is not served.
                    Named::File(file, its) if its.st_mtime + OLDER_MAX_S >= stat.st_mtime => {
                        forms.push((Some(coding), file, Version::of(&its)));
                    }
                    _ => {}
                }
            }
        }
        if let Some(known) = known.filter(|known| is_same(known, &forms)) {
            known.refresh();
            return Ok(known);
        }
        let varies = forms.len() > 1;
        let path = inner.strip_prefix(b"/").unwrap_or(inner);
        let is_immutable = immutable_name::is_hashed(path)
            || self.folder.immutable.iter().any(|pattern| immutable_name::matches(pattern.as_bytes(), path));
        let lease = if is_immutable { &self.immutable } else { &self.lease };
        let media_type = media_type::of(path);
        let mut file = None;
        let mut encoded = Vec::new();
        for (coding, opened, version) in forms {
            let content = self.content_of(opened, &version, may_wait)?;
            let representation = Representation::new(version, content, coding, media_type, varies, lease);
            match (representation, coding) {
                (Ok(representation), None) => file = Some(representation),
                (Ok(representation), Some(coding)) => encoded.push((coding, representation)),
                (Err(error), _) => self.wonder(name, &error),
            }
        }
        let what = file.map_or(What::Nothing, |plain| What::File(Box::new(StaticFile { plain, encoded })));
        let found = Arc::new(Found::new(what));
        self.cache.put(self.number, name, &found);
        Ok(found)
    }

    /// The content in memory, if it is small and does not change while it is read. Otherwise the open file.
    fn content_of(&self, file: File, version: &Version, may_wait: bool) -> Result<Content, IsCold> {
        let bytes = version.bytes.max(0) as u64;
        if bytes > self.cache.bounds.file_bytes_max {
            return Ok(Content::Open(Arc::new(file)));
        }
        // One byte more than the size, to notice that the file has grown.
        let mut content = vec![0; bytes as usize + 1];
        let mut filled = 0;
        while filled < content.len() {
            match read_at(&file, &mut content[filled..], filled as u64, may_wait) {
                Ok(Some(0)) => break,
                Ok(Some(count)) => filled += count,
                Ok(None) => return Err(IsCold),
                Err(_) => return Ok(Content::Open(Arc::new(file))),
            }
        }
        let is_whole = filled as u64 == bytes && fstat(file.as_fd()).is_ok_and(|stat| version.has_content_of(&stat));
        if !is_whole {
            return Ok(Content::Open(Arc::new(file)));
        }
        content.truncate(filled);
        Ok(Content::Memory(content.into_boxed_slice()))
    }

    /// Whether a file that is there is not served for its name. Asked once for each lookup on the disk, so a file in the
    /// cache costs nothing.
    fn hides(&self, name: &[u8]) -> bool {
        let Some(pattern) = self.folder.hidden.pattern_of(name) else { return false };
        // One line says enough about the folder, however often clients ask.
        if !self.has_said_hidden.swap(true, Ordering::Relaxed) {
            let text = format!(
                "{}{} is not served, because static_hide has `{pattern}`: move the file out of the folder, or change static_hide \
                 (further files of this folder are not logged)",
                self.folder.directory.display(),
                farrier_log::access::printable(name),
            );
            self.log.write(Level::Warning, &text);
        }
        true
    }

    fn unreadable(&self, name: &[u8], error: Errno) -> What {
        let text = format!(
            "cannot read {}{}: {}",
            self.folder.directory.display(),
            farrier_log::access::printable(name),
            std::io::Error::from(error)
        );
        self.log.write(Level::Error, &text);
        What::Unreadable
    }

    fn wonder(&self, name: &[u8], error: &Error) {
        let text = format!("cannot make a head for {}: {error}", farrier_log::access::printable(name));
        self.log.write(Level::Error, &text);
    }
}

/// Looks up the name that a request asks for.
pub(crate) struct Lookup(pub(crate) Arc<Room>);

impl DiskLookup for Lookup {
    fn run(self: Box<Self>, request: &mut Request) {
        let found = match self.0.name_of(request) {
            Ok(name) => self.0.look_and_wait(&name),
            Err(_) => return,
        };
        request.found = Some(found);
    }
}

/// Whether the cached result has the same versions.
fn is_same(known: &Found, forms: &[(Option<Coding>, File, Version)]) -> bool {
    let mut representations = known.representations();
    let all = forms.iter().all(|(coding, _, version)| {
        representations.next().is_some_and(|known| known.coding == *coding && known.version.is_still(version))
    });
    all && representations.next().is_none()
}

const fn ending(coding: Coding) -> &'static [u8] {
    match coding {
        Coding::Zstd => b".zst",
        Coding::Brotli => b".br",
        Coding::Gzip => b".gz",
    }
}
