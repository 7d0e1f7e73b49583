//! Tests of the values of `value/text_map.rs`.

use farrier_config::value::*;
use farrier_config::{Answer, Raw, Source};

#[test]
fn a_name_is_there_once_whatever_its_case() {
    let map = TextMap::parse("X-A=b=c");
    assert_eq!(map.as_ref().map(|map| map.0.clone()), Ok(vec![("X-A".to_owned(), "b=c".to_owned())]));
    assert_eq!(map.map(|map| map.toml()), Ok("{ \"X-A\" = \"b=c\" }".to_owned()));
    assert!(TextMap::parse("X-A").is_err());
    let entry = |name: &str| (name.to_owned(), Answer { raw: Raw::Text("x".into()), source: Source::Default });
    assert!(TextMap::read(&Raw::Table(vec![entry("a"), entry("b")])).is_ok());
    assert!(TextMap::read(&Raw::Table(vec![entry("a"), entry("A")])).is_err());
}
