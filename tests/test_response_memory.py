"""Responses that wait for slow clients: they hold no thread, their memory is bounded, and a client that drips is cut."""

import gzip
import threading
import time

import pytest

from gateway import fastcgi
from memory import Bounded, pss_bytes
from secured import SecureWire, context
from wire import Incomplete, message, until

APPLICATION = """
    import os
    import time

    BIG = b"x" * (24 << 20)

    class Response:
        # As frameworks answer: an iterable of one piece that is no list.
        def __init__(self, body):
            self.body = body
        def __iter__(self):
            yield self.body

    RETURNED = []

    class Noise:
        # Incompressible, and it notes when its thread is done with it.
        def __iter__(self):
            yield os.urandom(1 << 20) * 6
        def close(self):
            RETURNED.append(1)

    def endless():
        while True:
            yield b"x" * 65536

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        start_response("200 OK", [("Content-Type", "text/plain")])
        if path == "/list":
            return [BIG]
        if path == "/many":
            return [BIG[:1000]] * 24000
        if path == "/fresh":
            return [b"y" * (24 << 20)]
        if path == "/framework":
            return Response(BIG)
        if path == "/noise":
            return Noise()
        if path == "/returned":
            return [b"%d" % len(RETURNED)]
        if path == "/endless":
            return endless()
        if path == "/wrapped":
            return environ["wsgi.file_wrapper"](open("big.bin", "rb"))
        if path == "/sleep":
            time.sleep(0.02)
        return [b"hello"]
"""

BIG = 24 << 20


def slow_readers(server, target, count, **options):
    """Connections that have asked and do not read."""
    wires = [server.connect(receive_buffer=4096, timeout=30) for _ in range(count)]
    for wire in wires:
        wire.send(message(target=target, **options))
    return wires


def longest_wait(server, target="/sleep", times=10):
    """The longest of some requests, in seconds."""
    waits = []
    for _ in range(times):
        began = time.monotonic()
        assert server.get(target).body == b"hello"
        waits.append(time.monotonic() - began)
    return max(waits)


@pytest.mark.parametrize("target", ["/list", "/framework"])
def test_70_clients_that_do_not_read_24_mib_leave_all_threads_free(serve, target):
    server = serve(APPLICATION, "--threads", 8, "--response-memory-max", "2GiB")
    server.get("/sleep")
    with Bounded(server, 200 << 20):
        wires = slow_readers(server, target, 70)
        assert longest_wait(server) < 2
    assert len(wires.pop().read_response().body) == BIG


def test_memory_comes_back_when_slow_clients_leave(serve):
    server = serve(APPLICATION, "--threads", 8, "--response-memory-max", "2GiB")
    server.get("/sleep")
    before = pss_bytes(server)
    wires = slow_readers(server, "/fresh", 10)
    until(lambda: pss_bytes(server) > before + (200 << 20), what="ten responses in memory")
    for wire in wires:
        wire.reset()
    # Python's objects are let go of by the next thread that has the interpreter.
    until(lambda: server.get("/hello").body == b"hello" and pss_bytes(server) < before + (30 << 20))


def test_compressed_responses_hold_no_thread(serve):
    flags = ["--threads", 2, "--compress", "gzip", "--response-memory-max", "1GiB", "--queue-timeout", 60]
    server = serve(APPLICATION, *flags)
    wires = [server.connect(receive_buffer=4096, timeout=60) for _ in range(3)]
    for wire in wires:
        wire.send(message(target="/noise", fields=[("Accept-Encoding", "gzip")]))
    # With two threads, three calls can only end if a slow reader holds none.
    for wire in wires:
        assert wire.read_head().value("Content-Encoding") == "gzip"
    until(lambda: server.get("/returned").body == b"3", 60, "three calls that have returned")
    for wire in wires:
        assert len(gzip.decompress(b"".join(wire.read_chunks()))) == 6 << 20


def test_beyond_the_bound_responses_wait_in_files_and_arrive_whole(serve, tmp_path):
    flags = ["--threads", 4, "--response-memory-max", "30MiB", "--tmp-upload-dir", tmp_path]
    server = serve(APPLICATION, *flags)
    server.get("/sleep")
    # Four calls may each hold a body of 24 MB while it goes into its file. Without the bound it would be 240 MB.
    with Bounded(server, 160 << 20):
        wires = slow_readers(server, "/fresh", 6) + slow_readers(server, "/many", 4)
        assert longest_wait(server) < 2
    # The files have no names.
    assert list(tmp_path.iterdir()) == []
    for wire in wires:
        body = wire.read_response().body
        assert len(body) in (BIG, 24000000) and len(set(body)) == 1


def test_without_room_in_files_a_thread_waits_and_the_response_is_whole(serve):
    server = serve(APPLICATION, "--threads", 4, "--response-memory-max", 0, "--response-disk-max", 0)
    (wire,) = slow_readers(server, "/fresh", 1)
    assert longest_wait(server, times=3) < 2
    assert len(wire.read_response().body) == BIG


def test_a_client_that_drips_is_cut_whether_a_thread_waits_for_it_or_not(serve):
    flags = ["--threads", 2, "--response-rate-min", "100KiB", "--write-timeout", 6, "--log-level", "debug"]
    server = serve(APPLICATION, *flags)
    wires = slow_readers(server, "/list", 1) + slow_readers(server, "/endless", 1)
    cut = [threading.Event() for _ in wires]

    def drip(wire, event):
        try:
            while wire.socket.recv(1024):
                time.sleep(0.2)
        except OSError:
            pass
        event.set()

    for wire, event in zip(wires, cut):
        threading.Thread(target=drip, args=(wire, event), daemon=True).start()
    # The kernel takes bytes in large steps, so that a client that drips may seem to take none.
    too_slow = "response_rate_min|took no bytes for the write time-out"
    until(lambda: len(server.log.find(too_slow)) == 2, 30, "two clients that are too slow")
    assert server.get().body == b"hello"


def test_a_client_that_takes_nothing_is_cut_after_the_write_timeout(serve):
    server = serve(APPLICATION, "--write-timeout", 1, "--log-level", "debug")
    (wire,) = slow_readers(server, "/list", 1)
    until(lambda: server.log.find("took no bytes for the write time-out"), 10, "a client that is cut")
    with pytest.raises(Incomplete):
        wire.read_response()


def test_a_slow_reader_of_a_static_file_without_sendfile_delays_nobody(serve, tmp_path):
    (tmp_path / "big.bin").write_bytes(b"z" * (8 << 20))
    server = serve(APPLICATION, "--no-sendfile", "--static", "/s=%s" % tmp_path, "--threads", 2)
    wires = slow_readers(server, "/s/big.bin", 20)
    assert longest_wait(server, "/hello", 20) < 0.5
    assert wires.pop().read_response().body == b"z" * (8 << 20)


def test_a_file_in_chunks_is_whole_and_holds_no_thread(serve):
    server = serve(APPLICATION, "--threads", 2, "--no-sendfile", listening=False)
    server.write("big.bin", "")
    with open(server.directory + "/big.bin", "wb") as file:
        file.write(b"w" * (8 << 20))
    server.wait_listening()
    wires = slow_readers(server, "/wrapped", 6)
    assert longest_wait(server, "/hello") < 2
    for wire in wires:
        assert wire.read_response().body == b"w" * (8 << 20)


def test_a_large_response_and_a_file_over_fastcgi_hold_no_thread(serve, tmp_path):
    (tmp_path / "big.bin").write_bytes(b"z" * (8 << 20))
    flags = ["--protocol", "fastcgi", "--static", "/s=%s" % tmp_path, "--threads", 2]
    server = serve(APPLICATION, *flags)
    wires = [server.connect(receive_buffer=4096, timeout=30) for _ in range(8)]
    for number, wire in enumerate(wires):
        wire.send(fastcgi(target="/s/big.bin" if number % 2 else "/list"))
    with server.connect(timeout=5) as quick:
        quick.send(fastcgi(target="/hello"))
        assert read_stream(quick) == b"hello"
    for number, wire in enumerate(wires):
        length = (8 << 20) if number % 2 else BIG
        assert read_stream(wire) == (b"z" if number % 2 else b"x") * length


def read_stream(wire):
    """The content of a FastCGI response that closes the connection."""
    stream = []
    while True:
        header = wire._exactly(8, [])
        content = wire._exactly(int.from_bytes(header[4:6], "big") + header[6], [])
        if header[1] == 3:
            return b"".join(stream).partition(b"\r\n\r\n")[2]
        stream.append(content)


def test_a_response_waits_for_a_slow_client_also_over_tls(serve, authority):
    server = serve(APPLICATION, "--certfile", authority.issue("localhost").both, "--threads", 2)
    options = {"receive_buffer": 4096, "timeout": 30}
    wires = [SecureWire(server.address, context(authority.pem), **options) for _ in range(6)]
    for wire in wires:
        wire.send(message(target="/list"))
    with SecureWire(server.address, context(authority.pem)) as quick:
        assert quick.request(message()).body == b"hello"
    for wire in wires:
        assert wire.read_response().body == b"x" * BIG
