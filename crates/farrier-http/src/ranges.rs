//! Byte ranges (RFC 9110 §14): reads the Range field, and frames several parts (§15.3.7.2).

use itoa::Buffer;

/// The most ranges of a request. A request with more gets the whole representation, as does one with a syntax error. A
/// server may ignore Range (§14.2), and so hostile lists of ranges cost nothing.
pub const RANGES_MAX: usize = 8;

/// Ranges closer to each other than this are joined: the head of another part costs as much (§15.3.7.2).
const GAP_BYTES: u64 = 80;

/// A range of a representation, not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ByteRange {
    /// The first byte.
    pub start: u64,
    /// The byte after the last.
    pub end: u64,
}

impl ByteRange {
    /// The number of bytes.
    pub fn bytes(self) -> u64 {
        self.end - self.start
    }

    /// The value of Content-Range for this range of a representation of this length.
    pub fn content_range(self, whole_bytes: u64) -> String {
        format!("bytes {}-{}/{whole_bytes}", self.start, self.end - 1)
    }

    fn touches(self, other: ByteRange) -> bool {
        self.start <= other.end.saturating_add(GAP_BYTES) && other.start <= self.end.saturating_add(GAP_BYTES)
    }
}

/// The value of Content-Range in a 416.
pub fn unsatisfied(whole_bytes: u64) -> String {
    format!("bytes */{whole_bytes}")
}

/// The ranges to send: at least one, not overlapping, in the requested order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ranges {
    ranges: [ByteRange; RANGES_MAX],
    count: usize,
}

impl Ranges {
    /// The ranges.
    pub fn as_slice(&self) -> &[ByteRange] {
        &self.ranges[..self.count]
    }

    /// Adds a range, joined with all ranges that it touches. There is room: a list has at most [`RANGES_MAX`].
    fn add(&mut self, mut range: ByteRange) {
        let mut at = 0;
        let mut place = self.count;
        while at < self.count {
            if self.ranges[at].touches(range) {
                range.start = range.start.min(self.ranges[at].start);
                range.end = range.end.max(self.ranges[at].end);
                self.ranges.copy_within(at + 1..self.count, at);
                self.count -= 1;
                // It takes the place of the first one. The joined range may touch others, so check again.
                place = place.min(at);
                at = 0;
            } else {
                at += 1;
            }
        }
        let place = place.min(self.count);
        self.ranges.copy_within(place..self.count, place + 1);
        self.ranges[place] = range;
        self.count += 1;
    }
}

/// The result of reading a Range field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The whole representation: the field is ignored.
    Whole,
    /// These ranges: 206.
    Parts(Ranges),
    /// No range is satisfiable: 416.
    Nothing,
}

/// Reads a Range field's value for a representation of this length.
pub fn read(value: &[u8], whole_bytes: u64) -> Asked {
    // §14.1: range units are case-insensitive. Units other than bytes must be ignored.
    let Some((unit, list)) = value.iter().position(|&byte| byte == b'=').map(|at| (&value[..at], &value[at + 1..]))
    else {
        return Asked::Whole;
    };
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return Asked::Whole;
    }
    let mut ranges = Ranges::default();
    let mut named = 0;
    for element in list.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
        // §5.6.1: a reasonable number of empty elements must be accepted.
        named += 1;
        if named > RANGES_MAX {
            return Asked::Whole;
        }
        if element.is_empty() {
            continue;
        }
        match read_one(element, whole_bytes) {
            Some(Some(range)) => ranges.add(range),
            Some(None) => {}
            None => return Asked::Whole,
        }
    }
    match ranges.count {
        // A list of commas only is no list.
        0 if list.iter().all(|byte| matches!(byte, b',' | b' ' | b'\t')) => Asked::Whole,
        0 => Asked::Nothing,
        _ => Asked::Parts(ranges),
    }
}

/// One element; `None` on a syntax error, an inner `None` if the range is not satisfiable.
fn read_one(element: &[u8], whole_bytes: u64) -> Option<Option<ByteRange>> {
    let dash = element.iter().position(|&byte| byte == b'-')?;
    let (first, last) = (&element[..dash], &element[dash + 1..]);
    if first.is_empty() {
        let suffix_bytes = number(last)?.min(whole_bytes);
        return Some((suffix_bytes > 0).then_some(ByteRange { start: whole_bytes - suffix_bytes, end: whole_bytes }));
    }
    let start = number(first)?;
    let end = match last {
        [] => whole_bytes,
        last => {
            let last = number(last)?;
            (last >= start).then_some(())?;
            last.saturating_add(1).min(whole_bytes)
        }
    };
    Some((start < whole_bytes).then_some(ByteRange { start, end }))
}

/// Digits only; a number that does not fit becomes the largest one.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, &digit| {
        digit.is_ascii_digit().then(|| value.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
    })
}

/// The framing of `multipart/byteranges` content: the text before each part and at the end.
#[derive(Debug, Clone)]
pub struct Multipart<'a> {
    boundary: &'a str,
    media_type: &'a [u8],
    whole_bytes: u64,
}

impl<'a> Multipart<'a> {
    /// The framing for ranges of a representation of this length. `boundary` must not occur in the content; a random
    /// one practically never does.
    pub fn new(boundary: &'a str, media_type: &'a [u8], whole_bytes: u64) -> Multipart<'a> {
        Multipart { boundary, media_type, whole_bytes }
    }

    /// The value of Content-Type.
    pub fn content_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    /// The text before a part.
    pub fn before(&self, range: ByteRange) -> Vec<u8> {
        let mut text = format!("\r\n--{}\r\n", self.boundary).into_bytes();
        if !self.media_type.is_empty() {
            text.extend_from_slice(b"Content-Type: ");
            text.extend_from_slice(self.media_type);
            text.extend_from_slice(b"\r\n");
        }
        text.extend_from_slice(b"Content-Range: bytes ");
        text.extend_from_slice(Buffer::new().format(range.start).as_bytes());
        text.push(b'-');
        text.extend_from_slice(Buffer::new().format(range.end - 1).as_bytes());
        text.push(b'/');
        text.extend_from_slice(Buffer::new().format(self.whole_bytes).as_bytes());
        text.extend_from_slice(b"\r\n\r\n");
        text
    }

    /// The text after the last part.
    pub fn end(&self) -> Vec<u8> {
        format!("\r\n--{}--\r\n", self.boundary).into_bytes()
    }

    /// The length of the whole content.
    pub fn content_bytes(&self, ranges: &Ranges) -> u64 {
        let parts = ranges.as_slice().iter().map(|&range| self.before(range).len() as u64 + range.bytes()).sum::<u64>();
        parts + self.end().len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(value: &str, whole_bytes: u64, expected: &[(u64, u64)]) {
        match read(value.as_bytes(), whole_bytes) {
            Asked::Parts(ranges) => {
                let found: Vec<_> = ranges.as_slice().iter().map(|range| (range.start, range.end)).collect();
                assert_eq!(found, expected, "{value:?}");
            }
            other => assert!(expected.is_empty(), "{value:?}: {other:?}"),
        }
    }

    #[test]
    fn a_range_has_a_first_and_a_last_byte_or_is_a_suffix() {
        check("bytes=0-0", 1000, &[(0, 1)]);
        check("bytes=0-", 1000, &[(0, 1000)]);
        check("bytes=999-", 1000, &[(999, 1000)]);
        check("bytes=-1", 1000, &[(999, 1000)]);
        check("bytes=-5000", 1000, &[(0, 1000)]);
        check("bytes=10-99999999999999999999999999", 1000, &[(10, 1000)]);
        check("BYTES=1-2", 1000, &[(1, 3)]);
        check("bytes= 1-2 ,", 1000, &[(1, 3)]);
    }

    #[test]
    fn several_keep_their_order_and_those_that_touch_become_one() {
        check("bytes=0-0,500-599", 1000, &[(0, 1), (500, 600)]);
        check("bytes=500-599,0-0", 1000, &[(500, 600), (0, 1)]);
        check("bytes=0-99,50-149", 1000, &[(0, 150)]);
        check("bytes=0-99,100-149", 1000, &[(0, 150)]);
        check("bytes=0-9,20-29", 1000, &[(0, 30)]);
        check("bytes=0-0,900-999,500-500,0-999", 1000, &[(0, 1000)]);
        check("bytes=0-0,2000-3000", 1000, &[(0, 1)]);
        check("bytes=0-0,-1", 1000, &[(0, 1), (999, 1000)]);
        check("bytes=300-300,900-900,600-600,310-590", 1000, &[(300, 601), (900, 901)]);
    }

    #[test]
    fn a_range_outside_of_the_content_is_unsatisfiable() {
        for (value, whole_bytes) in [
            ("bytes=1000-", 1000),
            ("bytes=1000-2000", 1000),
            ("bytes=-0", 1000),
            ("bytes=-5", 0),
            ("bytes=0-", 0),
            ("bytes=5000-,-0", 1000),
            ("bytes=99999999999999999999-", 1000),
        ] {
            assert_eq!(read(value.as_bytes(), whole_bytes), Asked::Nothing, "{value:?}");
        }
    }

    #[test]
    fn malformed_or_excessive_ranges_get_the_whole() {
        let many = format!("bytes={}", "0-0,".repeat(5000));
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=a-b",
            "bytes=5-4",
            "bytes=0x1-2",
            "bytes=1-2-3",
            "bytes=+1-2",
            "bytes=1 -2",
            "bytes 0-1",
            "items=0-1",
            "bytes=0-0;1-1",
            "bytes=0-1,x",
            "bytes==0-1",
            "bytes=--1",
            &many,
            "bytes=0-0,100-100,200-200,300-300,400-400,500-500,600-600,700-700,800-800",
        ] {
            assert_eq!(read(value.as_bytes(), 1000), Asked::Whole, "{value:?}");
        }
    }

    #[test]
    fn the_length_of_a_multipart_content_is_the_sum_of_its_pieces() {
        let Asked::Parts(ranges) = read(b"bytes=0-0,500-599", 1000) else { panic!("two parts") };
        let frame = Multipart::new("b", b"text/plain", 1000);
        let mut content = Vec::new();
        for &range in ranges.as_slice() {
            content.extend(frame.before(range));
            content.extend(std::iter::repeat_n(b'.', range.bytes() as usize));
        }
        content.extend(frame.end());
        assert_eq!(content.len() as u64, frame.content_bytes(&ranges));
        let head = b"\r\n--b\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-0/1000\r\n\r\n.";
        assert!(content.starts_with(head) && content.ends_with(b"\r\n--b--\r\n"));
    }

    proptest! {
        #[test]
        fn ranges_are_inside_do_not_overlap_and_cover_the_request(
            asked in prop::collection::vec((0u64..1200, prop::option::of(0u64..300)), 1..=RANGES_MAX),
            whole_bytes in 0u64..1000,
        ) {
            let list: Vec<_> = asked
                .iter()
                .map(|(start, length)| match length {
                    Some(length) => format!("{start}-{}", start + length),
                    None => format!("{start}-"),
                })
                .collect();
            let wanted = |byte: u64| {
                asked.iter().any(|&(start, length)| byte >= start && length.is_none_or(|length| byte <= start + length))
            };
            match read(format!("bytes={}", list.join(",")).as_bytes(), whole_bytes) {
                Asked::Parts(ranges) => {
                    let ranges = ranges.as_slice();
                    for (index, range) in ranges.iter().enumerate() {
                        prop_assert!(range.start < range.end && range.end <= whole_bytes);
                        prop_assert!(wanted(range.start) && wanted(range.end - 1));
                        prop_assert!(ranges[index + 1..].iter().all(|other| !other.touches(*range)));
                    }
                    for byte in 0..whole_bytes {
                        let covered = ranges.iter().any(|range| (range.start..range.end).contains(&byte));
                        prop_assert!(covered || !wanted(byte));
                    }
                }
                Asked::Nothing => prop_assert!((0..whole_bytes).all(|byte| !wanted(byte))),
                Asked::Whole => prop_assert!(false, "the grammar was kept"),
            }
        }

        #[test]
        fn no_bytes_cause_a_panic(value in prop::collection::vec(any::<u8>(), 0..60), whole_bytes in any::<u64>()) {
            let _ = read(&value, whole_bytes);
        }

        #[test]
        fn nearly_valid_values_are_handled_safely(value in "bytes=[0-9,\\- ]{0,40}", whole_bytes in 0u64..100) {
            if let Asked::Parts(ranges) = read(value.as_bytes(), whole_bytes) {
                prop_assert!(!ranges.as_slice().is_empty() && ranges.as_slice().len() <= RANGES_MAX);
                prop_assert!(ranges.as_slice().iter().all(|range| range.start < range.end && range.end <= whole_bytes));
            }
        }
    }
}
