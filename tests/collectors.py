"""Sockets that collect the server's messages to statsd and syslog."""

import os
import socket
import threading
import time


class Collector:
    """Datagrams, or the lines of a stream, in the order in which they arrived."""

    def __init__(self, kind=socket.SOCK_DGRAM, family=socket.AF_INET, path=None):
        self.messages = []
        self.changed = threading.Condition()
        self.socket = socket.socket(family, kind)
        if family == socket.AF_UNIX:
            self.socket.bind(path)
        else:
            self.socket.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        self.path = path
        self.closed = False
        if kind == socket.SOCK_STREAM:
            self.socket.listen()
        threading.Thread(target=self._accept if kind == socket.SOCK_STREAM else self._receive, daemon=True).start()

    @property
    def port(self):
        """Its address."""
        return self.socket.getsockname()[1]

    def _receive(self):
        while not self.closed:
            try:
                self._note(self.socket.recv(65536))
            except OSError:
                return

    def _accept(self):
        while not self.closed:
            try:
                connection = self.socket.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection):
        with connection, connection.makefile("rb") as lines:
            for line in lines:
                self._note(line.rstrip(b"\n"))

    def _note(self, message):
        with self.changed:
            self.messages.append(message.decode())
            self.changed.notify_all()

    def matching(self, wanted):
        """Messages for which `wanted` is true."""
        with self.changed:
            return [message for message in self.messages if wanted(message)]

    def wait(self, wanted, count=1, timeout=15):
        """Waits for `count` messages for which `wanted` is true, and returns them."""
        deadline = time.monotonic() + timeout
        with self.changed:
            while True:
                found = [message for message in self.messages if wanted(message)]
                if len(found) >= count:
                    return found
                rest = deadline - time.monotonic()
                if rest <= 0:
                    raise AssertionError("only %d of %d in %r" % (len(found), count, self.messages))
                self.changed.wait(rest)

    def close(self):
        """Closes the socket."""
        self.closed = True
        self.socket.close()
        if self.path and not self.path.startswith("\0") and os.path.exists(self.path):
            os.unlink(self.path)
