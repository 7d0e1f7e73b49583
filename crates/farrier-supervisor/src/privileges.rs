//! Drops privileges: first the groups, then the user. This cannot be undone.

#![allow(unsafe_code)]

use std::fmt;
use std::io;

/// A user, a group and the supplementary groups, by number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The supplementary groups. Those of the starting process are not kept, as they may be root's.
    pub groups: Vec<u32>,
}

/// This process may not change its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotRoot {
    identity: Identity,
    uid: u32,
}

impl fmt::Display for NotRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NotRoot { identity: Identity { uid, gid, .. }, uid: own } = self;
        write!(
            f,
            "workers shall run as user {uid} and group {gid}, which needs root, but this is user {own}: start as root \
             or leave out `user` and `group`"
        )
    }
}

impl std::error::Error for NotRoot {}

impl Identity {
    /// Whether this process already has this identity, so that nothing need be done.
    pub fn is_own(&self) -> bool {
        own_uid() == self.uid && own_gid() == self.gid
    }

    /// Whether this process can take it on.
    ///
    /// # Errors
    ///
    /// It is another's, and this process is not root.
    pub fn check(&self) -> Result<(), NotRoot> {
        let uid = own_uid();
        if uid == 0 || self.is_own() { Ok(()) } else { Err(NotRoot { identity: self.clone(), uid }) }
    }

    /// Runs `work` with the file-system identity of this user, in this thread only. Nothing changes if this process
    /// already has the identity.
    pub fn on_files<T>(&self, work: impl FnOnce() -> T) -> T {
        let (uid, gid) = (own_uid(), own_gid());
        self.set_file_access(self.uid, self.gid);
        let done = work();
        self.set_file_access(uid, gid);
        done
    }

    fn set_file_access(&self, uid: u32, gid: u32) {
        // SAFETY: both take plain numbers and change this thread alone (setfsuid(2)). If the kernel refuses, nothing
        // changes: the work on files then runs with this process's own identity.
        unsafe { libc::setfsgid(gid) };
        // SAFETY: as above.
        unsafe { libc::setfsuid(uid) };
    }

    /// Takes on this identity permanently, in all threads of the process.
    ///
    /// # Errors
    ///
    /// The kernel refused a step. The process must end then, because its identity may have changed in part.
    pub fn assume(&self) -> io::Result<()> {
        if own_uid() == 0 {
            // SAFETY: the pointer and the length are those of one live vector, which the call only reads.
            done(unsafe { libc::setgroups(self.groups.len(), self.groups.as_ptr()) })?;
        }
        if self.is_own() {
            return Ok(());
        }
        // SAFETY: both take plain numbers. The C library's calls change every thread, unlike the kernel's.
        done(unsafe { libc::setresgid(self.gid, self.gid, self.gid) })?;
        // SAFETY: as above. Last, because afterwards nothing of this is allowed any more.
        done(unsafe { libc::setresuid(self.uid, self.uid, self.uid) })?;
        if self.uid != 0 && own_uid() == 0 {
            return Err(io::Error::other("the kernel said yes, but this process is still root"));
        }
        Ok(())
    }
}

/// This process's effective user.
pub fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// This process's effective group.
pub fn own_gid() -> u32 {
    rustix::process::getegid().as_raw()
}

fn done(outcome: i32) -> io::Result<()> {
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_s_own_identity_is_always_allowed() {
        let own = Identity { uid: own_uid(), gid: own_gid(), groups: Vec::new() };
        assert!(own.is_own());
        assert_eq!(own.check(), Ok(()));
    }

    #[test]
    fn an_error_that_needs_root_says_what_to_do() {
        let identity = Identity { uid: 33, gid: 34, groups: vec![34] };
        let text = NotRoot { identity, uid: 1000 }.to_string();
        assert!(text.starts_with("workers shall run as user 33 and group 34, which needs root, but this is user 1000"));
    }
}
