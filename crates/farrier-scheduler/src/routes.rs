//! How likely a route is to be slow: the table that decides which requests the leader hands over before the call.

use farrier_http::Request;

/// Rows of the table; a power of two. A row is overwritten when another route has the same index, which costs one wrong
/// prediction.
const ROWS: usize = 1024;

/// Above this probability a hand-over (5–10 µs) is cheaper than an unexpected slow call (a tick or two for everybody).
const HAND_OVER_ABOVE: f32 = 1.0 / 200.0;

/// Above this probability a call counts as certain to be slow.
const CERTAIN_ABOVE: f32 = 0.5;

/// At most this probability is put down to interruptions of the machine.
const EXCUSED_MAX: f32 = 0.25;

/// How far a slow call moves a probability towards one, and a short one towards zero.
const RISE: f32 = 1.0 / 32.0;
const FALL: f32 = 1.0 / 512.0;

/// Above this share of processor time a slow route counts as computing.
const COMPUTES_ABOVE: f32 = 0.5;

/// A call that ran as the only one of its route and used a smaller share of its time than this waits rather than
/// computes.
const WAITS_BELOW: f32 = 0.3;

/// How many such observations may be wrong.
const SEEN_WAITING_MAX: u8 = 3;

/// Names a route: method and path shape, hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route(u64);

impl Route {
    /// The route of a request: its method and its path. Path segments that are long or hold a digit count as the same.
    pub fn of(request: &Request) -> Route {
        let mut hash = Fnv::default();
        hash.add(request.method());
        // The same path in another application is another route.
        if request.choice != 0 {
            hash.add(&request.choice.to_le_bytes());
        }
        for segment in request.path().split(|&byte| byte == b'/') {
            hash.add(b"/");
            let is_name = segment.len() <= 40 && !segment.iter().any(u8::is_ascii_digit);
            hash.add(if is_name { segment } else { b"\0" });
        }
        Route(hash.0)
    }
}

#[cfg(test)]
impl Route {
    /// A route for tests.
    pub fn numbered(number: u64) -> Route {
        Route(number + 1)
    }
}

/// What the table predicts for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// Short: the leader serves it.
    Short,
    /// Perhaps slow: a hand-over is worth its cost.
    Doubtful,
    /// Slow: it needs a seat of its own.
    Slow,
    /// Slow because it holds the interpreter.
    Computing,
}

#[derive(Clone, Copy)]
struct Row {
    route: Route,
    slow_probability: f32,
    /// Duration of its short calls in ns, as a moving average.
    short_ns: f32,
    /// Share of its slow calls' time in which they used a processor, as a moving average.
    compute_share: f32,
    /// Calls of the route that run on followers' seats now.
    running: u16,
    /// Calls of the route that have outlived a tick and not ended.
    stuck: u16,
    /// How often it was seen to wait when it ran alone. After a few times it is never classified as computing again.
    seen_waiting: u8,
}

const EMPTY: Row = Row {
    route: Route(0),
    slow_probability: 0.0,
    short_ns: 0.0,
    compute_share: 0.0,
    running: 0,
    stuck: 0,
    seen_waiting: 0,
};

/// The probability of a slow call for each route, and of an interruption that no route causes.
pub struct Routes {
    rows: Box<[Row; ROWS]>,
    noise: Noise,
}

/// How a slow call used its time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ComputeShare {
    /// The share of its time in which its thread used a processor, from 0 to 1.
    pub share: f32,
    /// The process as a whole was busy meanwhile.
    pub process_busy: bool,
}

/// How often the leader itself is interrupted between calls, by other processes or the hypervisor. Calls are
/// interrupted as often for their length, and a hand-over would not prevent it.
#[derive(Default)]
struct Noise {
    slow_probability: f32,
    short_ns: f32,
}

impl Default for Routes {
    fn default() -> Self {
        Routes { rows: Box::new([EMPTY; ROWS]), noise: Noise::default() }
    }
}

impl Routes {
    /// What to expect of the next call; an unknown route counts as short.
    pub fn expect(&self, route: Route) -> Expectation {
        let row = &self.rows[Routes::index(route)];
        if row.route != route || row.slow_probability <= HAND_OVER_ABOVE + self.noise.share_of(row.short_ns) {
            Expectation::Short
        } else {
            let computes = row.compute_share > COMPUTES_ABOVE && row.seen_waiting < SEEN_WAITING_MAX;
            match (row.slow_probability < CERTAIN_ABOVE, computes) {
                // Another seat could not run it any sooner, because it needs the interpreter.
                (true, true) => Expectation::Short,
                (true, false) => Expectation::Doubtful,
                (false, true) => Expectation::Computing,
                (false, false) => Expectation::Slow,
            }
        }
    }

    /// A slow call that the leader ran has ended; it used this share of its time.
    pub fn observe_share(&mut self, route: Route, share: f32) {
        let row = &mut self.rows[Routes::index(route)];
        if row.route == route {
            row.compute_share += (share.min(1.0) - row.compute_share) / 4.0;
        }
    }

    /// Whether the seat reserved for short routes may be used: none of the route's calls runs on a follower's seat or
    /// is stuck.
    pub fn is_unstuck(&self, route: Route) -> bool {
        let row = &self.rows[Routes::index(route)];
        row.route != route || (row.stuck == 0 && row.running == 0)
    }

    /// A call of the route has outlived a tick. It is counted now, not when it ends: more calls of the route may come
    /// meanwhile.
    pub fn stick(&mut self, route: Route) {
        self.learn(route, 0, true);
        let row = &mut self.rows[Routes::index(route)];
        row.stuck = row.stuck.saturating_add(1);
    }

    /// A call that was stuck has ended.
    pub fn unstick(&mut self, route: Route) {
        let row = &mut self.rows[Routes::index(route)];
        if row.route == route {
            row.stuck = row.stuck.saturating_sub(1);
        }
    }

    /// Learns from a call that ended. A slow call moves the probability 1/32 of the way to one, a short one 1/512 of
    /// the way to zero. With one slow call in 200, a hand-over is worth its cost.
    pub fn learn(&mut self, route: Route, call_ns: u64, slow: bool) {
        let row = &mut self.rows[Routes::index(route)];
        if row.route != route {
            if !slow {
                return;
            }
            *row = Row { route, ..EMPTY };
        }
        if slow {
            row.slow_probability += (1.0 - row.slow_probability) * RISE;
        } else {
            row.slow_probability -= row.slow_probability * FALL;
            row.short_ns += (call_ns as f32 - row.short_ns) / 16.0;
        }
    }

    /// Learns from a period of the leader's own work, in which no application ran.
    pub fn learn_noise(&mut self, stretch_ns: u64, slow: bool) {
        if slow {
            self.noise.slow_probability += (1.0 - self.noise.slow_probability) * RISE;
        } else {
            self.noise.slow_probability -= self.noise.slow_probability * FALL;
            self.noise.short_ns += (stretch_ns as f32 - self.noise.short_ns) / 16.0;
        }
    }

    /// A follower begins a call of the route.
    pub fn begin(&mut self, route: Route) {
        let row = &mut self.rows[Routes::index(route)];
        if row.route == route {
            row.running = row.running.saturating_add(1);
        }
    }

    /// A follower's call of the route has ended. `compute` says how it used its time, if it was slow and measured.
    /// Where several calls ran, each had a part of the interpreter's time: the share is scaled up by their number.
    pub fn end(&mut self, route: Route, compute: Option<ComputeShare>) {
        let row = &mut self.rows[Routes::index(route)];
        if row.route != route {
            return;
        }
        let rivals = f32::from(row.running.max(1));
        row.running = row.running.saturating_sub(1);
        let Some(ComputeShare { share: alone, process_busy }) = compute else { return };
        row.compute_share += ((alone * rivals).min(1.0) - row.compute_share) / 4.0;
        // In a busy process it may have waited for the interpreter.
        if rivals < 2.0 && alone < WAITS_BELOW && !process_busy {
            row.seen_waiting = row.seen_waiting.saturating_add(1);
        }
    }

    fn index(route: Route) -> usize {
        (route.0 ^ route.0 >> 32) as usize & (ROWS - 1)
    }
}

impl Noise {
    /// The probability that a call of this length is interrupted, with a margin. It never excuses a route most of whose calls
    /// are slow.
    fn share_of(&self, call_ns: f32) -> f32 {
        let share = 2.0 * self.slow_probability * (call_ns / self.short_ns.max(1000.0)).max(1.0);
        share.min(EXCUSED_MAX)
    }
}

/// FNV-1a, 64 bits. Keys are short, and a client that causes a collision only slows down its own requests.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(target: &str) -> Route {
        let mut request = Request::with_room(256);
        request.arena.append(target.as_bytes());
        request.head.path = farrier_http::Span::new(0, target.len());
        Route::of(&request)
    }

    #[test]
    fn paths_that_differ_in_a_number_are_one_route() {
        assert_eq!(route("/users/1/edit"), route("/users/22/edit"));
        assert_ne!(route("/users/1/edit"), route("/users/1/view"));
    }

    #[test]
    fn an_unknown_route_counts_as_short() {
        assert_eq!(Routes::default().expect(route("/new")), Expectation::Short);
    }

    #[test]
    fn one_slow_call_in_two_hundred_is_worth_a_hand_over_and_one_in_ten_thousand_is_not() {
        let (often, seldom) = (route("/often"), route("/seldom"));
        let mut routes = Routes::default();
        for call in 0..200_000u32 {
            routes.learn(often, 1000, call % 100 == 0);
            routes.learn(seldom, 1000, call % 10_000 == 0);
        }
        assert_eq!(routes.expect(often), Expectation::Doubtful);
        assert_eq!(routes.expect(seldom), Expectation::Short);
    }

    #[test]
    fn a_route_that_is_always_slow_becomes_certain() {
        let mut routes = Routes::default();
        (0..40).for_each(|_| routes.learn(route("/sleep"), 10_000_000, true));
        assert_eq!(routes.expect(route("/sleep")), Expectation::Slow);
    }

    #[test]
    fn interruptions_that_hit_the_server_as_often_are_not_counted_for_the_route() {
        let mut routes = Routes::default();
        for call in 0..20_000u32 {
            routes.learn_noise(5000, call % 50 == 0);
            routes.learn(route("/hello"), 2000, call % 100 == 0);
        }
        assert_eq!(routes.expect(route("/hello")), Expectation::Short);
    }

    #[test]
    fn a_route_that_is_always_slow_is_slow_also_on_a_machine_that_interrupts_the_server_all_the_time() {
        let mut routes = Routes::default();
        (0..1000).for_each(|_| routes.learn_noise(3_000_000, true));
        (0..40).for_each(|_| routes.learn(route("/sleep"), 50_000_000, true));
        assert_eq!(routes.expect(route("/sleep")), Expectation::Slow);
    }

    #[test]
    fn a_slow_route_that_holds_the_interpreter_computes_and_one_that_waits_does_not() {
        let (computing, waiting) = (route("/compute"), route("/sleep"));
        let mut routes = Routes::default();
        routes.learn(computing, 5_000_000, true);
        routes.learn(waiting, 5_000_000, true);
        for _ in 0..40 {
            for (route, share) in [(computing, 0.25), (waiting, 0.01)] {
                (0..4).for_each(|_| routes.begin(route));
                for _ in 0..4 {
                    routes.learn(route, 5_000_000, true);
                    routes.end(route, Some(ComputeShare { share, process_busy: true }));
                    routes.begin(route);
                }
                (0..4).for_each(|_| routes.end(route, None));
            }
        }
        assert_eq!(routes.expect(computing), Expectation::Computing);
        assert_eq!(routes.expect(waiting), Expectation::Slow);
    }

    #[test]
    fn a_route_that_seemed_to_compute_is_reclassified_once_it_runs_alone() {
        let mut routes = Routes::default();
        let crowded = route("/io");
        (0..40).for_each(|_| routes.learn(crowded, 5_000_000, true));
        for _ in 0..8 {
            (0..5).for_each(|_| routes.begin(crowded));
            (0..5).for_each(|_| routes.end(crowded, Some(ComputeShare { share: 0.3, process_busy: true })));
        }
        assert_eq!(routes.expect(crowded), Expectation::Computing);
        for _ in 0..3 {
            routes.begin(crowded);
            routes.end(crowded, Some(ComputeShare { share: 0.2, process_busy: true }));
        }
        assert_eq!(routes.expect(crowded), Expectation::Slow, "its share alone is too small");
        (0..5).for_each(|_| routes.begin(crowded));
        (0..5).for_each(|_| routes.end(crowded, Some(ComputeShare { share: 0.9, process_busy: true })));
        assert_eq!(routes.expect(crowded), Expectation::Computing, "a busy process proves nothing");
        for _ in 0..3 {
            routes.begin(crowded);
            routes.end(crowded, Some(ComputeShare { share: 0.2, process_busy: false }));
        }
        (0..5).for_each(|_| routes.begin(crowded));
        (0..5).for_each(|_| routes.end(crowded, Some(ComputeShare { share: 0.9, process_busy: true })));
        assert_eq!(routes.expect(crowded), Expectation::Slow);
    }
}
