"""The exception in the thread of a request that exceeds its timeout, and the stacks of all threads."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Iterable
from types import FrameType

#: The most frames shown of one thread; the innermost ones are kept.
FRAMES_MAX = 40


class RequestTimeout(BaseException):
    """Raised in the thread of a request that takes longer than ``request_timeout``.

    By then the client has got 504, or its connection was closed if the response had begun. The exception ends the call,
    so do not catch it. ``finally`` clauses and context managers run as usual, so locks are released and transactions
    rolled back. Like :exc:`KeyboardInterrupt` it derives from :exc:`BaseException`, so that ``except Exception`` does
    not swallow it. In a thread that waits inside a call into C it is raised when that call returns.
    """

    def __str__(self) -> str:
        return super().__str__() or "the request took longer than request_timeout"


def describe_threads(stuck: Iterable[int], whole: bool) -> str:
    """Return the stacks of threads, first of those whose identifiers are in ``stuck``.

    :param whole: include all threads and not only those in ``stuck``.
    """
    stuck = list(stuck)
    frames = sys._current_frames()
    # Not threading.enumerate(): it takes a lock that a stuck thread may hold.
    names = {identifier: thread.name for identifier, thread in list(getattr(threading, "_active", {}).items())}
    order = [identifier for identifier in stuck if identifier in frames]
    if whole:
        order += sorted(identifier for identifier in frames if identifier not in stuck)
    lines = []
    idle = 0
    for identifier in order:
        if identifier == threading.get_ident():
            continue
        name = names.get(identifier, "thread %d" % identifier)
        if identifier not in stuck and name.startswith("farrier-seat-") and _is_parked(frames[identifier]):
            idle += 1
            continue
        lines.append("Thread %s%s:" % (name, " (this request)" if identifier in stuck else ""))
        stack = traceback.extract_stack(frames[identifier])
        if len(stack) > FRAMES_MAX:
            lines.append("  (%d outer frames left out)" % (len(stack) - FRAMES_MAX))
        lines += "".join(traceback.format_list(stack[-FRAMES_MAX:])).rstrip("\n").split("\n")
    if idle:
        lines.append("%d idle thread%s of the server" % (idle, "" if idle == 1 else "s"))
    return "\n".join(lines)


def request_of(thread: int) -> str | None:
    """Return method and path of the request that a thread answers, from the environ in one of its frames."""
    frame, found = sys._current_frames().get(thread), None
    while frame is not None:
        # PEP 3333: the name is only a custom, so the keys must be there.
        environ = frame.f_locals.get("environ")
        if isinstance(environ, dict) and {"REQUEST_METHOD", "PATH_INFO"} <= environ.keys():
            # The outermost frame is the server's own call, before a framework moves parts of the path.
            found = "%s %s%s" % (environ["REQUEST_METHOD"], environ.get("SCRIPT_NAME", ""), environ["PATH_INFO"])
        frame = frame.f_back
    return found and found.encode("latin-1", "replace").decode("utf-8", "backslashreplace")


def _is_parked(frame: FrameType) -> bool:
    return frame.f_code.co_name == "run" and frame.f_globals.get("__name__") == "threading"
