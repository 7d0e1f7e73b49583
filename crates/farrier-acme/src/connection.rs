//! Requests to the authority: HTTP/1.1 over TLS, one connection each, every step bounded in time and size.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The timeout of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The limit of a response; those of an authority have a few kilobytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// The connection to the authority. Copies share the pause that the authority asked for.
#[derive(Clone)]
pub(crate) struct Connection {
    tls: TlsConnector,
    pause: Arc<Mutex<Option<SystemTime>>>,
}

impl Connection {
    /// Trusts these certificates in PEM, or otherwise those that the system trusts.
    ///
    /// # Errors
    /// There are none, or they cannot be read.
    pub(crate) fn new(ca_certs: Option<&str>) -> Result<Connection, String> {
        let roots = Connection::roots(ca_certs)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Connection { tls: TlsConnector::from(Arc::new(config)), pause: Arc::default() })
    }

    /// The trusted certificates.
    pub(crate) fn roots(ca_certs: Option<&str>) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        let Some(pem) = ca_certs else {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            return match roots.is_empty() {
                true => Err("this system trusts no authority (is the package ca-certificates installed?); \
                             acme_ca_certs names a file with those to trust"
                    .to_owned()),
                false => Ok(roots),
            };
        };
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|error| error.to_string())?;
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
        if roots.is_empty() { Err("there is no certificate in it".to_owned()) } else { Ok(roots) }
    }

    /// The pause that the last refusal asked for; `None` at the next call.
    pub(crate) fn take_pause(&self) -> Option<Duration> {
        let until = self.pause.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        until.duration_since(SystemTime::now()).ok()
    }

    async fn exchange(self, mut request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        let target = Target::of(request.uri())?;
        *request.uri_mut() = target.path;
        let fields = request.headers_mut();
        fields.insert(HOST, target.authority);
        fields.insert(CONNECTION, HeaderValue::from_static("close"));
        fields.insert(USER_AGENT, HeaderValue::from_static(concat!("farrier/", env!("CARGO_PKG_VERSION"))));
        let there = format!("{}:{}", target.host, target.port);
        let failed = |error: &dyn std::fmt::Display| Error::Other(format!("{there}: {error}").into());
        let stream = TcpStream::connect((target.host.as_str(), target.port)).await.map_err(|error| failed(&error))?;
        let name = ServerName::try_from(target.host.clone()).map_err(|error| failed(&error))?;
        let stream = self.tls.connect(name, stream).await.map_err(|error| failed(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
        // It ends with the response, which reports its errors.
        tokio::spawn(async move { drop(connection.await) });
        let answer = sender.send_request(request).await.map_err(|error| failed(&error))?;
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| failed(&error))?.to_bytes();
        if parts.status.is_client_error() || parts.status.is_server_error() {
            *self.pause.lock().unwrap_or_else(PoisonError::into_inner) = retry_after(&parts.headers);
            // Text from a proxy or a broken server would be taken for a problem document.
            if !says_problem(&parts.headers) {
                return Err(failed(&format!("answered {}", parts.status)));
            }
        }
        Ok(BytesResponse { parts, body: Box::new(body) })
    }
}

impl HttpClient for Connection {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let connection = self.clone();
        let place = request.uri().to_string();
        Box::pin(async move {
            let answer = tokio::time::timeout(REQUEST_TIMEOUT, connection.exchange(request)).await;
            answer.unwrap_or_else(|_| {
                Err(Error::Other(format!("{place}: no answer within {} s", REQUEST_TIMEOUT.as_secs()).into()))
            })
        })
    }
}

/// The target of a request.
struct Target {
    host: String,
    port: u16,
    authority: HeaderValue,
    path: Uri,
}

impl Target {
    fn of(uri: &Uri) -> Result<Target, Error> {
        let wrong = || Error::Other(format!("`{uri}` is no https address").into());
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("https")).ok_or_else(wrong)?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Target {
            host: authority.host().trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: authority.port_u16().unwrap_or(443),
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| wrong())?,
            path: path.parse()?,
        })
    }
}

fn says_problem(fields: &HeaderMap) -> bool {
    let kind = fields.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/problem+json") || kind.eq_ignore_ascii_case("application/json")
}

/// Retry-After (RFC 9110 §10.2.3): seconds, or a date.
fn retry_after(fields: &HeaderMap) -> Option<SystemTime> {
    let value = fields.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match value.parse::<u32>() {
        Ok(seconds) => Some(SystemTime::now() + Duration::from_secs(seconds.into())),
        Err(_) => httpdate::parse_http_date(value).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_goes_to_its_address_and_nowhere_without_tls() {
        let of = |uri: &str| Target::of(&uri.parse().expect("a URI"));
        let target = of("https://acme.example:14000/dir?x").expect("good");
        assert_eq!(
            (target.host.as_str(), target.port, target.path.to_string()),
            ("acme.example", 14000, "/dir?x".into())
        );
        let target = of("https://[::1]/").expect("good");
        assert_eq!((target.host.as_str(), target.port), ("::1", 443));
        assert!(of("http://acme.example/dir").is_err());
    }

    #[test]
    fn a_pause_is_seconds_or_a_date() {
        let fields = |value: &'static str| HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]);
        let wait = |value| retry_after(&fields(value)).map(|at| at > SystemTime::now());
        assert_eq!(wait("600"), Some(true));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT"), Some(false));
        assert_eq!(wait("soon"), None);
    }

    #[test]
    fn a_text_without_certificates_trusts_nobody() {
        let refused = Connection::new(Some("nothing")).map(drop).expect_err("refused");
        assert!(refused.contains("there is no certificate in it"), "{refused}");
    }
}
