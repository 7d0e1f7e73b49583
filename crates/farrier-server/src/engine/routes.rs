//! How likely a route is to be slow: the table that decides which requests leave the leader's hands before the call.

use farrier_http::Request;

/// Rows of the table; a power of two. A row is overwritten when another route falls on it, which costs one surprise.
const ROWS: usize = 1024;

/// Above this probability a hand-over (5–10 µs) is cheaper than the surprise (a tick or two for everybody).
const HAND_OVER_ABOVE: f32 = 1.0 / 200.0;

/// Above this probability a call counts as certain to be slow.
const CERTAIN_ABOVE: f32 = 0.5;

/// Above this share of processor time a slow call counts as computing.
const COMPUTES_ABOVE: f32 = 0.5;

/// Names a route: method and path shape, hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route(u64);

impl Route {
    /// The route of a request: its method, and its path with each segment that holds a digit or is long counted as the same.
    pub(crate) fn of(request: &Request) -> Route {
        let mut hash = Fnv::default();
        hash.add(request.method());
        for segment in request.path().split(|&byte| byte == b'/') {
            hash.add(b"/");
            let is_name = segment.len() <= 40 && !segment.iter().any(u8::is_ascii_digit);
            hash.add(if is_name { segment } else { b"\0" });
        }
        Route(hash.0)
    }
}

/// What the table expects of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expectation {
    /// Short: the leader serves it.
    Short,
    /// Perhaps slow: worth a hand-over.
    Doubtful,
    /// Slow: it needs a seat of its own.
    Slow,
}

#[derive(Clone, Copy)]
struct Row {
    route: Route,
    slow_probability: f32,
    /// Share of its slow calls' time in which they held the interpreter, as a moving average.
    compute_share: f32,
}

/// Probability of a slow call by route.
pub(crate) struct Routes {
    rows: Box<[Row; ROWS]>,
}

impl Default for Routes {
    fn default() -> Self {
        Routes { rows: Box::new([Row { route: Route(0), slow_probability: 0.0, compute_share: 0.0 }; ROWS]) }
    }
}

impl Routes {
    /// What to expect of the next call; an unknown route counts as short.
    pub(crate) fn expect(&self, route: Route) -> Expectation {
        let row = &self.rows[Routes::index(route)];
        if row.route != route || row.slow_probability <= HAND_OVER_ABOVE {
            Expectation::Short
        } else if row.slow_probability < CERTAIN_ABOVE {
            Expectation::Doubtful
        } else {
            Expectation::Slow
        }
    }

    /// Learns from a call that ended. A slow call moves the probability 1/32 of the way to one, a short one 1/512 of the way
    /// to zero: one slow call in 200 is what makes a hand-over worth its cost.
    pub(crate) fn learn(&mut self, route: Route, slow: bool) {
        let row = &mut self.rows[Routes::index(route)];
        if row.route != route {
            if !slow {
                return;
            }
            *row = Row { route, slow_probability: 0.0, compute_share: 0.0 };
        }
        if slow {
            row.slow_probability += (1.0 - row.slow_probability) / 32.0;
        } else {
            row.slow_probability -= row.slow_probability / 512.0;
        }
    }

    /// Whether the route's slow calls compute rather than wait.
    pub(crate) fn computes(&self, route: Route) -> bool {
        let row = &self.rows[Routes::index(route)];
        row.route == route && row.compute_share > COMPUTES_ABOVE
    }

    /// Learns how much of a slow call's time its thread used a processor. `share` is from 0 to 1, scaled up by the number of
    /// calls that competed for the interpreter meanwhile.
    pub(crate) fn learn_compute(&mut self, route: Route, share: f32) {
        let row = &mut self.rows[Routes::index(route)];
        if row.route == route {
            row.compute_share += (share.clamp(0.0, 1.0) - row.compute_share) / 4.0;
        }
    }

    fn index(route: Route) -> usize {
        (route.0 ^ route.0 >> 32) as usize & (ROWS - 1)
    }
}

/// FNV-1a, 64 bits: short keys, and nobody gains by a collision but a slower answer to himself.
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
            routes.learn(often, call % 100 == 0);
            routes.learn(seldom, call % 10_000 == 0);
        }
        assert_eq!(routes.expect(often), Expectation::Doubtful);
        assert_eq!(routes.expect(seldom), Expectation::Short);
    }

    #[test]
    fn a_route_that_is_always_slow_becomes_certain() {
        let mut routes = Routes::default();
        (0..40).for_each(|_| routes.learn(route("/sleep"), true));
        assert_eq!(routes.expect(route("/sleep")), Expectation::Slow);
    }
}
