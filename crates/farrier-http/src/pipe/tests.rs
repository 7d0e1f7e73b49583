//! The laws of a pipe: nothing lost or reordered, never above its bound, each wake-up exactly once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::core::{Core, Marks, Popped, Pushed, Wakes};
use super::{End, pipe};
use crate::error::{Error, Kind};

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
                Step::Push(bytes) if is_full || !is_open => drop(bytes),
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

#[derive(Default)]
struct Counted(AtomicUsize);

impl Wake for Counted {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_seat_drains_what_another_thread_gives() {
    let (source, drain) = pipe(Marks::with_high(1000), End::Seat, End::Seat);
    let giver = std::thread::spawn(move || {
        for number in 0..5000u32 {
            assert!(source.wait_for_room(Duration::from_secs(20)));
            source.push(Bytes::copy_from_slice(&number.to_be_bytes()));
        }
        source.finish();
    });
    let mut taken = Vec::new();
    loop {
        assert!(drain.wait(Duration::from_secs(20)));
        match drain.pop(7) {
            Popped::Piece(piece) => taken.extend_from_slice(&piece),
            Popped::End => break,
            Popped::Nothing | Popped::Failed(_) => panic!("it waited for news"),
        }
    }
    giver.join().expect("ends");
    assert!(taken.chunks(4).map(|four| u32::from_be_bytes([four[0], four[1], four[2], four[3]])).eq(0..5000));
}

#[test]
fn a_source_that_goes_away_fails_the_pipe_and_wakes_the_engine() {
    let woken = Arc::new(Counted::default());
    let (source, drain) = pipe(Marks::with_high(1000), End::Seat, End::Engine(Waker::from(Arc::clone(&woken))));
    assert_eq!(drain.pop(1), Popped::Nothing);
    drop(source);
    assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    assert!(matches!(drain.pop(1), Popped::Failed(_)));
    assert_eq!(drain.pop(1), Popped::End);
}
