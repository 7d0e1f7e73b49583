//! The server's side of a session: the client's name for the server, and what the handshake negotiated.

use std::sync::Arc;

use farrier_http::Secure;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::UnbufferedStatus;
use rustls::{CommonState, ServerConfig};

use super::client_certificate;
use super::resolver;
use super::session::{Failed, Session, Side};

/// A session with a client.
pub type ServerSession = Session<ServerSide>;

/// What the handshake negotiated.
#[derive(Debug, Clone)]
pub struct Negotiated {
    /// Whether the protocol is HTTP/2 (ALPN `h2`, RFC 9113 §3.2).
    pub http2: bool,
    /// Whether the connection is only a validation by an ACME authority (ALPN `acme-tls/1`, RFC 8737).
    pub is_validation: bool,
    /// The facts that the application can see.
    pub secure: Arc<Secure>,
}

/// The server's side.
pub struct ServerSide {
    connection: UnbufferedServerConnection,
    /// The server name that the client asked for.
    server_name: Option<String>,
}

impl Side for ServerSide {
    type Data = ServerConnectionData;

    /// A handshake record.
    const FIRST_BYTES: &'static [u8] = &[0x16];

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.connection.process_tls_records(incoming)
    }

    fn common(&self) -> &CommonState {
        &self.connection
    }

    fn step_begins(&mut self) {
        resolver::forget_asked();
    }

    fn step_ended(&mut self) {
        if let Some(name) = resolver::take_asked() {
            self.server_name = Some(name);
        }
    }
}

impl ServerSession {
    /// A new session. `early` are bytes that the client has sent already.
    ///
    /// # Errors
    /// rustls refuses the settings.
    pub fn new(config: Arc<ServerConfig>, early: Vec<u8>) -> Result<ServerSession, Failed> {
        let connection = UnbufferedServerConnection::new(config).map_err(|_| Failed)?;
        Ok(Session::of(ServerSide { connection, server_name: None }, early))
    }

    /// What was negotiated, once the handshake is done.
    pub fn negotiated(&self) -> Option<Negotiated> {
        let connection = &*self.side.connection;
        if connection.is_handshaking() {
            return None;
        }
        let protocol = match connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        };
        let suite = connection.negotiated_cipher_suite();
        let cipher = suite.and_then(|suite| suite.suite().as_str()).unwrap_or_default();
        let client = connection.peer_certificates().and_then(|chain| client_certificate::described(chain.first()?));
        let alpn = connection.alpn_protocol();
        Some(Negotiated {
            http2: alpn == Some(b"h2"),
            is_validation: alpn == Some(b"acme-tls/1"),
            secure: Arc::new(Secure {
                protocol,
                // rustls puts the version into the names of the suites of 1.3.
                cipher: cipher.replacen("TLS13_", "TLS_", 1),
                server_name: self.side.server_name.clone(),
                client,
            }),
        })
    }
}
