"""A service manager for the server under test: the socket that receives its messages (sd_notify(3))."""

import os
import socket
import time


class Manager:
    """The socket of a service manager, and the received messages."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        name = address if isinstance(address, str) else os.fsdecode(address)
        self.environment = {"NOTIFY_SOCKET": "@" + name[1:] if name.startswith("\0") else name}
        self.heard = []

    def hear(self, timeout=15):
        """The next message as a dictionary; `None` if none comes in time."""
        self.socket.settimeout(timeout)
        try:
            text = self.socket.recv(4096).decode()
        except (socket.timeout, BlockingIOError):
            return None
        assert text.endswith("\n")
        message = dict(line.split("=", 1) for line in text.splitlines())
        self.heard.append(message)
        return message

    def wait(self, key, timeout=15):
        """The next message with this value."""
        deadline = time.monotonic() + timeout
        while True:
            message = self.hear(max(0.01, deadline - time.monotonic()))
            assert message is not None, "no message with %s: %r" % (key, self.heard)
            if key in message:
                return message
