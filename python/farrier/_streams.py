"""The standard streams of the arbiter, which must never wait for a reader: what hooks and loggers print is bounded.

A worker gets the former streams back for what the application prints. Handlers of loggers still hold these.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from typing import Any


class _Process:
    """The streams of this process."""

    #: Takes whether it is standard error, and the bytes. It does not wait.
    put: Callable[[bool, bytes], None] | None = None
    #: Programs that an application forks have no thread that writes for them.
    pid = 0
    #: The former streams, by their names in ``sys``, and those in their place.
    replaced: dict[str, tuple[Any, Any]] = {}


def install(put: Callable[[bool, bytes], None]) -> None:
    """Replace standard output and standard error of the arbiter, unless the program has replaced them itself."""
    _Process.put = put
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        former = getattr(sys, name, None)
        if name in _Process.replaced or not isinstance(former, io.TextIOWrapper) or _number(former) != descriptor:
            continue
        former.flush()
        stream = io.TextIOWrapper(
            io.BufferedWriter(_Unwaiting(descriptor)),
            encoding=former.encoding,
            errors=former.errors,
            line_buffering=True,
        )
        setattr(sys, name, stream)
        _Process.replaced[name] = (former, stream)


def release(put: Callable[[bool, bytes], None] | None) -> None:
    """Give the former streams back: in a worker, and at the end.

    :param put: for handlers that hold a stream; ``None`` writes to the descriptor.
    """
    for name, (former, stream) in _Process.replaced.items():
        stream.flush()
        if getattr(sys, name) is stream:
            setattr(sys, name, former)
    # The streams in their place are kept: one that is collected would be closed.
    _Process.put, _Process.pid = put, os.getpid()


def _number(stream: Any) -> int | None:
    try:
        return int(stream.fileno())
    except (OSError, ValueError):
        return None


class _Unwaiting(io.RawIOBase):
    """The bytes of a standard stream."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: Any) -> int:
        if _Process.put is None or _Process.pid not in (0, os.getpid()):
            return os.write(self._descriptor, data)
        _Process.put(self._descriptor == 2, bytes(data))
        return len(data)
