"""A low-level HTTP/2 client: it sends the given frames, valid or not, and returns the received ones.

No client library is used, because they refuse to send what a test must send. `hpack` turns fields into bytes and back.
"""

import functools
import socket
import struct

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

# RFC 9113 §6 and §7.
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 0x1
END_HEADERS, PADDED, PRIORITIZED = 0x4, 0x8, 0x20
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = (
    range(1, 7)
)
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR = range(
    7
)
REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM, INADEQUATE_SECURITY, HTTP_1_1_REQUIRED = (
    range(7, 14)
)
ERRORS = (
    "NO_ERROR PROTOCOL_ERROR INTERNAL_ERROR FLOW_CONTROL_ERROR SETTINGS_TIMEOUT STREAM_CLOSED FRAME_SIZE_ERROR"
    " REFUSED_STREAM CANCEL COMPRESSION_ERROR CONNECT_ERROR ENHANCE_YOUR_CALM INADEQUATE_SECURITY HTTP_1_1_REQUIRED"
).split()


class Frame:
    """A received frame."""

    def __init__(self, kind, flags, stream, payload):
        self.kind, self.flags, self.stream, self.payload = kind, flags, stream, payload

    def has(self, flag):
        """Whether the flag is set."""
        return bool(self.flags & flag)

    @property
    def error(self):
        """The code of a RST_STREAM or GOAWAY."""
        return int.from_bytes(self.payload[:4] if self.kind == RST_STREAM else self.payload[4:8], "big")

    def __repr__(self):
        name = "DATA HEADERS PRIORITY RST_STREAM SETTINGS PUSH_PROMISE PING GOAWAY WINDOW_UPDATE CONTINUATION".split()
        said = ERRORS[self.error] if self.kind in (RST_STREAM, GOAWAY) and self.error < 14 else repr(self.payload[:60])
        return "<%s %#x on %d: %s>" % (name[self.kind], self.flags, self.stream, said)


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    """The bytes of a frame; `length` may be wrong."""
    length = len(payload) if length is None else length
    return struct.pack(">I", length)[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def settings(*pairs):
    """A SETTINGS frame with these (identifier, value) in this order."""
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", *pair) for pair in pairs))


def window_update(stream, increment):
    """A WINDOW_UPDATE frame."""
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def reset(stream, error=CANCEL):
    """A RST_STREAM frame."""
    return frame(RST_STREAM, 0, stream, struct.pack(">I", error))


def plain(*fields):
    """A field block of literals without indexing and without Huffman coding, so that it can contain anything."""
    block = b""
    for name, value in fields:
        block += b"\x00"
        for text in (name, value):
            text = text.encode("latin-1") if isinstance(text, str) else text
            block += hpack_integer(len(text), 7) + text
    return block


def hpack_integer(number, bits, high=0):
    """An integer with a prefix of so many bits (RFC 7541 §5.1)."""
    most = (1 << bits) - 1
    if number < most:
        return bytes([high | number])
    out, number = [high | most], number - most
    while number >= 128:
        out.append(number % 128 | 128)
        number //= 128
    return bytes([*out, number])


class Message:
    """A response."""

    def __init__(self):
        self.interim, self.fields, self.body, self.trailers, self.reset = [], [], b"", None, None

    @property
    def status(self):
        """Its status as a number."""
        return int(dict(self.fields)[":status"])

    def value(self, name):
        """The value of a field; None when it is absent."""
        return dict(self.fields).get(name)

    def __repr__(self):
        return "<Message %r %r %r>" % (self.fields, self.body[:100], self.reset)


class Connection:
    """One connection; preface and SETTINGS are exchanged unless `quiet`. Every wait has a deadline of `timeout` seconds.

    While `grants` is set, the windows are updated by the received amount.
    """

    def __init__(self, address, timeout=15, tls=None, with_settings=(), quiet=False, receive_buffer=None, grants=True):
        self.socket = socket.socket(socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX)
        self.socket.settimeout(timeout)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(address)
        if isinstance(address, tuple):
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.pseudo = functools.partial(self.pseudo, scheme="https")
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self.pending, self.ended, self.grants = b"", False, grants
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.decoder.max_header_list_size = 1 << 20
        self.next_stream = 1
        self.server_settings = {}
        self.messages = {}
        self.goaway_error = None
        self.acknowledged = False
        if not quiet:
            self.send(PREFACE, settings(*with_settings))
            first = self.read()
            assert first.kind == SETTINGS and not first.has(ACK), first
            self._note_settings(first)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Closes the socket."""
        self.socket.close()

    def send(self, *pieces):
        """Sends these bytes in one call."""
        self.socket.sendall(b"".join(pieces))

    def send_anyway(self, *pieces):
        """Sends to a server that may have closed already. Returns whether everything was sent."""
        try:
            self.send(*pieces)
        except OSError:
            return False
        return True

    def read(self):
        """The next frame; None when the connection has ended. SETTINGS and pings are answered by `read`'s users."""
        head = self._exactly(9)
        if head is None:
            return None
        length = int.from_bytes(head[:3], "big")
        assert length <= 16384, "a frame of %d bytes, more than was allowed" % length
        payload = self._exactly(length)
        assert payload is not None, "the connection ended within a frame"
        return Frame(head[3], head[4], int.from_bytes(head[5:9], "big") & 0x7FFFFFFF, payload)

    def _exactly(self, length):
        while len(self.pending) < length:
            try:
                more = b"" if self.ended else self.socket.recv(262144)
            except ConnectionError:
                more = b""
            except socket.timeout:
                raise AssertionError("nothing came for %s s" % self.socket.gettimeout())
            if not more:
                self.ended = True
                return None
            self.pending += more
        taken, self.pending = self.pending[:length], self.pending[length:]
        return taken

    def _note_settings(self, got):
        for position in range(0, len(got.payload), 6):
            identifier, value = struct.unpack_from(">HI", got.payload, position)
            self.server_settings[identifier] = value
        self.send_anyway(frame(SETTINGS, ACK))

    def open(self, method="GET", path="/", fields=(), end=True, stream=None, block=None):
        """Sends a HEADERS frame with a good request, or with this block of fields. Returns its stream."""
        stream = stream or self.next_stream
        self.next_stream = max(self.next_stream, stream + 2)
        if block is None:
            block = self.encoder.encode(self.pseudo(method, path) + list(fields))
        self.send(frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block))
        return stream

    @staticmethod
    def pseudo(method="GET", path="/", scheme="http"):
        """The pseudo-fields of a good request."""
        return [(":method", method), (":scheme", scheme), (":authority", "localhost"), (":path", path)]

    def get(self, path="/", **options):
        """One request and its response."""
        return self.response(self.open(path=path, **options))

    def response(self, stream):
        """Reads until this stream has ended."""
        while True:
            message = self.messages.get(stream)
            if message and message.ended:
                return message
            got = self.read()
            assert got, "the connection ended before the response on stream %d: %r" % (stream, self.messages)
            assert got.kind != GOAWAY or got.error == NO_ERROR, got
            self.take(got)

    def take(self, got):
        """Applies a received frame to the state: messages, settings, pings, the GOAWAY."""
        if got.kind == SETTINGS:
            if got.has(ACK):
                self.acknowledged = True
            else:
                self._note_settings(got)
        elif got.kind == PING and not got.has(ACK):
            self.send_anyway(frame(PING, ACK, 0, got.payload))
        elif got.kind == GOAWAY:
            self.goaway_error = got.error
        elif got.kind in (HEADERS, DATA, RST_STREAM):
            message = self.messages.get(got.stream)
            if not message:
                message = self.messages[got.stream] = Message()
                message.ended = False
            if got.kind == HEADERS:
                self._take_fields(message, got)
            elif got.kind == DATA:
                message.body += got.payload
                if self.grants and got.payload:
                    self.send_anyway(window_update(0, len(got.payload)), window_update(got.stream, len(got.payload)))
            else:
                message.reset = got.error
            message.ended = message.ended or got.kind == RST_STREAM or got.has(END_STREAM)

    def _take_fields(self, message, got):
        block = got.payload
        while not got.has(END_HEADERS):
            got_more = self.read()
            assert got_more.kind == CONTINUATION and got_more.stream == got.stream, got_more
            block += got_more.payload
            if got_more.has(END_HEADERS):
                break
        fields = [tuple(field) for field in self.decoder.decode(block)]
        if message.fields:
            message.trailers = fields
        elif dict(fields)[":status"].startswith("1"):
            message.interim.append(fields)
        else:
            message.fields = fields

    def ping(self, content=b"farrier!"):
        """Waits for the answer to a PING: the connection works, and everything that was sent before has been read."""
        self.send(frame(PING, 0, 0, content))
        while True:
            got = self.read()
            assert got, "the connection ended instead of answering a PING"
            assert got.kind != GOAWAY, got
            if got.kind == PING and got.has(ACK) and got.payload == content:
                return
            self.take(got)

    def ended_with(self):
        """Reads to the connection's end and returns the code of the last GOAWAY; None if there was none."""
        while got := self.read():
            self.take(got)
        return self.goaway_error

    def connection_error(self, *codes):
        """The server sends a GOAWAY with one of these codes, and closes (RFC 9113 §5.4.1)."""
        code = self.ended_with()
        assert code in codes, "%s instead of %s" % (
            "no GOAWAY" if code is None else ERRORS[code],
            " or ".join(ERRORS[wanted] for wanted in codes),
        )

    def stream_error(self, stream, *codes):
        """The stream is reset with one of these codes and the connection continues, or the connection ends with one
        (§5.4.2, §5.4)."""
        while True:
            got = self.read()
            assert got, "the connection ended without a reason"
            if got.kind == GOAWAY:
                assert got.error in codes, got
                self.ended_with()
                return
            self.take(got)
            if got.kind == RST_STREAM and got.stream == stream:
                assert got.error in codes, got
                self.ping()
                return

    def refused(self, stream):
        """A malformed request (§8.1.1): a 4xx response, or an error of the stream or of the connection."""
        while True:
            got = self.read()
            assert got, "the connection ended without a reason"
            if got.kind == GOAWAY:
                assert got.error == PROTOCOL_ERROR, got
                return
            self.take(got)
            message = self.messages.get(stream)
            if message and message.ended:
                if message.reset is None or message.fields:
                    assert 400 <= message.status < 500, message
                else:
                    assert message.reset == PROTOCOL_ERROR, message
                self.ping()
                return
