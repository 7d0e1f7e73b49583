"""Slow clients: `python slow_readers.py PORT PATH COUNT` reads little by little on many connections until stdin ends.

Says "reading" once all have content, and at its end how many were still being served.
"""

import select
import socket
import sys
import time

BYTES_PER_TURN = 8192
TURN_SECONDS = 0.2


def main(port, path, count):
    """Opens the connections and reads from each a few times a second."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    clients = []
    for _ in range(count):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.settimeout(10)
        client.connect(("127.0.0.1", port))
        client.sendall(request)
        clients.append(client)
    for client in clients:
        if not client.recv(BYTES_PER_TURN).startswith(b"HTTP/1.1 200 "):
            sys.exit("no content")
        client.setblocking(False)
    print("reading", flush=True)
    living = set(clients)
    while not select.select([sys.stdin], [], [], TURN_SECONDS)[0]:
        for client in list(living):
            try:
                if not client.recv(BYTES_PER_TURN):
                    living.discard(client)
            except BlockingIOError:
                pass
            except OSError:
                living.discard(client)
        time.sleep(0)
    print(len(living), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
