"""Starts a program as a service manager does (sd_listen_fds(3)): `activate.py NAME=ADDRESS… -- PROGRAM ARGUMENT…`.

An address is `HOST:PORT` or a path. It prints each socket to standard error, one line each.
"""

import os
import socket
import sys

FIRST_FD = 3

split = sys.argv.index("--")
sockets, names = [], []
for named in sys.argv[1:split]:
    name, _, address = named.partition("=")
    if address.startswith("/"):
        opened = socket.socket(socket.AF_UNIX)
        opened.bind(address)
        print("activated %s at unix:%s" % (name, address), file=sys.stderr)
    else:
        host, _, port = address.rpartition(":")
        opened = socket.socket()
        opened.bind((host, int(port)))
        print("activated %s at %s:%d" % ((name,) + opened.getsockname()), file=sys.stderr)
    opened.listen()
    sockets.append(os.dup2(opened.fileno(), 50 + len(sockets), inheritable=True))
    names.append(name)
    opened.close()

for number, fd in enumerate(sockets):
    os.dup2(fd, FIRST_FD + number, inheritable=True)
    os.close(fd)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(sockets)), LISTEN_FDNAMES=":".join(names))
sys.stderr.flush()
os.execv(sys.argv[split + 1], sys.argv[split + 1 :])
