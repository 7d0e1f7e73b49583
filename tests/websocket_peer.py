"""A WebSocket server behind the proxy, by the `websockets` package, and the frames of RFC 6455 as bytes."""

import os
import struct
import threading

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
GOING_AWAY = 1001


def encoded(opcode, payload, is_last=True, mask=True):
    """A frame (RFC 6455 §5.2); a client's is masked."""
    length = len(payload)
    bit = 0x80 if mask else 0
    if length < 126:
        head = bytes([bit | length])
    elif length < 1 << 16:
        head = struct.pack(">BH", bit | 126, length)
    else:
        head = struct.pack(">BQ", bit | 127, length)
    head = bytes([(0x80 if is_last else 0) | opcode]) + head
    if not mask:
        return head + payload
    key = os.urandom(4)
    repeated = key * (length // 4 + 1)
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(repeated[:length], "big")
    return head + key + masked.to_bytes(length, "big")


def decoded(received):
    """The first frame of a server: its opcode, its payload, and what follows; None if it is incomplete."""
    if len(received) < 2:
        return None
    length, at = received[1] & 127, 2
    if length > 125:
        size = 2 if length == 126 else 8
        if len(received) < 2 + size:
            return None
        length, at = int.from_bytes(received[2 : 2 + size], "big"), 2 + size
    if len(received) < at + length:
        return None
    return received[0] & 15, received[at : at + length], received[at + length :]


class WebSocketServer:
    """Sends every message back. `codes`: how connections were closed; `requests`: their heads."""

    def __init__(self, **options):
        self.codes, self.requests, self.connections = [], [], []
        self.server = serve(self._echo, "127.0.0.1", 0, compression=None, max_size=None, **options)
        self.port = self.server.socket.getsockname()[1]
        self.url = "http://127.0.0.1:%d" % self.port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def _echo(self, connection):
        self.requests.append(connection.request)
        self.connections.append(connection)
        try:
            while True:
                connection.send(connection.recv())
        except ConnectionClosed as closed:
            self.codes.append(closed.rcvd.code if closed.rcvd else None)

    def close(self):
        """Ends it and its connections."""
        self.server.shutdown()
