"""TLS 1.3 connections one after the other, each with one request: `python handshakes.py PORT SECONDS full|resumed`.

A process of its own, on the load's core. What a handshake costs is read at the server, so the client need not be fast.
"""

import json
import socket
import ssl
import subprocess
import sys
import time

REQUEST = b"GET /static/4k.bin HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def run(port, seconds, resumed, core):
    """{connections, seconds, cipher} of a run in a process on that core."""
    from load import LoadError

    command = ["taskset", "-c", str(core), sys.executable, __file__, str(port), str(seconds)]
    done = subprocess.run(
        [*command, "resumed" if resumed else "full"], capture_output=True, text=True, timeout=seconds + 30
    )
    if done.returncode:
        raise LoadError(f"handshakes: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout)


def main(port, seconds, kind):
    """Connects until the time is over; a connection that is not of this kind is an error."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    session = None
    if kind == "resumed":
        _, session, _ = _connect(context, port, None)
        if not session or not session.has_ticket:
            sys.exit("the server gave no ticket")
    connections, start = 0, time.monotonic()
    while time.monotonic() < start + seconds:
        was_resumed, latest, cipher = _connect(context, port, session)
        if was_resumed != (kind == "resumed"):
            sys.exit("a session was%s resumed" % ("" if was_resumed else " not"))
        # As browsers do it, a ticket is used once.
        session = session and latest
        connections += 1
    print(json.dumps({"connections": connections, "seconds": time.monotonic() - start, "cipher": cipher}))


def _connect(context, port, session):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname="localhost", session=session) as connection:
            connection.sendall(REQUEST)
            received = b""
            # A server may close without close_notify once all was sent; Content-Length tells.
            while b"\r\n\r\n" not in received or len(received.partition(b"\r\n\r\n")[2]) < 4096:
                more = connection.recv(16384)
                if not more:
                    sys.exit(f"closed after {received[:100]!r}")
                received += more
            if not received.startswith(b"HTTP/1.1 200 "):
                sys.exit(f"{received[:100]!r}")
            return connection.session_reused, connection.session, connection.cipher()[0]


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3])
