"""Slow clients, many clients and large uploads: their cost is bounded, and all other clients are served."""

import os
import resource
import subprocess

import pytest

from test_scheduling import cpu_ticks
from wire import chunked, message, until

APPLICATION = """
    import os

    DONE = []
    COUNT = [0]

    class Noting(list):
        def close(self):
            DONE.append(1)

    class Endless:
        def __iter__(self):
            return self
        def __next__(self):
            COUNT[0] += 1
            return b"x" * 65536

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/state":
            body = [b"%d %d %d" % (len(DONE), COUNT[0], os.getpid())]
        elif path == "/large":
            body = Noting([b"x" * 20000000])
        elif path == "/endless":
            body = Endless()
        else:
            body = [b"%d" % len(environ["wsgi.input"].read())]
        start_response("200 OK", [("Content-Type", "text/plain")])
        return body
"""


def state(server):
    """(responses taken from the application, chunks of the endless one, pid)."""
    return tuple(int(word) for word in server.get("/state").text.split())


def test_hello_stays_answered_beside_1000_clients_that_send_a_byte_a_second(serve):
    server = serve(APPLICATION, "--header-timeout", 60, "--body-timeout", 60, "--worker-connections", 2000)
    half = [server.connect(timeout=30) for _ in range(1000)]
    raw = message("POST", "/", b"0123456789")
    positions = [number % (len(raw) - 8) for number in range(len(half))]
    for wire, position in zip(half, positions):
        wire.send(raw[:position])
    for round_ in range(4):
        for wire, position in zip(half, positions):
            wire.send(raw[position + round_ : position + round_ + 1])
        for _ in range(50):
            assert server.get().body == b"0"
        # A byte a second is the clients' speed; the test does not wait for anything.
        half[0].assert_silent(1)
    # They were served meanwhile: the rest arrives and they get their responses.
    for wire, position in zip(half, positions):
        wire.send(raw[position + 4 :])
    for wire in half:
        assert wire.read_response().body == b"10"


def test_a_thousand_idle_connections_are_kept_and_answered(serve):
    server = serve(APPLICATION)
    wires = [server.connect() for _ in range(1000)]
    for _ in range(2):
        for wire in wires:
            wire.send(message())
        for wire in wires:
            assert wire.read_response().status == 200


def test_slow_readers_free_the_seat_as_long_as_the_rest_fits_under_the_high_water_mark(serve):
    server = serve(APPLICATION, "--threads", 2, "--response-buffer-bytes", 32 * 1024 * 1024)
    wires = [server.connect(receive_buffer=4096) for _ in range(6)]
    for wire in wires:
        wire.send(message(target="/large"))
    # With two seats, six calls can only end if a slow reader does not hold its seat.
    until(lambda: state(server)[0] == 6, what="six responses taken from the application")
    for wire in wires:
        assert len(wire.read_response().body) == 20000000


def test_slow_readers_leave_a_seat_for_others_also_beyond_the_high_water_mark(serve):
    server = serve(APPLICATION, "--threads", 4, "--response-buffer-bytes", 65536)
    wires = [server.connect(receive_buffer=4096) for _ in range(3)]
    for wire in wires:
        wire.send(message(target="/endless"))
    for _ in range(30):
        assert server.get().status == 200


def test_the_application_is_not_run_ahead_of_a_slow_reader(serve):
    server = serve(APPLICATION, "--response-buffer-bytes", 65536)
    wire = server.connect(receive_buffer=4096)
    wire.send(message(target="/endless"))
    wire.read_head()

    def settled():
        before = state(server)[1]
        wire_other.assert_silent(0.3)
        return before and state(server)[1] == before

    wire_other = server.connect()
    until(settled, what="the application to be held back")
    # At most the kernel's buffers and the high-water mark.
    assert state(server)[1] * 65536 < 20000000


def test_connections_above_the_cap_get_503_rather_than_hang(serve):
    server = serve(APPLICATION, "--worker-connections", 20)
    wires = [server.connect() for _ in range(20)]
    for wire in wires:
        assert wire.request(message()).status == 200
    with server.connect() as wire:
        wire.send_anyway(message())
        response = wire.read_response()
        assert response.status == 503 and response.closes
        wire.assert_closed()
    for wire in wires:
        assert wire.request(message()).status == 200
    wires.pop().close()
    until(lambda: server.get().status == 200, what="a place that became free")


def test_ten_times_the_cap_of_connections_are_all_answered_somehow(serve):
    server = serve(APPLICATION, "--worker-connections", 100, "--linger-timeout", 1)
    wires = [server.connect(timeout=30) for _ in range(1000)]
    for wire in wires:
        wire.send_anyway(message(fields=[("Connection", "close")]))
    statuses = [wire.read_response().status for wire in wires]
    assert set(statuses) <= {200, 503} and statuses.count(200) >= 100


def test_the_server_survives_the_exhaustion_of_descriptors_and_serves_again(serve):
    server = serve(
        APPLICATION, "--keep-alive", 60, preexec=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    )
    pid = state(server)[2]
    wires = [server.connect() for _ in range(200)]
    for wire in wires:
        wire.send_anyway(message())
    answered = wires[0].read_response()
    assert answered.status in (200, 503)
    # It does not spin on accept() either.
    before = cpu_ticks(server)
    with pytest.raises(AssertionError):
        server.log.wait("never in the log", timeout=1)
    assert cpu_ticks(server) - before <= 20
    for wire in wires:
        wire.close()
    until(lambda: _answers(server), 20, "service after the clients have left")
    assert state(server)[2] == pid


def _answers(server):
    try:
        return server.get().status == 200
    except (AssertionError, OSError):
        return False


def test_descriptors_do_not_leak(serve):
    server = serve(APPLICATION, "--body-buffer-bytes", 1024)

    def descriptors():
        return sum(len(os.listdir("/proc/%d/fd" % pid)) for pid in server.workers())

    server.get()
    before = descriptors()
    for number in range(100):
        wire = server.connect()
        wire.send(message("POST", "/", b"x" * 5000)[: number * 50])
        wire.reset() if number % 2 else wire.close()
        server.exchange(message("POST", "/", b"x" * 5000))
        server.exchange(b"BROKEN\r\n\r\n")
    until(lambda: descriptors() <= before + 2, what="descriptors to be given back")


@pytest.fixture
def full_disk(tmp_path):
    """A file system of 64 KiB."""
    directory = tmp_path / "full"
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(directory)], check=True)
    yield directory
    subprocess.run(["umount", "-l", str(directory)], check=True)


@pytest.mark.root
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_full_disk_for_the_spool_is_an_error_answer_and_a_clear_line_and_the_worker_lives(full_disk, serve, framing):
    server = serve(APPLICATION, "--tmp-upload-dir", full_disk, "--body-buffer-bytes", 1024)
    pid = state(server)[2]
    mark = server.log.mark()
    body = b"x" * 1000000
    raw = (
        message("POST", "/", body)
        if framing == "length"
        else message("POST", "/", fields=[("Transfer-Encoding", "chunked")]).replace(b"Content-Length: 0\r\n", b"")
        + chunked([body])
    )
    for _ in range(3):
        with server.connect() as wire:
            wire.send_anyway(raw)
            response = wire.read_response()
            assert response.status in (500, 503, 507) and response.closes
            wire.assert_closed()
    server.log.wait("(?i)no space|disk|storage", since=mark)
    # The written space was freed: a body that fits is served.
    assert server.exchange(message("POST", "/", b"x" * 30000)).body == b"30000"
    assert state(server)[2] == pid


def test_a_spool_directory_that_vanished_is_an_error_answer_and_the_worker_lives(serve, tmp_path):
    directory = tmp_path / "gone"
    directory.mkdir()
    server = serve(APPLICATION, "--tmp-upload-dir", directory, "--body-buffer-bytes", 1024)
    pid = state(server)[2]
    directory.rmdir()
    with server.connect() as wire:
        wire.send_anyway(message("POST", "/", b"x" * 100000))
        assert wire.read_response().status in (500, 503, 507)
    assert server.exchange(message("POST", "/", b"x" * 1000)).body == b"1000"
    assert state(server)[2] == pid
