//! Where to listen: the addresses of the configuration, and the sockets that others have opened for this process.

use farrier_config::{BindAddress, Config};
use farrier_supervisor::privileges::Identity;
use farrier_supervisor::sockets::Activation;
use farrier_supervisor::{BindOptions, ListenSpec};
use pyo3::prelude::*;

use crate::accounts;

/// Where to listen. Sockets that a service manager has passed take the place of the addresses, unless one of these
/// names a descriptor.
///
/// # Errors
/// The owner of the unix sockets does not exist, or no socket of that name was passed.
pub(crate) fn listen_specs(
    py: Python<'_>,
    config: &Config,
    activation: &Activation,
    identity: Option<&Identity>,
) -> Result<Vec<ListenSpec>, String> {
    if is_activated(config, activation) {
        return Ok(activation.descriptors().map(ListenSpec::Fd).collect());
    }
    let mut owner = identity.map_or((None, None), |identity| (Some(identity.uid), Some(identity.gid)));
    if let Some(named) = &config.unix_socket_owner {
        let (uid, gid) = accounts::socket_owner(py, named)?;
        owner = (uid.or(owner.0), gid.or(owner.1));
    }
    let mut specs = Vec::new();
    for address in &config.bind {
        match address.place() {
            BindAddress::Tcp { host, port } => specs.push(ListenSpec::Tcp { host: host.clone(), port: *port }),
            BindAddress::Unix(path) => specs.push(ListenSpec::Unix {
                path: path.clone(),
                mode: Some(config.unix_socket_mode.0),
                uid: owner.0,
                gid: owner.1,
            }),
            BindAddress::Abstract(name) => specs.push(ListenSpec::Abstract(name.clone())),
            BindAddress::Fd(number) => specs.push(ListenSpec::Fd(*number)),
            BindAddress::NamedFd(name) => match activation.named(name) {
                passed if passed.is_empty() => return Err(no_such_name(name, activation)),
                passed => specs.extend(passed.into_iter().map(ListenSpec::Fd)),
            },
        }
    }
    Ok(specs)
}

/// Whether the passed sockets take the place of the addresses.
pub(crate) fn is_activated(config: &Config, activation: &Activation) -> bool {
    let names_one = |address: &BindAddress| matches!(address.place(), BindAddress::Fd(_) | BindAddress::NamedFd(_));
    !activation.is_empty() && !config.bind.iter().any(names_one)
}

fn no_such_name(name: &str, activation: &Activation) -> String {
    let passed = match activation.names() {
        [] => "none was passed (LISTEN_FDS, LISTEN_PID)".to_owned(),
        names => format!("LISTEN_FDNAMES has {}", names.join(", ")),
    };
    format!("bind: there is no socket of the name `{name}` for fd://{name}; {passed}")
}

/// How to listen.
pub(crate) fn bind_options(config: &Config) -> BindOptions {
    BindOptions { backlog: config.backlog, reuse_port: config.reuse_port, ..BindOptions::default() }
}
