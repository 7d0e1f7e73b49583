//! The content codings that a client accepts (RFC 9110 §12.5.3), and the choice among the available ones.

use crate::field::KnownField;
use crate::request::Request;

/// A content coding (RFC 9110 §8.4.1) that the server supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// `zstd` (RFC 8878, with the window of RFC 9659).
    Zstd,
    /// `br` (RFC 7932).
    Brotli,
    /// `gzip` (RFC 1952).
    Gzip,
}

impl Coding {
    /// All codings, in the order of preference at equal weights.
    pub const ALL: [Coding; 3] = [Coding::Zstd, Coding::Brotli, Coding::Gzip];

    /// Its name in fields, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Coding::Zstd => "zstd",
            Coding::Brotli => "br",
            Coding::Gzip => "gzip",
        }
    }

    fn of(name: &[u8]) -> Option<Coding> {
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        match name.len() {
            2 if is(b"br") => Some(Coding::Brotli),
            4 if is(b"gzip") => Some(Coding::Gzip),
            4 if is(b"zstd") => Some(Coding::Zstd),
            // RFC 9110 §8.4.1.3: `x-gzip` is the same.
            6 if is(b"x-gzip") => Some(Coding::Gzip),
            _ => None,
        }
    }
}

/// What a client accepts: a weight in thousandths for each coding, and for content as it is (`identity`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcceptEncoding {
    /// In the order of [`Coding::ALL`].
    weights: [u16; 3],
    /// `None` if the client did not name it: it is accepted, but any other accepted coding is better.
    identity: Option<u16>,
}

impl AcceptEncoding {
    /// Only unencoded content, for a client that sends no such field. It would accept anything (RFC 9110 §12.5.3), but
    /// many such clients cannot decode.
    pub const IDENTITY: AcceptEncoding = AcceptEncoding { weights: [0; 3], identity: None };

    /// Reads the request's fields, all lines together.
    pub fn of_request(request: &Request) -> AcceptEncoding {
        if !request.head.seen.has_any(crate::field::Seen::of(KnownField::AcceptEncoding)) {
            return AcceptEncoding::IDENTITY;
        }
        let named = request.fields().filter(|(known, ..)| *known == KnownField::AcceptEncoding);
        AcceptEncoding::of(named.map(|(_, _, value)| value))
    }

    /// Reads the values of the field's lines. A malformed element is ignored.
    pub fn of<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> AcceptEncoding {
        let mut named: [Option<u16>; 3] = [None; 3];
        let (mut identity, mut others) = (None, None);
        let elements = values.into_iter().flat_map(|value| value.split(|&byte| byte == b','));
        for (name, weight) in elements.filter_map(element) {
            if let Some(coding) = Coding::of(name) {
                named[coding as usize] = Some(weight);
            } else if name.eq_ignore_ascii_case(b"identity") {
                identity = Some(weight);
            } else if name == b"*" {
                others = Some(weight);
            }
        }
        AcceptEncoding {
            weights: named.map(|weight| weight.or(others).unwrap_or(0)),
            // `*` excludes it, but does not ask for it.
            identity: identity.or(others.filter(|&weight| weight == 0)),
        }
    }

    /// The best of the available codings; `None` is unencoded content. Among equal weights the first wins, so `at_hand`
    /// is in the server's order of preference.
    pub fn best(&self, at_hand: impl IntoIterator<Item = Coding>) -> Option<Coding> {
        let mut best = None;
        let mut weight = self.identity.unwrap_or(0);
        for coding in at_hand {
            let its = self.weights[coding as usize];
            // At equal weights a coding wins over none.
            if its > weight || (its == weight && its > 0 && best.is_none()) {
                (best, weight) = (Some(coding), its);
            }
        }
        best
    }

    /// Whether the client accepts this coding.
    pub fn accepts(&self, coding: Coding) -> bool {
        self.weights[coding as usize] > 0
    }

    /// Whether the client accepts unencoded content. If it does not, and accepts no available coding either, it may be
    /// sent unencoded content all the same (RFC 9110 §12.5.3).
    pub fn accepts_identity(&self) -> bool {
        self.identity != Some(0)
    }
}

/// A coding's name and weight in thousandths.
fn element(element: &[u8]) -> Option<(&[u8], u16)> {
    let mut parts = element.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    let name = parts.next().filter(|name| !name.is_empty())?;
    let weight = match parts.next() {
        None => 1000,
        Some([b'q' | b'Q', b'=', weight @ ..]) => qvalue(weight)?,
        Some(_) => return None,
    };
    parts.next().is_none().then_some((name, weight))
}

/// RFC 9110 §12.4.2: `0` to `1` with at most three decimals, in thousandths.
fn qvalue(text: &[u8]) -> Option<u16> {
    let (&whole, rest) = text.split_first()?;
    let decimals = match rest {
        [] => rest,
        [b'.', decimals @ ..] if decimals.len() <= 3 => decimals,
        _ => return None,
    };
    let mut thousandths = match whole {
        b'0' => 0,
        b'1' => 1000,
        _ => return None,
    };
    for (digit, place) in decimals.iter().zip([100, 10, 1]) {
        thousandths += digit.is_ascii_digit().then(|| u16::from(digit - b'0') * place)?;
    }
    (thousandths <= 1000).then_some(thousandths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(value: &str) -> &'static str {
        AcceptEncoding::of([value.as_bytes()]).best(Coding::ALL).map_or("identity", Coding::name)
    }

    #[test]
    fn the_highest_weight_wins_and_the_server_decides_between_equals() {
        for (value, expected) in [
            ("gzip", "gzip"),
            ("x-gzip", "gzip"),
            ("GZIP;Q=1", "gzip"),
            ("gzip, deflate, br, zstd", "zstd"),
            ("gzip, deflate, br", "br"),
            ("gzip;q=1.0, br;q=0.9, zstd;q=0.9", "gzip"),
            ("br;q=0.001", "br"),
            ("*", "zstd"),
            ("*;q=0.5, br", "br"),
            ("zstd;q=0, *", "br"),
            ("gzip ; q=0.5 , br\t;\tq=0.4", "gzip"),
        ] {
            assert_eq!(best(value), expected, "{value}");
        }
    }

    #[test]
    fn content_stays_as_it_is_where_nothing_else_is_wanted() {
        for value in [
            "",
            "identity",
            "deflate",
            "gzip;q=0",
            "*;q=0",
            "gzip;q=0.000",
            "gzip;q=0.5, identity;q=1",
            "identity, *;q=0",
        ] {
            assert_eq!(best(value), "identity", "{value}");
        }
        assert_eq!(best("gzip, identity"), "gzip", "at equal weights a coding is better");
    }

    #[test]
    fn a_malformed_element_is_ignored() {
        for value in
            ["gzip;q=2", "gzip;q=1.001", "gzip;q=0.1234", "gzip;q=", "gzip;q=.5", "gzip;q=-1", "gzip;x=1", "gz ip"]
        {
            assert_eq!(best(value), "identity", "{value}");
        }
        assert_eq!(best("gzip;q=a, br"), "br");
        assert_eq!(best("gzip;q=1;q=1, br;q=0.1"), "br");
    }

    #[test]
    fn the_lines_of_a_field_are_one_list() {
        let accepted = AcceptEncoding::of([&b"gzip;q=0.3"[..], b"br;q=0.2, identity;q=0"]);
        assert_eq!(accepted.best(Coding::ALL), Some(Coding::Gzip));
        assert_eq!(accepted.best([Coding::Zstd]), None);
        assert!(accepted.accepts(Coding::Brotli) && !accepted.accepts(Coding::Zstd) && !accepted.accepts_identity());
        assert!(AcceptEncoding::IDENTITY.accepts_identity());
    }

    #[test]
    fn a_star_with_no_weight_excludes_content_as_it_is_unless_it_is_named() {
        let accepted = AcceptEncoding::of([&b"gzip, *;q=0"[..]]);
        assert!(!accepted.accepts_identity() && accepted.best([Coding::Gzip]) == Some(Coding::Gzip));
        assert!(AcceptEncoding::of([&b"identity;q=0.1, *;q=0"[..]]).accepts_identity());
    }
}
