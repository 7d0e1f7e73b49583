"""RFC 9113 and RFC 7541 clause by clause, with raw frames: what a server must accept, and how it must refuse the rest.

Every test has the number of its clause in its name. The server speaks HTTP/2 by prior knowledge; over TLS the bytes are
the same.
"""

import struct

import pytest

from frames import (
    ACK,
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    ENABLE_PUSH,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADER_TABLE_SIZE,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    PADDED,
    PING,
    PREFACE,
    PRIORITIZED,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    WINDOW_UPDATE,
    Connection,
    frame,
    hpack_integer,
    plain,
    reset,
    settings,
    window_update,
)

APPLICATION = """
    def application(environ, start_response):
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if path.startswith("/bytes/"):
            body = b"x" * int(path[7:])
        elif path == "/fields":
            body = repr(sorted((k, v) for k, v in environ.items() if k.startswith("HTTP_"))).encode()
        else:
            body = b"%s %s %d" % (method.encode(), path.encode(), len(environ["wsgi.input"].read()))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [body]
"""


@pytest.fixture(scope="module")
def server(serve_module):
    return serve_module(APPLICATION, "--http2-cleartext", "prior-knowledge", "--workers", 1)


@pytest.fixture
def connect(server):
    """Opens connections, and checks at the end whether the server still serves others."""
    opened = []

    def one(**options):
        opened.append(Connection(server.address, **options))
        return opened[-1]

    yield one
    for connection in opened:
        connection.close()
    with Connection(server.address) as witness:
        assert witness.get("/after").body == b"GET /after 0"


@pytest.fixture
def h2(connect):
    """A connection whose preface has been exchanged."""
    return connect()


def ends(connection, *codes):
    """A connection error with one of these codes, or with the unspecific PROTOCOL_ERROR.

    The h2 crate, which reads the frames, sends FRAME_SIZE_ERROR, COMPRESSION_ERROR and similar codes only sometimes.
    The end of the connection is what matters; the code is for the client's log.
    """
    connection.connection_error(*codes, PROTOCOL_ERROR)


# 3.4 HTTP/2 connection preface


def test_3_4_the_servers_preface_is_a_settings_frame(connect):
    h2 = connect(quiet=True)
    h2.send(PREFACE, settings())
    first = h2.read()
    assert first.kind == SETTINGS and not first.has(ACK) and first.stream == 0


def test_3_4_the_preface_may_come_byte_by_byte(connect):
    h2 = connect(quiet=True)
    for byte in PREFACE + settings():
        h2.send(bytes([byte]))
    assert h2.get("/slow").body == b"GET /slow 0"


def test_3_4_requests_may_come_with_the_preface(connect):
    h2 = connect(quiet=True)
    block = h2.encoder.encode(h2.pseudo(path="/early"))
    h2.send(PREFACE, settings(), frame(HEADERS, END_HEADERS | END_STREAM, 1, block))
    assert h2.response(1).body == b"GET /early 0"


@pytest.mark.parametrize("preface", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX", b"PRI * HTTP/2.0\r\n\r\nINVALID\r\n\r\n"])
def test_3_4_an_invalid_preface_ends_the_connection(connect, preface):
    h2 = connect(quiet=True)
    h2.send(preface)
    # Other bytes may be answered as HTTP/1.1: only the end of the connection is required.
    try:
        while h2.socket.recv(65536):
            pass
    except ConnectionError:
        pass


def test_3_4_a_first_frame_other_than_settings_does_not_affect_others(connect):
    # It may be an error; the h2 crate continues with the defaults.
    h2 = connect(quiet=True)
    h2.send(PREFACE, frame(PING, 0, 0, b"12345678"))
    while got := h2.read():
        if got.kind == PING or got.kind == GOAWAY:
            break
    assert got and (got.kind == PING or got.error == PROTOCOL_ERROR), got


# 4.1 Frame format


def test_4_1_frames_of_unknown_type_are_ignored(h2):
    h2.send(frame(0x16, 0, 0, b"12345678"), frame(0xFF, 0xFF, 1, b"unknown"))
    h2.ping()


def test_4_1_undefined_flags_are_ignored(h2):
    h2.send(frame(PING, 0xFE & ~ACK, 0, b"undefine"))
    got = h2.read()
    while got.kind != PING:
        got = h2.read()
    assert got.has(ACK) and got.payload == b"undefine"


def test_4_1_the_reserved_bit_is_ignored(h2):
    h2.send(frame(PING, 0, 0x80000000, b"reserved"))
    h2.ping()


# 4.2 Frame size


def test_4_2_a_data_frame_of_16384_octets_is_taken(h2):
    stream = h2.open("POST", "/largest", end=False)
    h2.send(frame(DATA, END_STREAM, stream, b"x" * 16384))
    assert h2.response(stream).body == b"POST /largest 16384"


@pytest.mark.parametrize("kind", [DATA, HEADERS, CONTINUATION, SETTINGS, PING, 0x16])
def test_4_2_a_frame_larger_than_allowed_is_a_frame_size_error(h2, kind):
    stream = h2.open("POST", end=False)
    size = h2.server_settings.get(MAX_FRAME_SIZE, 16384) + 1
    h2.send_anyway(frame(kind, 0, 0 if kind in (SETTINGS, PING) else stream, b"\0" * size))
    h2.stream_error(stream, FRAME_SIZE_ERROR, *([PROTOCOL_ERROR] if kind == CONTINUATION else []))


# 4.3 Field section compression


def test_4_3_an_invalid_field_block_is_a_compression_error(h2):
    # A literal with incremental indexing whose name is the 127th entry of the table and more.
    h2.open(block=b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")
    ends(h2, COMPRESSION_ERROR)


def test_4_3_a_truncated_field_block_is_a_compression_error(h2):
    h2.open(block=plain(*h2.pseudo())[:-3])
    ends(h2, COMPRESSION_ERROR)


@pytest.mark.parametrize(
    "between",
    [
        frame(PRIORITY, 0, 1, b"\0\0\0\0\0"),
        frame(HEADERS, END_HEADERS | END_STREAM, 3, plain(*Connection.pseudo())),
        frame(0x16, 0, 1, b"unknown"),
        frame(PING, 0, 0, b"12345678"),
        frame(DATA, END_STREAM, 1, b"x"),
        frame(CONTINUATION, END_HEADERS, 3, b""),
    ],
    ids=["PRIORITY", "HEADERS", "unknown", "PING", "DATA", "CONTINUATION of another stream"],
)
def test_4_3_nothing_may_come_between_the_frames_of_a_field_block(h2, between):
    block = plain(*h2.pseudo())
    h2.send(frame(HEADERS, END_STREAM, 1, block[:10]), between, frame(CONTINUATION, END_HEADERS, 1, block[10:]))
    ends(h2, PROTOCOL_ERROR)


def test_4_3_a_field_block_may_come_in_any_pieces(h2):
    block = plain(*h2.pseudo(path="/pieces"))
    h2.send(frame(HEADERS, END_STREAM, 1, block[:1]))
    for position in range(1, 6):
        h2.send(frame(CONTINUATION, 0, 1, block[position : position + 1]))
    h2.send(frame(CONTINUATION, END_HEADERS, 1, block[6:]))
    assert h2.response(1).body == b"GET /pieces 0"


# 5.1 Stream states


@pytest.mark.parametrize(
    "what",
    [
        frame(DATA, END_STREAM, 1, b"idle"),
        reset(1),
        window_update(1, 100),
        frame(CONTINUATION, END_HEADERS, 1, plain(*Connection.pseudo())),
    ],
    ids=["DATA", "RST_STREAM", "WINDOW_UPDATE", "CONTINUATION"],
)
def test_5_1_an_idle_stream_takes_only_headers_and_priority(h2, what):
    h2.send(what)
    ends(h2, PROTOCOL_ERROR, *([STREAM_CLOSED] if what[3] == DATA else []))


def test_5_1_priority_may_come_on_an_idle_stream(h2):
    h2.send(frame(PRIORITY, 0, 5, b"\0\0\0\0\x10"))
    assert h2.get("/priority").body == b"GET /priority 0"


def _late(kind, h2):
    """A frame that begins or continues a request, on a stream that must not get one any more."""
    return {
        "DATA": lambda: frame(DATA, END_STREAM, 1, b"late"),
        "HEADERS": lambda: frame(HEADERS, END_HEADERS | END_STREAM, 1, h2.encoder.encode(h2.pseudo())),
        "CONTINUATION": lambda: frame(CONTINUATION, END_HEADERS, 1, h2.encoder.encode(h2.pseudo())),
    }[kind]()


@pytest.mark.parametrize("kind", ["DATA", "HEADERS", "CONTINUATION"])
def test_5_1_a_half_closed_stream_takes_no_more_of_a_request(connect, kind):
    # With no window the response cannot end, so the stream stays half-closed.
    h2 = connect(with_settings=[(INITIAL_WINDOW_SIZE, 0)])
    stream = h2.open(path="/bytes/10")
    h2.send(_late(kind, h2))
    h2.stream_error(stream, STREAM_CLOSED, PROTOCOL_ERROR)


@pytest.mark.parametrize("kind", ["DATA", "HEADERS", "CONTINUATION"])
def test_5_1_a_stream_that_both_ended_takes_no_more(h2, kind):
    h2.get()
    h2.send(_late(kind, h2))
    h2.stream_error(1, STREAM_CLOSED, PROTOCOL_ERROR)


@pytest.mark.parametrize("kind", ["DATA", "HEADERS", "CONTINUATION"])
def test_5_1_a_stream_that_the_client_reset_takes_no_more(h2, kind):
    h2.open("POST", end=False)
    h2.send(reset(1), _late(kind, h2))
    h2.stream_error(1, STREAM_CLOSED, PROTOCOL_ERROR)


@pytest.mark.parametrize("what", [window_update(1, 10), reset(1), frame(PRIORITY, 0, 1, b"\0\0\0\0\x10")])
def test_5_1_frames_that_crossed_the_end_of_a_stream_do_no_harm(h2, what):
    h2.get()
    h2.send(what)
    h2.ping()


def test_5_1_1_streams_of_a_client_have_odd_numbers(h2):
    h2.open(stream=2)
    ends(h2, PROTOCOL_ERROR)


def test_5_1_1_numbers_of_streams_only_rise(h2):
    h2.get(stream=5)
    h2.open(stream=3)
    ends(h2, PROTOCOL_ERROR, STREAM_CLOSED)


def test_5_1_1_numbers_may_be_left_out(h2):
    assert h2.get("/here", stream=1001).status == 200
    assert h2.get("/there", stream=0x7FFFFFFF).status == 200


def test_5_1_2_streams_above_the_limit_are_refused(connect):
    h2 = connect(with_settings=[(INITIAL_WINDOW_SIZE, 0)])
    allowed = h2.server_settings[MAX_CONCURRENT_STREAMS]
    assert allowed >= 100
    block = plain(*h2.pseudo("POST"))
    h2.send(*(frame(HEADERS, END_HEADERS, 1 + 2 * number, block) for number in range(allowed + 1)))
    h2.stream_error(1 + 2 * allowed, REFUSED_STREAM, PROTOCOL_ERROR)


# 5.3 Priorities: of no effect any more (RFC 9113 §5.3.2), but nothing may break by them.


def test_5_3_a_stream_that_depends_on_itself_breaks_nothing(h2):
    h2.send(frame(PRIORITY, 0, 3, struct.pack(">IB", 3, 10)))
    block = struct.pack(">IB", 1, 10) + h2.encoder.encode(h2.pseudo())
    h2.send(frame(HEADERS, END_HEADERS | END_STREAM | PRIORITIZED, 1, block))
    got = h2.read()
    while got.kind not in (GOAWAY, RST_STREAM, HEADERS):
        got = h2.read()
    assert got.kind == HEADERS or got.error == PROTOCOL_ERROR, got


def test_5_3_headers_may_carry_a_priority(h2):
    block = struct.pack(">IB", 0x80000000, 255) + h2.encoder.encode(h2.pseudo(path="/weighed"))
    h2.send(frame(HEADERS, END_HEADERS | END_STREAM | PRIORITIZED, 1, block))
    assert h2.response(1).body == b"GET /weighed 0"


# 5.4 Errors


def test_5_4_1_after_a_goaway_for_an_error_the_connection_is_closed(h2):
    h2.send(frame(PING, 0, 1, b"12345678"))
    ends(h2, PROTOCOL_ERROR)
    assert h2.ended


def test_5_4_2_an_error_of_one_stream_leaves_the_others_alone(h2):
    other = h2.open("POST", "/other", end=False)
    wrong = h2.open("POST", "/wrong", end=False)
    h2.send(window_update(wrong, 0))
    h2.stream_error(wrong, PROTOCOL_ERROR)
    if not h2.ended:
        h2.send(frame(DATA, END_STREAM, other, b"1234"))
        assert h2.response(other).body == b"POST /other 4"


# 6.1 DATA


def test_6_1_data_on_the_connection_is_an_error(h2):
    h2.send(frame(DATA, END_STREAM, 0, b"nobody's"))
    ends(h2, PROTOCOL_ERROR)


@pytest.mark.parametrize("pad", [6, 255])
def test_6_1_padding_longer_than_the_frame_is_an_error(h2, pad):
    stream = h2.open("POST", end=False)
    h2.send(frame(DATA, PADDED | END_STREAM, stream, bytes([pad]) + b"12345"))
    ends(h2, PROTOCOL_ERROR)


def test_6_1_padding_is_no_content(h2):
    stream = h2.open("POST", "/padded", end=False)
    h2.send(frame(DATA, PADDED, stream, b"\x03ab\0\0\0"), frame(DATA, PADDED | END_STREAM, stream, b"\x00c"))
    assert h2.response(stream).body == b"POST /padded 3"


# 6.2 HEADERS


def test_6_2_headers_on_the_connection_are_an_error(h2):
    h2.send(frame(HEADERS, END_HEADERS | END_STREAM, 0, plain(*h2.pseudo())))
    ends(h2, PROTOCOL_ERROR)


def test_6_2_padding_longer_than_the_frame_is_an_error(h2):
    h2.send(frame(HEADERS, PADDED | END_HEADERS | END_STREAM, 1, b"\xff" + plain(*h2.pseudo())))
    ends(h2, PROTOCOL_ERROR)


def test_6_2_padded_headers_are_taken(h2):
    block = b"\x04" + plain(*h2.pseudo(path="/padded")) + b"\0\0\0\0"
    h2.send(frame(HEADERS, PADDED | END_HEADERS | END_STREAM, 1, block))
    assert h2.response(1).body == b"GET /padded 0"


@pytest.mark.parametrize("flags", [PADDED, PRIORITIZED])
def test_6_2_headers_too_short_for_their_flags_are_an_error(h2, flags):
    h2.send(frame(HEADERS, flags | END_HEADERS | END_STREAM, 1, b""))
    ends(h2, PROTOCOL_ERROR, FRAME_SIZE_ERROR)


# 6.3 PRIORITY


def test_6_3_priority_on_the_connection_is_an_error(h2):
    h2.send(frame(PRIORITY, 0, 0, b"\0\0\0\x05\x10"))
    ends(h2, PROTOCOL_ERROR)


@pytest.mark.parametrize("length", [4, 6])
def test_6_3_priority_of_a_wrong_length_is_an_error(h2, length):
    stream = h2.open("POST", end=False)
    h2.send(frame(PRIORITY, 0, stream, b"\0" * length))
    h2.stream_error(stream, FRAME_SIZE_ERROR, PROTOCOL_ERROR)


# 6.4 RST_STREAM


def test_6_4_a_reset_of_the_connection_is_an_error(h2):
    h2.send(reset(0))
    ends(h2, PROTOCOL_ERROR)


@pytest.mark.parametrize("length", [3, 5])
def test_6_4_a_reset_of_a_wrong_length_is_an_error(h2, length):
    stream = h2.open("POST", end=False)
    h2.send(frame(RST_STREAM, 0, stream, b"\0" * length))
    ends(h2, FRAME_SIZE_ERROR)


# 6.5 SETTINGS


def test_6_5_an_acknowledgement_with_content_is_an_error(h2):
    h2.send(frame(SETTINGS, ACK, 0, b"\0" * 6))
    ends(h2, FRAME_SIZE_ERROR)


def test_6_5_settings_on_a_stream_are_an_error(h2):
    h2.send(frame(SETTINGS, 0, 1, struct.pack(">HI", MAX_CONCURRENT_STREAMS, 100)))
    ends(h2, PROTOCOL_ERROR)


@pytest.mark.parametrize("length", [1, 5, 7])
def test_6_5_settings_of_a_wrong_length_are_an_error(h2, length):
    h2.send(frame(SETTINGS, 0, 0, b"\0" * length))
    ends(h2, FRAME_SIZE_ERROR)


@pytest.mark.parametrize(
    "identifier, value, code",
    [
        (ENABLE_PUSH, 2, PROTOCOL_ERROR),
        (INITIAL_WINDOW_SIZE, 1 << 31, FLOW_CONTROL_ERROR),
        (INITIAL_WINDOW_SIZE, 0xFFFFFFFF, FLOW_CONTROL_ERROR),
        (MAX_FRAME_SIZE, 16383, PROTOCOL_ERROR),
        (MAX_FRAME_SIZE, 1 << 24, PROTOCOL_ERROR),
    ],
)
def test_6_5_2_a_setting_out_of_its_range_is_an_error(h2, identifier, value, code):
    h2.send(settings((identifier, value)))
    ends(h2, code)


def test_6_5_2_unknown_settings_are_ignored(h2):
    h2.send(settings((0xFF, 1), (0x7FFF, 0xFFFFFFFF)))
    h2.ping()


def test_6_5_3_the_last_of_several_values_counts(connect):
    h2 = connect(with_settings=[(INITIAL_WINDOW_SIZE, 100), (INITIAL_WINDOW_SIZE, 1)], grants=False)
    stream = h2.open(path="/bytes/5")
    got = h2.read()
    while got.kind != DATA:
        h2.take(got)
        got = h2.read()
    assert got.payload == b"x"
    h2.send(window_update(stream, 4))
    h2.take(got)
    assert h2.response(stream).body == b"xxxxx"


def test_6_5_3_settings_are_acknowledged(h2):
    h2.send(settings((MAX_FRAME_SIZE, 32768)))
    while not h2.acknowledged:
        h2.take(h2.read())


# 6.6 PUSH_PROMISE


def test_6_6_a_client_must_not_push(h2):
    h2.send(frame(PUSH_PROMISE, END_HEADERS, 1, struct.pack(">I", 2) + plain(*h2.pseudo())))
    ends(h2, PROTOCOL_ERROR)


# 6.7 PING


def test_6_7_a_ping_comes_back_with_its_content(h2):
    h2.ping(b"\x00\xffcontent"[:8])


def test_6_7_an_acknowledged_ping_is_not_answered(h2):
    h2.send(frame(PING, ACK, 0, b"unasked!"), frame(PING, 0, 0, b"question"))
    got = h2.read()
    while got.kind != PING:
        got = h2.read()
    assert got.payload == b"question"


def test_6_7_a_ping_on_a_stream_is_an_error(h2):
    h2.send(frame(PING, 0, 1, b"12345678"))
    ends(h2, PROTOCOL_ERROR)


@pytest.mark.parametrize("length", [0, 6, 9])
def test_6_7_a_ping_of_a_wrong_length_is_an_error(h2, length):
    h2.send(frame(PING, 0, 0, b"\0" * length))
    ends(h2, FRAME_SIZE_ERROR)


# 6.8 GOAWAY


def test_6_8_goaway_on_a_stream_is_an_error(h2):
    h2.send(frame(GOAWAY, 0, 1, struct.pack(">II", 0, 0)))
    ends(h2, PROTOCOL_ERROR)


def test_6_8_after_a_clients_goaway_its_streams_are_finished(connect):
    h2 = connect(with_settings=[(INITIAL_WINDOW_SIZE, 0)])
    stream = h2.open(path="/bytes/3")
    h2.send(frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0)), window_update(stream, 10))
    assert h2.response(stream).body == b"xxx"


# 6.9 WINDOW_UPDATE


def test_6_9_an_increment_of_nothing_to_the_connection_is_an_error(h2):
    h2.send(window_update(0, 0))
    ends(h2, PROTOCOL_ERROR)


def test_6_9_an_increment_of_nothing_to_a_stream_is_an_error(h2):
    stream = h2.open("POST", end=False)
    h2.send(window_update(stream, 0))
    h2.stream_error(stream, PROTOCOL_ERROR)


@pytest.mark.parametrize("length", [3, 5])
def test_6_9_an_increment_of_a_wrong_length_is_an_error(h2, length):
    h2.send(frame(WINDOW_UPDATE, 0, 0, b"\x01" * length))
    ends(h2, FRAME_SIZE_ERROR)


def test_6_9_1_no_more_is_sent_than_the_window_of_the_stream_takes(connect):
    h2 = connect(with_settings=[(INITIAL_WINDOW_SIZE, 1000)], grants=False)
    stream = h2.open(path="/bytes/100000")
    h2.ping()
    _until(h2, lambda: h2.messages.get(stream) and len(h2.messages[stream].body) == 1000)
    h2.ping()
    assert len(h2.messages[stream].body) == 1000
    for size in range(1, 1000, 7):
        h2.send(window_update(stream, size))
    h2.send(window_update(stream, 50000), window_update(0, 100000))
    assert h2.response(stream).body == b"x" * 100000


def _until(h2, condition):
    while not condition():
        h2.take(h2.read())


def test_6_9_1_no_more_is_sent_than_the_window_of_the_connection_takes(connect):
    h2 = connect(with_settings=[(INITIAL_WINDOW_SIZE, 1 << 20)], grants=False)
    streams = [h2.open(path="/bytes/50000") for _ in range(3)]
    _until(h2, lambda: sum(len(message.body) for message in h2.messages.values()) == 65535)
    # A PING overtakes data that waits for a window.
    h2.send(frame(PING, 0, 0, b"12345678"))
    while (got := h2.read()).kind != PING:
        assert got.kind != DATA or not got.payload
        h2.take(got)
    h2.send(window_update(0, 1 << 20))
    assert [len(h2.response(stream).body) for stream in streams] == [50000] * 3


def test_6_9_1_a_window_of_the_connection_above_2_31_is_an_error(h2):
    h2.send(window_update(0, 0x7FFFFFFF))
    ends(h2, FLOW_CONTROL_ERROR)


def test_6_9_1_a_window_of_a_stream_above_2_31_is_an_error(h2):
    stream = h2.open("POST", end=False)
    h2.send(window_update(stream, 0x7FFFFFFF))
    h2.stream_error(stream, FLOW_CONTROL_ERROR)


def test_6_9_1_a_client_that_sends_more_than_the_window_is_stopped(h2):
    stream = h2.open("POST", "/upload", end=False)
    # By default the server accepts 65,535 bytes; window updates are added.
    window = h2.server_settings.get(INITIAL_WINDOW_SIZE, 65535)
    for _ in range(2 * window // 16384 + 8):
        if not h2.send_anyway(frame(DATA, 0, stream, b"x" * 16384)):
            break
    # A server that reads as fast as the client sends grants more, and then there was no violation.
    h2.send_anyway(frame(PING, 0, 0, b"12345678"))
    while True:
        got = h2.read()
        assert got
        if got.kind in (GOAWAY, RST_STREAM):
            assert got.error == FLOW_CONTROL_ERROR, got
            return
        if got.kind == PING and got.has(ACK):
            return
        h2.take(got)


def test_6_9_2_a_new_initial_window_changes_streams_that_are_open(connect):
    h2 = connect(with_settings=[(INITIAL_WINDOW_SIZE, 0)], grants=False)
    stream = h2.open(path="/bytes/5")
    _until(h2, lambda: stream in h2.messages)
    h2.ping()
    assert not h2.messages[stream].body
    h2.send(settings((INITIAL_WINDOW_SIZE, 1)))
    _until(h2, lambda: h2.messages[stream].body == b"x")
    h2.send(settings((INITIAL_WINDOW_SIZE, 5)))
    assert h2.response(stream).body == b"xxxxx"


def test_6_9_2_a_window_may_become_negative(connect):
    h2 = connect(with_settings=[(INITIAL_WINDOW_SIZE, 3)], grants=False)
    stream = h2.open(path="/bytes/5")
    _until(h2, lambda: h2.messages.get(stream) and h2.messages[stream].body == b"xxx")
    # Three were sent of a window that is now 2: it is -1, and 2 more make it 1.
    h2.send(settings((INITIAL_WINDOW_SIZE, 2)), window_update(stream, 2))
    _until(h2, lambda: h2.messages[stream].body == b"xxxx")
    h2.ping()
    assert h2.messages[stream].body == b"xxxx"
    h2.send(window_update(stream, 1))
    assert h2.response(stream).body == b"xxxxx"


def test_6_9_2_a_new_initial_window_that_overflows_one_is_an_error(connect):
    h2 = connect(with_settings=[(INITIAL_WINDOW_SIZE, 1)])
    stream = h2.open("POST", end=False)
    h2.send(window_update(stream, 0x7FFFFFFF - 100), settings((INITIAL_WINDOW_SIZE, 0x7FFFFFFF)))
    ends(h2, FLOW_CONTROL_ERROR)


# 6.10 CONTINUATION


def test_6_10_a_continuation_of_nothing_is_an_error(h2):
    stream = h2.open("POST", end=False)
    h2.send(frame(CONTINUATION, END_HEADERS, stream, plain(("x-more", "1"))))
    ends(h2, PROTOCOL_ERROR)


def test_6_10_a_continuation_on_the_connection_is_an_error(h2):
    h2.send(frame(HEADERS, END_STREAM, 1, plain(*h2.pseudo())), frame(CONTINUATION, END_HEADERS, 0, b""))
    ends(h2, PROTOCOL_ERROR)


def test_6_10_a_continuation_after_the_end_of_the_fields_is_an_error(h2):
    block = plain(*h2.pseudo("POST"))
    h2.send(
        frame(HEADERS, 0, 1, block[:5]),
        frame(CONTINUATION, END_HEADERS, 1, block[5:]),
        frame(CONTINUATION, END_HEADERS, 1, plain(("x-more", "1"))),
    )
    ends(h2, PROTOCOL_ERROR)


# 7 Error codes


def test_7_unknown_error_codes_are_ignored(h2):
    stream = h2.open("POST", end=False)
    h2.send(reset(stream, 0xFFFF))
    assert h2.get("/on").body == b"GET /on 0"
    h2.send(frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0xFFFF)))


# 8.1 Message framing


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS", "POST", "PROPFIND"])
def test_8_1_methods_without_content(h2, method):
    assert h2.response(h2.open(method, "/method")).body == method.encode() + b" /method 0"


def test_8_1_a_response_to_head_has_no_content(h2):
    message = h2.response(h2.open("HEAD", "/bytes/10"))
    assert message.status == 200 and message.body == b"" and message.value("content-length") == "10"


def test_8_1_a_request_may_have_trailers(h2):
    stream = h2.open("POST", "/trailed", end=False)
    h2.send(
        frame(DATA, 0, stream, b"12"),
        frame(HEADERS, END_HEADERS | END_STREAM, stream, h2.encoder.encode([("x-sum", "2")])),
    )
    assert h2.response(stream).body == b"POST /trailed 2"


def test_8_1_an_empty_data_frame_may_end_a_request(h2):
    stream = h2.open("POST", "/empty", end=False)
    h2.send(frame(DATA, END_STREAM, stream))
    assert h2.response(stream).body == b"POST /empty 0"


def test_8_1_trailers_that_do_not_end_the_stream_are_malformed(h2):
    stream = h2.open("POST", end=False)
    h2.send(frame(DATA, 0, stream, b"12"), frame(HEADERS, END_HEADERS, stream, plain(("x-sum", "2"))))
    h2.refused(stream)


@pytest.mark.parametrize("name, value", [(":method", "PUT"), (":path", "/else"), (":status", "200"), (":unknown", "1")])
def test_8_1_pseudo_fields_in_trailers_change_nothing(h2, name, value):
    # They are malformed; the h2 crate drops those it knows. They must not change the request.
    stream = h2.open("POST", "/here", end=False)
    h2.send(
        frame(DATA, 0, stream, b"12"),
        frame(HEADERS, END_HEADERS | END_STREAM, stream, plain((name, value))),
    )
    got = h2.read()
    while got and got.kind not in (GOAWAY, RST_STREAM, HEADERS):
        h2.take(got)
        got = h2.read()
    if got.kind == HEADERS:
        h2.take(got)
        message = h2.response(stream)
        assert message.status == 400 or message.body == b"POST /here 2"
    else:
        assert got.error == PROTOCOL_ERROR


# 8.1.1 Malformed messages


@pytest.mark.parametrize("length, pieces", [("1", [b"12"]), ("3", [b"12"]), ("5", [b"12", b"3456"]), ("1", [])])
def test_8_1_1_content_of_another_length_than_announced_is_malformed(h2, length, pieces):
    stream = h2.open("POST", "/wrong", [("content-length", length)], end=not pieces)
    for number, piece in enumerate(pieces):
        last = number == len(pieces) - 1
        h2.send_anyway(frame(DATA, END_STREAM if last else 0, stream, piece))
    h2.refused(stream)


@pytest.mark.parametrize("length", ["+2", "0x2", "2_0", "2, 2", "", " 2", "-2", "99999999999999999999999"])
def test_8_1_1_a_content_length_that_is_no_number_is_malformed(h2, length):
    stream = h2.open(block=plain(*h2.pseudo("POST"), ("content-length", length)), end=False)
    h2.send_anyway(frame(DATA, END_STREAM, stream, b"12"))
    h2.refused(stream)


def test_8_1_1_two_content_lengths_are_malformed(h2):
    fields = [("content-length", "2"), ("content-length", "3")]
    stream = h2.open(block=plain(*h2.pseudo("POST"), *fields), end=False)
    h2.send_anyway(frame(DATA, END_STREAM, stream, b"12"))
    h2.refused(stream)


# 8.2 Fields


@pytest.mark.parametrize(
    "name",
    ["X-Upper", "x-uppeR", "", "x y", "x\0y", "x\r\ny", "x:y", "x\x7fy", "x\xe4y", "x\ty", "x(y"],
    ids=repr,
)
def test_8_2_1_a_name_that_is_no_lower_case_token_is_malformed(h2, name):
    h2.refused(h2.open(block=plain(*h2.pseudo(), (name, "1"))))


@pytest.mark.parametrize(
    "value",
    ["a\0b", "a\r\nx-injected: 1", "a\nb", "a\rb", " leading", "trailing ", "\tleading", "trailing\t"],
    ids=repr,
)
def test_8_2_1_a_value_with_forbidden_characters_is_malformed(h2, value):
    h2.refused(h2.open(block=plain(*h2.pseudo(), ("x-value", value))))


def test_8_2_1_a_value_may_be_empty_and_hold_any_other_byte(h2):
    message = h2.get("/fields", block=plain(*h2.pseudo(path="/fields"), ("x-empty", ""), ("x-high", "a\tb \xe4\xff")))
    assert b"('HTTP_X_EMPTY', '')" in message.body
    assert "('HTTP_X_HIGH', 'a\\tb \xe4\xff')".encode() in message.body


@pytest.mark.parametrize(
    "field",
    [
        ("connection", "keep-alive"),
        ("keep-alive", "1"),
        ("proxy-connection", "keep-alive"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
        ("te", "trailers, deflate;q=0.5"),
    ],
    ids=lambda field: field[0],
)
def test_8_2_2_fields_of_the_connection_are_malformed(h2, field):
    h2.refused(h2.open(fields=[field]))


def test_8_2_2_te_may_ask_for_trailers(h2):
    assert h2.get(fields=[("te", "trailers")]).status == 200


def test_8_2_3_cookies_that_came_apart_are_joined(h2):
    message = h2.get("/fields", fields=[("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")])
    assert b"('HTTP_COOKIE', 'a=1; b=2; c=3')" in message.body


# 8.3 Pseudo-fields

METHOD, SCHEME, AUTHORITY, PATH = Connection.pseudo()


@pytest.mark.parametrize(
    "fields",
    [
        [METHOD, SCHEME, AUTHORITY, PATH, (":unknown", "1")],
        [METHOD, SCHEME, AUTHORITY, PATH, (":status", "200")],
        [METHOD, SCHEME, AUTHORITY, PATH, (":protocol", "websocket")],
        [METHOD, SCHEME, AUTHORITY, ("x-first", "1"), PATH],
        [SCHEME, AUTHORITY, PATH],
        [METHOD, AUTHORITY, PATH],
        [METHOD, SCHEME, AUTHORITY],
        [METHOD, METHOD, SCHEME, AUTHORITY, PATH],
        [METHOD, SCHEME, SCHEME, AUTHORITY, PATH],
        [METHOD, SCHEME, AUTHORITY, AUTHORITY, PATH],
        [METHOD, SCHEME, AUTHORITY, PATH, PATH],
        [METHOD, SCHEME, AUTHORITY, (":path", "")],
        [METHOD, SCHEME, AUTHORITY, (":path", "relative")],
        [METHOD, SCHEME, AUTHORITY, (":path", "*")],
        [METHOD, SCHEME, AUTHORITY, (":path", "/a b")],
        [METHOD, SCHEME, AUTHORITY, (":path", "/a\0b")],
        [METHOD, SCHEME, AUTHORITY, (":path", "/a\r\nx: y")],
        [METHOD, SCHEME, AUTHORITY, (":path", "/\xe4")],
        [(":method", ""), SCHEME, AUTHORITY, PATH],
        [(":method", "G ET"), SCHEME, AUTHORITY, PATH],
        [(":method", "GET\r\n"), SCHEME, AUTHORITY, PATH],
        [METHOD, SCHEME, (":authority", "user@localhost"), PATH],
        [METHOD, SCHEME, (":authority", "local host"), PATH],
        [METHOD, SCHEME, (":authority", "localhost"), PATH, ("host", "elsewhere")],
        [METHOD, SCHEME, AUTHORITY, PATH, ("host", "localhost"), ("host", "localhost")],
        [METHOD, SCHEME, PATH],
    ],
    ids=lambda fields: (
        " ".join("%s=%r" % field for field in fields if field not in Connection.pseudo())
        or "+".join(name for name, _ in fields)
    ),
)
def test_8_3_1_pseudo_fields_that_make_no_request_are_malformed(h2, fields):
    h2.refused(h2.open(block=plain(*fields)))


def test_8_3_1_a_fragment_is_no_part_of_a_path(h2):
    # RFC 9110 §7.1. The h2 crate leaves it out, where HTTP/1.1 refuses it.
    message = h2.get(block=plain(METHOD, SCHEME, AUTHORITY, (":path", "/a?b=1#fragment")))
    assert message.status == 400 or message.body == b"GET /a 0"


def test_8_3_1_host_may_stand_for_the_authority(h2):
    block = plain(METHOD, SCHEME, (":path", "/fields"), ("host", "by.host"))
    assert b"('HTTP_HOST', 'by.host')" in h2.get(block=block).body


def test_8_3_1_host_may_say_what_the_authority_says(h2):
    block = plain(METHOD, SCHEME, AUTHORITY, (":path", "/fields"), ("host", "localhost"))
    assert b"('HTTP_HOST', 'localhost')" in h2.get(block=block).body


def test_8_3_1_options_may_ask_about_the_server(h2):
    message = h2.get(block=plain((":method", "OPTIONS"), SCHEME, AUTHORITY, (":path", "*")))
    assert message.status in (200, 204, 404), message


def test_8_5_connect_is_no_way_to_a_tunnel(h2):
    stream = h2.open(block=plain((":method", "CONNECT"), (":authority", "localhost:22")), end=False)
    h2.send_anyway(frame(DATA, END_STREAM, stream, b"SSH-2.0"))
    got = h2.read()
    while got.kind not in (GOAWAY, RST_STREAM, HEADERS):
        h2.take(got)
        got = h2.read()
    if got.kind == HEADERS:
        h2.take(got)
        assert h2.messages[stream].status >= 400


# RFC 7541


@pytest.mark.parametrize("index", [0, 62, 70, 1 << 20], ids=str)
def test_hpack_6_1_an_index_without_an_entry_is_an_error(h2, index):
    h2.open(block=h2.encoder.encode(h2.pseudo()) + hpack_integer(index if index != 62 else 5000, 7, 0x80))
    ends(h2, COMPRESSION_ERROR)


def test_hpack_6_2_a_name_by_an_index_without_an_entry_is_an_error(h2):
    h2.open(block=plain(*h2.pseudo()) + hpack_integer(5000, 4) + b"\x01x")
    ends(h2, COMPRESSION_ERROR)


def test_hpack_4_2_a_size_update_at_the_end_of_a_block_is_an_error(h2):
    h2.open(block=plain(*h2.pseudo()) + b"\x20")
    ends(h2, COMPRESSION_ERROR)


def test_hpack_4_2_a_size_update_at_the_beginning_is_followed(h2):
    assert h2.get(block=b"\x20" + plain(*h2.pseudo())).status == 200


def test_hpack_6_3_a_table_larger_than_allowed_is_an_error(h2):
    size = h2.server_settings.get(HEADER_TABLE_SIZE, 4096)
    h2.open(block=hpack_integer(size + 1, 5, 0x20) + plain(*h2.pseudo()))
    ends(h2, COMPRESSION_ERROR)


@pytest.mark.parametrize(
    "huffman",
    # "a" is 00011; then eleven bits, or three with a zero among them, or the thirty bits of EOS.
    [b"\x1f\xff", b"\x1b", b"\x1f\xff\xff\xff\xff"],
    ids=["padding of more than 7 bits", "padding with zeros", "EOS"],
)
def test_hpack_5_2_a_wrong_huffman_code_is_an_error(h2, huffman):
    field = b"\x00\x01x" + bytes([0x80 | len(huffman)]) + huffman
    h2.open(block=plain(*h2.pseudo()) + field)
    ends(h2, COMPRESSION_ERROR)


def test_hpack_5_1_an_integer_without_end_is_an_error(h2):
    h2.open(block=plain(*h2.pseudo()) + b"\x00\x7f" + b"\xff" * 20 + b"\x01")
    ends(h2, COMPRESSION_ERROR)


def test_hpack_2_3_fields_are_found_in_the_table_again(h2):
    for _ in range(3):
        message = h2.get("/fields", fields=[("x-kept", "the same"), ("x-other", "v" * 100)])
        assert b"('HTTP_X_KEPT', 'the same')" in message.body and b"v" * 100 in message.body


def test_hpack_2_3_entries_leave_the_table_when_it_is_full(h2):
    for number in range(300):
        message = h2.get("/fields", fields=[("x-number", "%d" % number + "z" * 100)])
        assert b"'%dzzz" % number in message.body
