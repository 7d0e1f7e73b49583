"""A scripted server behind a proxy: it sends the given bytes, valid or not, and records exactly what it received.

One server is shared by the tests of a module. A test adds a case, and the last segment of a request's path chooses it.
"""

import array
import fcntl
import itertools
import os
import socket
import struct
import termios
import threading
import time

from wire import message, until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

# Steps of a script besides bytes to send, and functions that are called with the conversation and the request.
CLOSE, RESET, HALF_CLOSE, WAIT_CLOSED = "close", "reset", "half-close", "wait until the proxy has closed"


class Over(Exception):
    """The proxy has closed the connection."""


class Received:
    """One request as it came."""

    def __init__(self, head, number):
        self.head, self.number = head, number
        #: Bytes behind the head, and what they mean.
        self.framed, self.content = b"", b""

    @property
    def line(self):
        """The request line."""
        return self.head.split(b"\r\n", 1)[0].decode("latin-1")

    @property
    def fields(self):
        """Names and values, in order."""
        lines = self.head.decode("latin-1").split("\r\n")[1:-2]
        return [tuple(line.split(": ", 1)) for line in lines]

    def values(self, name):
        """All values of a field."""
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def value(self, name):
        """The value of a field that may come at most once; None when it is absent."""
        found = self.values(name)
        assert len(found) <= 1, "field %s came %d times: %r" % (name, len(found), self.head)
        return found[0] if found else None

    def __repr__(self):
        return "<Received on connection %d: %r %r>" % (self.number, self.head, self.framed[:200])


class Conversation:
    """One connection of the proxy. Its script runs in a thread of its own; every wait has a deadline."""

    def __init__(self, sock, number):
        self.socket, self.number = sock, number
        self.socket.settimeout(30)
        self.received, self.pending = b"", b""
        self.is_closed = threading.Event()

    def more(self, most=262144):
        """Receives once."""
        try:
            data = self.socket.recv(most)
        except OSError:
            data = b""
        if not data:
            raise Over
        self.received += data
        self.pending += data

    def take(self, count):
        """Exactly so many bytes."""
        while len(self.pending) < count:
            self.more()
        taken, self.pending = self.pending[:count], self.pending[count:]
        return taken

    def take_until(self, mark):
        """Everything up to the mark, with it."""
        while mark not in self.pending:
            self.more()
        return self.take(self.pending.index(mark) + len(mark))

    def read_content(self, request):
        """Reads a request's content by its framing."""
        length, coding = request.value("Content-Length"), request.value("Transfer-Encoding")
        assert not (length and coding), request
        if length:
            request.framed = request.content = self.take(int(length))
        while coding:
            line = self.take_until(b"\r\n")
            rest = self.take(int(line, 16) + 2)
            request.framed += line + rest
            request.content += rest[:-2]
            if line == b"0\r\n":
                break
        return request.content

    def send(self, *pieces):
        """Sends each piece with a separate call."""
        for piece in pieces:
            try:
                self.socket.sendall(piece)
            except OSError:
                raise Over

    def half_close(self):
        """Ends the sending side."""
        self.socket.shutdown(socket.SHUT_WR)

    def close(self):
        """Closes. Done twice it is harmless."""
        self.socket.close()
        self.is_closed.set()
        raise Over

    def reset(self):
        """Closes with a RST instead of a FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def wait_closed(self):
        """Reads until the proxy has closed its side."""
        while True:
            self.more()

    def follow(self, steps, request):
        """Follows a script."""
        for step in steps if isinstance(steps, list) else [steps]:
            if isinstance(step, bytes):
                self.send(step)
            elif callable(step):
                step(self, request)
            else:
                {CLOSE: self.close, RESET: self.reset, HALF_CLOSE: self.half_close, WAIT_CLOSED: self.wait_closed}[
                    step
                ]()


class Case:
    """A script, the requests that it answered, and the way to it through the proxy."""

    def __init__(self, upstream, name, steps, reads_content):
        self.upstream, self.name, self.steps, self.reads_content = upstream, name, steps, reads_content
        self.requests, self.conversations = [], []

    def path(self, below="/"):
        """Its path below a mount."""
        return below.rstrip("/") + "/" + self.name

    def message(self, method="GET", below="/", query="", **rest):
        """A request that reaches it."""
        return message(method, self.path(below) + query, **rest)

    def wait_requests(self, count):
        """Waits until it was asked so often."""
        until(lambda: len(self.requests) >= count, 15, "%d requests at %s" % (count, self.name))
        return self.requests[count - 1]

    @property
    def request(self):
        """The only request that it got, once it came."""
        self.wait_requests(1)
        assert len(self.requests) == 1, self.requests
        return self.requests[0]

    @property
    def connection(self):
        """The connection of the last request."""
        self.wait_requests(1)
        return self.conversations[-1]


class Gate:
    """A step that waits until the test opens it; then it stays open."""

    def __init__(self):
        self.event = threading.Event()

    def open(self):
        """Lets the script go on."""
        self.event.set()

    def __call__(self, conversation, request):
        assert self.event.wait(15), "the gate was not opened"


def delivered(conversation, request):
    """A step that waits until the proxy's socket has taken everything: a reset would discard what it has not."""
    left = array.array("i", [1])
    until(
        lambda: not fcntl.ioctl(conversation.socket, termios.TIOCOUTQ, left) and not left[0], 5, "the bytes to arrive"
    )
    # The proxy reads what its socket has.
    time.sleep(0.01)


class Upstream:
    """The server. `address` is a host and a port, or a path."""

    def __init__(self, path=None, backlog=128, address=("127.0.0.1", 0)):
        self.listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        if not path:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(path or address)
        self.listener.listen(backlog)
        self.address = path or self.listener.getsockname()
        self.cases, self.names = {}, itertools.count()
        self.conversations, self.failures = [], []
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    @property
    def url(self):
        """For `proxy`."""
        return "http://%s:%d" % self.address if isinstance(self.address, tuple) else "http://unix:" + self.address

    @property
    def authority(self):
        """`host:port`."""
        return "%s:%d" % self.address

    def on(self, steps=OK, reads_content=True):
        """Adds a case: bytes to send, a function, or a list of both and of the steps above."""
        name = "case%d" % next(self.names)
        self.cases[name] = Case(self, name, steps, reads_content)
        return self.cases[name]

    def open_connections(self):
        """Connections that neither side has closed."""
        return [conversation for conversation in self.conversations if not conversation.is_closed.is_set()]

    def close(self):
        """Closes the listener and all connections."""
        # A thread that waits in accept is woken by this only.
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for conversation in self.conversations:
            try:
                conversation.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.thread.join(5)
        if isinstance(self.address, str) and os.path.exists(self.address):
            os.unlink(self.address)

    def _accept(self):
        for number in itertools.count():
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            if sock.family == socket.AF_INET:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            conversation = Conversation(sock, number)
            self.conversations.append(conversation)
            threading.Thread(target=self._converse, args=(conversation,), daemon=True).start()

    def _converse(self, conversation):
        try:
            while True:
                request = Received(conversation.take_until(b"\r\n\r\n"), conversation.number)
                name = request.line.split(" ")[1].partition("?")[0].rpartition("/")[2]
                case = self.cases[name]
                if case.reads_content:
                    conversation.read_content(request)
                case.conversations.append(conversation)
                case.requests.append(request)
                conversation.follow(case.steps, request)
        except Over:
            pass
        except Exception as failure:
            self.failures.append(failure)
        finally:
            conversation.socket.close()
            conversation.is_closed.set()
