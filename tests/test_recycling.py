"""Recycling: a worker at its limit of requests, age or memory is replaced, and the new one is ready before the old one
leaves."""

import os

import pytest

from load import Load
from wire import until

APPLICATION = """
    import os

    HELD = []

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/grow":
            HELD.append(bytearray(b"x") * (200 << 20))
        body = b"%d" % os.getpid()
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]
"""


def living(server):
    """The number of running workers, after each log line about a start or an end."""
    number, numbers = 0, []
    for match in server.log.find(r"(Booting) worker with pid|Worker exiting"):
        number += 1 if match.group(1) else -1
        numbers.append(number)
    return numbers


RECYCLED = r"Autorestarting worker after current request\."


@pytest.mark.parametrize("workers, flags", [(1, []), (3, ["--max-requests-jitter", 20])], ids=["one", "three"])
def test_workers_are_recycled_under_load_without_losing_a_request_or_a_seat(serve, workers, flags):
    server = serve(APPLICATION, "--workers", workers, "--max-requests", 50, *flags)
    server.wait_booted(workers)
    with Load(server, 4) as load:
        until(lambda: len(server.log.find(RECYCLED)) >= 20 and load.answered > 1000, 60, "twenty recycled workers")
    assert load.failures == []
    assert min(living(server)[workers:]) >= workers, "a worker left before its successor came"
    assert max(living(server)) <= 2 * workers + 2, "too many at once"
    assert not server.log.find("SIGKILL|WORKER TIMEOUT"), server.log.text
    assert len(load.bodies) >= 15, "the successors serve"


def test_a_worker_for_each_request_is_allowed(serve):
    server = serve(APPLICATION, "--max-requests", 1)
    seen = set()

    def many():
        response = server.get()
        assert response.status == 200
        seen.add(response.text)
        return len(seen) >= 6

    until(many, 60, "six different workers")


def test_without_a_limit_no_worker_is_recycled(serve):
    server = serve(APPLICATION)
    first = server.get().text
    for _ in range(200):
        assert server.get().text == first
    assert not server.log.find(RECYCLED)


def test_a_worker_is_replaced_when_it_has_lived_long_enough(serve):
    server = serve(APPLICATION, "--max-worker-lifetime", 1, "--max-worker-lifetime-jitter", 0.5)
    seen = set()
    with Load(server, 2) as load:
        until(lambda: len(load.bodies) >= 4, 30, "four different workers")
        seen.update(load.bodies)
    assert load.failures == []
    server.log.wait(r"Worker \(pid:\d+\) has lived for \d+ s and is replaced", count=3)


def test_a_worker_that_has_grown_too_large_is_replaced(serve):
    server = serve(APPLICATION, "--max-worker-rss", "150MiB")
    first = server.get().text
    assert server.get("/grow").text == first
    server.log.wait(r"Worker \(pid:%s\) holds \d+ MiB, more than 150 MiB, and is replaced" % first)
    until(lambda: server.get().text != first, 30, "the successor to answer")
    until(lambda: len(server.workers()) == 1, 30, "the large worker to leave")
    second = server.get().text
    assert os.path.exists("/proc/%s" % second)
    assert len(server.log.find("and is replaced")) == 1


def test_a_successor_that_cannot_boot_is_tried_again_and_the_old_worker_serves_on(serve):
    server = serve(APPLICATION, "--max-requests", 20)
    first = server.get().text
    with Load(server, 2) as load:
        server.write("app.py", "raise RuntimeError('broken-901')\n")
        server.log.wait("RuntimeError: broken-901", count=3, timeout=30)
        mark = server.log.mark()
        before = load.answered
        until(lambda: load.answered > before + 50, what="answers of the old worker")
        server.write("app.py", APPLICATION)
        server.log.wait("Booting worker", since=mark, timeout=30)
        until(lambda: len(load.bodies) >= 2, 30, "the successor to answer")
    assert load.failures == []
    assert first in {body.decode() for body in load.bodies}
