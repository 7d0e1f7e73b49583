//! Percent-encoding (RFC 3986 §2.1) of a path, decoded as environ and the access log show it.

/// Appends the decoded bytes to `decoded`; an invalid escape stays as it is.
pub fn decode(path: &[u8], decoded: &mut Vec<u8>) {
    let mut rest = path;
    while let [byte, after @ ..] = rest {
        let hex = |digit: u8| char::from(digit).to_digit(16);
        if let [b'%', high, low, after @ ..] = rest
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            decoded.push((high * 16 + low) as u8);
            rest = after;
            continue;
        }
        decoded.push(*byte);
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn valid_escapes_are_decoded_and_others_stay() {
        for (path, expected) in [("/a%20b%2F", "/a b/"), ("/%zz%4", "/%zz%4"), ("%", "%"), ("", "")] {
            let mut decoded = Vec::new();
            decode(path.as_bytes(), &mut decoded);
            assert_eq!(decoded, expected.as_bytes());
        }
    }
}
