"""Clients that send requests while something happens to the server, and count every wrong answer."""

import collections
import threading

from wire import Wire, message


class Load:
    """`clients` threads; half of them open a connection for each request, half keep theirs. Use it as a context.

    A kept connection that the server closed between two requests, before a byte of an answer, is opened again: that race
    is the protocol's (RFC 9112 §9.3.1), not the server's. Everything else that is not a 200 is a failure. `connect` makes
    a connection; without it the connections are not encrypted.
    """

    def __init__(self, server, clients=8, target="/", connect=None):
        self.connect, self.target = connect or (lambda: Wire(server.address)), target
        self.failures, self.bodies = [], collections.Counter()
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.threads = [
            threading.Thread(target=self._run, args=(number % 2 == 0,), daemon=True) for number in range(clients)
        ]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(30)

    @property
    def answered(self):
        """Number of good answers so far."""
        with self.lock:
            return sum(self.bodies.values())

    def _run(self, keeps):
        wire = None
        while not self.stopping.is_set():
            try:
                reused = wire is not None
                if not wire:
                    wire = self.connect()
                try:
                    response = wire.request(message(target=self.target))
                except (AssertionError, OSError):
                    if reused and not wire.answering:
                        wire.close()
                        wire = None
                        continue
                    raise
                assert response.status == 200, response
                with self.lock:
                    self.bodies[response.body] += 1
                if not keeps or response.closes:
                    wire.close()
                    wire = None
            except (AssertionError, OSError) as failure:
                with self.lock:
                    self.failures.append(repr(failure))
                if wire:
                    wire.close()
                wire = None
        if wire:
            wire.close()
