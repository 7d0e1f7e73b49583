"""The limit of connections per client (`limit_connections_per_address`), counted by all workers together."""

import signal

import pytest

from wire import Incomplete, Wire, message, until

ECHO = """
    import os, time

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        if environ["PATH_INFO"] == "/stay":
            return stay()
        return [b"%d" % os.getpid()]

    def stay():
        yield b"here"
        while not os.path.exists("go"):
            time.sleep(0.01)
"""

LIMIT = ("--limit-connections-per-address", 5)


def opened(server, count):
    """Opens connections and waits for an answer on each, so that a worker has counted it. Returns them with their
    workers."""
    wires = [server.connect() for _ in range(count)]
    return wires, {wire.request(message()).text for wire in wires}


def one_more(server, but_not_with=None):
    """A connection that stays open; None if it is refused, or if this worker has it: then it is closed again."""
    wire = server.connect()
    # A request that arrives during the close may destroy the answer.
    try:
        response = wire.request(message())
        if response.status == 200 and response.text != but_not_with:
            return wire
    except (Incomplete, OSError):
        pass
    wire.close()
    return None


def is_refused(server):
    return one_more(server) is None


def test_without_a_limit_there_is_none(serve):
    server = serve(ECHO)
    opened(server, 60)
    assert not is_refused(server)


def test_one_connection_too_many_is_answered_429_and_closed(serve):
    server = serve(ECHO, *LIMIT)
    wires, _ = opened(server, 5)
    with Wire(server.address) as wire:
        # The answer comes without a request.
        response = wire.read_response()
        assert (response.status, response.value("Retry-After")) == (429, "1")
        assert response.value("Date") and response.value("Connection") == "close"
        wire.assert_closed()
    assert [wire.request(message()).status for wire in wires] == [200] * 5


def test_a_connection_that_closes_makes_room(serve):
    server = serve(ECHO, *LIMIT)
    wires, _ = opened(server, 5)
    assert is_refused(server)
    wires[2].close()
    until(lambda: one_more(server), 10, "room for another")
    assert is_refused(server)
    wires[3].reset()
    until(lambda: one_more(server), 10, "room for another")
    assert is_refused(server)


def test_four_workers_count_together(serve):
    server = serve(ECHO, "--workers", 4, "--limit-connections-per-address", 40)
    server.wait_booted(4)
    opened(server, 40)
    assert all(is_refused(server) for _ in range(20))


def test_connections_of_a_killed_worker_are_not_counted(serve):
    server = serve(ECHO, "--workers", 2, "--limit-connections-per-address", 30)
    server.wait_booted(2)
    wires, workers = opened(server, 30)
    assert is_refused(server)
    victim = int(wires[0].request(message()).text)
    server.kill(signal.SIGKILL, victim)
    lost = 0
    for wire in wires:
        try:
            lost += wire.request(message()).status != 200
        except (AssertionError, OSError):
            lost += 1
    assert 0 < lost <= 30
    server.wait_booted(3)
    for _ in range(lost):
        until(lambda: one_more(server), 10, "room for those that were lost")
    assert is_refused(server)


def test_a_reload_counts_old_and_new_workers_together(serve):
    server = serve(ECHO, *LIMIT)
    wire = server.connect()
    old = wire.request(message()).text
    wire.send(message(target="/stay"))
    assert wire.read_head().status == 200
    server.kill(signal.SIGHUP)
    server.wait_booted(2)
    # The old worker finishes its response, and that connection counts.
    for _ in range(4):
        until(lambda: one_more(server, but_not_with=old), 10, "the new worker to serve")
    assert is_refused(server)
    server.write("go", "")
    assert list(wire.read_chunks()) == [b"here"]
    until(lambda: one_more(server), 10, "room when it is done")


@pytest.mark.parametrize("flags", [["--trusted-proxy", "127.0.0.1"], ["--proxy-protocol", "v1"]])
def test_those_who_come_for_others_are_not_limited(serve, flags):
    server = serve(ECHO, *LIMIT, *flags)
    header = b"PROXY TCP4 203.0.113.1 203.0.113.2 1 2\r\n" if "v1" in flags else b""
    wires = [server.connect() for _ in range(12)]
    assert {wire.request(header + message()).status for wire in wires} == {200}


def test_peers_on_a_unix_socket_are_not_limited(serve, tmp_path):
    server = serve(ECHO, *LIMIT, bind=["unix:%s" % (tmp_path / "socket")])
    opened(server, 12)


def test_the_log_reports_it_at_intervals(serve):
    server = serve(ECHO, *LIMIT)
    opened(server, 5)
    for _ in range(20):
        assert is_refused(server)
    assert len(server.log.find("Refused .*connection.*, the last from 127.0.0.1")) == 1


def test_a_flood_of_connections_from_one_address_leaves_room_for_others(serve):
    server = serve(ECHO, *LIMIT, "--worker-connections", 20, bind=["127.0.0.1:0", "[::1]:0"])
    opened(server, 5)
    flood = [server.connect() for _ in range(100)]
    other = server.connect(address=server.addresses[1])
    assert other.request(message()).status == 200
    for wire in flood:
        assert wire.read_response().status == 429
