//! The setting `ciphers`: resolves names of cipher suites, as OpenSSL, IANA and rustls write them, to rustls' suites.

use rustls::SupportedCipherSuite;
use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, TLS13_AES_128_GCM_SHA256,
    TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};

/// A suite by OpenSSL's name and by IANA's.
struct Suite(&'static str, &'static str, SupportedCipherSuite);

/// The suites of TLS 1.2. Each has forward secrecy and is authenticated.
static SUITES_12: [Suite; 6] = [
    Suite(
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    Suite(
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    Suite(
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    Suite(
        "ECDHE-RSA-AES256-GCM-SHA384",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ),
    Suite(
        "ECDHE-RSA-AES128-GCM-SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ),
    Suite(
        "ECDHE-RSA-CHACHA20-POLY1305",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

/// The suites of TLS 1.3. OpenSSL's names are those of IANA.
static SUITES_13: [Suite; 3] = [
    Suite("TLS_AES_256_GCM_SHA384", "TLS13_AES_256_GCM_SHA384", TLS13_AES_256_GCM_SHA384),
    Suite("TLS_AES_128_GCM_SHA256", "TLS13_AES_128_GCM_SHA256", TLS13_AES_128_GCM_SHA256),
    Suite("TLS_CHACHA20_POLY1305_SHA256", "TLS13_CHACHA20_POLY1305_SHA256", TLS13_CHACHA20_POLY1305_SHA256),
];

/// All suites, those of 1.3 first.
pub(crate) fn all() -> Vec<SupportedCipherSuite> {
    SUITES_13.iter().chain(&SUITES_12).map(|suite| suite.2).collect()
}

/// The suites that the setting names, in its order. As in OpenSSL, all suites of TLS 1.3 are included unless some are
/// named.
///
/// # Errors
/// A name is not a cipher suite, or the suite is not offered.
pub(crate) fn named(text: &str) -> Result<Vec<SupportedCipherSuite>, String> {
    let (mut newer, mut older) = (Vec::new(), Vec::new());
    for word in text.split([':', ',', ' ']).filter(|word| !word.is_empty()) {
        let is = |suite: &&Suite| suite.0.eq_ignore_ascii_case(word) || suite.1.eq_ignore_ascii_case(word);
        let (known, chosen) = match SUITES_13.iter().find(is) {
            Some(suite) => (vec![suite.2], &mut newer),
            None => match SUITES_12.iter().find(is) {
                Some(suite) => (vec![suite.2], &mut older),
                None => (group(word)?, &mut older),
            },
        };
        for suite in known {
            if !chosen.contains(&suite) {
                chosen.push(suite);
            }
        }
    }
    if newer.is_empty() && older.is_empty() {
        return Err("ciphers: the value names no cipher suite".to_owned());
    }
    if newer.is_empty() {
        newer.extend(SUITES_13.iter().map(|suite| suite.2));
    }
    newer.append(&mut older);
    Ok(newer)
}

/// The suites that one of OpenSSL's group words stands for.
fn group(word: &str) -> Result<Vec<SupportedCipherSuite>, String> {
    // The known exclusions name only suites that are not offered anyway. Any other exclusion is an error.
    if let Some(excluded) = word.strip_prefix(['!', '-']) {
        return match excluded.to_ascii_uppercase().as_str() {
            "ANULL" | "ENULL" | "NULL" | "EXPORT" | "EXP" | "LOW" | "MEDIUM" | "DES" | "3DES" | "RC4" | "RC2"
            | "IDEA" | "SEED" | "CAMELLIA" | "ARIA" | "MD5" | "SHA1" | "SHA" | "PSK" | "SRP" | "DSS" | "ADH"
            | "AECDH" | "DH" | "EDH" | "DHE" | "KRSA" | "KDH" | "ECDH" | "SSLV2" | "SSLV3" => Ok(Vec::new()),
            _ => Err(refusal(word)),
        };
    }
    let wanted: fn(&str) -> bool = match word.to_ascii_uppercase().as_str() {
        "DEFAULT" | "HIGH" | "ALL" | "ECDHE" | "EECDH" | "KEECDH" | "TLSV1.2" => |_| true,
        "AESGCM" | "ECDHE+AESGCM" | "EECDH+AESGCM" => |name| name.contains("GCM"),
        "CHACHA20" | "ECDHE+CHACHA20" | "EECDH+CHACHA20" => |name| name.contains("CHACHA20"),
        "DHE+AESGCM" | "DHE+CHACHA20" => return Ok(Vec::new()),
        "@STRENGTH" => return Ok(Vec::new()),
        _ => return Err(refusal(word)),
    };
    Ok(SUITES_12.iter().filter(|suite| wanted(suite.0)).map(|suite| suite.2).collect())
}

fn refusal(word: &str) -> String {
    let known: Vec<&str> = SUITES_13.iter().chain(&SUITES_12).map(|suite| suite.0).collect();
    format!(
        "ciphers: `{word}` is not offered: it lacks forward secrecy or authentication, or is not a name; known are {}",
        known.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<&'static str> {
        let suites = named(text).expect("is understood");
        suites.iter().map(|suite| suite.suite().as_str().unwrap_or_default()).collect()
    }

    #[test]
    fn a_suite_is_known_by_each_of_its_names() {
        for name in ["ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"] {
            assert_eq!(names(name).last(), Some(&"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"));
        }
        assert_eq!(names("TLS_AES_128_GCM_SHA256"), ["TLS13_AES_128_GCM_SHA256"]);
        assert_eq!(names("TLS13_AES_128_GCM_SHA256"), ["TLS13_AES_128_GCM_SHA256"]);
    }

    #[test]
    fn usual_lists_for_openssl_are_understood() {
        assert_eq!(names("HIGH:!aNULL:!MD5").len(), 9);
        assert_eq!(names("ECDHE+AESGCM:!DSS").len(), 7);
        assert_eq!(names("ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM").len(), 9);
    }

    #[test]
    fn a_suite_that_is_not_offered_is_refused_by_name() {
        for text in ["AES128-SHA", "ECDHE-RSA-AES128-SHA:HIGH", "nonsense", "!ECDHE", "", ":"] {
            assert!(named(text).is_err(), "{text:?}");
        }
        assert!(named("RC4-MD5").expect_err("is refused").contains("`RC4-MD5`"));
    }
}
