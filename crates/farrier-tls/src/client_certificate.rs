//! The parts of a client's certificate that an application can see.

use farrier_http::ClientCertificate;
use rustls::pki_types::CertificateDer;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// The certificate's parts for environ. `None` if it cannot be parsed; then it was not verified either.
pub(crate) fn described(certificate: &CertificateDer<'_>) -> Option<ClientCertificate> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(ClientCertificate {
        subject: name(parsed.subject()),
        issuer: name(parsed.issuer()),
        serial: serial(parsed.raw_serial()),
        pem: pem(certificate),
    })
}

fn serial(bytes: &[u8]) -> String {
    let significant = &bytes[bytes.iter().take_while(|&&byte| byte == 0).count().min(bytes.len().saturating_sub(1))..];
    significant.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// A distinguished name in the form of RFC 2253: the last part first.
fn name(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> = name
        .iter_rdn()
        .map(|part| {
            let attributes: Vec<String> = part.iter().map(attribute).collect();
            attributes.join("+")
        })
        .collect();
    parts.reverse();
    parts.join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let kind = attribute.attr_type();
    let known = oid2abbrev(kind, oid_registry()).map(str::to_owned);
    match attribute.as_str() {
        Ok(text) => format!("{}={}", known.unwrap_or_else(|_| kind.to_id_string()), escaped(text)),
        // RFC 2253 §2.4: a value that is not a string is written as its encoding.
        Err(_) => {
            let hexadecimal: String = attribute.as_slice().iter().map(|byte| format!("{byte:02X}")).collect();
            format!("{}=#{hexadecimal}", kind.to_id_string())
        }
    }
}

/// Escapes as in RFC 2253 §2.4. Bytes outside of ASCII are escaped too, so that the text is the same in every encoding.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    let last = text.len().saturating_sub(1);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => escaped.extend(['\\', char::from(byte)]),
            b'#' if at == 0 => escaped.push_str("\\#"),
            b' ' if at == 0 || at == last => escaped.push_str("\\ "),
            0x20..=0x7e => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("\\{byte:02X}")),
        }
    }
    escaped
}

fn pem(certificate: &[u8]) -> String {
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in base64(certificate).as_bytes().chunks(64) {
        pem.extend(line.iter().map(|&byte| char::from(byte)));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0u32, |word, &byte| word << 8 | u32::from(byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = ALPHABET[(word >> (18 - 6 * place) & 63) as usize];
            text.push(if place > group.len() { '=' } else { char::from(digit) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_padded_as_rfc_4648_says() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn values_are_escaped_as_rfc_2253_says() {
        assert_eq!(escaped("Sue, Grabbit and Runn"), "Sue\\, Grabbit and Runn");
        assert_eq!(escaped("#a "), "\\#a\\ ");
        assert_eq!(escaped("Ä\n"), "\\C3\\84\\0A");
    }

    #[test]
    fn a_serial_is_written_without_the_byte_that_keeps_it_positive() {
        assert_eq!(serial(&[0, 0x8f, 1]), "8F01");
        assert_eq!(serial(&[0]), "00");
    }
}
