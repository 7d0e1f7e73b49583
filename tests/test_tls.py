"""HTTPS for clients: the same messages as without TLS, orderly ends, and no effect of hostile handshakes on other
clients."""

import json
import os
import socket
import ssl
import threading
import time

import pytest

from certificates import Authority
from secured import SecureWire, context
from wire import Incomplete, Wire, message, until

APPLICATION = """
    import hashlib, json, os, tempfile, time, threading

    GO = threading.Event()
    LARGE = bytes(range(251)) * 40000


    def application(environ, start_response):
        path = environ["PATH_INFO"]
        body = environ["wsgi.input"].read()
        if path == "/environ":
            shown = {key: value for key, value in environ.items() if isinstance(value, str)}
            content = json.dumps(shown).encode()
        elif path == "/digest":
            content = hashlib.sha256(body).hexdigest().encode()
        elif path == "/echo":
            content = body
        elif path == "/large":
            content = LARGE
        elif path == "/file":
            file = tempfile.TemporaryFile()
            file.write(LARGE)
            file.seek(1000)
            start_response("200 OK", [("Content-Type", "a/b"), ("Content-Length", str(len(LARGE) - 1000))])
            return environ["wsgi.file_wrapper"](file)
        elif path == "/pieces":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return iter([b"one", b"two" * 9000, b"three"])
        elif path == "/waits":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return waiting()
        elif path == "/go":
            GO.set()
            content = b"gone"
        elif path == "/sleep":
            time.sleep(30)
            content = b"late"
        elif path == "/breaks":
            start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "100")])
            return iter([b"half"])
        elif path == "/breaks-at-close":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return breaking()
        else:
            content = b"hello"
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(content)))])
        return [content]


    def waiting():
        yield b"first"
        GO.wait(20)
        yield b"last"


    def breaking():
        yield b"first"
        raise ValueError("broken")
"""

LARGE = bytes(range(251)) * 40000


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("authority"))
    issued = authority.issue("localhost")
    issued.authority = authority.pem
    return issued


@pytest.fixture(scope="module")
def server(serve_module, certificate):
    return serve_module(
        APPLICATION,
        *("--certfile", certificate.pem, "--keyfile", certificate.key, "--handshake-timeout", "1s"),
        *("--access-logfile", "access.log"),
    )


@pytest.fixture
def connect(server, certificate):
    wires = []

    def connect(terms=None, **options):
        wires.append(SecureWire(server.address, terms or context(certificate.authority), **options))
        return wires[-1]

    yield connect
    for wire in wires:
        wire.close()


def test_the_listening_line_says_https(server):
    assert server.log.find(r"Listening at: https://127.0.0.1:\d+")


@pytest.mark.parametrize("version, name", [(ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")])
def test_environ_has_the_negotiated_parameters(connect, certificate, version, name):
    wire = connect(context(certificate.authority, versions=version))
    environ = json.loads(wire.request(message(target="/environ")).body)
    assert environ["wsgi.url_scheme"] == "https" and environ["HTTPS"] == "on"
    assert environ["SSL_PROTOCOL"] == name
    assert environ["SSL_CIPHER"].startswith("TLS_") and "TLS13" not in environ["SSL_CIPHER"]
    assert environ["SSL_TLS_SNI"] == "localhost"
    assert environ["SSL_CLIENT_VERIFY"] == "NONE" and "SSL_CLIENT_S_DN" not in environ


def test_no_field_of_a_request_becomes_a_variable_of_the_connection(connect):
    fields = [("SSL-Client-Verify", "SUCCESS"), ("SSL-Client-S-DN", "CN=root"), ("HTTPS", "off"), ("SSL_PROTOCOL", "x")]
    environ = json.loads(connect().request(message(target="/environ", fields=fields)).body)
    assert environ["SSL_CLIENT_VERIFY"] == "NONE" and environ["HTTPS"] == "on"
    assert "SSL_CLIENT_S_DN" not in environ and environ["SSL_PROTOCOL"] == "TLSv1.3"
    assert environ["HTTP_SSL_CLIENT_VERIFY"] == "SUCCESS"


def test_http_1_1_is_negotiated_and_early_data_is_not_offered(connect, certificate):
    wire = connect(context(certificate.authority, alpn=["http/1.1"]))
    assert wire.socket.selected_alpn_protocol() == "http/1.1"
    assert wire.request(message()).body == b"hello"


def test_a_connection_serves_many_requests_and_pipelined_ones_in_order(connect):
    wire = connect()
    for _ in range(20):
        assert wire.request(message()).body == b"hello"
    wire.send(b"".join(message("POST", "/echo", b"%d" % number) for number in range(50)))
    assert [wire.read_response().body for _ in range(50)] == [b"%d" % number for number in range(50)]


def test_content_that_comes_in_small_records_is_put_together(connect):
    wire = connect()
    request = message("POST", "/echo", b"abc" * 2000)
    wire.send(*(request[at : at + 97] for at in range(0, len(request), 97)))
    assert wire.read_response().body == b"abc" * 2000


@pytest.mark.parametrize("target", ["/large", "/file"])
def test_a_large_response_arrives_byte_for_byte(connect, target):
    wire = connect()
    for _ in range(2):
        body = wire.request(message(target=target)).body
        assert body == (LARGE if target == "/large" else LARGE[1000:])


def test_pieces_leave_as_they_come(connect):
    wire = connect()
    assert wire.request(message(target="/pieces")).body == b"one" + b"two" * 9000 + b"three"
    wire.send(message(target="/waits"))
    wire.read_head()
    assert wire.read_chunk() == b"first"
    assert connect().request(message(target="/go")).body == b"gone"
    assert wire.read_chunk() == b"last" and wire.read_chunk() == b""


def test_large_content_goes_both_ways_at_once(connect):
    bodies = []

    def run(number):
        content = os.urandom(1 << 16) * 100 + b"%d" % number
        bodies.append(connect().request(message("POST", "/echo", content)).body == content)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert bodies == [True] * 4


def test_a_slow_reader_gets_everything_and_others_are_served_meanwhile(connect):
    slow = connect(receive_buffer=4096)
    slow.send(message(target="/large"))
    for _ in range(5):
        assert connect().request(message()).body == b"hello"
    assert slow.read_response().body == LARGE


def test_an_orderly_end_has_a_close_notify(connect):
    wire = connect()
    assert wire.request(message(fields=[("Connection", "close")])).closes
    wire.assert_closed()
    assert wire.ended_orderly is True


def test_an_answer_to_a_bad_request_ends_orderly_too(connect):
    wire = connect()
    assert wire.request(b"GET / HTTP/1.1\r\n\r\n").status == 400
    wire.assert_closed()
    assert wire.ended_orderly is True


def test_a_response_that_broke_off_ends_without_a_close_notify(connect):
    for target, version in (("/breaks", "1.1"), ("/breaks-at-close", "1.1"), ("/breaks-at-close", "1.0")):
        wire = connect()
        wire.send(message(target=target, version=version))
        try:
            wire.read_response()
        except (Incomplete, OSError):
            pass
        assert wire.ended_orderly is not True, (target, version)


def test_requests_sent_before_a_close_notify_are_answered(connect):
    wire = connect()
    wire.send(message("POST", "/digest", b"x"))
    # unwrap() sends the close_notify and reads on until the server's.
    wire.socket.setblocking(True)
    assert wire.read_response().status == 200
    wire.socket.unwrap().close()


def test_content_that_was_cut_off_is_no_request(server, connect):
    wire = connect()
    wire.send(message("POST", "/digest", b"x" * 1000)[:-10])
    raw = socket.socket(fileno=os.dup(wire.socket.fileno()))
    raw.shutdown(socket.SHUT_WR)
    raw.close()
    with pytest.raises(AssertionError):
        wire.read_response()


@pytest.mark.parametrize("request_line", [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"hello\r\n\r\n", b"\x00\x01\x02"])
def test_plain_text_on_a_tls_port_gets_a_plain_hint(server, request_line):
    with Wire(server.address) as wire:
        wire.send(request_line)
        response = wire.read_response()
        assert response.status == 400 and b"https://" in response.body and response.closes
        wire.assert_closed()


@pytest.mark.parametrize(
    "beginning",
    [
        b"\x16",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 40,
        b"\x16\x03\x01\xff\xff" + b"a" * 70000,
        b"\x16\x03\x01\x00\x05hello",
        b"\x16\x03\x01\x40\x00" + (b"\x01\x00\xff\xff" + b"\0" * 16380 + b"\x16\x03\x01\x40\x00") * 8,
        b"\x16\x03\x01\x00\x00" * 200,
    ],
    ids=["one byte", "half a hello", "record too large", "no hello", "message without an end", "empty records"],
)
def test_a_bad_handshake_ends_in_time_and_does_not_block_others(server, connect, beginning):
    with Wire(server.address) as wire:
        wire.send_anyway(beginning)
        assert connect().request(message()).body == b"hello"
        started = time.monotonic()
        while wire._more():
            wire.pending = b""
        assert time.monotonic() - started < 10


def test_a_handshake_byte_by_byte_is_done_or_over_in_time(server, certificate):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context(certificate.authority).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    with Wire(server.address) as wire:
        hello = outgoing.read()
        wire.send(*(hello[at : at + 1] for at in range(len(hello))))
        assert wire._more() and wire.pending[:1] == b"\x16"


def test_garbage_after_the_handshake_ends_the_connection(server, connect):
    wire = connect()
    assert wire.request(message()).status == 200
    raw = socket.socket(fileno=os.dup(wire.socket.fileno()))
    raw.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)
    raw.close()
    with pytest.raises((ssl.SSLError, OSError, AssertionError)):
        wire.read_response()
    assert connect().request(message()).body == b"hello"


def test_the_access_log_has_requests_over_tls_and_refusals_before_it(server, connect):
    assert connect().request(message(target="/for-the-log")).status == 200
    with Wire(server.address) as wire:
        assert wire.request(message()).status == 400
    path = os.path.join(server.directory, "access.log")
    until(lambda: " 400 " in open(path).read() and "/for-the-log" in open(path).read(), what="both in the log")


def test_a_call_that_takes_too_long_is_answered_over_tls(serve, certificate):
    flags = ("--certfile", certificate.both, "--request-timeout", "0.5")
    server = serve(APPLICATION, *flags)
    with SecureWire(server.address, context(certificate.authority)) as wire:
        assert wire.request(message(target="/sleep")).status == 504
        wire.assert_closed()
        assert wire.ended_orderly is True


def test_a_drain_finishes_running_requests_and_ends_orderly(serve, certificate):
    server = serve(APPLICATION, "--certfile", certificate.both)
    idle = SecureWire(server.address, context(certificate.authority))
    assert idle.request(message()).status == 200
    running = SecureWire(server.address, context(certificate.authority))
    running.send(message(target="/waits"))
    running.read_head()
    assert running.read_chunk() == b"first"
    go = SecureWire(server.address, context(certificate.authority))
    server.kill(15)
    server.log.wait("Handling signal")
    go.send(message(target="/go"))
    assert running.read_chunk() == b"last" and running.read_chunk() == b""
    for wire in (running, idle, go):
        wire._rest()
        assert wire.ended_orderly is True
        wire.close()
    assert server.wait_exit() == 0


def test_connections_above_the_cap_wait_or_end_and_later_ones_are_served(serve, certificate):
    server = serve(APPLICATION, "--certfile", certificate.both, "--worker-connections", "2")
    held = [SecureWire(server.address, context(certificate.authority)) for _ in range(2)]
    assert [wire.request(message()).status for wire in held] == [200, 200]
    with pytest.raises((ssl.SSLError, OSError)):
        SecureWire(server.address, context(certificate.authority))
    for wire in held:
        wire.close()

    def served():
        try:
            with SecureWire(server.address, context(certificate.authority)) as wire:
                return wire.request(message()).status == 200
        except OSError:
            return False

    until(served, what="a connection after the others have gone")


@pytest.mark.parametrize("together", [True, False])
def test_a_proxy_header_comes_in_the_clear_before_tls(serve, certificate, together):
    server = serve(APPLICATION, "--certfile", certificate.both, "--proxy-protocol", "v1")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context(certificate.authority).wrap_bio(incoming, outgoing, server_hostname="localhost")
    header = b"PROXY TCP4 192.0.2.7 127.0.0.1 5555 443\r\n"
    with Wire(server.address) as wire:

        def carry(step):
            """Runs a step of the client's TLS session, with the I/O that it needs."""
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    if outgoing.pending:
                        wire.send(outgoing.read())
                    assert wire._more()
                    incoming.write(wire.pending)
                    wire.pending = b""

        if together:
            with pytest.raises(ssl.SSLWantReadError):
                client.do_handshake()
            wire.send(header + outgoing.read())
        else:
            wire.send(header)
        carry(client.do_handshake)
        client.write(message(target="/environ", fields=[("Connection", "close")]))
        wire.send(outgoing.read())
        received = b""
        while b"\r\n\r\n" not in received or not received.endswith(b"}"):
            received += carry(lambda: client.read(65536))
    environ = json.loads(received.partition(b"\r\n\r\n")[2])
    assert environ["REMOTE_ADDR"] == "192.0.2.7" and environ["wsgi.url_scheme"] == "https"


def test_without_the_proxy_header_that_is_asked_for_there_is_no_connection(serve, certificate):
    server = serve(APPLICATION, "--certfile", certificate.both, "--proxy-protocol", "v1")
    with pytest.raises((ssl.SSLError, OSError)):
        SecureWire(server.address, context(certificate.authority))


def test_files_of_a_folder_are_sent_over_tls_byte_for_byte(serve, certificate, tmp_path):
    (tmp_path / "large.bin").write_bytes(LARGE)
    (tmp_path / "small.txt").write_text("small")
    server = serve(APPLICATION, "--certfile", certificate.both, "--static", "/files=%s" % tmp_path)
    with SecureWire(server.address, context(certificate.authority), receive_buffer=8192) as wire:
        assert wire.request(message(target="/files/large.bin")).body == LARGE
        part = wire.request(message(target="/files/large.bin", fields=[("Range", "bytes=100000-9999999")]))
        assert part.status == 206 and part.body == LARGE[100000:10000000]
        assert wire.request(message(target="/files/small.txt")).body == b"small"
        assert wire.request(message(target="/files/large.bin", fields=[("Connection", "close")])).body == LARGE
        wire.assert_closed()
        assert wire.ended_orderly is True


def test_a_file_that_shrinks_while_it_is_sent_is_no_whole_response(serve, certificate, tmp_path):
    path = tmp_path / "shrinks.bin"
    path.write_bytes(LARGE * 4)
    server = serve(APPLICATION, "--certfile", certificate.both, "--static", "/files=%s" % tmp_path)
    with SecureWire(server.address, context(certificate.authority), receive_buffer=4096) as wire:
        wire.send(message(target="/files/shrinks.bin"))
        wire.read_head()
        os.truncate(path, 100)
        with pytest.raises((Incomplete, ssl.SSLError)):
            wire._exactly(len(LARGE) * 4, [])
        assert wire.ended_orderly is not True
