"""What a request that takes too long leads to: the exception in its thread, and a description of all threads."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Iterable
from types import FrameType

#: Frames shown of one thread, innermost ones first of all.
FRAMES_MAX = 40


class RequestTimeout(BaseException):
    """Raised in the thread of a request that takes longer than ``request_timeout``.

    The client has its answer by then (504), or has been cut off if the response had begun. The exception is there so
    that the thread comes back: let it pass. ``finally`` clauses and context managers run as always, so locks are given
    back and transactions rolled back. Like :exc:`KeyboardInterrupt` it derives from :exc:`BaseException`, so that
    ``except Exception`` does not swallow it. A thread that waits inside a call into C hears of it when that call
    returns.
    """

    def __str__(self) -> str:
        return super().__str__() or "the request took longer than request_timeout"


def describe_threads(stuck: Iterable[int], whole: bool) -> str:
    """Tell what threads are doing, those first whose identifiers are in ``stuck``.

    :param whole: tell of all threads and not only of those in ``stuck``.
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


def _is_parked(frame: FrameType) -> bool:
    return frame.f_code.co_name == "run" and frame.f_globals.get("__name__") == "threading"
