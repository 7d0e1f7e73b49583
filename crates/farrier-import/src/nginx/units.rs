//! nginx's sizes and times, and how Farrier writes them.

/// Milliseconds of a time such as `60`, `1m`, `1h 30m` or `500ms`.
pub(super) fn milliseconds(text: &str) -> Option<u64> {
    let (mut total, mut rest, mut is_first) = (0_u64, text.trim(), true);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit() || c == ' ').unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "ms" => 1,
            "s" => 1_000,
            "" if is_first || rest.is_empty() => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            "M" => 30 * 86_400_000,
            "y" => 365 * 86_400_000,
            _ => return None,
        };
        rest = rest[letters..].trim_start();
        total = total.checked_add(number.checked_mul(unit)?)?;
        is_first = false;
    }
    (!is_first).then_some(total)
}

/// A time as a setting has it, in quotes.
pub(super) fn duration(milliseconds: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    // `75s` reads better than any other unit below two minutes.
    let unit = match milliseconds {
        0 => (1_000, "s"),
        time if time < 120_000 && time % 1_000 == 0 => (1_000, "s"),
        time => units.into_iter().find(|(length, _)| time % length == 0).unwrap_or((1, "ms")),
    };
    format!("\"{}{}\"", milliseconds / unit.0, unit.1)
}

/// Bytes of a size such as `8k`, `10m` or `1g`.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let shift = match &text[digits..] {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

/// A size as a setting has it.
pub(super) fn size(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|(shift, _)| bytes > 0 && bytes.is_multiple_of(1_u64 << shift)) {
        Some((shift, unit)) => format!("\"{}{unit}\"", bytes >> shift),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_nginxs() {
        for (text, written) in [
            ("60", Some("\"60s\"")),
            ("60s", Some("\"60s\"")),
            ("1m", Some("\"60s\"")),
            ("5m", Some("\"5m\"")),
            ("1h 30m", Some("\"90m\"")),
            ("1h30m", Some("\"90m\"")),
            ("1d", Some("\"1d\"")),
            ("1M", Some("\"30d\"")),
            ("1500ms", Some("\"1500ms\"")),
            ("0", Some("\"0s\"")),
            ("", None),
            ("1x", None),
            ("x", None),
            ("99999999999999999999", None),
            ("9999999999999999y", None),
        ] {
            assert_eq!(milliseconds(text).map(duration).as_deref(), written, "{text}");
        }
        for (text, written) in [
            ("10m", Some("\"10MiB\"")),
            ("8k", Some("\"8KiB\"")),
            ("1024k", Some("\"1MiB\"")),
            ("100", Some("100")),
            ("0", Some("0")),
            ("1G", Some("\"1GiB\"")),
            ("1t", None),
            ("", None),
        ] {
            assert_eq!(bytes(text).map(size).as_deref(), written, "{text}");
        }
    }
}
