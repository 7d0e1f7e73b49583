//! Tests that a value that is written can be read again, and is the same.

use std::fmt::Debug;
use std::time::Duration;

use farrier_config::value::Value;
use farrier_config::{
    AccessLogFormat, BindAddress, Bytes, EnvVar, LogLevel, LogTarget, Mode, Owner, TrustedPeer, Workers,
};
use proptest::prelude::*;

fn reads_what_it_writes<T: Value + Debug>(text: &str) {
    if let Ok(value) = T::parse(text) {
        assert_eq!(T::parse(&value.text()), Ok(value), "{text:?}");
    }
}

fn every_type_reads_what_it_writes(text: &str) {
    reads_what_it_writes::<u32>(text);
    reads_what_it_writes::<u64>(text);
    reads_what_it_writes::<bool>(text);
    reads_what_it_writes::<String>(text);
    reads_what_it_writes::<Duration>(text);
    reads_what_it_writes::<Bytes>(text);
    reads_what_it_writes::<Workers>(text);
    reads_what_it_writes::<Mode>(text);
    reads_what_it_writes::<Owner>(text);
    reads_what_it_writes::<EnvVar>(text);
    reads_what_it_writes::<LogLevel>(text);
    reads_what_it_writes::<Option<LogTarget>>(text);
    reads_what_it_writes::<AccessLogFormat>(text);
    reads_what_it_writes::<TrustedPeer>(text);
    reads_what_it_writes::<BindAddress>(text);
    reads_what_it_writes::<Vec<BindAddress>>(text);
    reads_what_it_writes::<Vec<TrustedPeer>>(text);
}

proptest! {
    #[test]
    fn any_text(text in any::<String>()) {
        every_type_reads_what_it_writes(&text);
    }

    #[test]
    fn numbers_with_units(text in "(0x|0o)?[0-9_]{1,9}(\\.[0-9]{1,9})? ?(ns|us|µs|ms|s|m|h|d|k|KiB|mb|G|b)?") {
        every_type_reads_what_it_writes(&text);
    }

    #[test]
    fn addresses(text in "(http://|tcp://|unix:|unix:@|fd://)?(\\*|[a-z0-9.]{0,6}|\\[[0-9a-f:]{2,8}\\])(:[0-9]{0,5})?(/[0-9]{0,3})?(,:1)?") {
        every_type_reads_what_it_writes(&text);
    }
}

/// TOML can write a NUL, at which the kernel would end the path.
#[test]
fn a_path_with_a_nul_is_refused() {
    assert!(std::path::PathBuf::parse("/srv/a\0.css").is_err());
}
