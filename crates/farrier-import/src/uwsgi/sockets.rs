//! Translates addresses: the protocol of a socket, and Farrier's spelling of its address.

use super::draft::Draft;
use super::options::Role;

/// The protocol of a socket, as the beginning of a `bind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaks {
    Http,
    Uwsgi,
    FastCgi,
}

/// Translates the sockets into `bind`, and the settings that belong to them.
pub(super) fn translate(draft: &mut Draft) {
    let protocol = draft.last(Role::Protocol);
    let of_socket = match protocol.map(|index| draft.value(index).to_ascii_lowercase()).as_deref() {
        None | Some("uwsgi") => Some(Speaks::Uwsgi),
        Some("http" | "http11") => Some(Speaks::Http),
        Some("fastcgi") => Some(Speaks::FastCgi),
        Some(_) => None,
    };
    if let Some(index) = protocol {
        match of_socket {
            Some(_) => draft.needless(index, "it gives the protocol of `socket`, which is part of `bind`"),
            None => draft.problem(index, "this protocol is not served; `http`, `uwsgi` and `fastcgi` are"),
        }
    }
    let mut has_file = false;
    for (role, index) in draft.parts.clone() {
        let speaks = match role {
            Role::Http => Speaks::Http,
            Role::Uwsgi => Speaks::Uwsgi,
            Role::FastCgi => Speaks::FastCgi,
            Role::Socket => match of_socket {
                Some(speaks) => speaks,
                None => continue,
            },
            _ => continue,
        };
        match place(&draft.value(index)) {
            Ok(place) => {
                has_file |= matches!(&place, Place::Unix(name) if !name.starts_with('@'));
                let allowing = match speaks {
                    Speaks::Http => None,
                    Speaks::Uwsgi => Some("uwsgi_allow_ips"),
                    Speaks::FastCgi => Some("fastcgi_allow_ips"),
                };
                if let Some(setting) = allowing.filter(|_| place.is_open_to_others()) {
                    draft.remark("bind", format!("Peers beside this machine must be named in `{setting}`."));
                }
                draft.add("bind", place.written(speaks), index);
            }
            Err(why) => draft.problem(index, why),
        }
    }
    let mode = draft.last(Role::ChmodSocket);
    if let Some(index) = mode {
        let value = draft.value(index);
        let mode = if value.is_empty() { "666" } else { value.as_str() };
        draft.set("unix_socket_mode", mode, index);
    } else if has_file && !draft.given.contains_key("umask") {
        draft.notes.push(
            "There is no `chmod-socket`: uWSGI leaves the unix socket to its owner, under the usual umask, and Farrier opens \
             it to everybody on this machine; `unix_socket_mode = 660` lets in a group."
                .to_string(),
        );
    }
    if !draft.given.contains_key("bind") && draft.problems.is_empty() {
        draft.notes.push("No socket is named: Farrier listens on 127.0.0.1:8000.".to_string());
    }
}

/// The address of a socket.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// `HOST:PORT`, where the host may be empty.
    Tcp(String),
    /// A path, or `@` and a name.
    Unix(String),
    /// A number of a socket that is already open.
    Fd(String),
}

impl Place {
    fn written(&self, speaks: Speaks) -> String {
        let scheme = match speaks {
            Speaks::Http => "",
            Speaks::Uwsgi => "uwsgi",
            Speaks::FastCgi => "fastcgi",
        };
        match (self, scheme) {
            (Place::Tcp(address), "") => address.clone(),
            (Place::Tcp(address), scheme) => format!("{scheme}://{address}"),
            (Place::Unix(name), "") => format!("unix:{name}"),
            (Place::Unix(name), scheme) => format!("{scheme}+unix:{name}"),
            (Place::Fd(number), "") => format!("fd://{number}"),
            (Place::Fd(number), scheme) => format!("{scheme}+fd://{number}"),
        }
    }

    fn is_open_to_others(&self) -> bool {
        match self {
            Place::Tcp(address) => !["127.", "localhost:", "[::1]"].iter().any(|own| address.starts_with(own)),
            Place::Unix(_) | Place::Fd(_) => false,
        }
    }
}

/// Reads an address as uWSGI does: without a colon it is a path.
pub(super) fn place(value: &str) -> Result<Place, String> {
    let value = value.trim();
    let value = value.strip_prefix("tcp://").or_else(|| value.strip_prefix("http://")).unwrap_or(value);
    if value.is_empty() {
        return Err("it has no address".to_string());
    }
    if let Some(path) = value.strip_prefix("unix:") {
        return Ok(Place::Unix(path.strip_prefix("//").unwrap_or(path).to_string()));
    }
    if let Some(number) = value.strip_prefix("fd://") {
        return Ok(Place::Fd(number.to_string()));
    }
    if let Some(number) = value.strip_prefix('=') {
        return Err(format!("`{value}` is the shared socket {number}: write its address here"));
    }
    if value.starts_with(['/', '.', '@']) || !value.contains(':') {
        if value.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(format!("uWSGI makes a unix socket of the name `{value}`; for a port write `:{value}`"));
        }
        return Ok(Place::Unix(value.to_string()));
    }
    let (host, port) = value.rsplit_once(':').unwrap_or((value, ""));
    if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("expected `HOST:PORT` or a path, got `{value}`"));
    }
    match host {
        "" | "*" => Ok(Place::Tcp(format!(":{port}"))),
        host if host.contains('*') => {
            Err(format!("`{host}` stands for the addresses of an interface: write the address itself"))
        }
        host => Ok(Place::Tcp(format!("{host}:{port}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_with_its_protocol() {
        for (value, http, uwsgi) in [
            ("127.0.0.1:3031", "127.0.0.1:3031", "uwsgi://127.0.0.1:3031"),
            (":3031", ":3031", "uwsgi://:3031"),
            ("*:3031", ":3031", "uwsgi://:3031"),
            ("[::1]:3031", "[::1]:3031", "uwsgi://[::1]:3031"),
            ("/run/a:b.sock", "unix:/run/a:b.sock", "uwsgi+unix:/run/a:b.sock"),
            ("a.sock", "unix:a.sock", "uwsgi+unix:a.sock"),
            ("@a", "unix:@a", "uwsgi+unix:@a"),
            ("unix:///run/a", "unix:/run/a", "uwsgi+unix:/run/a"),
            ("fd://3", "fd://3", "uwsgi+fd://3"),
        ] {
            let written = |speaks| place(value).map(|place| place.written(speaks));
            assert_eq!(written(Speaks::Http).as_deref(), Ok(http), "{value}");
            assert_eq!(written(Speaks::Uwsgi).as_deref(), Ok(uwsgi), "{value}");
        }
    }

    #[test]
    fn an_address_is_local_or_reachable_by_other_machines() {
        for (value, is_open) in
            [(":1", true), ("10.0.0.1:1", true), ("127.0.0.1:1", false), ("[::1]:1", false), ("/x", false)]
        {
            assert_eq!(place(value).map(|place| place.is_open_to_others()), Ok(is_open), "{value}");
        }
    }
}
