//! Tests that a connection's meaning does not depend on how its bytes arrive. The committed corpus is split in two in
//! every way, and random streams made from it are split into random pieces.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod h1_connection;

use std::fs;
use std::sync::LazyLock;

use farrier_http::Limits;
use h1_connection::{check, deliver};
use proptest::prelude::*;

/// The seeds of the fuzz target: whole connections that end well, and ones that end with a refusal.
static CORPUS: LazyLock<Corpus> = LazyLock::new(|| {
    let mut corpus = Corpus::default();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/h1");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let bytes = fs::read(&path).unwrap();
        match path.file_name().unwrap().to_str().unwrap().split_once('-').map(|(kind, _)| kind) {
            Some("valid") => corpus.valid.push(bytes),
            Some("refused") => corpus.refused.push(bytes),
            _ => corpus.other.push(bytes),
        }
    }
    corpus
});

#[derive(Default)]
struct Corpus {
    valid: Vec<Vec<u8>>,
    refused: Vec<Vec<u8>>,
    other: Vec<Vec<u8>>,
}

#[test]
fn the_corpus_is_what_its_names_say() {
    assert!(CORPUS.valid.len() > 20 && CORPUS.refused.len() > 40);
    for stream in &CORPUS.valid {
        let transcript = deliver(stream, &Limits::default(), std::iter::once(stream.len()));
        assert_eq!((transcript.end, transcript.consumed), (Ok(true), stream.len()), "{}", stream.escape_ascii());
    }
    for stream in &CORPUS.refused {
        let transcript = deliver(stream, &Limits::default(), std::iter::once(stream.len()));
        assert!(transcript.end.is_err(), "{}", stream.escape_ascii());
    }
}

#[test]
fn the_corpus_has_the_same_result_however_it_is_split_in_two() {
    for stream in CORPUS.valid.iter().chain(&CORPUS.refused).chain(&CORPUS.other) {
        if stream.len() < 600 {
            (0..stream.len()).for_each(|first| check(stream, &[first]));
        } else {
            check(stream, &[stream.len() / 2]);
        }
    }
}

#[test]
fn a_pipelined_request_is_not_served_after_one_that_failed() {
    // CVE-2024-49768
    let good = b"GET /good HTTP/1.1\r\nHost: a\r\n\r\n";
    for refused in &CORPUS.refused {
        let stream = [good.as_slice(), refused, good].concat();
        let transcript = deliver(&stream, &Limits::default(), std::iter::once(stream.len()));
        assert!(transcript.end.is_err());
        let served = transcript.requests.iter().filter(|request| request.head.contains("len: 5 }, form"));
        assert_eq!(served.count(), 1, "{}", stream.escape_ascii());
    }
}

/// One change of one byte.
#[derive(Debug, Clone)]
struct Mutation {
    at: prop::sample::Index,
    byte: u8,
    how: How,
}

#[derive(Debug, Clone, Copy)]
enum How {
    Replace,
    Insert,
    Remove,
    CutHere,
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let telling = prop::sample::select(b"\r\n\t\0\x0b\x7f\x80\xa0\xff :;,\"\\#?*/@[]0159afxXGH+-_".to_vec());
    let byte = prop_oneof![4 => telling, 1 => any::<u8>()];
    let how =
        prop_oneof![4 => Just(How::Replace), 4 => Just(How::Insert), 3 => Just(How::Remove), 1 => Just(How::CutHere)];
    (any::<prop::sample::Index>(), byte, how).prop_map(|(at, byte, how)| Mutation { at, byte, how })
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let index = any::<prop::sample::Index>;
    (prop::collection::vec(index(), 0..3), index(), prop::collection::vec(mutation(), 0..4)).prop_map(
        |(first, last, mutations)| {
            let Corpus { valid, refused, .. } = &*CORPUS;
            let mut stream: Vec<u8> = first.iter().flat_map(|index| index.get(valid)).copied().collect();
            let last = last.index(valid.len() + refused.len());
            stream.extend_from_slice(valid.get(last).unwrap_or_else(|| &refused[last - valid.len()]));
            for Mutation { at, byte, how } in mutations {
                let at = at.index(stream.len() + 1);
                match how {
                    How::Insert => stream.insert(at, byte),
                    How::CutHere => stream.truncate(at),
                    How::Replace if at < stream.len() => stream[at] = byte,
                    How::Remove if at < stream.len() => drop(stream.remove(at)),
                    How::Replace | How::Remove => {}
                }
            }
            stream
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_streams_have_the_same_result_in_random_pieces(
        stream in stream(),
        pieces in prop::collection::vec(1..60_usize, 0..20),
    ) {
        check(&stream, &pieces);
    }
}
