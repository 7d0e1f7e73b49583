"""The plain WSGI application of the benchmark: one route for each kind of work, no framework."""

import itertools
import os
import time

HELLO = b"Hello, World!"
TEN_KB = b"0123456789abcdef" * 640
SLEEP_SECONDS = 0.010
SURPRISE_SECONDS = 0.020
SURPRISE_EVERY = 50
COMPUTE_ROUNDS = int(os.environ.get("BENCH_COMPUTE_ROUNDS", "100000"))

# next() on a count is atomic, so exactly one call in fifty is slow however many threads call.
_surprises = itertools.count(1)


def application(environ, start_response):
    return ROUTES[environ["PATH_INFO"]](environ, start_response)


def hello(environ, start_response):
    return _answer(start_response, HELLO)


def generator(environ, start_response):
    """Yields the body in two chunks and tells nobody how long it is."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield HELLO[:7]
    yield HELLO[7:]


def ten_kb(environ, start_response):
    return _answer(start_response, TEN_KB)


def post(environ, start_response):
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    return _answer(start_response, b"%d" % len(body))


def sleep(environ, start_response):
    time.sleep(SLEEP_SECONDS)
    return _answer(start_response, HELLO)


def surprise(environ, start_response):
    if next(_surprises) % SURPRISE_EVERY == 0:
        time.sleep(SURPRISE_SECONDS)
    return _answer(start_response, HELLO)


def compute(environ, start_response):
    return _answer(start_response, b"%d" % sum_of_squares(COMPUTE_ROUNDS))


def sum_of_squares(rounds):
    """A loop in pure Python that holds the interpreter from its first round to its last."""
    total = 0
    for number in range(rounds):
        total += number * number
    return total


def _answer(start_response, body):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


ROUTES = {
    "/": hello,
    "/generator": generator,
    "/10kb": ten_kb,
    "/post": post,
    "/sleep": sleep,
    "/surprise": surprise,
    "/compute": compute,
}
