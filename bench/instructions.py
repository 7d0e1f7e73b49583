"""Counts the instructions of one hello request in a worker, with valgrind's callgrind, which does not depend on the load.

`python bench/instructions.py COMMAND [COMMAND ...]`, one command for each Farrier to compare. It needs `valgrind` (a Debian
package) and builds with `RUSTFLAGS="--cfg=rustix_use_libc"`, because valgrind does not know the direct system calls of rustix.
"""

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

APPS = Path(__file__).resolve().parent / "apps"
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
BODY = b"Hello, World!"
#: The difference of two runs leaves out the start and the end of the server.
FEW, MANY = 2_000, 12_000
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 60


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commands", nargs="+", metavar="COMMAND", help="a command that starts Farrier")
    for command in parser.parse_args().commands:
        per_request = (instructions(command, MANY) - instructions(command, FEW)) / (MANY - FEW)
        print(f"{per_request:9.1f} instructions a request  {command}", flush=True)


def instructions(command, requests):
    """The instructions of a worker that serves so many requests on one connection, start and end included."""
    with tempfile.TemporaryDirectory(prefix="farrier-callgrind-") as directory:
        port = free_port()
        tool = ["valgrind", "--tool=callgrind", "--trace-children=yes", f"--callgrind-out-file={directory}/out.%p"]
        server = subprocess.Popen(
            [*tool, *command.split(), "-b", f"127.0.0.1:{port}", "-w", "1", "plain:hello"],
            cwd=APPS,
            env=os.environ | {"PYTHONHASHSEED": "0"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            send(port, requests)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(STOP_SECONDS_MAX)
        # The arbiter serves nothing: its count is the smaller one.
        counts = [re.search(r"^summary: (\d+)", out.read_text(), re.M) for out in Path(directory).glob("out.*")]
        return max(int(count[1]) for count in counts if count)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def send(port, requests):
    """Sends requests one after the other, each when the response before it is complete."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=START_SECONDS_MAX)
            break
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                sys.exit("the server does not accept connections")
            time.sleep(0.1)
    with connection:
        for _ in range(requests):
            connection.sendall(REQUEST)
            received = b""
            while not received.endswith(BODY):
                piece = connection.recv(4096)
                if not piece:
                    sys.exit("the server closed the connection")
                received += piece


if __name__ == "__main__":
    main()
