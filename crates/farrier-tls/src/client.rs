//! The client's side of a session: TLS with another server.

use std::fmt;
use std::sync::Arc;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::pki_types::ServerName;
use rustls::unbuffered::UnbufferedStatus;
use rustls::{AlertDescription, CertificateError, ClientConfig, CommonState, Error};

use super::session::{Failed, Session, Side};

/// A session with a server.
pub type ClientSession = Session<ClientSide>;

/// A server as TLS knows it: the name that its certificate must have, and the terms.
#[derive(Debug, Clone)]
pub struct Peer {
    name: ServerName<'static>,
    terms: Arc<ClientConfig>,
}

/// The client's side.
pub struct ClientSide(UnbufferedClientConnection);

impl Side for ClientSide {
    type Data = ClientConnectionData;

    /// A handshake record, or an alert.
    const FIRST_BYTES: &'static [u8] = &[0x16, 0x15];

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.0.process_tls_records(incoming)
    }

    fn common(&self) -> &CommonState {
        &self.0
    }
}

impl Peer {
    /// A server with this name or address.
    ///
    /// # Errors
    /// It is neither the name of a host nor an address.
    pub fn new(name: &str, terms: Arc<ClientConfig>) -> Result<Peer, String> {
        match ServerName::try_from(name.to_owned()) {
            Ok(name) => Ok(Peer { name, terms }),
            Err(_) => {
                Err(format!("`{name}` is neither the name of a host nor an address, so no certificate can have it"))
            }
        }
    }
}

impl ClientSession {
    /// A new session. The first call of [`Session::open`], without bytes, begins the handshake.
    ///
    /// # Errors
    /// rustls refuses the terms.
    pub fn new(peer: &Peer) -> Result<ClientSession, Failed> {
        let made = UnbufferedClientConnection::new(Arc::clone(&peer.terms), peer.name.clone());
        Ok(Session::of(ClientSide(made.map_err(|_| Failed)?), Vec::new()))
    }
}

/// Why a session with a server failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Whether the server's certificate was refused.
    pub is_certificate: bool,
    /// A clause for the log.
    pub reason: String,
}

impl Refusal {
    /// The refusal of what this server did.
    pub fn of(error: &Error, peer: &Peer) -> Refusal {
        let name = peer.name.to_str();
        let certificate = |reason: String| Refusal { is_certificate: true, reason };
        match error {
            Error::InvalidCertificate(wrong) => certificate(match wrong {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired".to_owned(),
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    "it is not valid yet".to_owned()
                }
                CertificateError::NotValidForName => {
                    format!("it is not for `{name}`; `tls.name` is the name to expect")
                }
                CertificateError::NotValidForNameContext { presented, .. } => {
                    format!("it is not for `{name}` but for {}; `tls.name` is the name to expect", presented.join(", "))
                }
                CertificateError::UnknownIssuer => {
                    "its issuer is not a known authority; `tls.ca` names a file of authorities".to_owned()
                }
                CertificateError::BadSignature => {
                    "the authority of its issuer's name has another key; `tls.ca` names a file of authorities"
                        .to_owned()
                }
                CertificateError::Revoked => "it was revoked".to_owned(),
                wrong => wrong.to_string(),
            }),
            Error::NoCertificatesPresented => certificate("there is none".to_owned()),
            Error::AlertReceived(alert) => {
                let hint = match alert {
                    AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
                        "; `tls.certificate` and `tls.key` name what it asks for"
                    }
                    _ => "",
                };
                Refusal { is_certificate: false, reason: format!("the server refused with the alert {alert:?}{hint}") }
            }
            error => Refusal { is_certificate: false, reason: error.to_string() },
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}
