//! Any text, as an nginx configuration: it is refused or imported, and nothing panics. A file may include itself.

#![no_main]

use std::io;
use std::path::Path;

use farrier_import::nginx::{Files, import};
use libfuzzer_sys::fuzz_target;

/// One file under every name.
struct One<'a>(&'a str);

impl Files for One<'_> {
    fn read(&mut self, _: &Path) -> io::Result<String> {
        Ok(self.0.to_owned())
    }

    fn names(&mut self, _: &Path) -> io::Result<Vec<String>> {
        Ok(vec!["nginx.conf".to_owned(), "static".to_owned()])
    }
}

fuzz_target!(|input: &[u8]| {
    if let Ok(text) = std::str::from_utf8(input) {
        let _ = import("nginx.conf", Some("app"), &mut One(text));
    }
});
