//! Users and groups by name: the identity of the workers, and the owner of files that the arbiter makes for them.

use std::fs::OpenOptions;
use std::os::unix::fs::{FileTypeExt, MetadataExt, fchown};

use farrier_config::{Config, LogTarget, Owner};
use farrier_supervisor::privileges::Identity;
use pyo3::prelude::*;

/// The identity of the workers, if it was set.
///
/// # Errors
/// The user or group does not exist, or this process may not become it.
pub(crate) fn identity(py: Python<'_>, config: &Config) -> Result<Option<Identity>, String> {
    if config.user.is_none() && config.group.is_none() && !config.initgroups {
        return Ok(None);
    }
    let names = [&config.user, &config.group].map(|account| account.as_ref().map(|account| account.0.as_str()));
    let (uid, gid, groups) = py
        .import("farrier._accounts")
        .and_then(|module| module.call_method1("identity", (names[0], names[1], config.initgroups))?.extract())
        .map_err(|raised| format!("user and group: {}", raised.value(py)))?;
    let identity = Identity { uid, gid, groups };
    identity.check().map_err(|refused| refused.to_string())?;
    Ok(Some(identity))
}

/// Changes this process, a worker, to its configured user.
///
/// # Errors
/// The user or group does not exist any more, or the kernel refuses; the worker must end.
pub(crate) fn become_user(py: Python<'_>, config: &Config) -> Result<(), String> {
    let Some(identity) = identity(py, config)? else { return Ok(()) };
    identity.assume().map_err(|error| format!("Cannot become user {}, group {}: {error}", identity.uid, identity.gid))
}

/// What of the interpreter and the packages the user of this worker cannot read, if it has another user than the arbiter.
pub(crate) fn unreadable(py: Python<'_>, config: &Config) -> Option<String> {
    if config.user.is_none() && config.group.is_none() {
        return None;
    }
    py.import("farrier._accounts").and_then(|module| module.call_method0("unreadable")?.extract()).ok()?
}

/// The numbers of a unix socket's owner.
///
/// # Errors
/// The user or group does not exist.
pub(crate) fn socket_owner(py: Python<'_>, owner: &Owner) -> Result<(Option<u32>, Option<u32>), String> {
    let number = |name: &Option<String>, look_up: &str| -> PyResult<Option<u32>> {
        let Some(name) = name else { return Ok(None) };
        py.import("farrier._accounts")?.call_method1(look_up, (name,))?.extract().map(Some)
    };
    let numbers = number(&owner.user, "user_id").and_then(|user| Ok((user, number(&owner.group, "group_id")?)));
    numbers.map_err(|raised| format!("unix_socket_owner: {}", raised.value(py)))
}

/// Gives the log files to the workers' user, and creates missing ones. Workers open the files themselves, even after a
/// rotation, and cannot create files in a directory of root's.
pub(crate) fn give_logs(config: &Config, identity: Option<&Identity>) -> Result<(), String> {
    let Some(identity) = identity else { return Ok(()) };
    for target in [Some(&config.errorlog), config.accesslog.as_ref()].into_iter().flatten() {
        let LogTarget::File(path) = target else { continue };
        // A pipe keeps its owner, and opening it would wait for a reader (fifo(7)).
        if std::fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo()) {
            continue;
        }
        let given = OpenOptions::new().append(true).create(true).open(path).and_then(|file| {
            let found = file.metadata()?;
            // A device keeps its owner.
            if !found.is_file() || (found.uid(), found.gid()) == (identity.uid, identity.gid) {
                return Ok(());
            }
            fchown(&file, Some(identity.uid), Some(identity.gid))
        });
        given.map_err(|error| format!("Cannot give {} to the workers' user: {error}", path.display()))?;
    }
    Ok(())
}
