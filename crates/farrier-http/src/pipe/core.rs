//! The rules of a pipe, without threads: what is queued, who waits, and whom each step wakes.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::error::Error;

/// What a piece costs beside its bytes, so that many tiny pieces are bounded too.
const PIECE_COST_BYTES: usize = 64;

/// How much a pipe holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    /// From here on the source has to wait.
    pub high_bytes: usize,
    /// At or below this the source may go on.
    pub low_bytes: usize,
}

impl Marks {
    /// A high mark, and the low mark at its half.
    pub fn with_high(high_bytes: usize) -> Marks {
        Marks { high_bytes: high_bytes.max(1), low_bytes: high_bytes / 2 }
    }
}

/// The result of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It was taken, and more may come at once.
    Room,
    /// It was taken, and the pipe is at its high mark: the source is woken when there is room again.
    Full,
    /// It was dropped: the drain takes no more.
    Abandoned,
}

/// What a pop gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Popped {
    /// A piece, never empty.
    Piece(Bytes),
    /// Nothing now: the drain is woken when there is more, or the end.
    Nothing,
    /// Everything has been given.
    End,
    /// The source failed; said once, after everything that came before.
    Failed(Error),
}

/// Whom a step wakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wakes {
    Nobody,
    Source,
    Drain,
}

/// How far the source has come.
enum Source {
    Open,
    Ended,
    Failed(Error),
}

/// One bounded queue.
pub(super) struct Core {
    marks: Marks,
    queue: VecDeque<Bytes>,
    held_bytes: usize,
    source: Source,
    is_abandoned: bool,
    source_waits: bool,
    drain_waits: bool,
    /// The drain has asked while there was nothing.
    is_wanted: bool,
    taken_bytes: u64,
    /// The source is woken whenever the drain has taken all there was.
    tells_when_empty: bool,
    /// What had been taken when the source was woken for that at last.
    told_bytes: u64,
}

impl Core {
    pub(super) fn new(marks: Marks) -> Core {
        Core {
            marks,
            queue: VecDeque::new(),
            held_bytes: 0,
            source: Source::Open,
            is_abandoned: false,
            source_waits: false,
            drain_waits: false,
            is_wanted: false,
            taken_bytes: 0,
            tells_when_empty: false,
            told_bytes: 0,
        }
    }

    /// Takes a piece. One that comes at or above the high mark is taken all the same: the source was told to wait.
    pub(super) fn push(&mut self, piece: Bytes) -> (Pushed, Wakes) {
        if self.is_abandoned || !matches!(self.source, Source::Open) {
            return (Pushed::Abandoned, Wakes::Nobody);
        }
        if !piece.is_empty() {
            self.held_bytes += piece.len() + PIECE_COST_BYTES;
            self.queue.push_back(piece);
        }
        self.source_waits = self.held_bytes >= self.marks.high_bytes;
        let pushed = if self.source_waits { Pushed::Full } else { Pushed::Room };
        (pushed, self.wake_drain(!self.queue.is_empty()))
    }

    /// Wakes the source whenever the drain has taken all there was.
    pub(super) fn tell_when_empty(&mut self) {
        self.tells_when_empty = true;
    }

    /// The source has given everything.
    pub(super) fn finish(&mut self) -> Wakes {
        self.end(Source::Ended)
    }

    /// The source has failed. What it gave before is still given.
    pub(super) fn abort(&mut self, error: Error) -> Wakes {
        self.end(Source::Failed(error))
    }

    fn end(&mut self, end: Source) -> Wakes {
        if !matches!(self.source, Source::Open) {
            return Wakes::Nobody;
        }
        self.source = end;
        self.source_waits = false;
        self.wake_drain(true)
    }

    /// Gives the next piece, cut to `bytes_max`.
    pub(super) fn pop(&mut self, bytes_max: usize) -> (Popped, Wakes) {
        let Some(front) = self.queue.front_mut() else { return self.pop_end() };
        let is_whole = front.len() <= bytes_max;
        let piece = if is_whole { std::mem::take(front) } else { front.split_to(bytes_max) };
        self.held_bytes -= piece.len();
        if is_whole {
            self.held_bytes -= PIECE_COST_BYTES;
            self.queue.pop_front();
        }
        self.taken_bytes += piece.len() as u64;
        let has_room = self.source_waits && self.held_bytes <= self.marks.low_bytes;
        self.source_waits &= !has_room;
        (Popped::Piece(piece), if has_room { Wakes::Source } else { Wakes::Nobody })
    }

    fn pop_end(&mut self) -> (Popped, Wakes) {
        match std::mem::replace(&mut self.source, Source::Ended) {
            Source::Ended => (Popped::End, Wakes::Nobody),
            Source::Failed(error) => (Popped::Failed(error), Wakes::Nobody),
            Source::Open => {
                self.source = Source::Open;
                self.drain_waits = true;
                let is_first = !std::mem::replace(&mut self.is_wanted, true);
                let has_taken = std::mem::replace(&mut self.told_bytes, self.taken_bytes) != self.taken_bytes;
                let wakes = is_first || (self.tells_when_empty && has_taken);
                (Popped::Nothing, if wakes { Wakes::Source } else { Wakes::Nobody })
            }
        }
    }

    /// The drain takes no more: what is queued is dropped.
    pub(super) fn abandon(&mut self) -> Wakes {
        if self.is_abandoned {
            return Wakes::Nobody;
        }
        self.is_abandoned = true;
        self.queue = VecDeque::new();
        self.held_bytes = 0;
        self.drain_waits = false;
        self.source_waits = false;
        if matches!(self.source, Source::Open) { Wakes::Source } else { Wakes::Nobody }
    }

    fn wake_drain(&mut self, has_news: bool) -> Wakes {
        if has_news && std::mem::take(&mut self.drain_waits) { Wakes::Drain } else { Wakes::Nobody }
    }

    /// Whether a pop would give something else than [`Popped::Nothing`].
    pub(super) fn has_news(&self) -> bool {
        !self.queue.is_empty() || !matches!(self.source, Source::Open)
    }

    /// The same, and the drain is woken when that changes.
    pub(super) fn await_news(&mut self) -> bool {
        let has_news = self.has_news();
        self.drain_waits |= !has_news;
        has_news
    }

    /// Whether the source may push.
    pub(super) fn has_room(&self) -> bool {
        !self.source_waits
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.is_wanted
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.is_abandoned
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    pub(super) fn taken_bytes(&self) -> u64 {
        self.taken_bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::Kind;

    #[derive(Debug, Clone)]
    enum Step {
        Push(usize),
        Pop(usize),
        Finish,
        Abort,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            8 => (0usize..600).prop_map(Step::Push),
            8 => (1usize..600).prop_map(Step::Pop),
            1 => Just(Step::Finish),
            1 => Just(Step::Abort),
        ];
        proptest::collection::vec(step, 0..200)
    }

    fn failure() -> Error {
        Error::client(Kind::ClientGone, "broke off")
    }

    proptest! {
        #[test]
        fn a_pipe_keeps_its_laws(steps in steps(), high in 1usize..2000) {
            let marks = Marks::with_high(high);
            let mut core = Core::new(marks);
            let (mut given, mut taken) = (Vec::new(), Vec::new());
            let (mut next, mut is_full, mut is_open) = (0u8, false, true);
            let (mut failures, mut has_failed) = (0, false);
            let mut drain_waits = false;
            for step in steps {
                match step {
                    // A source that was told to wait waits.
                    Step::Push(_) if is_full || !is_open => {}
                    Step::Push(bytes) => {
                        let piece: Vec<u8> = (0..bytes).map(|_| { next = next.wrapping_add(1); next }).collect();
                        let before = core.held_bytes();
                        prop_assert!(before < marks.high_bytes);
                        given.extend_from_slice(&piece);
                        let (pushed, wakes) = core.push(Bytes::from(piece));
                        is_full = pushed == Pushed::Full;
                        prop_assert_eq!(is_full, core.held_bytes() >= marks.high_bytes);
                        let wakes_drain = drain_waits && bytes > 0;
                        prop_assert_eq!(wakes, if wakes_drain { Wakes::Drain } else { Wakes::Nobody });
                        drain_waits &= !wakes_drain;
                    }
                    Step::Pop(bytes) => {
                        let was_wanted = core.is_wanted();
                        let (popped, wakes) = core.pop(bytes);
                        match popped {
                            Popped::Piece(piece) => {
                                prop_assert!(!piece.is_empty() && piece.len() <= bytes);
                                taken.extend_from_slice(&piece);
                                // Woken exactly once for each time that it was told to wait.
                                let crosses = is_open && is_full && core.held_bytes() <= marks.low_bytes;
                                prop_assert_eq!(wakes, if crosses { Wakes::Source } else { Wakes::Nobody });
                                is_full &= !crosses;
                            }
                            Popped::Nothing => {
                                prop_assert!(is_open && taken == given);
                                prop_assert_eq!(wakes, if was_wanted { Wakes::Nobody } else { Wakes::Source });
                                drain_waits = true;
                            }
                            Popped::End => prop_assert!(!is_open && taken == given && failures == usize::from(has_failed)),
                            Popped::Failed(error) => {
                                prop_assert!(has_failed && taken == given);
                                prop_assert_eq!(error, failure());
                                failures += 1;
                                prop_assert_eq!(failures, 1);
                            }
                        }
                    }
                    Step::Finish | Step::Abort => {
                        let aborts = matches!(step, Step::Abort);
                        let wakes = if aborts { core.abort(failure()) } else { core.finish() };
                        prop_assert_eq!(wakes, if is_open && drain_waits { Wakes::Drain } else { Wakes::Nobody });
                        has_failed |= is_open && aborts;
                        (is_open, drain_waits) = (false, false);
                    }
                }
                prop_assert_eq!(core.taken_bytes(), taken.len() as u64);
            }
            // Whatever was given comes out, then the end.
            core.finish();
            loop {
                match core.pop(64).0 {
                    Popped::Piece(piece) => taken.extend_from_slice(&piece),
                    Popped::Failed(_) => failures += 1,
                    Popped::End => break,
                    Popped::Nothing => prop_assert!(false, "an ended pipe has nothing to wait for"),
                }
            }
            prop_assert_eq!(&taken, &given);
            prop_assert_eq!(failures, usize::from(has_failed));
            prop_assert_eq!(core.held_bytes(), 0);
        }
    }

    #[test]
    fn an_abandoned_pipe_drops_what_it_holds_and_tells_its_source_once() {
        let mut core = Core::new(Marks::with_high(10));
        assert_eq!(core.push(Bytes::from_static(b"0123456789")).0, Pushed::Full);
        assert_eq!(core.abandon(), Wakes::Source);
        assert_eq!((core.abandon(), core.held_bytes()), (Wakes::Nobody, 0));
        assert_eq!(core.push(Bytes::from_static(b"a")), (Pushed::Abandoned, Wakes::Nobody));
    }

    #[test]
    fn a_source_that_asks_is_woken_once_for_each_time_that_the_pipe_runs_empty() {
        let mut core = Core::new(Marks::with_high(1000));
        core.tell_when_empty();
        assert_eq!(core.pop(9), (Popped::Nothing, Wakes::Source));
        for _ in 0..3 {
            core.push(Bytes::from_static(b"ab"));
            assert_eq!(core.pop(9).1, Wakes::Nobody);
            assert_eq!(core.pop(9), (Popped::Nothing, Wakes::Source));
            assert_eq!(core.pop(9), (Popped::Nothing, Wakes::Nobody));
        }
    }
}
