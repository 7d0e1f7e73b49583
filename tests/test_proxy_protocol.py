"""PROXY headers in front of a connection: the client's address, and the peers that may set it."""

import struct

import pytest

from gateway import Records, uwsgi
from wire import Wire, message

APPLICATION = """
    def application(environ, start_response):
        start_response("200 OK", [])
        return [("%s %s" % (environ["REMOTE_ADDR"], environ.get("REMOTE_PORT"))).encode()]
"""

V1 = b"PROXY TCP4 192.0.2.1 192.0.2.2 50000 80\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v2(command=0x21, family=0x11, content=bytes([192, 0, 2, 1, 192, 0, 2, 2, 0xC3, 0x50, 0, 80])):
    return SIGNATURE + struct.pack(">BBH", command, family, len(content)) + content


@pytest.fixture(scope="module")
def server(serve_module):
    """A server whose peers on loopback must send a header."""
    bind = ["127.0.0.1:0", "unix:http.sock", "uwsgi://127.0.0.1:0", "fastcgi://127.0.0.1:0", "auto://127.0.0.1:0"]
    return serve_module(APPLICATION, "--proxy-protocol", "--header-timeout", "2s", bind=bind)


def told(address, header, *more):
    with Wire(address) as wire:
        wire.send(header + message(), *more)
        return wire.read_response().text


@pytest.mark.parametrize("header", [V1, v2()], ids=["v1", "v2"])
def test_the_client_is_who_the_proxy_says(server, header):
    for address in (server.addresses[0], server.addresses[1], server.addresses[4]):
        assert told(address, header) == "192.0.2.1 50000"


def test_the_client_stays_the_same_for_the_whole_connection(server):
    with Wire(server.address) as wire:
        assert wire.request(V1 + message()).text == "192.0.2.1 50000"
        assert wire.request(message()).text == "192.0.2.1 50000"
        assert wire.request(V1 + message()).status == 400


def test_ipv6_addresses_are_read_too(server):
    assert told(server.address, b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n") == "2001:db8::1 1"
    content = bytes(range(32)) + struct.pack(">HH", 9, 10)
    assert told(server.address, v2(family=0x21, content=content)) == "1:203:405:607:809:a0b:c0d:e0f 9"


@pytest.mark.parametrize(
    "header",
    [b"PROXY UNKNOWN\r\n", v2(0x20, 0, b""), v2(0x20), v2(0x21, 0, b"x"), v2(0x21, 0x31, bytes(216))],
    ids=["unknown", "local", "local-with-address", "unspecified", "unix"],
)
def test_without_an_address_the_connection_speaks_for_itself(server, header):
    assert told(server.address, header).startswith("127.0.0.1 ")


def test_further_values_of_a_header_are_skipped(server):
    content = v2()[16:] + b"\x02\0\x0bexample.com" + b"\x04\0\0"
    assert told(server.address, v2(content=content)) == "192.0.2.1 50000"


def test_a_header_may_come_in_pieces(server):
    for header in (V1, v2()):
        with Wire(server.address) as wire:
            wire.send(*[header[at : at + 1] for at in range(len(header))])
            assert wire.request(message()).text == "192.0.2.1 50000"


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 50000\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 50000 80\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 50000 99999\r\n",
        b"PROXY UNKNOWN " + b"x" * 100,
        v2(0x22),
        v2(family=0x41),
        v2(content=b"short"),
        v2(content=bytes(5000)),
        v2(content=v2()[16:] + b"\x03\0\x04abcd"),
    ],
)
def test_a_bad_header_or_none_is_a_400_and_a_line_in_the_log(server, header):
    with Wire(server.address) as wire:
        wire.send(header + message())
        assert wire.read_response().status == 400
        wire.assert_closed()
    server.log.wait("Invalid request from ip=127.0.0.1: .*PROXY")


def test_a_header_has_a_limited_time(server):
    with Wire(server.address) as wire:
        wire.send(V1[:10])
        assert wire.read_response().status == 408


def test_it_stands_in_front_of_the_other_protocols_too(server):
    for address in (server.addresses[2], server.addresses[4]):
        with Wire(address) as wire:
            wire.send(V1 + uwsgi(REMOTE_ADDR=None))
            assert wire.read_response().text == "192.0.2.1 50000"
    with Records(server.addresses[3]) as records:
        records.send(v2())
        assert records.ask(REMOTE_ADDR=None, REMOTE_PORT=None).body == b"192.0.2.1 50000"


def test_only_named_peers_send_one(serve):
    server = serve(APPLICATION, "--proxy-protocol", "v1", "--proxy-allow-from", "192.0.2.0/24")
    assert server.get().text.startswith("127.0.0.1 ")
    assert server.exchange(V1 + message()).status == 400


def test_the_other_version_is_refused(serve):
    server = serve(APPLICATION, "--proxy-protocol", "v2")
    assert server.exchange(v2() + message()).text == "192.0.2.1 50000"
    assert server.exchange(V1 + message()).status == 400


def test_without_the_setting_a_header_is_no_request(serve):
    assert serve(APPLICATION).exchange(V1 + message()).status == 400
