"""Starts the servers that have no command of their own: `embed.py bjoern|fastpysgi MODULE:CALLABLE PORT WORKERS`."""

import importlib
import os
import sys


def main():
    server, target, port, workers = sys.argv[1:]
    module, _, name = target.partition(":")
    application = getattr(importlib.import_module(module), name)
    SERVERS[server](application, int(port), int(workers))


def bjoern(application, port, workers):
    """bjoern's own way to several workers: listen, then fork."""
    import bjoern

    bjoern.listen(application, "127.0.0.1", port)
    for _ in range(workers - 1):
        if os.fork() == 0:
            break
    bjoern.run()


def fastpysgi(application, port, workers):
    import fastpysgi

    fastpysgi.run(application, host="127.0.0.1", port=port, workers=workers)


SERVERS = {"bjoern": bjoern, "fastpysgi": fastpysgi}

if __name__ == "__main__":
    main()
