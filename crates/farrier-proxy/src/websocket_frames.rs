//! Follows the frames of a WebSocket (RFC 6455 §5.2) in one direction of a tunnel: where one ends and the next begins, and whether
//! one was a Close frame. Payloads are neither read nor kept.

/// A server's Close frame with the status 1001 (going away, RFC 6455 §7.4.1).
pub const GOING_AWAY: [u8; 4] = [0x80 | CLOSE, 2, 0x03, 0xe9];

/// The opcode of a Close frame.
const CLOSE: u8 = 8;

/// Bytes of the longest header: two, eight of length, four of mask.
const HEADER_BYTES_MAX: usize = 14;

/// One direction.
#[derive(Debug, Default)]
pub struct FrameFollower {
    header: [u8; HEADER_BYTES_MAX],
    header_bytes: u8,
    /// What is left of the payload.
    payload_bytes: u64,
    has_close: bool,
}

impl FrameFollower {
    /// Whether everything so far were whole frames.
    pub fn is_at_border(&self) -> bool {
        self.header_bytes == 0 && self.payload_bytes == 0
    }

    /// Whether a Close frame has begun: no other frame follows it.
    pub fn has_close(&self) -> bool {
        self.has_close
    }

    /// Follows bytes, and returns how many: all, or those up to the first border if it is to stop
    /// there. The beginning may be one.
    pub fn follow(&mut self, bytes: &[u8], stops_at_border: bool) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            if stops_at_border && self.is_at_border() {
                break;
            }
            if self.payload_bytes > 0 {
                let left = (bytes.len() - at) as u64;
                let taken = left.min(self.payload_bytes);
                self.payload_bytes -= taken;
                // It is no more than what is left of the bytes.
                at += taken as usize;
                continue;
            }
            self.header[usize::from(self.header_bytes)] = bytes[at];
            self.header_bytes += 1;
            at += 1;
            if let Some(payload_bytes) = self.payload_of_header() {
                self.payload_bytes = payload_bytes;
                self.has_close |= self.header[0] & 0x0f == CLOSE;
                self.header_bytes = 0;
            }
        }
        at
    }

    /// The length of the payload, once the header is complete.
    fn payload_of_header(&self) -> Option<u64> {
        let header = self.header.get(..usize::from(self.header_bytes))?;
        let [_, second, ..] = *header else { return None };
        let length_bytes = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask_bytes = if second & 0x80 == 0 { 0 } else { 4 };
        if header.len() < 2 + length_bytes + mask_bytes {
            return None;
        }
        Some(match length_bytes {
            0 => u64::from(second & 0x7f),
            _ => header[2..2 + length_bytes].iter().fold(0, |length, &byte| length << 8 | u64::from(byte)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text frame with a payload of so many bytes.
    fn frame(payload_bytes: usize, is_masked: bool) -> Vec<u8> {
        let mask = if is_masked { 0x80 } else { 0 };
        let mut frame = match payload_bytes {
            0..126 => vec![0x81, mask | payload_bytes as u8],
            126..65536 => [&[0x81, mask | 126][..], &(payload_bytes as u16).to_be_bytes()].concat(),
            _ => [&[0x81, mask | 127][..], &(payload_bytes as u64).to_be_bytes()].concat(),
        };
        // The payload looks like a Close frame.
        frame.extend(vec![0x88; payload_bytes + if is_masked { 4 } else { 0 }]);
        frame
    }

    #[test]
    fn borders_are_found_however_the_bytes_arrive() {
        for payload_bytes in [0, 1, 125, 126, 65535, 65536] {
            for is_masked in [true, false] {
                let frame = frame(payload_bytes, is_masked);
                for step in [1, 3, frame.len()] {
                    let mut follower = FrameFollower::default();
                    for (index, piece) in frame.chunks(step).enumerate() {
                        assert!(index == 0 || !follower.is_at_border(), "{payload_bytes}");
                        assert_eq!(follower.follow(piece, index > 0), piece.len());
                    }
                    assert!(follower.is_at_border() && !follower.has_close(), "{payload_bytes} {is_masked} {step}");
                }
            }
        }
    }

    #[test]
    fn it_stops_at_the_first_border_only_if_it_is_asked_to() {
        let (first, second) = (frame(300, false), frame(5, false));
        let both = [&first[..], &second].concat();
        let mut follower = FrameFollower::default();
        assert_eq!(follower.follow(&both[..7], true), 0);
        assert_eq!(follower.follow(&both[..7], false), 7);
        assert_eq!(follower.follow(&both[7..], true), first.len() - 7);
        assert_eq!(follower.follow(&second, true), 0);
        assert_eq!(follower.follow(&second, false), second.len());
    }

    #[test]
    fn a_close_frame_is_noticed() {
        let mut follower = FrameFollower::default();
        follower.follow(&[&frame(9, true)[..], &GOING_AWAY[..1]].concat(), false);
        assert!(!follower.has_close());
        follower.follow(&GOING_AWAY[1..], false);
        assert!(follower.has_close() && follower.is_at_border());
    }

    #[test]
    fn bytes_that_are_no_frames_do_no_harm() {
        let mut follower = FrameFollower::default();
        assert_eq!(follower.follow(&[0xff; 100], false), 100);
        assert!(!follower.is_at_border());
    }
}
