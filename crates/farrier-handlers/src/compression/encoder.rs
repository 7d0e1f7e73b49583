//! The encoders of the content codings. A few of them are kept for the next responses.

use std::io;
use std::sync::{Mutex, PoisonError};

use brotli::enc::StandardAlloc;
use brotli::enc::encode::{BrotliEncoderOperation, BrotliEncoderParameter, BrotliEncoderStateStruct};
use farrier_http::Coding;
use flate2::{Compress, Compression, FlushCompress, Status};
use zstd::zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd::zstd_safe::{self, CCtx, CParameter, InBuffer, OutBuffer, ResetDirective};

/// The window of zstd and brotli as a power of two: 256 KiB. A larger window costs memory for each stream and gains
/// nothing on pages. Clients must support 8 MiB (RFC 9659).
const WINDOW_BITS: u32 = 18;

/// gzip's window, the largest that it allows.
const GZIP_WINDOW_BITS: u8 = 15;

/// The most unused encoders that are kept.
const KEPT_MAX: usize = 8;

/// The least room that is made for an encoder's output. One step of brotli gets no more.
const STEP_BYTES: usize = 16 * 1024;

/// The most memory that an output buffer keeps for the next response.
pub(super) const OUTPUT_KEPT_BYTES: usize = 64 * 1024;

/// What an encoder must do beside accepting content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// Nothing: it may hold content back.
    More,
    /// Flush: all content so far must come out, so that the client can decode it.
    Flushed,
    /// End the message.
    Ended,
}

/// The encoder of one message.
pub(super) enum Encoder {
    Zstd(CCtx<'static>),
    Brotli(Box<BrotliEncoderStateStruct<StandardAlloc>>),
    Gzip(Compress),
}

impl Encoder {
    /// Encodes `input` and appends the result to `out`.
    ///
    /// # Errors
    /// The library fails: it is out of memory, or has a bug.
    pub(super) fn push(&mut self, input: &[u8], until: Until, out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Encoder::Zstd(context) => push_zstd(context, input, until, out),
            Encoder::Brotli(state) => push_brotli(state, input, until, out),
            Encoder::Gzip(stream) => push_gzip(stream, input, until, out),
        }
    }
}

fn push_zstd(context: &mut CCtx<'static>, input: &[u8], until: Until, out: &mut Vec<u8>) -> io::Result<()> {
    let directive = match until {
        Until::More => ZSTD_EndDirective::ZSTD_e_continue,
        Until::Flushed => ZSTD_EndDirective::ZSTD_e_flush,
        Until::Ended => ZSTD_EndDirective::ZSTD_e_end,
    };
    let mut source = InBuffer::around(input);
    // If there is room for everything, zstd encodes a message in one piece without a copy of its input.
    out.reserve(if until == Until::Ended { zstd_safe::compress_bound(input.len()) } else { STEP_BYTES });
    loop {
        out.reserve(STEP_BYTES.min(1024));
        let written = out.len();
        let mut target = OutBuffer::around_pos(out, written);
        let left = context.compress_stream2(&mut target, &mut source, directive).map_err(zstd_error)?;
        let is_done = if until == Until::More { source.pos() == input.len() } else { left == 0 };
        if is_done {
            return Ok(());
        }
    }
}

fn push_brotli(
    state: &mut BrotliEncoderStateStruct<StandardAlloc>,
    input: &[u8],
    until: Until,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let operation = match until {
        Until::More => BrotliEncoderOperation::BROTLI_OPERATION_PROCESS,
        Until::Flushed => BrotliEncoderOperation::BROTLI_OPERATION_FLUSH,
        Until::Ended => BrotliEncoderOperation::BROTLI_OPERATION_FINISH,
    };
    let (mut available, mut taken) = (input.len(), 0);
    loop {
        let start = out.len();
        out.resize(start + (input.len() / 2).clamp(1024, STEP_BYTES), 0);
        let (mut room, mut written) = (out.len() - start, 0);
        let is_well = state.compress_stream(
            operation,
            &mut available,
            input,
            &mut taken,
            &mut room,
            &mut out[start..],
            &mut written,
            &mut None,
            &mut |_, _, _, _| (),
        );
        out.truncate(start + written);
        if !is_well {
            return Err(io::Error::other("brotli failed to encode"));
        }
        let is_done = available == 0 && !state.has_more_output();
        if is_done && (until != Until::Ended || state.is_finished()) {
            return Ok(());
        }
    }
}

fn push_gzip(stream: &mut Compress, input: &[u8], until: Until, out: &mut Vec<u8>) -> io::Result<()> {
    let flush = match until {
        Until::More => FlushCompress::None,
        Until::Flushed => FlushCompress::Sync,
        Until::Ended => FlushCompress::Finish,
    };
    let mut rest = input;
    loop {
        // A flush needs more than six bytes of room. With less it would be written twice.
        out.reserve((rest.len() / 2).clamp(1024, STEP_BYTES));
        let before = stream.total_in();
        let status = stream.compress_vec(rest, out, flush).map_err(io::Error::other)?;
        rest = &rest[(stream.total_in() - before) as usize..];
        let has_room = out.len() < out.capacity();
        let is_done = if until == Until::Ended { status == Status::StreamEnd } else { rest.is_empty() && has_room };
        if is_done {
            return Ok(());
        }
    }
}

fn zstd_error(code: zstd_safe::ErrorCode) -> io::Error {
    io::Error::other(zstd_safe::get_error_name(code))
}

/// The encoders of one coding, at one level. A response takes one and gives it back at its end.
pub(super) struct Encoders {
    coding: Coding,
    level: u8,
    kept: Mutex<Vec<Encoder>>,
}

impl Encoders {
    pub(super) fn new(coding: Coding, level: u8) -> Encoders {
        Encoders { coding, level, kept: Mutex::new(Vec::new()) }
    }

    /// The coding that they encode in.
    pub(super) fn coding(&self) -> Coding {
        self.coding
    }

    /// The level that they encode at.
    #[cfg(test)]
    pub(super) fn level(&self) -> u8 {
        self.level
    }

    /// An encoder for a new message. `size` is the length of the content, if it is known.
    ///
    /// # Errors
    /// There is no memory.
    pub(super) fn take(&self, size: Option<u64>) -> io::Result<Encoder> {
        // A statement of its own, so that the lock is released before the work begins.
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match kept {
            Some(Encoder::Gzip(mut stream)) => {
                stream.reset();
                Ok(Encoder::Gzip(stream))
            }
            Some(Encoder::Zstd(mut context)) => {
                context.reset(ResetDirective::SessionOnly).map_err(zstd_error)?;
                context.set_pledged_src_size(size).map_err(zstd_error)?;
                Ok(Encoder::Zstd(context))
            }
            // An encoder of brotli cannot be reset.
            Some(Encoder::Brotli(_)) | None => self.make(size),
        }
    }

    /// Takes an encoder back for another message, whether its own was completed or not.
    pub(super) fn give_back(&self, encoder: Encoder) {
        if matches!(encoder, Encoder::Brotli(_)) {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT_MAX {
            kept.push(encoder);
        }
    }

    fn make(&self, size: Option<u64>) -> io::Result<Encoder> {
        match self.coding {
            Coding::Zstd => {
                let mut context = CCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?;
                for parameter in
                    [CParameter::CompressionLevel(i32::from(self.level)), CParameter::WindowLog(WINDOW_BITS)]
                {
                    context.set_parameter(parameter).map_err(zstd_error)?;
                }
                context.set_pledged_src_size(size).map_err(zstd_error)?;
                Ok(Encoder::Zstd(context))
            }
            Coding::Brotli => {
                let mut state = Box::new(BrotliEncoderStateStruct::new(StandardAlloc::default()));
                state.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_QUALITY, u32::from(self.level));
                // The window is not smaller for small content: below 17 the library allocates 32 MiB from level 5 on.
                state.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_LGWIN, WINDOW_BITS);
                if let Some(size) = size.and_then(|size| u32::try_from(size).ok()) {
                    state.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_SIZE_HINT, size);
                }
                Ok(Encoder::Brotli(state))
            }
            Coding::Gzip => {
                Ok(Encoder::Gzip(Compress::new_gzip(Compression::new(u32::from(self.level)), GZIP_WINDOW_BITS)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use proptest::prelude::*;

    use super::*;

    /// Decodes a message that may be incomplete.
    fn decoded(coding: Coding, encoded: &[u8]) -> Vec<u8> {
        let mut content = Vec::new();
        // The reader of a message that was only flushed returns all content, and then an error.
        let _ = match coding {
            Coding::Gzip => flate2::read::GzDecoder::new(encoded).read_to_end(&mut content).map(drop),
            Coding::Brotli => brotli::Decompressor::new(encoded, 4096).read_to_end(&mut content).map(drop),
            Coding::Zstd => zstd::stream::write::Decoder::new(&mut content)
                .and_then(|mut decoder| decoder.write_all(encoded).and_then(|()| decoder.flush())),
        };
        content
    }

    fn texts() -> impl Strategy<Value = Vec<(Vec<u8>, bool)>> {
        let text = prop_oneof![
            "[a-d ]{0,400}".prop_map(String::into_bytes),
            proptest::collection::vec(any::<u8>(), 0..600),
            (any::<u8>(), 0usize..40_000).prop_map(|(byte, count)| vec![byte; count]),
        ];
        proptest::collection::vec((text, any::<bool>()), 0..6)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn content_survives_encoding_and_a_flush_holds_nothing_back(pieces in texts(), level in 0usize..3) {
            for coding in Coding::ALL {
                let level = match coding {
                    Coding::Zstd => [1, 3, 12],
                    Coding::Brotli => [0, 4, 9],
                    Coding::Gzip => [1, 5, 9],
                }[level];
                let encoders = Encoders::new(coding, level);
                // Three messages, so that the later ones get a used encoder. The last knows its size.
                for round in 0..3 {
                    let size = pieces.iter().map(|(piece, _)| piece.len() as u64).sum();
                    let mut encoder = encoders.take((round == 2).then_some(size)).expect("memory");
                    let (mut out, mut whole) = (Vec::new(), Vec::new());
                    for (piece, flushed) in &pieces {
                        let until = if *flushed { Until::Flushed } else { Until::More };
                        encoder.push(piece, until, &mut out).expect("encodes");
                        whole.extend_from_slice(piece);
                        if *flushed {
                            prop_assert_eq!(decoded(coding, &out), whole.clone());
                        }
                    }
                    encoder.push(b"", Until::Ended, &mut out).expect("encodes");
                    prop_assert_eq!(decoded(coding, &out), whole);
                    encoders.give_back(encoder);
                }
            }
        }
    }

    #[test]
    fn an_encoder_of_an_abandoned_message_can_be_used_again() {
        for coding in Coding::ALL {
            let encoders = Encoders::new(coding, 4);
            let mut encoder = encoders.take(Some(1 << 20)).expect("memory");
            encoder.push(&[b'x'; 5000], Until::More, &mut Vec::new()).expect("encodes");
            encoders.give_back(encoder);
            let (mut encoder, mut out) = (encoders.take(Some(2)).expect("memory"), Vec::new());
            encoder.push(b"ab", Until::Ended, &mut out).expect("encodes");
            assert_eq!(decoded(coding, &out), b"ab");
        }
    }
}
