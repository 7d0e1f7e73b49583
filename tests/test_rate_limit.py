"""The limit of requests per client (`rate_limit`), counted by all workers together."""

import collections
import os
import shutil
import subprocess
import threading
from functools import partial

import pytest

from wire import message, until

ECHO = """
    import os

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"%d" % os.getpid()]
"""

#: An hour between two requests: no test lasts long enough for another.
SLOW = ("--rate-limit", "1/h burst 5")


def statuses(server, count, fields=(), target="/"):
    """Each on a new connection, so that any worker may accept it."""
    return [server.get(target, fields).status for _ in range(count)]


def test_without_a_limit_there_is_none(serve):
    assert set(statuses(serve(ECHO), 50)) == {200}


def test_a_burst_is_admitted_and_the_next_request_is_429_until_its_time_comes(serve):
    server = serve(ECHO, *SLOW)
    assert statuses(server, 5) == [200] * 5
    response = server.get()
    assert response.status == 429 and response.reason == "Too Many Requests"
    # The interval is an hour, and it has begun.
    assert 3500 < int(response.value("Retry-After")) <= 3600
    assert response.text.startswith("429 Too Many Requests\n")


def test_a_refusal_leaves_the_connection_as_it_is(serve):
    server = serve(ECHO, *SLOW)
    with server.connect() as wire:
        answers = [wire.request(message("POST", body=b"x" * 100)) for _ in range(8)]
    assert [answer.status for answer in answers] == [200] * 5 + [429] * 3
    assert not any(answer.closes for answer in answers)


def test_four_workers_count_together(serve):
    server = serve(ECHO, "--workers", 4, "--rate-limit", "1/h burst 40")
    server.wait_booted(4)
    found, lock = collections.Counter(), threading.Lock()

    def ask():
        for _ in range(20):
            response = server.get()
            with lock:
                found[response.status] += 1
                if response.status == 200:
                    found[response.text] += 1

    # The first comes alone, so that the client is in the table for all others.
    assert server.get().status == 200
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (found[200], found[429]) == (39, 121)


def test_counts_survive_a_worker_and_a_reload(serve):
    server = serve(ECHO, "--workers", 2, *SLOW)
    server.wait_booted(2)
    assert statuses(server, 5) == [200] * 5
    before = set(server.workers())
    for pid in before:
        server.kill(9, pid)
    until(lambda: len(server.workers()) == 2 and not before & set(server.workers()), 15, "new workers")
    assert statuses(server, 3) == [429] * 3
    server.kill(1)
    server.wait_booted(6)
    assert statuses(server, 3) == [429] * 3


@pytest.fixture(scope="module")
def proxied(serve_module):
    return serve_module(ECHO, *SLOW, "--trusted-proxy", "127.0.0.1", "--livez-path", "/livez", "--workers", 2)


def test_the_client_is_the_one_that_the_trusted_proxy_names(proxied):
    for address in ("203.0.113.1", "203.0.113.2", "2001:db8:1::1"):
        fields = [("X-Forwarded-For", address)]
        assert statuses(proxied, 7, fields) == [200] * 5 + [429] * 2, address


def test_a_network_of_ipv6_is_one_client(proxied):
    found = [proxied.get(fields=[("X-Forwarded-For", "2001:db8:2::%x" % last)]).status for last in range(1, 8)]
    assert found == [200] * 5 + [429] * 2
    assert proxied.get(fields=[("X-Forwarded-For", "2001:db8:2:1::1")]).status == 200


def test_a_trusted_proxy_that_asks_for_itself_is_not_limited(proxied):
    assert statuses(proxied, 10) == [200] * 10


def test_questions_about_health_are_not_counted(serve):
    server = serve(ECHO, *SLOW, "--livez-path", "/livez")
    assert statuses(server, 10, target="/livez") == [200] * 10
    assert statuses(server, 6) == [200] * 5 + [429]
    assert server.get("/livez").status == 200


def test_peers_on_a_unix_socket_are_not_limited(serve, tmp_path):
    server = serve(ECHO, *SLOW, bind=["unix:%s" % (tmp_path / "socket")])
    assert {server.exchange(message()).status for _ in range(10)} == {200}


def test_the_log_reports_it_at_intervals(serve):
    server = serve(ECHO, *SLOW, "--access-logfile", "-", "--access-logformat", "%(s)s")
    statuses(server, 25)
    server.output.wait("^429$", count=20)
    assert len(server.log.find("Refused .*request.*, the last from 127.0.0.1 \\(429")) == 1


def test_streams_of_http2_are_counted_and_have_names(serve):
    curl = shutil.which("curl")
    if not curl:
        pytest.skip("needs curl")
    server = serve(ECHO, *SLOW, "--http2-cleartext", "prior-knowledge", "--request-id-header", "X-Request-ID")
    written = "%{http_version} %{http_code} %header{x-request-id}"
    command = [
        curl,
        "-sS",
        "--http2-prior-knowledge",
        "-o",
        os.devnull,
        "-w",
        written,
        "http://%s:%d/" % server.address,
    ]
    ask = partial(subprocess.run, command, capture_output=True, text=True, check=True, timeout=20)
    answers = [ask().stdout.split() for _ in range(8)]
    assert [answer[:2] for answer in answers] == [["2", "200"]] * 5 + [["2", "429"]] * 3
    assert len({answer[2] for answer in answers}) == 8


def test_nginxs_way_of_writing_it_is_understood(serve):
    server = serve(ECHO, "--rate-limit", "1r/h burst=2")
    assert statuses(server, 3) == [200, 200, 429]


@pytest.mark.parametrize("value", ["10", "0/s", "10/y", "10/s burst 0", "ten/s"])
def test_an_invalid_rate_is_an_error_at_the_start(serve, value):
    server = serve(ECHO, settings='rate_limit = "%s"' % value, listening=False)
    assert server.wait_exit() == 1
    server.log.wait("farrier.toml.*rate_limit")
