"""A low-level HTTP client: it sends the given bytes and reads exactly one message at a time with a strict parser.

No client library is used, because they repair what a test must see: a missing CRLF, a second Content-Length, a message
that ends too early.
"""

import re
import socket
import struct
import time

STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2}) ([\t -~\x80-\xff]*)\Z")
FIELD_LINE = re.compile(
    rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*((?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?)[ \t]*\Z"
)
CHUNK_LINE = re.compile(rb"[0-9A-Fa-f]+\Z")


class Broken(AssertionError):
    """The server sent an invalid message."""


class Incomplete(AssertionError):
    """The connection ended in the middle of a message. `received` is the part that arrived."""

    def __init__(self, text, received):
        super().__init__("%s; received %r" % (text, received[-300:]))
        self.received = received


class Response:
    """One parsed response message."""

    def __init__(self, version, status, reason, fields):
        self.version, self.status, self.reason, self.fields = version, status, reason, fields
        self.body = b""
        self.chunks = None
        self.raw = b""

    def values(self, name):
        """All values of a field, in order."""
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def value(self, name):
        """The value of a field that may come at most once; None when it is absent."""
        found = self.values(name)
        assert len(found) <= 1, "field %s came %d times: %r" % (name, len(found), found)
        return found[0] if found else None

    @property
    def closes(self):
        """Whether the server announced that this is the connection's last message."""
        tokens = [token.strip().lower() for value in self.values("Connection") for token in value.split(",")]
        return "close" in tokens or (self.version == "1.0" and "keep-alive" not in tokens)

    @property
    def text(self):
        """The content as UTF-8."""
        return self.body.decode()

    def __repr__(self):
        return "<Response %d %s %r %r>" % (self.status, self.reason, self.fields, self.body[:200])


class Wire:
    """One connection. Every wait has a deadline of `timeout` seconds."""

    def __init__(self, address, timeout=15, receive_buffer=None):
        family = (
            socket.AF_UNIX
            if isinstance(address, (str, bytes))
            else (socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        )
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            if receive_buffer:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            self.socket.settimeout(timeout)
            self.socket.connect(address)
            if family != socket.AF_UNIX:
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            self.socket.close()
            raise
        self.timeout = timeout
        self.pending = b""
        self.ended = False
        self.answering = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, *pieces):
        """Sends each piece with a separate call."""
        for piece in pieces:
            self.socket.sendall(piece)

    def send_anyway(self, *pieces):
        """Sends until the server has closed, as a client that does not read the response yet."""
        try:
            self.send(*pieces)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def half_close(self):
        """Closes the sending side."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self):
        """Closes with a RST instead of a FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        """Closes the socket. Harmless when done twice."""
        self.socket.close()

    def _more(self):
        """Receives once; False at the end of the stream."""
        if self.ended:
            return False
        try:
            data = self.socket.recv(262144)
        except ConnectionResetError:
            self.ended = True
            return False
        except socket.timeout:
            raise AssertionError("nothing came for %s s; unparsed so far: %r" % (self.timeout, self.pending[-300:]))
        if not data:
            self.ended = True
            return False
        self.pending += data
        self.answering = True
        return True

    def _line(self, taken):
        while b"\n" not in self.pending:
            if not self._more():
                raise Incomplete("the connection ended within a line", b"".join(taken) + self.pending)
        line, self.pending = self.pending.split(b"\n", 1)
        taken.append(line + b"\n")
        if not line.endswith(b"\r") or b"\r" in line[:-1]:
            raise Broken("a line does not end with exactly CRLF: %r" % line)
        return line[:-1]

    def _exactly(self, length, taken):
        parts, have = [self.pending], len(self.pending)
        while have < length:
            self.pending = b""
            if not self._more():
                received = b"".join(parts)
                self.pending = b""
                raise Incomplete(
                    "the connection ended within the content (%d of %d bytes)" % (have, length),
                    b"".join(taken) + received,
                )
            parts.append(self.pending)
            have += len(self.pending)
        data = b"".join(parts)
        self.pending = data[length:]
        data = data[:length]
        taken.append(data)
        return data

    def _rest(self):
        parts = [self.pending]
        self.pending = b""
        while self._more():
            parts.append(self.pending)
            self.pending = b""
        return b"".join(parts)

    def read_response(self, head_only=False):
        """Reads one message, 1xx ones included, and leaves every byte after it unread."""
        taken = []
        response = self.read_head(taken)
        lengths, codings = response.values("Content-Length"), response.values("Transfer-Encoding")
        if len(lengths) > 1 or len(codings) > 1 or (lengths and codings):
            raise Broken("ambiguous framing: %r %r" % (lengths, codings))
        if lengths and not re.fullmatch("[0-9]+", lengths[0]):
            raise Broken("Content-Length is not digits: %r" % lengths)
        if response.status < 200 or response.status == 204:
            if lengths or codings:
                raise Broken("a %d must have no framing field: %r" % (response.status, response.fields))
        elif head_only or response.status == 304:
            pass
        elif codings:
            if codings != ["chunked"] or response.version != "1.1":
                raise Broken("Transfer-Encoding: %r on HTTP/%s" % (codings, response.version))
            response.chunks = list(self.read_chunks(taken))
            response.body = b"".join(response.chunks)
        elif lengths:
            response.body = self._exactly(int(lengths[0]), taken)
        else:
            if not response.closes:
                raise Broken(
                    "content delimited by the connection's end, but no Connection: close: %r" % response.fields
                )
            response.body = self._rest()
            taken.append(response.body)
        response.raw = b"".join(taken)
        return response

    def read_bytes(self, length):
        """Reads so many bytes that belong to no message, as after a change of protocol."""
        return self._exactly(length, [])

    def read_head(self, taken=None):
        """Reads status line and fields only."""
        taken = taken if taken is not None else []
        line = self._line(taken)
        match = STATUS_LINE.match(line)
        if not match:
            raise Broken("not a status line: %r" % line)
        fields = []
        while True:
            line = self._line(taken)
            if not line:
                break
            field = FIELD_LINE.match(line)
            if not field:
                raise Broken("not a field line: %r" % line)
            fields.append((field.group(1).decode(), field.group(2).decode("latin-1")))
        version, status, reason = match.groups()
        return Response("1." + version.decode(), int(status), reason.decode("latin-1"), fields)

    def read_chunk(self, taken=None):
        """Reads one chunk of a chunked message; b"" for the last one, after which nothing may follow but the end."""
        taken = taken if taken is not None else []
        line = self._line(taken)
        if not CHUNK_LINE.match(line):
            raise Broken("not a chunk size: %r" % line)
        size = int(line, 16)
        chunk = self._exactly(size, taken) if size else b""
        if self._line(taken) != b"":
            raise Broken("no CRLF after a chunk")
        return chunk

    def read_chunks(self, taken=None):
        """The chunks up to the last one."""
        while True:
            chunk = self.read_chunk(taken)
            if not chunk:
                return
            yield chunk

    def assert_closed(self):
        """The server sends no further byte and closes. A reset counts: the client could not tell it apart from a close."""
        while self._more():
            pass
        if self.pending:
            raise Broken("bytes after the last message: %r" % self.pending[:300])

    def assert_silent(self, seconds):
        """Nothing arrives for this long, and the connection stays open. For negative assertions only."""
        self.socket.settimeout(seconds)
        try:
            data = self.socket.recv(1)
        except socket.timeout:
            return
        finally:
            self.socket.settimeout(self.timeout)
        raise AssertionError("expected silence, got %r" % data)

    def request(self, raw, head_only=False):
        """Sends one request and reads its response. `answering` tells whether any byte of it came."""
        self.answering = bool(self.pending)
        self.send(raw)
        return self.read_response(head_only)


def until(condition, timeout=15, what=None):
    """Waits for a condition and returns its value; fails with a message when the deadline passes."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError("waited %s s in vain for: %s" % (timeout, what or condition))
        time.sleep(0.01)


def message(method="GET", target="/", body=b"", version="1.1", host="farrier.test", fields=()):
    """A well-formed request; Content-Length is set for a body."""
    lines = ["%s %s HTTP/%s" % (method, target, version)]
    if host is not None:
        lines.append("Host: " + host)
    lines += ["%s: %s" % field for field in fields]
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append("Content-Length: %d" % len(body))
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def cut(data, size):
    """The data in pieces, whose sizes in bytes are what `size()` returns one after the other."""
    while data:
        at = size()
        yield data[:at]
        data = data[at:]


def chunked(chunks, trailers=b""):
    """The chunked coding of the chunks."""
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks if chunk) + b"0\r\n" + trailers + b"\r\n"
