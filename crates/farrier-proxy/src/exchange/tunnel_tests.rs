//! Tests of the end of tunnels in a worker that ends: bytes in, bytes out, on a clock of the test's own.

#[cfg(test)]
mod tests {
    use std::any::Any;
    use std::collections::VecDeque;
    use std::fs::File;
    use std::io;
    use std::sync::{Arc, Mutex, MutexGuard};
    use std::task::Waker;

    use farrier_http::pipe::{End, Marks, PipeDrain, PipeSource, pipe};
    use farrier_http::upstream::{NoUpstreams, ServerAddress, Target, UpstreamStream};
    use farrier_http::{Accepted, AnswerSink, Bytes, Error, ExchangeIo, Request, ResponseHead};

    use super::super::stop::Progress;
    use super::super::tunnel::Tunnel;
    use crate::group::{Chosen, Group, GroupPolicy, Lease};
    use crate::mount::TunnelPolicy;
    use crate::server::{Protocol, Server};
    use crate::websocket_frames::GOING_AWAY;

    /// By then every tunnel of the policy is due to close.
    const DUE_MS: u64 = 30_000 * 3 / 4;

    /// What the two sides of a tunnel have got.
    #[derive(Default)]
    struct Sides {
        /// What the server sends: pieces, and `None` for its end.
        from_server: VecDeque<Option<&'static [u8]>>,
        to_server: Vec<u8>,
        to_server_ended: bool,
        to_client: Vec<u8>,
        to_client_ended: bool,
        answer_ended: bool,
    }

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Sides>>);

    impl Shared {
        fn sides(&self) -> MutexGuard<'_, Sides> {
            self.0.lock().expect("whole")
        }
    }

    impl UpstreamStream for Shared {
        fn is_ready(&mut self) -> io::Result<bool> {
            Ok(true)
        }
        fn send(&mut self, pieces: &[&[u8]], _: bool) -> io::Result<usize> {
            let all = pieces.concat();
            self.sides().to_server.extend_from_slice(&all);
            Ok(all.len())
        }
        fn receive(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
            Ok(match self.sides().from_server.pop_front() {
                None => None,
                Some(None) => Some(0),
                Some(Some(piece)) => {
                    into[..piece.len()].copy_from_slice(piece);
                    Some(piece.len())
                }
            })
        }
        fn end_sending(&mut self) {
            self.sides().to_server_ended = true;
        }
        fn is_reused(&self) -> bool {
            false
        }
        fn idle_ms(&self) -> u64 {
            0
        }
        fn requests(&self) -> u64 {
            1
        }
        fn born_ms(&self) -> u64 {
            0
        }
        fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
            self
        }
    }

    impl AnswerSink for Shared {
        fn head(&mut self, _: &ResponseHead, _: Option<u64>) {}
        fn inform(&mut self, _: &ResponseHead) {}
        fn data(&mut self, piece: Bytes) -> Accepted {
            let mut sides = self.sides();
            assert!(!sides.to_client_ended, "given after the end");
            sides.to_client.extend_from_slice(&piece);
            Accepted::Room
        }
        fn file(&mut self, _: Arc<File>, _: u64, _: u64) -> Accepted {
            Accepted::Gone
        }
        fn end_direction(&mut self) -> bool {
            self.sides().to_client_ended = true;
            true
        }
        fn trailers(&mut self, _: &ResponseHead) {}
        fn end(&mut self) {
            self.sides().answer_ended = true;
        }
        fn abort(&mut self, _: Error) {}
        fn room_bytes(&self) -> u64 {
            1 << 20
        }
        fn is_gone(&self) -> bool {
            false
        }
    }

    struct World {
        shared: Shared,
        tunnel: Tunnel,
        request: Request,
        source: Option<PipeSource>,
        drain: PipeDrain,
        policy: TunnelPolicy,
    }

    fn lease(request: &Request) -> Lease {
        let address = ServerAddress::Unix("/a".into());
        let target = Target { id: 1, address, source: None, security: None, idle_max: 1 };
        let server = Server::new(target, "a".to_owned(), b"a"[..].into(), Protocol::Http1, 1);
        let group = Arc::new(Group::new("app".to_owned(), vec![Arc::new(server)], GroupPolicy::default()));
        match group.choose(request, &[], 0) {
            Ok(Chosen::Server(lease)) => lease,
            _ => panic!("the server has room"),
        }
    }

    /// A tunnel that began at 0 ms.
    fn world(is_websocket: bool) -> World {
        let (shared, request) = (Shared::default(), Request::with_room(16));
        let waker = || End::Engine(Waker::noop().clone());
        let (source, drain) = pipe(Marks::with_high(1 << 16), waker(), waker());
        let tunnel = Tunnel::new(Box::new(shared.clone()), lease(&request), Vec::new(), is_websocket, 0);
        World { shared, tunnel, request, source: Some(source), drain, policy: TunnelPolicy::default() }
    }

    impl World {
        fn step(&mut self, now_ms: u64) -> Progress {
            let World { shared, tunnel, request, drain, .. } = self;
            let mut answer = shared.clone();
            let (mut none, waker) = (NoUpstreams, || Waker::noop().clone());
            let mut io = ExchangeIo::new(request, drain, None, &mut answer, &mut none, &waker);
            tunnel.step(&mut false, now_ms, &mut io)
        }

        fn server_sends(&self, pieces: &[Option<&'static [u8]>]) {
            self.shared.sides().from_server.extend(pieces);
        }

        fn client_sends(&self, bytes: &'static [u8]) {
            self.source.as_ref().expect("open").push(Bytes::from_static(bytes));
        }
    }

    /// `hi` of a server, and a client's Close frame.
    const HI: &[u8] = b"\x81\x02hi";
    const CLIENT_CLOSES: &[u8] = b"\x88\x82\0\0\0\0\x03\xe9";

    #[test]
    fn an_idle_websocket_is_closed_and_the_answer_of_its_client_reaches_the_server() {
        let mut world = world(true);
        world.server_sends(&[Some(HI)]);
        assert_eq!(world.step(1), Progress::Waits);
        world.tunnel.leave(0, &world.policy);
        assert_eq!(world.step(DUE_MS), Progress::Waits);
        assert_eq!(world.shared.sides().to_client, [HI, &GOING_AWAY].concat());
        assert!(world.shared.sides().to_client_ended && !world.shared.sides().to_server_ended);
        // What the server sends meanwhile is dropped.
        world.server_sends(&[Some(HI)]);
        world.client_sends(CLIENT_CLOSES);
        world.source.take().expect("open").finish();
        assert_eq!(world.step(DUE_MS + 1), Progress::Waits);
        assert_eq!(world.shared.sides().to_server, CLIENT_CLOSES);
        assert!(world.shared.sides().to_server_ended);
        world.server_sends(&[Some(&GOING_AWAY), None]);
        assert_eq!(world.step(DUE_MS + 2), Progress::Done);
        assert_eq!(world.shared.sides().to_client, [HI, &GOING_AWAY].concat());
        assert!(world.shared.sides().answer_ended);
    }

    #[test]
    fn the_close_frame_waits_for_the_end_of_a_frame_and_takes_the_place_of_the_next() {
        let mut world = world(true);
        world.server_sends(&[Some(&HI[..3])]);
        world.step(1);
        world.tunnel.leave(0, &world.policy);
        world.step(DUE_MS);
        assert_eq!(world.shared.sides().to_client, HI[..3]);
        world.server_sends(&[Some(b"i\x81\x05later")]);
        world.step(DUE_MS + 1);
        assert_eq!(world.shared.sides().to_client, [HI, &GOING_AWAY].concat());
    }

    #[test]
    fn a_websocket_that_one_side_has_begun_to_close_gets_no_second_close_frame() {
        for is_client in [true, false] {
            let mut world = world(true);
            match is_client {
                true => world.client_sends(CLIENT_CLOSES),
                false => world.server_sends(&[Some(&GOING_AWAY)]),
            }
            world.step(1);
            let before = world.shared.sides().to_client.clone();
            world.tunnel.leave(0, &world.policy);
            world.step(DUE_MS);
            assert_eq!(world.shared.sides().to_client, before);
        }
    }

    #[test]
    fn nothing_is_said_in_another_protocol_and_its_tunnel_has_all_the_time() {
        let mut world = world(false);
        world.server_sends(&[Some(HI)]);
        world.tunnel.leave(0, &world.policy);
        world.step(DUE_MS);
        assert_eq!(world.shared.sides().to_client, HI);
        assert_eq!(world.tunnel.deadline_ms(&world.policy), 28_500);
    }
}
