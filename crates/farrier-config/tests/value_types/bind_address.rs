//! Tests of the values of `value/bind_address.rs`.

use farrier_config::value::*;

fn tcp(host: &str, port: u16) -> BindAddress {
    BindAddress::Tcp { host: host.into(), port }
}

fn unix(path: &str) -> BindAddress {
    BindAddress::Unix(path.into())
}

fn speaking(protocol: Protocol, place: BindAddress) -> BindAddress {
    BindAddress::Speaking(protocol, Box::new(place))
}

fn abstract_name(name: &str) -> BindAddress {
    BindAddress::Abstract(name.into())
}

#[test]
fn every_form_of_an_address_is_read() {
    for (text, address) in [
        ("127.0.0.1:8000", tcp("127.0.0.1", 8000)),
        ("localhost:80", tcp("localhost", 80)),
        ("localhost", tcp("localhost", 8000)),
        (":8000", tcp("", 8000)),
        ("*:8000", tcp("", 8000)),
        ("0.0.0.0:0", tcp("0.0.0.0", 0)),
        ("[::1]:8000", tcp("::1", 8000)),
        ("[::]", tcp("::", 8000)),
        ("[fe80::1%eth0]:80", tcp("fe80::1%eth0", 80)),
        ("tcp://localhost:80", tcp("localhost", 80)),
        ("http://localhost:80/", speaking(Protocol::Http, tcp("localhost", 80))),
        ("http://[::1]", speaking(Protocol::Http, tcp("::1", 8000))),
        ("uwsgi://:3031", speaking(Protocol::Uwsgi, tcp("", 3031))),
        ("uwsgi+unix:/run/app.sock", speaking(Protocol::Uwsgi, unix("/run/app.sock"))),
        ("uwsgi+unix:@farrier", speaking(Protocol::Uwsgi, abstract_name("farrier"))),
        ("fastcgi://localhost:9000", speaking(Protocol::FastCgi, tcp("localhost", 9000))),
        ("fcgi://localhost:9000", speaking(Protocol::FastCgi, tcp("localhost", 9000))),
        ("fastcgi+fd://3", speaking(Protocol::FastCgi, BindAddress::Fd(3))),
        ("https://:443", BindAddress::Secured(Box::new(tcp("", 443)))),
        ("https+unix:/run/tls.sock", BindAddress::Secured(Box::new(unix("/run/tls.sock")))),
        ("auto://:80", speaking(Protocol::Auto, tcp("", 80))),
        ("uwsgi", tcp("uwsgi", 8000)),
        ("uwsgi:3031", tcp("uwsgi", 3031)),
        ("unix:/run/app.sock", unix("/run/app.sock")),
        ("unix:///run/app.sock", unix("/run/app.sock")),
        ("unix:app.sock", unix("app.sock")),
        ("unix:@farrier", abstract_name("farrier")),
        ("unix:\0farrier", abstract_name("farrier")),
        ("unix:\\0farrier", abstract_name("farrier")),
        ("fd://3", BindAddress::Fd(3)),
        ("fd://web.socket", BindAddress::NamedFd("web.socket".into())),
    ] {
        assert_eq!(BindAddress::parse(text), Ok(address), "{text:?}");
    }
}

#[test]
fn what_is_written_is_read_back() {
    for text in [
        "127.0.0.1:8000",
        ":8000",
        "[::1]:80",
        "uwsgi://[::1]:80",
        "fastcgi+unix:x",
        "https://[::1]:443",
        "https+unix:x",
        "unix:/run/app.sock",
        "unix:@farrier",
        "fd://3",
        "fd://web",
    ] {
        assert_eq!(BindAddress::parse(text).map(|address| address.text()), Ok(text.to_string()));
    }
}

#[test]
fn what_is_no_address_is_refused() {
    for text in [
        "",
        ":",
        "host:",
        "host:port",
        "host:65536",
        "host:-1",
        "host:+1",
        "a b:80",
        "host/x:80",
        "[::1",
        "[::1]80",
        "[host]:80",
        "unix:",
        "unix:@",
        "fd://",
        "fd://a:b",
        "fd://a b",
        "fd://3a",
        "fd://-1",
        "fd://99999999999",
    ] {
        assert_eq!(BindAddress::parse(text), Err(Rejected::unexpected(text)), "{text:?}");
    }
}

#[test]
fn an_address_that_is_nearly_right_is_explained() {
    let long = format!("unix:/{}", "x".repeat(107));
    for (text, word) in [
        ("::1", "brackets"),
        ("::1:8000", "brackets"),
        ("8000", "`:8000`"),
        ("scgi://:3031", "`scgi://` is not served"),
        (&long, "at most 107 bytes"),
    ] {
        match BindAddress::parse(text) {
            Err(Rejected { reason: Reason::Because(sentence), .. }) => {
                assert!(sentence.contains(word), "{sentence}")
            }
            other => panic!("{text:?}: {other:?}"),
        }
    }
}
