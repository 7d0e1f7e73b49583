//! Tells the scheduler that the call of a seat waits for its client to read, and for which client.

use std::net::IpAddr;

use farrier_http::Peer;

use super::shared::Shared;
use farrier_protocol::client_wait::ClientWait;
use farrier_protocol::connection::Connection;
use farrier_scheduler::{Client, SeatId};
use farrier_transport::reactor::token::Token;

/// The waits of one call.
pub(super) struct SeatWait<'a> {
    shared: &'a Shared,
    seat: SeatId,
    token: Token,
    peer: Peer,
}

impl SeatWait<'_> {
    /// The waits of the seat's call for a request of this connection.
    pub(super) fn of<'a>(shared: &'a Shared, seat: SeatId, connection: &Connection) -> SeatWait<'a> {
        SeatWait { shared, seat, token: connection.token, peer: connection.origin.peer }
    }

    fn client(&self) -> Client {
        let address = match self.peer {
            Peer::Tcp(address) if !self.shared.rules.trusts(address.ip()) => Some(number(address.ip())),
            // Several clients may share the address.
            Peer::Tcp(_) | Peer::Unix => None,
        };
        Client { connection: self.token.0, address }
    }
}

impl ClientWait for SeatWait<'_> {
    fn begins(&self) -> bool {
        let (client, now_ns) = (self.client(), self.shared.clock.now_ns());
        self.shared.schedule(|scheduler, out| scheduler.client_wait_begins(self.seat, client, now_ns, out))
    }

    fn ended(&self) {
        self.shared.scheduler().client_wait_ended(self.seat);
    }

    fn disk_begins(&self) {
        let now_ns = self.shared.clock.now_ns();
        self.shared.schedule(|scheduler, out| scheduler.disk_wait_begins(self.seat, now_ns, out));
    }
}

/// A client's address as a number. One of IPv4 is an address, one of IPv6 a network /64.
fn number(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => (u128::from(address) >> 64) as u64,
    }
}
