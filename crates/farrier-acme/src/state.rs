//! The state directory: certificates and their records, the account, answers to challenges, locks.
//!
//! Every file is written under another name, synced to disk and then renamed. So readers find an old file or a new one,
//! and never a part. A certificate and its key are in one file for the same reason.
//!
//! ```text
//! certificates/NAME.pem       chain, then key        what is served
//! certificates/NAME.json      notes: expiry, suggested renewal, failures
//! accounts/AUTHORITY.json     the account's key
//! challenges/http-01/TOKEN    what workers answer
//! challenges/tls-alpn-01/NAME.pem
//! locks/NAME                  held by the process that orders
//! ```

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, lchown};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::settings::{Challenge, Names};

/// The directory and where things are in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    root: PathBuf,
}

/// The directory cannot be used.
#[derive(Debug)]
pub struct StateError {
    place: PathBuf,
    doing: &'static str,
    cause: io::Error,
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StateError { place, doing, cause } = self;
        write!(f, "cannot {doing} {}: {cause}", place.display())
    }
}

impl std::error::Error for StateError {}

/// No file of the directory is larger.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Its contents.
const ROOMS: [&str; 6] =
    ["certificates", "accounts", "locks", "challenges", "challenges/http-01", "challenges/tls-alpn-01"];

impl State {
    /// The state directory at this place.
    pub fn at(root: impl Into<PathBuf>) -> State {
        State { root: root.into() }
    }

    /// Makes the directory if it does not exist, and gives it with its contents to a user and group. Only root needs
    /// this, if the workers have another user.
    ///
    /// # Errors
    /// It cannot be made or given away.
    pub fn give(&self, owner: (u32, u32)) -> Result<(), StateError> {
        self.make()?;
        let look = |place: &Path| fs::metadata(place).map_err(|cause| failed(place, "look at", cause));
        let found = look(&self.root)?;
        if (found.uid(), found.gid()) == owner {
            return Ok(());
        }
        let give = |place: &Path| {
            lchown(place, Some(owner.0), Some(owner.1)).map_err(|cause| failed(place, "give away", cause))
        };
        // The directory itself is last: until then the new owner cannot replace entries with links.
        for room in ROOMS.iter().map(|room| self.root.join(room)) {
            for entry in fs::read_dir(&room).into_iter().flatten().flatten() {
                give(&entry.path())?;
            }
            if room.symlink_metadata().is_ok() {
                give(&room)?;
            }
        }
        chown(&self.root, Some(owner.0), Some(owner.1)).map_err(|cause| failed(&self.root, "give away", cause))
    }

    /// Makes the directory and its subdirectories, accessible to the owner only (0700), and checks that it can be
    /// written.
    ///
    /// # Errors
    /// A part of it cannot be made or written.
    pub fn prepare(&self) -> Result<(), StateError> {
        self.make()?;
        let rooms = ROOMS.iter().map(|room| self.root.join(room));
        std::iter::once(self.root.clone()).chain(rooms).try_for_each(|room| prepare_room(&room))?;
        let probe = self.root.join(".probe");
        write(&probe, b"").map_err(|cause| failed(&self.root, "write into", cause))?;
        fs::remove_file(&probe).map_err(|cause| failed(&self.root, "write into", cause))
    }

    fn make(&self) -> Result<(), StateError> {
        if let Some(above) = self.root.parent().filter(|above| !above.as_os_str().is_empty()) {
            let made = DirBuilder::new().recursive(true).mode(0o755).create(above);
            made.map_err(|cause| failed(above, "make", cause))?;
        }
        make_room(&self.root)
    }

    /// The file with the chain and the key; it need not exist.
    pub fn certificate(&self, names: &Names) -> PathBuf {
        self.root.join("certificates").join(format!("{}.pem", names.first()))
    }

    /// The directory of the answers to a kind of challenge.
    pub fn challenges(&self, kind: Challenge) -> PathBuf {
        self.root.join("challenges").join(kind.word())
    }

    pub(crate) fn record(&self, names: &Names) -> PathBuf {
        self.certificate(names).with_extension("json")
    }

    /// The account's file at the authority of this directory address.
    pub(crate) fn account(&self, directory: &str) -> PathBuf {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, directory.as_bytes());
        let tail: String = digest.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let host = directory.split("://").nth(1).unwrap_or_default().split(['/', ':', '@']).next().unwrap_or_default();
        let host: String = host.chars().filter(|&c| c.is_ascii_alphanumeric() || c == '-' || c == '.').collect();
        self.root.join("accounts").join(format!("{host}-{tail}.json"))
    }

    /// Writes a certificate if there is none yet. False if there is one.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put_first(&self, names: &Names, pem: &str) -> Result<bool, StateError> {
        let place = self.certificate(names);
        let put = || -> io::Result<bool> {
            let fresh = fresh_name(&place);
            write_new(&fresh, pem.as_bytes())?;
            // Unlike a rename, a link does not replace a file that another server has written meanwhile.
            let linked = fs::hard_link(&fresh, &place);
            fs::remove_file(&fresh)?;
            match linked {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
                linked => linked.map(|()| true),
            }
        };
        put().map_err(|cause| failed(&place, "write", cause))
    }

    /// Replaces the certificate.
    pub(crate) fn put(&self, names: &Names, pem: &str) -> Result<(), StateError> {
        let place = self.certificate(names);
        write(&place, pem.as_bytes()).map_err(|cause| failed(&place, "write", cause))
    }

    /// The lock of a certificate: only its holder orders. `None` if another process has it.
    pub(crate) fn lock(&self, names: &Names) -> Result<Option<OwnedFd>, StateError> {
        lock(&self.root.join("locks").join(names.first()))
    }

    /// The lock of the accounts, so that two servers do not make two. `None` if another process has it.
    pub(crate) fn lock_accounts(&self) -> Result<Option<OwnedFd>, StateError> {
        lock(&self.root.join("locks").join(".accounts"))
    }

    /// Writes the answer to a challenge where workers find it.
    pub(crate) fn answer(&self, kind: Challenge, name: &str, content: &str) -> Result<PathBuf, StateError> {
        let place = self.challenges(kind).join(name);
        write(&place, content.as_bytes()).map_err(|cause| failed(&place, "write", cause))?;
        Ok(place)
    }

    /// Reads a file; `None` if there is none.
    pub(crate) fn read(place: &Path) -> Result<Option<String>, StateError> {
        let read = || -> io::Result<String> {
            let mut text = String::new();
            File::open(place)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
            Ok(text)
        };
        match read() {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(failed(place, "read", cause)),
        }
    }

    /// Writes a file.
    pub(crate) fn write(place: &Path, content: &str) -> Result<(), StateError> {
        write(place, content.as_bytes()).map_err(|cause| failed(place, "write", cause))
    }
}

fn lock(place: &Path) -> Result<Option<OwnedFd>, StateError> {
    let open = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(place);
    let file: OwnedFd = open.map_err(|cause| failed(place, "open", cause))?.into();
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(failed(place, "lock", errno.into())),
    }
}

fn failed(place: &Path, doing: &'static str, cause: io::Error) -> StateError {
    StateError { place: place.to_owned(), doing, cause }
}

fn make_room(room: &Path) -> Result<(), StateError> {
    match DirBuilder::new().mode(0o700).create(room) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(room, "make", error)),
        _ => Ok(()),
    }
}

fn prepare_room(room: &Path) -> Result<(), StateError> {
    make_room(room)?;
    let found = fs::metadata(room).map_err(|cause| failed(room, "look at", cause))?;
    if !found.is_dir() {
        return Err(failed(room, "use", rustix::io::Errno::NOTDIR.into()));
    }
    if found.mode() & 0o777 != 0o700 {
        let tightened = fs::set_permissions(room, Permissions::from_mode(0o700));
        tightened.map_err(|cause| failed(room, "make its owner's alone", cause))?;
    }
    Ok(())
}

/// A name beside `place` that nobody else uses.
fn fresh_name(place: &Path) -> PathBuf {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    place.with_file_name(format!(".{name}.{}", std::process::id()))
}

fn write(place: &Path, content: &[u8]) -> io::Result<()> {
    let fresh = fresh_name(place);
    write_new(&fresh, content)?;
    fs::rename(&fresh, place)?;
    // The directory must be synced as well.
    match place.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

fn write_new(fresh: &Path, content: &[u8]) -> io::Result<()> {
    match fs::remove_file(fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // `create_new` follows no link.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(fresh)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let place = std::env::temp_dir().join(format!("farrier-acme-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&place);
        place
    }

    fn names() -> Names {
        Names::new(vec!["example.org".to_owned()]).expect("a name")
    }

    #[test]
    fn the_directory_and_the_keys_are_the_owner_s_alone() {
        let root = scratch("modes");
        let state = State::at(root.join("deep/acme"));
        state.prepare().expect("made");
        state.put(&names(), "key").expect("written");
        let mode = |place: &Path| fs::metadata(place).expect("there").mode() & 0o777;
        assert_eq!(mode(&root.join("deep/acme")), 0o700);
        assert_eq!(mode(&state.certificate(&names())), 0o600);
        fs::set_permissions(root.join("deep/acme"), Permissions::from_mode(0o755)).expect("set");
        state.prepare().expect("made");
        assert_eq!(mode(&root.join("deep/acme")), 0o700);
        fs::remove_dir_all(root).expect("removed");
    }

    #[test]
    fn a_first_certificate_replaces_none() {
        let root = scratch("first");
        let state = State::at(&root);
        state.prepare().expect("made");
        assert!(state.put_first(&names(), "one").expect("written"));
        assert!(!state.put_first(&names(), "two").expect("left alone"));
        let read = |state: &State| State::read(&state.certificate(&names())).expect("read");
        assert_eq!(read(&state).as_deref(), Some("one"));
        state.put(&names(), "three").expect("written");
        assert_eq!(read(&state).as_deref(), Some("three"));
        // No partly written file is left.
        assert_eq!(fs::read_dir(root.join("certificates")).expect("there").count(), 1);
        fs::remove_dir_all(root).expect("removed");
    }

    #[test]
    fn one_at_a_time_has_the_lock() {
        let root = scratch("lock");
        let state = State::at(&root);
        state.prepare().expect("made");
        let first = state.lock(&names()).expect("asked");
        assert!(first.is_some() && state.lock(&names()).expect("asked").is_none());
        drop(first);
        assert!(state.lock(&names()).expect("asked").is_some());
        fs::remove_dir_all(root).expect("removed");
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let root = scratch("file");
        fs::write(&root, "").expect("written");
        let error = State::at(&root).prepare().expect_err("refused").to_string();
        assert!(error.contains("cannot use /") && error.contains("Not a directory"), "{error}");
        fs::remove_file(root).expect("removed");
    }

    #[test]
    fn an_account_belongs_to_one_authority() {
        let state = State::at("/s");
        let place = |directory: &str| state.account(directory).display().to_string();
        assert!(place("https://acme.example:14000/dir").starts_with("/s/accounts/acme.example-"));
        assert_ne!(place("https://acme.example/a"), place("https://acme.example/b"));
    }
}
