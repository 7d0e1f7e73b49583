//! Sockets that a master passes to its successor (`GUNICORN_FD`): each is matched with one of the configured addresses.

use std::os::fd::OwnedFd;
use std::path::Path;

use socket2::{SockAddr, Socket, Type};

use super::unix::SocketFile;
use super::{BindOptions, ListenSpec, Listener, LocalAddress, finish, tcp};
use crate::arbiter::Level;

/// Makes listeners of a predecessor's sockets, each for the first of `specs` with its address. A socket without a
/// matching address is closed; addresses without a socket must still be bound.
pub fn inherit(
    sockets: Vec<OwnedFd>,
    specs: &[ListenSpec],
    options: &BindOptions,
    log: &mut dyn FnMut(Level, &str),
) -> Vec<Listener> {
    let mut listeners = Vec::new();
    for socket in sockets {
        let socket = Socket::from(socket);
        let is_stream = socket.r#type().is_ok_and(|kind| kind == Type::STREAM);
        let address = socket.local_addr().ok().filter(|_| is_stream && socket.is_listener().unwrap_or(false));
        let Some(address) = address else {
            log(Level::Warning, "GUNICORN_FD names a descriptor that is no listening socket; it is not used");
            continue;
        };
        let Some(spec) = specs.iter().find(|spec| means(spec, &address)) else {
            let shown = LocalAddress::of(&address).map_or("a socket".to_owned(), |local| local.display(options.tls));
            log(Level::Warning, &format!("The predecessor's listener {shown} is not asked for any more and is closed"));
            continue;
        };
        let file = match spec {
            ListenSpec::Unix { path, .. } => SocketFile::of(path).ok(),
            _ => None,
        };
        match finish(spec, socket, &address, file, options) {
            Ok(listener) => listeners.push(listener),
            Err(error) => log(Level::Warning, &error.to_string()),
        }
    }
    listeners
}

fn means(spec: &ListenSpec, address: &SockAddr) -> bool {
    match (spec, LocalAddress::of(address)) {
        (ListenSpec::Tcp { host, port }, Some(LocalAddress::Inet(bound))) => {
            // With port 0 the kernel chose the port, so any port matches.
            (*port == 0 || *port == bound.port())
                && tcp::addresses(host, *port).is_ok_and(|found| found.iter().any(|each| each.ip() == bound.ip()))
        }
        (ListenSpec::Unix { path, .. }, Some(LocalAddress::Unix(bound))) => is_same(path, &bound),
        (ListenSpec::Abstract(name), Some(LocalAddress::Abstract(bound))) => *name == bound,
        _ => false,
    }
}

fn is_same(path: &Path, bound: &Path) -> bool {
    let absolute = |path: &Path| std::path::absolute(path).ok();
    absolute(path).is_some_and(|path| absolute(bound) == Some(path))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn tcp(host: &str, port: u16) -> ListenSpec {
        ListenSpec::Tcp { host: host.to_owned(), port }
    }

    fn unix(path: &Path) -> ListenSpec {
        ListenSpec::Unix { path: path.to_owned(), mode: Some(0o600), uid: None, gid: None }
    }

    #[test]
    fn each_socket_finds_the_address_that_means_it() {
        let path = std::env::temp_dir().join(format!("farrier-inherit-{}", std::process::id()));
        let (any, exact) =
            (TcpListener::bind("127.0.0.1:0").expect("bound"), UnixListener::bind(&path).expect("bound"));
        let port = any.local_addr().expect("known").port();
        let specs = [tcp("127.0.0.1", 1), unix(&path), tcp("localhost", port)];
        let sockets = vec![any.into(), exact.into()];
        let found = inherit(sockets, &specs, &BindOptions::default(), &mut |_, line| panic!("{line}"));
        let places: Vec<_> = found.iter().map(|listener| listener.spec().clone()).collect();
        assert_eq!(places, [specs[2].clone(), specs[1].clone()]);
        assert_eq!(found[0].display(), format!("http://127.0.0.1:{port}"));
        found[1].unlink();
        assert!(!path.exists(), "the file is the successor's now");
    }

    #[test]
    fn port_zero_means_whichever_port_it_became() {
        let socket = TcpListener::bind("127.0.0.1:0").expect("bound");
        let found = inherit(vec![socket.into()], &[tcp("127.0.0.1", 0)], &BindOptions::default(), &mut |_, _| {});
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn unwanted_sockets_are_closed_with_a_log_line() {
        let mut lines = Vec::new();
        let (socket, file) =
            (TcpListener::bind("127.0.0.1:0").expect("bound"), std::fs::File::open("/dev/null").expect("there"));
        let sockets = vec![socket.into(), file.into()];
        let found =
            inherit(sockets, &[tcp("::1", 0)], &BindOptions::default(), &mut |_, line| lines.push(line.to_owned()));
        assert!(found.is_empty());
        assert!(lines[0].ends_with("is not asked for any more and is closed"), "{lines:?}");
        assert!(lines[1].contains("no listening socket"), "{lines:?}");
    }
}
