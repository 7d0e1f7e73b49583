"""Responses on HTTP/2 that nobody takes cost neither a seat nor memory beyond a bound, and other clients are served."""

import time

import pytest

from frames import DATA, INITIAL_WINDOW_SIZE, Connection, window_update
from memory import pss_bytes

MB = 1 << 20

APPLICATION = """
    import time

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        start_response("200 OK", [("Content-Type", "text/plain")])
        if path == "/pieces":
            return (b"%d\\n" % number * 1000 for number in range(600))
        if path == "/list":
            return [b"%d\\n" % number * 1000 for number in range(1000)]
        if path == "/large":
            return [b"y" * 3_000_000]
        if path == "/slow":
            time.sleep(0.02)
        return [b"Hello"]
"""

SHUT = [(INITIAL_WINDOW_SIZE, 0)]


@pytest.fixture
def server(serve, tmp_path):
    folder = tmp_path / "static"
    folder.mkdir()
    (folder / "large.bin").write_bytes(bytes(range(256)) * 12_000)
    return serve(APPLICATION, "--http2-cleartext", "prior-knowledge", "--threads", 4, "--static", "/s=%s" % folder)


def stalled(server, path, connections, streams):
    """Connections whose streams are answered and have shut windows."""
    opened = []
    for _ in range(connections):
        connection = Connection(server.address, with_settings=SHUT, grants=False)
        for _ in range(streams):
            connection.open(path=path)
        opened.append(connection)
    for connection in opened:
        last = connection.next_stream - 2
        while last not in connection.messages:
            connection.take(connection.read())
    return opened


def test_stalled_streams_of_a_large_file_cost_little_and_no_more_the_next_time(server):
    assert server.get("/s/large.bin").status == 200
    stalled(server, "/s/large.bin", 1, 100)[0].close()
    before = pss_bytes(server)
    grown = []
    for _ in range(2):
        connections = stalled(server, "/s/large.bin", 20, 100)
        grown.append(pss_bytes(server) - before)
        for connection in connections:
            connection.close()
        assert server.get("/").text == "Hello"
    # 4 KiB for each of 2000 streams, and the connections; the files alone have 3 MB each.
    assert grown[0] < 12 * MB, "%.1f MB" % (grown[0] / 1e6)
    # What the first flood took serves the second.
    assert grown[1] < grown[0] + 2 * MB, "%.1f MB after %.1f MB" % (grown[1] / 1e6, grown[0] / 1e6)


@pytest.mark.parametrize("path", ["/large", "/list"])
def test_finished_responses_that_nobody_takes_hold_no_seat(server, path):
    (connection,) = stalled(server, path, 1, 40)
    with connection:
        since = time.monotonic()
        assert server.get("/slow").text == "Hello"
        assert time.monotonic() - since < 5
        # The rest is whole when the client takes it.
        stream = 1
        connection.grants = True
        connection.send(window_update(stream, 1 << 24), window_update(0, 1 << 24))
        body = connection.response(stream).body
    expected = b"y" * 3_000_000 if path == "/large" else b"".join(b"%d\n" % number * 1000 for number in range(1000))
    assert body == expected


def test_responses_beyond_the_memory_of_all_wait_in_files(server):
    before = pss_bytes(server)
    # 90 MB and 180 MB: the second is above the bound of 64 MiB for all.
    connections = stalled(server, "/large", 2, 60)
    grown = pss_bytes(server) - before
    assert grown < 120 * MB, "%.1f MB" % (grown / 1e6)
    for connection in connections:
        connection.grants = True
        for stream in (1, 3, connection.next_stream - 2):
            connection.send(window_update(stream, 1 << 23), window_update(0, 1 << 23))
            assert connection.response(stream).body == b"y" * 3_000_000
        connection.close()


def test_a_generator_waits_for_its_client_and_goes_on(server):
    (connection,) = stalled(server, "/pieces", 1, 1)
    with connection:
        connection.grants = True
        connection.send(window_update(1, 100_000))
        expected = b"".join(b"%d\n" % number * 1000 for number in range(600))
        assert connection.response(1).body == expected


def test_a_window_that_opens_byte_by_byte_gets_byte_by_byte(server):
    with Connection(server.address, with_settings=SHUT, grants=False) as connection:
        stream = connection.open(path="/s/large.bin")
        for number in range(50):
            connection.send(window_update(stream, 1))
            while len(getattr(connection.messages.get(stream), "body", b"")) <= number:
                got = connection.read()
                assert got.kind != DATA or len(got.payload) <= 1
                connection.take(got)
        assert connection.messages[stream].body == bytes(range(50))


def test_a_stalled_stream_does_not_hold_the_windows_of_others(server):
    with Connection(server.address, with_settings=SHUT, grants=False) as connection:
        for _ in range(20):
            connection.open(path="/s/large.bin")
        stream = connection.open(path="/")
        connection.send(window_update(stream, 100))
        assert connection.response(stream).body == b"Hello"


def test_a_client_that_takes_too_little_is_cut_off(serve):
    server = serve(APPLICATION, "--http2-cleartext", "prior-knowledge", "--write-timeout", 1)
    with Connection(server.address, with_settings=SHUT, grants=False) as connection:
        stream = connection.open(path="/large")
        deadline = time.monotonic() + 10
        while connection.messages.get(stream) is None or connection.messages[stream].reset is None:
            assert time.monotonic() < deadline
            connection.send(window_update(stream, 1))
            connection.take(connection.read())
            time.sleep(0.05)
        assert len(connection.messages[stream].body) < 1000
