//! Messages of a process without threads (the arbiter): each is written at once as far as its target takes it, and the
//! rest waits, within a bound, until the process tries again. The process itself never waits.

use std::time::{Duration, Instant};

use super::outbox::Sink;

/// The longest pause between two tries of a flush.
const FLUSH_PAUSE: Duration = Duration::from_millis(20);

/// What a target has not taken yet.
pub(super) struct Direct {
    sink: Box<dyn Sink>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    bytes_max: usize,
    dropped: u64,
    /// The process that has written these messages. After a fork they are still the parent's.
    owner: u32,
}

impl Direct {
    pub(super) fn new(sink: Box<dyn Sink>, bytes_max: usize) -> Direct {
        Direct { sink, bytes: Vec::new(), ends: Vec::new(), bytes_max, dropped: 0, owner: std::process::id() }
    }

    pub(super) fn put_all(&mut self, bytes: &[u8], ends: &[usize]) {
        self.retry();
        let start = self.bytes.len();
        if self.dropped > 0 || (start > 0 && start + bytes.len() > self.bytes_max) {
            self.dropped += ends.len() as u64;
            return;
        }
        let taken = if start == 0 { self.sink.offer(bytes, ends) } else { 0 };
        self.keep(bytes, ends, taken);
    }

    /// Offers again what waits. The number of dropped messages follows the last message before the gap.
    pub(super) fn retry(&mut self) {
        let own = std::process::id();
        if self.owner != own {
            self.owner = own;
            self.bytes.clear();
            self.ends.clear();
            self.dropped = 0;
        }
        if !self.bytes.is_empty() {
            let taken = self.sink.offer(&self.bytes, &self.ends);
            self.bytes.drain(..taken);
            self.ends.retain(|&end| end > taken);
            self.ends.iter_mut().for_each(|end| *end -= taken);
        }
        if self.bytes.is_empty() && self.dropped > 0 {
            let gap = self.sink.gap(std::mem::take(&mut self.dropped)).unwrap_or_default();
            let taken = self.sink.offer(gap.as_bytes(), &[gap.len()]);
            self.keep(gap.as_bytes(), &[gap.len()], taken);
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.bytes.is_empty() || self.dropped > 0
    }

    pub(super) fn reopen(&mut self) {
        self.retry();
        self.sink.reopen();
    }

    /// Tries until everything is written, at most `patience`.
    pub(super) fn flush(&mut self, patience: Duration) {
        let deadline = Instant::now() + patience;
        loop {
            self.retry();
            let left = deadline.saturating_duration_since(Instant::now());
            if !self.is_waiting() || left.is_zero() {
                return;
            }
            self.sink.wait(left.min(FLUSH_PAUSE));
        }
    }

    fn keep(&mut self, bytes: &[u8], ends: &[usize], taken: usize) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&bytes[taken..]);
        self.ends.extend(ends.iter().filter(|&&end| end > taken).map(|end| start + end - taken));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// Takes as many bytes as the test allows.
    #[derive(Default)]
    struct Narrow {
        room: usize,
        taken: String,
    }

    impl Sink for Arc<Mutex<Narrow>> {
        fn take(&mut self, _: &[u8], _: &[usize]) {
            unreachable!("it would wait");
        }

        fn offer(&mut self, bytes: &[u8], _: &[usize]) -> usize {
            let mut narrow = self.lock().expect("unpoisoned");
            let count = bytes.len().min(narrow.room);
            narrow.room -= count;
            narrow.taken.push_str(&String::from_utf8_lossy(&bytes[..count]));
            count
        }

        fn gap(&self, count: u64) -> Option<String> {
            Some(format!("({count} dropped)"))
        }
    }

    fn narrow(room: usize, bytes_max: usize) -> (Arc<Mutex<Narrow>>, Direct) {
        let sink = Arc::new(Mutex::new(Narrow { room, taken: String::new() }));
        let direct = Direct::new(Box::new(Arc::clone(&sink)), bytes_max);
        (sink, direct)
    }

    #[test]
    fn a_message_is_written_at_once_and_its_rest_when_there_is_room() {
        let (sink, mut direct) = narrow(3, 100);
        direct.put_all(b"abcdef", &[6]);
        assert_eq!(sink.lock().expect("unpoisoned").taken, "abc");
        assert!(direct.is_waiting());
        sink.lock().expect("unpoisoned").room = 100;
        direct.retry();
        assert_eq!(sink.lock().expect("unpoisoned").taken, "abcdef");
        assert!(!direct.is_waiting());
    }

    #[test]
    fn what_does_not_fit_is_dropped_counted_and_told_at_the_gap() {
        let (sink, mut direct) = narrow(0, 4);
        direct.put_all(b"ab", &[2]);
        direct.put_all(b"cd", &[2]);
        direct.put_all(b"efg", &[1, 3]);
        direct.put_all(b"h", &[1]);
        sink.lock().expect("unpoisoned").room = 6;
        direct.put_all(b"i", &[1]);
        assert_eq!(sink.lock().expect("unpoisoned").taken, "abcd(3");
        sink.lock().expect("unpoisoned").room = 100;
        direct.flush(Duration::ZERO);
        assert_eq!(sink.lock().expect("unpoisoned").taken, "abcd(3 dropped)(1 dropped)");
    }

    #[test]
    fn a_flush_gives_up_after_its_patience() {
        let (_sink, mut direct) = narrow(0, 100);
        direct.put_all(b"ab", &[2]);
        direct.flush(Duration::from_millis(1));
        assert!(direct.is_waiting());
    }

    #[test]
    fn a_forked_process_does_not_repeat_what_its_parent_could_not_write() {
        let (sink, mut direct) = narrow(0, 100);
        direct.put_all(b"parent", &[6]);
        direct.owner = 0;
        sink.lock().expect("unpoisoned").room = 100;
        direct.put_all(b"child", &[5]);
        assert_eq!(sink.lock().expect("unpoisoned").taken, "child");
    }
}
