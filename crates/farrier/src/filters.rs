//! Makes filters from settings, which change requests and responses around the handlers.

use std::sync::Arc;

use farrier_config::value::Value;
use farrier_config::{Compress, Config, ContentCoding};
use farrier_handlers::compression::{CompressionRules, Compressor, MediaPattern};
use farrier_handlers::hsts::Hsts;
use farrier_http::Coding;

use crate::host::Interpreter;

/// The compressor of responses of applications, if it is set. One for all applications of a worker.
///
/// # Arguments
///
/// `codings` are those of the settings, or of a mount.
pub(crate) fn compressor(config: &Config, codings: &Compress) -> Option<Arc<Compressor>> {
    let codings = codings.0.iter().map(|&(coding, level)| {
        let coding = match coding {
            ContentCoding::Zstd => Coding::Zstd,
            ContentCoding::Brotli => Coding::Brotli,
            ContentCoding::Gzip => Coding::Gzip,
        };
        (coding, level)
    });
    let rules = CompressionRules {
        codings: codings.collect(),
        least_bytes: config.compress_min_bytes.0,
        file_bytes_max: config.compress_file_bytes_max.0,
        types: config.compress_types.iter().map(|pattern| media_pattern(&pattern.text())).collect(),
    };
    Compressor::new(rules, Arc::new(Interpreter))
}

/// The filter that sends `Strict-Transport-Security`.
pub(crate) fn hsts(config: &Config) -> Hsts {
    Hsts { max_age: config.hsts, include_subdomains: config.hsts_include_subdomains, preload: config.hsts_preload }
}

fn media_pattern(text: &str) -> MediaPattern {
    match (text.strip_suffix('*'), text.strip_prefix('*')) {
        (Some(prefix), _) => MediaPattern::Type(prefix.to_owned()),
        (None, Some(suffix)) => MediaPattern::Suffix(suffix.to_owned()),
        (None, None) => MediaPattern::Exact(text.to_owned()),
    }
}
