"""HTTP/2 connections: which peers may begin one, when they end, and how they end without losing a stream."""

import json
import shutil
import signal
import subprocess

import pytest

from frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    GOAWAY,
    HEADERS,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    MAX_HEADER_LIST_SIZE,
    NO_ERROR,
    PING,
    PREFACE,
    REFUSED_STREAM,
    Connection,
    frame,
    plain,
    reset,
    settings,
    window_update,
)
from wire import until

APPLICATION = """
    import threading
    import time

    EVENT = threading.Event()
    CALLED = []

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/wait":
            CALLED.append(path)
            EVENT.wait(30)
        elif path == "/nap":
            CALLED.append(path)
            time.sleep(1)
        elif path == "/go":
            EVENT.set()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return ["\\n".join(CALLED).encode() or b"Hello"]
"""

CLEARTEXT = ("--http2-cleartext", "prior-knowledge")


def test_without_the_setting_a_preface_is_an_unknown_version(serve):
    server = serve(APPLICATION)
    with server.connect() as wire:
        wire.send(PREFACE)
        assert wire.read_response().status == 505


def test_only_trusted_peers_may_begin_without_tls(serve):
    server = serve(APPLICATION, *CLEARTEXT, "--forwarded-allow-ips", "192.0.2.1")
    with server.connect() as wire:
        wire.send(PREFACE)
        assert wire.read_response().status == 505


def test_a_peer_on_a_unix_socket_may(serve):
    server = serve(APPLICATION, *CLEARTEXT, "--forwarded-allow-ips", "", bind=["unix:socket"])
    with Connection(server.address) as connection:
        assert connection.get("/").status == 200


def test_http_1_is_served_on_the_same_address(serve):
    server = serve(APPLICATION, *CLEARTEXT)
    assert server.get("/").status == 200
    fields = [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")]
    assert server.get("/", fields=fields).status == 200


def test_a_preface_in_pieces_is_one(serve):
    server = serve(APPLICATION, *CLEARTEXT)
    with Connection(server.address, quiet=True) as connection:
        for byte in PREFACE:
            connection.send(bytes([byte]))
        connection.send(settings())
        assert connection.get("/").status == 200


@pytest.mark.parametrize("word", ["upgrade", "both"])
def test_an_upgrade_of_http_1_is_refused_as_a_setting(word, serve):
    server = serve(APPLICATION, "--http2-cleartext", word, listening=False)
    assert server.wait_exit() != 0
    server.log.wait("http2-cleartext.*use `prior-knowledge`")


def test_limits_are_sent_in_settings(serve):
    flags = ["--http2-max-concurrent-streams", 7, "--http2-max-frame-size", 20000, "--http2-max-header-list-size", 9000]
    server = serve(APPLICATION, *CLEARTEXT, *flags)
    with Connection(server.address) as connection:
        told = connection.server_settings
        assert (told[MAX_CONCURRENT_STREAMS], told[MAX_FRAME_SIZE], told[MAX_HEADER_LIST_SIZE]) == (7, 20000, 9000)
        connection.ping()
        streams = [connection.open(path="/wait") for _ in range(8)]
        while streams[7] not in connection.messages:
            connection.take(connection.read())
        assert connection.messages[streams[7]].reset == REFUSED_STREAM
        with Connection(server.address) as other:
            other.get("/go")
        assert [connection.response(stream).status for stream in streams[:7]] == [200] * 7


def test_an_idle_connection_ends_with_goaway(serve):
    server = serve(APPLICATION, *CLEARTEXT, "--keep-alive", 1)
    with Connection(server.address) as connection:
        assert connection.get("/nap").status == 200
        assert connection.ended_with() == NO_ERROR


def test_a_connection_ends_after_its_last_permitted_request(serve):
    server = serve(APPLICATION, *CLEARTEXT, "--keepalive-requests", 3)
    with Connection(server.address) as connection:
        streams = [connection.open() for _ in range(3)]
        assert [connection.response(stream).status for stream in streams] == [200] * 3
        assert connection.ended_with() == NO_ERROR


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGHUP])
def test_streams_that_are_open_are_finished_before_the_end(serve, end):
    server = serve(APPLICATION, *CLEARTEXT)
    with Connection(server.address) as connection:
        streams = [connection.open(path="/nap") for _ in range(5)]
        with Connection(server.address) as other:
            until(lambda: other.get("/").body.count(b"/nap") == 5, 15, "five calls")
        server.kill(end)
        goaways = []
        while got := connection.read():
            if got.kind == GOAWAY:
                goaways.append(got)
            connection.take(got)
        assert goaways and {goaway.error for goaway in goaways} == {NO_ERROR}
        # The last one names the last stream that was served.
        assert int.from_bytes(goaways[-1].payload[:4], "big") == streams[-1]
        assert [connection.messages[stream].status for stream in streams] == [200] * 5


def test_a_stream_that_crosses_the_goaway_is_served(serve):
    server = serve(APPLICATION, *CLEARTEXT)
    with Connection(server.address) as connection:
        connection.get("/")
        server.kill(signal.SIGTERM)
        # The first GOAWAY names no stream: streams that are under way are served until the client has seen it.
        while (got := connection.read()).kind != GOAWAY:
            connection.take(got)
        assert got.error == NO_ERROR and int.from_bytes(got.payload[:4], "big") == 2**31 - 1
        stream = connection.open()
        assert connection.response(stream).status == 200


@pytest.fixture(scope="module")
def guarded(serve_module):
    flags = ["--http2-control-frames-max", 100, "--http2-resets-max", 20]
    return serve_module(APPLICATION, *CLEARTEXT, *flags)


def hello_is_served_beside(server):
    assert server.get("/").status == 200


@pytest.mark.parametrize(
    "flood",
    [
        frame(PING, 0, 0, b"12345678"),
        settings(),
        frame(2, 0, 1, b"\0\0\0\0\1"),
        window_update(0, 1),
        frame(0x77, 0, 0, b"unknown"),
    ],
    ids=["PING", "SETTINGS", "PRIORITY", "WINDOW_UPDATE", "unknown"],
)
def test_control_frames_without_work_are_bounded(guarded, flood):
    with Connection(guarded.address) as connection:
        connection.send_anyway(flood * 500)
        connection.connection_error(ENHANCE_YOUR_CALM)
    hello_is_served_beside(guarded)


def test_control_frames_that_belong_to_work_are_not(guarded):
    with Connection(guarded.address) as connection:
        for _ in range(100):
            connection.send(frame(PING, 0, 0, b"12345678") * 10)
            assert connection.get("/").status == 200


def test_window_updates_for_an_answer_in_many_small_pieces_are_no_flood(serve):
    """A client may answer each DATA frame with a window for the stream and one for the connection."""
    server = serve(
        """
        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return (b"%d," % number for number in range(2000))
        """,
        *CLEARTEXT,
    )
    with Connection(server.address) as connection:
        for _ in range(3):
            answer = connection.get("/")
            assert answer.body == b"".join(b"%d," % number for number in range(2000))


def test_empty_data_is_bounded(guarded):
    with Connection(guarded.address) as connection:
        stream = connection.open("POST", end=False)
        connection.send_anyway(frame(DATA, 0, stream) * 500)
        connection.connection_error(ENHANCE_YOUR_CALM)
    hello_is_served_beside(guarded)


def test_resets_without_answers_are_bounded(guarded):
    with Connection(guarded.address) as connection:
        block = plain(*connection.pseudo(path="/wait"))
        streams = range(1, 201, 2)
        connection.send_anyway(
            b"".join(frame(HEADERS, END_HEADERS | END_STREAM, stream, block) + reset(stream) for stream in streams)
        )
        connection.connection_error(ENHANCE_YOUR_CALM)
    hello_is_served_beside(guarded)


def test_a_field_block_without_end_is_bounded(guarded):
    with Connection(guarded.address) as connection:
        connection.send_anyway(frame(HEADERS, END_STREAM, 1, b"") + frame(9, 0, 1, b"") * 1000)
        connection.connection_error(ENHANCE_YOUR_CALM)
    hello_is_served_beside(guarded)


def test_a_field_list_above_its_bound_is_431(guarded):
    with Connection(guarded.address) as connection:
        block = connection.encoder.encode(connection.pseudo())
        block += plain(*[("x-%d" % number, "v" * 1000) for number in range(80)])
        stream = 1
        pieces = [block[at : at + 16000] for at in range(0, len(block), 16000)]
        connection.send(frame(HEADERS, END_STREAM, stream, pieces[0]))
        for piece in pieces[1:-1]:
            connection.send(frame(9, 0, stream, piece))
        connection.send(frame(9, END_HEADERS, stream, pieces[-1]))
        assert connection.response(stream).status == 431


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_curl_is_served_with_prior_knowledge(serve):
    server = serve(APPLICATION, *CLEARTEXT)
    command = ["curl", "-sS", "--http2-prior-knowledge", "-w", '{"version": "%{http_version}"}', "-o", "/dev/null"]
    said = subprocess.run([*command, "http://%s:%d/" % server.address], capture_output=True, check=True, timeout=30)
    assert json.loads(said.stdout) == {"version": "2"}
