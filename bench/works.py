"""The table of works: what is asked of a server, over how many connections, and the right answer."""

from dataclasses import dataclass

from apps.plain import HELLO, TEN_KB, sum_of_squares

# Families: a server's row says which it can do, and a work belongs to one.
FAST = "fast"  # short views: one thread is enough and is the fastest
BLOCKING = "blocking"  # views that wait or compute, beside a short one
EIGHT = "eight threads"  # the same with the number of threads given
IDLE = "idle"  # thousands of connections that wait
ACCESS_LOG = "access log"  # hello, with a line in a file for each request
WORKERS = "workers"  # several worker processes


@dataclass(frozen=True)
class Stream:
    """What one wrk asks for."""

    path: str
    connections: int
    expected: bytes
    post_bytes: int = 0


@dataclass(frozen=True)
class Work:
    """One row: an application and the streams that ask it at the same time."""

    name: str
    title: str
    family: str
    streams: tuple
    app: str = "plain:application"
    workers: int = 1
    idle_connections: int = 0


def table(compute_rounds):
    """All works. `compute_rounds` makes /compute last about 5 ms on this machine."""
    hello = Stream("/", 64, HELLO)
    beside = Stream("/", 16, HELLO)
    sleep = Stream("/sleep", 16, HELLO)
    computed = b"%d" % sum_of_squares(compute_rounds)
    # fmt: off
    return (
        Work("hello", "13 bytes, a list", FAST, (hello,)),
        Work("generator", "13 bytes in two chunks, no length", FAST, (Stream("/generator", 64, HELLO),)),
        Work("10kb", "a response of 10 KB", FAST, (Stream("/10kb", 64, TEN_KB),)),
        Work("post", "a request of 10 KB, read by the application", FAST,
             (Stream("/post", 64, b"10240", post_bytes=10240),)),
        Work("django", "Django, one view, three middlewares", FAST, (hello,), app="django_app:application"),
        Work("flask", "Flask, one view", FAST, (hello,), app="flask_app:application"),
        Work("mixed", "16 connections on a view that sleeps 10 ms, 16 on hello", BLOCKING, (beside, sleep)),
        Work("mixed8", "the same with 8 threads", EIGHT, (beside, sleep)),
        Work("surprises", "16 connections on a view of which 2 % sleep 20 ms, 16 on hello", BLOCKING,
             (beside, Stream("/surprise", 16, HELLO))),
        Work("compute", "4 connections on a view that computes for 5 ms, 16 on hello", BLOCKING,
             (beside, Stream("/compute", 4, computed))),
        Work("idle", "hello beside 8,000 idle connections", IDLE, (hello,), idle_connections=8000),
        Work("access-log", "hello with the access log on", ACCESS_LOG, (hello,)),
        Work("memory", "memory of 4 workers after hello", WORKERS, (hello,), workers=4),
        Work("memory-django", "memory of 4 workers after Django", WORKERS, (hello,),
             app="django_app:application", workers=4),
    )
    # fmt: on
