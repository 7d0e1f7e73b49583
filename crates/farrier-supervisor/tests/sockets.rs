//! Tests of listeners: addresses, file permissions, stale sockets and error messages.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use farrier_supervisor::sockets::{BindError, bind_all, rebind_all, unlink_dropped};
use farrier_supervisor::{BindOptions, ListenSpec, Listener, LocalAddress};

/// A directory of this test's own, gone with it.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let path = std::env::temp_dir().join(format!("farrier-sockets-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("made");
        Place(path)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn tcp(host: &str, port: u16) -> ListenSpec {
    ListenSpec::Tcp { host: host.to_owned(), port }
}

fn unix(path: &Path) -> ListenSpec {
    ListenSpec::Unix { path: path.to_owned(), mode: None, uid: None, gid: None }
}

fn options() -> BindOptions {
    BindOptions { tries: 1, ..BindOptions::default() }
}

fn bind(specs: &[ListenSpec]) -> Result<Vec<Listener>, BindError> {
    bind_all(specs, &options(), &mut |_, _| {})
}

fn bind_one(spec: ListenSpec) -> Listener {
    let mut bound = bind(&[spec]).expect("bound");
    assert_eq!(bound.len(), 1);
    bound.remove(0)
}

#[track_caller]
fn refused(spec: ListenSpec) -> String {
    bind(&[spec]).expect_err("refused").to_string()
}

fn inet(listener: &Listener) -> SocketAddr {
    match listener.local() {
        LocalAddress::Inet(address) => *address,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_tcp_listener_shows_its_real_port() {
    let listener = bind_one(tcp("127.0.0.1", 0));
    let address = inet(&listener);
    assert_ne!(address.port(), 0);
    assert_eq!(listener.display(), format!("http://127.0.0.1:{}", address.port()));
    TcpStream::connect(address).expect("somebody listens");
    let tls = bind_all(&[tcp("127.0.0.1", 0)], &BindOptions { tls: true, ..options() }, &mut |_, _| {}).expect("bound");
    assert!(tls[0].display().starts_with("https://127.0.0.1:"));
}

#[test]
fn listeners_do_not_block_and_are_closed_at_exec() {
    let place = Place::new("flags");
    for spec in [tcp("127.0.0.1", 0), unix(&place.at("s")), ListenSpec::Abstract(b"farrier-flags".to_vec())] {
        let listener = bind_one(spec);
        assert!(rustix::io::fcntl_getfd(&listener).expect("asked").contains(rustix::io::FdFlags::CLOEXEC));
        assert!(rustix::fs::fcntl_getfl(&listener).expect("asked").contains(rustix::fs::OFlags::NONBLOCK));
    }
}

#[test]
fn an_empty_host_is_every_ipv4_address() {
    assert_eq!(inet(&bind_one(tcp("", 0))).ip().to_string(), "0.0.0.0");
}

#[test]
fn a_name_is_bound_at_each_of_its_addresses() {
    let port = inet(&bind_one(tcp("127.0.0.1", 0))).port();
    let bound = bind(&[tcp("localhost", port)]).expect("bound");
    assert_eq!(inet(&bound[0]).to_string(), format!("127.0.0.1:{port}"));
    assert!(bound.iter().all(|listener| inet(listener).port() == port));
}

#[test]
fn the_ipv6_wildcard_takes_ipv4_unless_that_is_asked_for_too() {
    if TcpListener::bind("[::1]:0").is_err() {
        println!("this machine has no IPv6");
        return;
    }
    let dual = bind_one(tcp("::", 0));
    let port = inet(&dual).port();
    assert_eq!(dual.display(), format!("http://[::]:{port}"));
    TcpStream::connect(("127.0.0.1", port)).expect("dual-stack");
    drop(dual);
    let both = bind(&[tcp("0.0.0.0", port), tcp("::", port)]).expect("each takes its own");
    assert_eq!(both.len(), 2);
}

#[test]
fn an_address_in_use_is_tried_again_and_then_named() {
    let other = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = other.local_addr().expect("known").port();
    let mut lines = Vec::new();
    let patient = BindOptions { tries: 3, pause: Duration::ZERO, ..options() };
    let error = bind_all(&[tcp("127.0.0.1", port)], &patient, &mut |level, line| {
        lines.push(format!("{} {line}", level.name()));
    });
    let in_use = format!("Connection in use: ('127.0.0.1', {port})");
    let [line] = lines.as_slice() else { panic!("one line, not one for each try: {lines:?}") };
    let start = format!("ERROR {in_use}; ");
    let pid = std::process::id();
    assert!(line.starts_with(&start) && line.contains(&format!("(pid {pid}")), "{line}");
    assert!(line.ends_with(" listens there. Retrying in 0 second, 2 times at most."), "{line}");
    let error = error.expect_err("still in use").to_string();
    assert!(error.starts_with(&format!("{in_use}; ")) && error.contains(&format!("(pid {pid}")), "{error}");
    assert!(error.ends_with(" listens there: stop it or choose another address"), "{error}");
}

#[test]
fn an_error_names_the_address_and_what_to_do() {
    let elsewhere = refused(tcp("192.0.2.1", 8000));
    assert!(elsewhere.starts_with("Can't listen at ('192.0.2.1', 8000): "), "{elsewhere}");
    assert!(elsewhere.ends_with("; this machine has no such address"), "{elsewhere}");
    let nowhere = refused(unix(Path::new("/nonexistent/farrier.sock")));
    assert!(nowhere.starts_with("Can't listen at /nonexistent/farrier.sock: "), "{nowhere}");
    assert!(nowhere.ends_with("; the directory must exist"), "{nowhere}");
    let long = refused(unix(Path::new(&format!("/tmp/{}", "x".repeat(200)))));
    assert!(long.ends_with("the path is too long for a socket (107 bytes)"), "{long}");
}

#[test]
fn a_unix_socket_has_the_rights_it_is_given() {
    let place = Place::new("rights");
    let path = place.at("s");
    let listener = bind_one(ListenSpec::Unix { path: path.clone(), mode: Some(0o640), uid: None, gid: None });
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o7777, 0o640);
    assert_eq!(listener.display(), format!("unix:{}", path.display()));
    assert_eq!(*listener.local(), LocalAddress::Unix(path.clone()));
    UnixStream::connect(&path).expect("somebody listens");
}

#[test]
fn a_unix_socket_has_the_owner_it_is_given() {
    let place = Place::new("owner");
    let path = place.at("s");
    let own = fs::metadata(&place.0).expect("there");
    let spec = ListenSpec::Unix { path: path.clone(), mode: None, uid: Some(own.uid()), gid: Some(own.gid()) };
    let _listener = bind_one(spec);
    let found = fs::metadata(&path).expect("there");
    assert_eq!((found.uid(), found.gid()), (own.uid(), own.gid()));
}

#[test]
fn a_stale_socket_is_replaced() {
    let place = Place::new("stale");
    let path = place.at("s");
    drop(UnixListener::bind(&path).expect("bound"));
    assert!(path.exists());
    let _listener = bind_one(unix(&path));
    UnixStream::connect(&path).expect("somebody listens");
}

#[test]
fn a_live_socket_is_left_alone() {
    let place = Place::new("live");
    let path = place.at("s");
    let other = UnixListener::bind(&path).expect("bound");
    let error = refused(unix(&path));
    let holder = format!("(pid {}", std::process::id());
    assert!(error.starts_with(&format!("Connection in use: {}; ", path.display())), "{error}");
    assert!(error.contains(&holder) && error.contains("listens there: stop it"), "{error}");
    UnixStream::connect(&path).expect("it still listens");
    drop(other);
}

#[test]
fn a_file_that_is_no_socket_is_never_deleted() {
    let place = Place::new("file");
    let path = place.at("precious");
    fs::write(&path, "data").expect("written");
    let error = refused(unix(&path));
    assert!(error.contains("there is a file that is not a socket"), "{error}");
    assert_eq!(fs::read_to_string(&path).expect("there"), "data");
    let link = place.at("link");
    std::os::unix::fs::symlink(&path, &link).expect("linked");
    assert!(refused(unix(&link)).contains("there is a file that is not a socket"));
    assert!(link.exists());
}

#[test]
fn the_file_is_removed_only_while_it_is_its_own() {
    let place = Place::new("own");
    let path = place.at("s");
    let first = bind_one(unix(&path));
    // A successor puts its own socket there.
    fs::remove_file(&path).expect("removed");
    let second = bind_one(unix(&path));
    first.unlink();
    assert!(path.exists());
    second.unlink();
    assert!(!path.exists());
    second.unlink();
}

#[test]
fn closing_a_listener_leaves_its_file_until_the_end() {
    let place = Place::new("close");
    let path = place.at("s");
    let file = bind_one(unix(&path)).close().expect("has a file");
    assert!(path.exists());
    file.unlink();
    assert!(!path.exists());
    assert!(bind_one(tcp("127.0.0.1", 0)).close().is_none());
}

#[test]
fn an_abstract_name_needs_no_file() {
    let name = format!("farrier-{}", std::process::id()).into_bytes();
    let listener = bind_one(ListenSpec::Abstract(name.clone()));
    assert_eq!(listener.display(), format!("unix:@farrier-{}", std::process::id()));
    assert_eq!(*listener.local(), LocalAddress::Abstract(name.clone()));
    assert!(refused(ListenSpec::Abstract(name)).starts_with("Connection in use: @farrier-"));
}

#[test]
fn an_inherited_listener_is_taken_over() {
    let parent = TcpListener::bind("127.0.0.1:0").expect("bound");
    let listener = bind_one(ListenSpec::Fd(parent.as_raw_fd()));
    assert_eq!(inet(&listener), parent.local_addr().expect("known"));
    assert!(rustix::io::fcntl_getfd(&listener).expect("asked").contains(rustix::io::FdFlags::CLOEXEC));
}

#[test]
fn a_descriptor_that_does_not_listen_is_refused() {
    let file = fs::File::open("/dev/null").expect("opened");
    assert!(refused(ListenSpec::Fd(file.as_raw_fd())).starts_with("Can't listen at fd://"));
    let (stream, _other) = UnixStream::pair().expect("paired");
    assert!(refused(ListenSpec::Fd(stream.as_raw_fd())).ends_with("it is not a listening stream socket"));
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").expect("bound");
    assert!(refused(ListenSpec::Fd(udp.as_raw_fd())).ends_with("it is not a listening stream socket"));
}

#[test]
fn a_reload_keeps_what_it_has_and_lets_go_of_the_rest() {
    let place = Place::new("rebind");
    let (kept, dropped) = (place.at("kept"), place.at("dropped"));
    let old = bind(&[tcp("127.0.0.1", 0), unix(&kept), unix(&dropped)]).expect("bound");
    let inode = |path: &Path| fs::metadata(path).expect("there").ino();
    let before = inode(&kept);
    let fresh = place.at("fresh");
    let specs = [tcp("127.0.0.1", 0), unix(&kept), unix(&fresh)];
    let new = rebind_all(&old, &specs, &options(), &mut |_, _| {}).expect("bound");
    assert_eq!(inet(&new[0]), inet(&old[0]));
    assert_eq!(inode(&kept), before);
    unlink_dropped(&old, &new);
    assert!(kept.exists() && fresh.exists() && !dropped.exists());
    drop(old);
    UnixStream::connect(&kept).expect("the shared socket still listens");
}

#[test]
fn a_reload_keeps_as_many_listeners_of_one_specification_as_there_were() {
    let specs = [tcp("127.0.0.1", 0), tcp("127.0.0.1", 0)];
    let ports = |listeners: &[Listener]| listeners.iter().map(inet).collect::<Vec<_>>();
    let old = bind(&specs).expect("bound");
    let mut present = rebind_all(&old, &specs, &options(), &mut |_, _| {}).expect("bound");
    assert_eq!(ports(&present), ports(&old));
    let more = [specs[0].clone(), specs[0].clone(), specs[0].clone()];
    present = rebind_all(&present, &more, &options(), &mut |_, _| {}).expect("bound");
    assert_eq!(ports(&present)[..2], ports(&old)[..]);
    assert_eq!(present.len(), 3);
}

#[test]
fn a_reload_that_fails_leaves_everything_as_it_was() {
    let place = Place::new("failing");
    let (kept, fresh) = (place.at("kept"), place.at("fresh"));
    let old = bind(&[unix(&kept)]).expect("bound");
    let specs = [unix(&kept), unix(&fresh), unix(Path::new("/nonexistent/x"))];
    rebind_all(&old, &specs, &options(), &mut |_, _| {}).expect_err("refused");
    assert!(kept.exists() && !fresh.exists());
    UnixStream::connect(&kept).expect("it still listens");
}
