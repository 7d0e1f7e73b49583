//! Counts frames as they pass (RFC 9113 §4.1), in both directions. Frames that request no work are limited; each
//! answer to the client raises the limit.

/// Length, type, flags and stream of a frame.
const HEADER_BYTES: usize = 9;

/// The code of a RST_STREAM frame follows its header.
const CODE_BYTES: usize = 4;

/// The code for a stream whose client has broken a rule (RFC 9113 §7).
pub const PROTOCOL_ERROR: u32 = 1;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

/// Flag of DATA and HEADERS.
const END_STREAM: u8 = 1;

/// What the HEADERS of an answer add to the limit.
const EARNED_BY_HEADERS: (u32, u32) = (20, 2);

/// Window updates that a DATA frame to the client adds: one for the stream, one for the connection, and as many to
/// spare.
const EARNED_BY_DATA: u32 = 4;

/// Most window updates in reserve: a client may answer many small frames at once.
const UPDATES_MAX: u32 = 64 * 1024;

/// What each second adds: control frames and resets.
const EARNED_BY_SECOND: (u64, u64) = (50, 10);

/// A frame, as far as it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// The type of the frame.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Bytes behind the header.
    pub length: usize,
    /// The code of a RST_STREAM frame.
    pub code: Option<u32>,
}

/// Follows a stream of frames, however it is divided into pieces.
#[derive(Debug, Default)]
pub struct Scanner {
    header: [u8; HEADER_BYTES + CODE_BYTES],
    /// Bytes of the header that have come, and of the code behind it.
    have: usize,
    /// Bytes that are skipped: a frame's content, or what comes before the first frame.
    skip: usize,
}

impl Scanner {
    /// A scanner that skips the first bytes.
    pub fn after(skip: usize) -> Scanner {
        Scanner { skip, ..Scanner::default() }
    }

    /// Looks at a piece and hands each frame to `each`.
    pub fn scan(&mut self, mut piece: &[u8], mut each: impl FnMut(Passed)) {
        loop {
            let skipped = self.skip.min(piece.len());
            piece = &piece[skipped..];
            self.skip -= skipped;
            if piece.is_empty() {
                return;
            }
            let wanted = self.wanted_bytes();
            let taken = (wanted - self.have).min(piece.len());
            self.header[self.have..self.have + taken].copy_from_slice(&piece[..taken]);
            piece = &piece[taken..];
            self.have += taken;
            if self.have < self.wanted_bytes() {
                if self.have < wanted {
                    return;
                }
                continue;
            }
            let has_code = self.have > HEADER_BYTES;
            self.have = 0;
            let [high, middle, low, kind, flags, _, _, _, _, code @ ..] = self.header;
            let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
            self.skip = if has_code { length - CODE_BYTES } else { length };
            each(Passed { kind, flags, length, code: has_code.then(|| u32::from_be_bytes(code)) });
        }
    }

    /// How many bytes of the frame are looked at, as far as that is known.
    fn wanted_bytes(&self) -> usize {
        let is_reset =
            self.have >= HEADER_BYTES && self.header[3] == RST_STREAM && self.header[..3] == [0, 0, CODE_BYTES as u8];
        if is_reset { HEADER_BYTES + CODE_BYTES } else { HEADER_BYTES }
    }
}

/// What a client may still send.
#[derive(Debug)]
pub struct Allowance {
    control: u32,
    control_max: u32,
    /// Window updates beyond those.
    updates: u32,
    resets: u32,
    resets_max: u32,
    earned_ms: u64,
}

impl Allowance {
    /// A full allowance of so many control frames and resets.
    pub fn new(control_max: u32, resets_max: u32, now_ms: u64) -> Allowance {
        Allowance { control: control_max, control_max, updates: 0, resets: resets_max, resets_max, earned_ms: now_ms }
    }

    /// Time passes.
    pub fn pass(&mut self, now_ms: u64) {
        let elapsed_ms = now_ms.saturating_sub(self.earned_ms);
        let (control, resets) = EARNED_BY_SECOND;
        if elapsed_ms >= 100 {
            self.earned_ms = now_ms;
            let earned = |a_second: u64| u32::try_from(elapsed_ms.saturating_mul(a_second) / 1000).unwrap_or(u32::MAX);
            self.earn(earned(control), earned(resets));
        }
    }

    /// The client has sent a frame. False: it had none left of that kind.
    pub fn received(&mut self, kind: u8, flags: u8, length: usize) -> bool {
        let left = match kind {
            // CONTINUATION is limited with the field list that it continues.
            HEADERS | CONTINUATION => return true,
            DATA if length > 0 || flags & END_STREAM != 0 => return true,
            RST_STREAM => &mut self.resets,
            WINDOW_UPDATE if self.updates > 0 => &mut self.updates,
            _ => &mut self.control,
        };
        match left.checked_sub(1) {
            Some(rest) => {
                *left = rest;
                true
            }
            None => false,
        }
    }

    /// The client was sent a frame.
    pub fn sent(&mut self, kind: u8) {
        match kind {
            DATA => self.updates = self.updates.saturating_add(EARNED_BY_DATA).min(UPDATES_MAX),
            HEADERS => self.earn(EARNED_BY_HEADERS.0, EARNED_BY_HEADERS.1),
            _ => {}
        }
    }

    fn earn(&mut self, control: u32, resets: u32) {
        self.control = self.control.saturating_add(control).min(self.control_max);
        self.resets = self.resets.saturating_add(resets).min(self.resets_max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: u8 = 6;

    fn frame(kind: u8, flags: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, content.len() as u8, kind, flags, 0, 0, 0, 1];
        bytes.extend_from_slice(content);
        bytes
    }

    #[test]
    fn frames_are_counted_however_they_are_divided() {
        let mut stream = b"preface".to_vec();
        stream.extend(frame(HEADERS, 5, b"abc"));
        stream.extend(frame(DATA, 1, b""));
        stream.extend(frame(RST_STREAM, 0, &[0, 0, 1, 2]));
        stream.extend(frame(RST_STREAM, 0, &[1]));
        stream.extend(frame(PING, 0, b"12345678"));
        let passed = |kind, flags, length, code| Passed { kind, flags, length, code };
        let expected = [
            passed(HEADERS, 5, 3, None),
            passed(DATA, 1, 0, None),
            passed(RST_STREAM, 0, 4, Some(258)),
            passed(RST_STREAM, 0, 1, None),
            passed(PING, 0, 8, None),
        ];
        for size in 1..=stream.len() {
            let mut scanner = Scanner::after(7);
            let mut seen = Vec::new();
            stream.chunks(size).for_each(|piece| scanner.scan(piece, |frame| seen.push(frame)));
            assert_eq!(seen, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn answers_and_time_allow_further_frames() {
        let mut allowance = Allowance::new(3, 1, 0);
        assert!((0..3).all(|_| allowance.received(PING, 0, 8)));
        assert!(!allowance.received(PING, 0, 8));
        assert!(allowance.received(RST_STREAM, 0, 4));
        assert!(!allowance.received(RST_STREAM, 0, 4));
        allowance.sent(HEADERS);
        assert!(allowance.received(PING, 0, 8) && allowance.received(RST_STREAM, 0, 4));
        assert!(!allowance.received(RST_STREAM, 0, 4));
        allowance.pass(1000);
        assert!(allowance.received(RST_STREAM, 0, 4));
        assert!(allowance.received(HEADERS, 0, 4) && allowance.received(DATA, 0, 4));
    }

    #[test]
    fn each_data_frame_allows_its_window_updates_however_late_they_come() {
        let mut allowance = Allowance::new(3, 1, 0);
        (0..1000).for_each(|_| allowance.sent(DATA));
        assert!((0..2000).all(|_| allowance.received(WINDOW_UPDATE, 0, 4)));
        // They add nothing else.
        assert!((0..3).all(|_| allowance.received(PING, 0, 8)) && !allowance.received(PING, 0, 8));
    }
}
