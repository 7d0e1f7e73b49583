//! Where to listen: the configured addresses, and sockets that were passed to this process.

use farrier_config::value::Value;
use farrier_config::{BindAddress, Config, Protocol};
use farrier_supervisor::privileges::Identity;
use farrier_supervisor::sockets::Activation;
use farrier_supervisor::{BindOptions, ListenSpec, Listener, LocalAddress};
use pyo3::prelude::*;

use crate::{accounts, certificates};

/// Where to listen. Sockets from a service manager replace the addresses, unless one of these names a descriptor.
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
        specs.extend(specs_of(address, config.unix_socket_mode.0, owner, activation)?);
    }
    Ok(specs)
}

fn specs_of(
    address: &BindAddress,
    mode: u32,
    (uid, gid): (Option<u32>, Option<u32>),
    activation: &Activation,
) -> Result<Vec<ListenSpec>, String> {
    Ok(vec![match address {
        BindAddress::Tcp { host, port } => ListenSpec::Tcp { host: host.clone(), port: *port },
        BindAddress::Unix(path) => ListenSpec::Unix { path: path.clone(), mode: Some(mode), uid, gid },
        BindAddress::Abstract(name) => ListenSpec::Abstract(name.clone()),
        BindAddress::Fd(number) => ListenSpec::Fd(*number),
        BindAddress::NamedFd(name) => {
            return match activation.named(name) {
                passed if passed.is_empty() => Err(no_such_name(name, activation)),
                passed => Ok(passed.into_iter().map(ListenSpec::Fd).collect()),
            };
        }
        BindAddress::Speaking(_, place) | BindAddress::Secured(place) => {
            return specs_of(place, mode, (uid, gid), activation);
        }
    }])
}

/// The protocol of each listener: that of its address, or else of the setting.
pub(crate) fn protocols(config: &Config, listeners: &[Listener]) -> Vec<Protocol> {
    let said = |address: Option<&BindAddress>| address.and_then(BindAddress::protocol).unwrap_or(config.protocol);
    addresses(config, listeners).into_iter().map(said).collect()
}

/// Whether each listener uses TLS: as its address says, or else if it speaks HTTP and there is a certificate.
pub(crate) fn secured(config: &Config, listeners: &[Listener]) -> Vec<bool> {
    let otherwise = certificates::are_wanted(config) && config.protocol == Protocol::Http;
    let said = |address: Option<&BindAddress>| address.and_then(BindAddress::is_secured).unwrap_or(otherwise);
    addresses(config, listeners).into_iter().map(said).collect()
}

/// The port that clients without TLS are redirected to, if they are: that of the first listener with TLS, or 443 if a
/// proxy handles TLS.
pub(crate) fn secure_port(config: &Config, listeners: &[Listener]) -> Option<u16> {
    let speaks = secured(config, listeners);
    let mut ports =
        listeners.iter().zip(speaks).filter(|(_, speaks)| *speaks).filter_map(|(listener, _)| match listener.local() {
            LocalAddress::Inet(address) => Some(address.port()),
            _ => None,
        });
    config.https_redirect.then(|| ports.next().unwrap_or(443))
}

/// The address of the configuration that each listener was bound for.
fn addresses<'c>(config: &'c Config, listeners: &[Listener]) -> Vec<Option<&'c BindAddress>> {
    let specs: Vec<&ListenSpec> = listeners.iter().map(Listener::spec).collect();
    let bound_for = |(index, spec): (usize, &&ListenSpec)| {
        let mut found = config.bind.iter().filter(|address| is_at(address.place(), spec));
        // Port 0 may be given several times; a name may have several addresses.
        let before = specs[..index].iter().filter(|other| *other == spec).count();
        found.clone().nth(before).or_else(|| found.next_back())
    };
    specs.iter().enumerate().map(bound_for).collect()
}

/// Whether the listener was bound for the address.
fn is_at(address: &BindAddress, spec: &ListenSpec) -> bool {
    match (address, spec) {
        (BindAddress::Tcp { host, port }, ListenSpec::Tcp { host: bound, port: at }) => host == bound && port == at,
        (BindAddress::Unix(path), ListenSpec::Unix { path: bound, .. }) => path == bound,
        (BindAddress::Abstract(name), ListenSpec::Abstract(bound)) => name == bound,
        (BindAddress::Fd(number), ListenSpec::Fd(bound)) => number == bound,
        _ => false,
    }
}

/// Adds the protocols to the names of the listeners.
pub(crate) fn name_protocols(config: &Config, listeners: &mut [Listener]) {
    let (protocols, secured) = (protocols(config, listeners), secured(config, listeners));
    for (listener, (protocol, is_secured)) in listeners.iter_mut().zip(protocols.into_iter().zip(secured)) {
        let name = match protocol {
            _ if is_secured => Some("https".to_owned()),
            Protocol::Http => None,
            protocol => Some(protocol.text()),
        };
        listener.name_protocol(name.as_deref());
    }
}

/// Whether the passed sockets replace the addresses.
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
