//! A connection's security, for environ and logs, if TLS ended here.

/// A TLS connection (RFC 8446), as the application sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secure {
    /// `TLSv1.2` or `TLSv1.3`.
    pub protocol: &'static str,
    /// The cipher suite by its IANA name, as in `TLS_AES_128_GCM_SHA256`.
    pub cipher: String,
    /// The server name that the client asked for (RFC 6066 §3).
    pub server_name: Option<String>,
    /// The client's certificate, if it was requested, sent and verified.
    pub client: Option<ClientCertificate>,
}

/// A client certificate whose chain was verified.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The subject's distinguished name as RFC 2253 writes it, as in `CN=alice,O=Example`.
    pub subject: String,
    /// The issuer's distinguished name, likewise.
    pub issuer: String,
    /// The serial number in hexadecimal, upper case.
    pub serial: String,
    /// The certificate in PEM.
    pub pem: String,
}
