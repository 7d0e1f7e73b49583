"""What a worker keeps is bounded: timers of kept connections, stalled streams of files, uploads on their way in.

Uploads are bounded for the worker (`upload_memory_max`), for a connection (`upload_connection_max`) and, once refused, by
`linger_bytes_max`.
"""

import hashlib
import os
import resource
import select
import struct
import time

import pytest

from frames import DATA, END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW_SIZE, WINDOW_UPDATE, Connection, frame, plain
from memory import Bounded, pss_bytes
from wire import message, until

MB = 1 << 20

APPLICATION = """
    import hashlib

    def application(environ, start_response):
        body = hashlib.sha256(environ["wsgi.input"].read()).hexdigest().encode()
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]
"""


def more_open_files():
    """As many descriptors as may be had."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


# Timers


def test_memory_does_not_grow_with_the_requests_of_kept_connections(serve):
    """The time for a head is shorter than that of an idle connection, so each request brings its connection's deadline nearer."""
    header_timeout_s = 0.2
    server = serve(APPLICATION, "--header-timeout", header_timeout_s, "--keep-alive", 60)
    wires = [server.connect() for _ in range(900)]
    beside = server.connect()
    beginning, rest = b"GET / HTTP/1.1\r\nHost", b": a\r\n\r\n"

    def requests(rounds):
        for _ in range(rounds):
            began = time.monotonic()
            for at in range(0, len(wires), 100):
                some = wires[at : at + 100]
                for wire in some:
                    wire.socket.sendall(beginning)
                # This answer shows that the server has read the pieces before it.
                beside.request(message())
                for wire in some:
                    wire.socket.sendall(rest)
                for wire in some:
                    assert wire.socket.recv(4096).startswith(b"HTTP/1.1 200 ")
            # The deadlines of these heads pass while the connections are idle.
            time.sleep(max(0, began + 1.1 * header_timeout_s - time.monotonic()))

    # Until the allocator has settled.
    requests(15)
    # The fault took 2 MB for 27,000 requests.
    with Bounded(server, 600_000):
        requests(25)


# Answers


def test_stalled_streams_of_a_file_cost_little_and_their_memory_is_given_back(serve, tmp_path):
    connections, streams = 40, 100
    (tmp_path / "file.bin").write_bytes(os.urandom(3_000_000))
    flags = ["--static", "/static=%s" % tmp_path, "--http2-cleartext", "prior-knowledge"]
    server = serve(APPLICATION, *flags, preexec=more_open_files)
    block = plain(*Connection.pseudo(path="/static/file.bin"))
    with Connection(server.address) as warm:
        assert len(warm.get("/static/file.bin").body) == 3_000_000
    before = pss_bytes(server)
    clients = []
    try:
        for _ in range(connections):
            client = Connection(server.address, with_settings=[(INITIAL_WINDOW_SIZE, 0)])
            clients.append(client)
            client.send(*(frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, block) for number in range(streams)))
        for client in clients:
            heads = 0
            while heads < streams:
                got = client.read()
                assert got, "the connection ended"
                heads += got.kind == HEADERS
        grown = pss_bytes(server) - before
    finally:
        for client in clients:
            client.close()
    assert grown < connections * streams * 16 * 1024, "%.1f MB" % (grown / 1e6)
    # The fault took 530 MB and kept 507 of them.
    kept = max(grown // 10, 16 * MB)
    until(lambda: pss_bytes(server) - before <= kept, 8, "all but %.1f MB of %.1f MB" % (kept / 1e6, grown / 1e6))


# Uploads


def begin_upload(server, content, but_for=1):
    """A connection that has sent its head and its content but for the last bytes."""
    wire = server.connect()
    wire.send(message("POST", "/", content)[:-but_for])
    return wire


def test_uploads_on_their_way_in_take_no_more_memory_than_they_may(serve, tmp_path):
    """Content above the bound goes to temporary files, whatever `body_buffer_bytes` is. No content is lost."""
    server = serve(APPLICATION, "--upload-memory-max", "8MiB", "--tmp-upload-dir", tmp_path)
    contents = [os.urandom(200_000) for _ in range(300)]
    assert server.exchange(message("POST", "/", contents[0])).status == 200
    with Bounded(server, 8 * MB + 16 * MB) as memory:
        wires = [begin_upload(server, content) for content in contents]
        for _ in range(10):
            assert server.get().status == 200
            memory.check()
        for wire, content in zip(wires, contents):
            wire.send(content[-1:])
            assert wire.read_response().text == hashlib.sha256(content).hexdigest()
        memory.check()


def upload_what_is_allowed(h2, streams, most_bytes, seconds):
    """Sends content on these streams as their windows allow. How much each has sent, and how much it has been granted."""
    sent = dict.fromkeys(streams, 0)
    granted = dict.fromkeys([0, *streams], 65535)
    end = time.monotonic() + seconds
    while time.monotonic() < end and sum(sent.values()) < most_bytes:
        ready = [
            (stream, min(16384, granted[stream] - sent[stream], granted[0] - sum(sent.values())))
            for stream in streams
            if not (stream in h2.messages and h2.messages[stream].ended)
        ]
        ready = [(stream, room) for stream, room in ready if room > 0]
        if not ready:
            if not (h2.pending or select.select([h2.socket], [], [], 0.5)[0]):
                break
            got = h2.read()
            if not got:
                break
            if got.kind == WINDOW_UPDATE:
                if got.stream in granted:
                    granted[got.stream] += struct.unpack(">I", got.payload)[0]
            else:
                h2.take(got)
            continue
        for stream, room in ready:
            room = min(room, granted[0] - sum(sent.values()))
            if room > 0:
                h2.send(frame(DATA, 0, stream, b"u" * room))
                sent[stream] += room
    return sent, granted


def test_uploads_of_one_http2_connection_keep_no_more_than_its_share(serve, tmp_path):
    share = 4 * MB
    flags = ["--upload-connection-max", share, "--limit-request-body", share, "--body-timeout", 60]
    server = serve(APPLICATION, "--http2-cleartext", "prior-knowledge", "--tmp-upload-dir", tmp_path, *flags)
    with Connection(server.address) as h2:
        streams = [h2.open("POST", end=False) for _ in range(100)]
        sent, _ = upload_what_is_allowed(h2, streams, 100 * MB, 6)
        # What was sent on streams that were refused is not kept. A connection's window may be on its way.
        living = [stream for stream in streams if not (stream in h2.messages and h2.messages[stream].ended)]
        assert sum(sent[stream] for stream in living) <= share + 2 * MB
        # Others have theirs.
        content = os.urandom(2 * MB)
        assert server.exchange(message("POST", "/", content)).text == hashlib.sha256(content).hexdigest()


def test_an_upload_by_http2_is_given_window_for_what_has_come_and_no_more(serve, tmp_path):
    server = serve(APPLICATION, "--http2-cleartext", "prior-knowledge", "--tmp-upload-dir", tmp_path)
    with Connection(server.address) as h2:
        stream = h2.open("POST", end=False)
        while not h2.acknowledged:
            h2.take(h2.read())
        sent, granted = upload_what_is_allowed(h2, [stream], 3 * MB, 6)
        assert granted[stream] <= sent[stream] + 65535
        assert granted[0] <= sent[stream] + 2 * MB
        h2.send(frame(DATA, END_STREAM, stream))
        assert h2.response(stream).body == hashlib.sha256(b"u" * sent[stream]).hexdigest().encode()


def test_an_upload_by_http2_above_the_limit_is_given_no_window_beyond_it(serve):
    server = serve(APPLICATION, "--http2-cleartext", "prior-knowledge", "--limit-request-body", MB)
    with Connection(server.address) as h2:
        stream = h2.open("POST", end=False)
        sent, granted = upload_what_is_allowed(h2, [stream], 50 * MB, 6)
        assert h2.messages[stream].status == 413
        assert sent[stream] <= granted[stream] <= MB + 2 * 65535
        assert h2.get("/").status == 200


@pytest.mark.parametrize("way", ["told", "found"])
def test_a_refused_upload_is_read_no_further_than_the_bound_and_then_reset(serve, way):
    bound = MB
    flags = ["--limit-request-body", 1000, "--linger-bytes-max", bound, "--linger-timeout", 20]
    server = serve(APPLICATION, *flags)
    with server.connect(timeout=5) as wire:
        if way == "told":
            wire.send(message("POST", "/", fields=[("Content-Length", 1 << 40)]).replace(b"Content-Length: 0\r\n", b""))
        else:
            wire.send(
                message("POST", "/", fields=[("Transfer-Encoding", "chunked")]).replace(b"Content-Length: 0\r\n", b"")
                + b"ffffffff\r\n"
            )
        sent, piece = 0, b"u" * 65536
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while sent < 200 * MB:
                sent += wire.socket.send(piece)
            pytest.fail("%d MB were taken after the refusal" % (sent // MB))
        # Beside the bound, what the kernel's buffers of both sides take.
        assert sent <= bound + 16 * MB
    assert server.get().status == 200


def test_a_refused_upload_within_the_bound_gets_its_answer(serve):
    server = serve(APPLICATION, "--limit-request-body", 1000, "--linger-bytes-max", MB)
    with server.connect() as wire:
        wire.send(message("POST", "/", b"u" * 500_000))
        assert wire.read_response().status == 413
        wire.assert_closed()
