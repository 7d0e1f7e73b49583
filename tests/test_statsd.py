"""Metrics for statsd: the same packets as Gunicorn's, without delaying requests."""

import re
import signal
import socket
import textwrap

import pytest

from wire import until

APPLICATION = """
    def application(environ, start_response):
        if environ["PATH_INFO"] == "/raise":
            raise ValueError("broken-881")
        start_response("404 Not Found" if environ["PATH_INFO"] == "/missing" else "200 OK", [])
        return [b"hello"]
"""


def about_requests(message):
    return "gunicorn.request" in message


def test_a_request_sends_gunicorns_three_packets(serve, collect):
    statsd = collect()
    server = serve(APPLICATION, "--statsd-host", "127.0.0.1:%d" % statsd.port)
    server.get("/missing")
    duration, counted, status = statsd.wait(about_requests, 3)
    assert re.fullmatch(r"gunicorn\.request\.duration:\d+\.\d+\|ms", duration)
    assert counted == "gunicorn.requests:1|c|@1.0"
    assert status == "gunicorn.request.status.404:1|c|@1.0"
    server.get()
    assert statsd.wait(about_requests, 6)[5] == "gunicorn.request.status.200:1|c|@1.0"


@pytest.mark.parametrize("prefix", ["site.web", "site.web.", "s"])
def test_a_prefix_gets_a_dot_and_tags_stand_behind(serve, collect, prefix):
    statsd = collect()
    flags = ["--statsd-host", "127.0.0.1:%d" % statsd.port, "--statsd-prefix", prefix, "--dogstatsd-tags", "a:b,c:d"]
    server = serve(APPLICATION, *flags)
    server.get()
    packets = statsd.wait(about_requests, 3)
    dotted = prefix.rstrip(".") + "."
    assert packets[1:] == [
        dotted + "gunicorn.requests:1|c|@1.0|#a:b,c:d",
        dotted + "gunicorn.request.status.200:1|c|@1.0|#a:b,c:d",
    ]
    assert re.fullmatch(re.escape(dotted) + r"gunicorn\.request\.duration:[0-9.]+\|ms\|#a:b,c:d", packets[0])


def test_packets_go_over_ipv6(serve, collect):
    statsd = collect(family=socket.AF_INET6)
    server = serve(APPLICATION, "--statsd-host", "[::1]:%d" % statsd.port)
    server.get()
    statsd.wait(about_requests, 3)


def test_packets_go_to_a_unix_socket_that_may_come_and_go(serve, collect, tmp_path):
    path = str(tmp_path / "statsd.sock")
    server = serve(APPLICATION, "--statsd-host", "unix://" + path)
    assert server.get().status == 200
    statsd = collect(family=socket.AF_UNIX, path=path)

    def arrives():
        server.get()
        return statsd.matching(about_requests)

    until(arrives)


def test_the_number_of_workers_is_sent_when_it_changes(serve, collect):
    statsd = collect()
    server = serve(APPLICATION, "--workers", 2, "--statsd-host", "127.0.0.1:%d" % statsd.port)
    gauges = lambda message: message.startswith("gunicorn.workers:")  # noqa: E731
    assert statsd.wait(gauges)[-1] == "gunicorn.workers:2|g"
    server.wait_booted(2)
    server.get()
    server.kill(signal.SIGTTIN)
    assert statsd.wait(gauges, 2) == ["gunicorn.workers:2|g", "gunicorn.workers:3|g"]
    server.kill(signal.SIGTTOU)
    assert statsd.wait(gauges, 3)[2] == "gunicorn.workers:2|g"


def test_lines_that_matter_are_counted(serve, collect):
    statsd = collect()
    server = serve(APPLICATION, "--statsd-host", "127.0.0.1:%d" % statsd.port)
    assert server.get("/raise").status == 500
    statsd.wait(lambda message: message == "gunicorn.log.exception:1|c|@1.0")
    server.exchange(b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n")
    statsd.wait(lambda message: message == "gunicorn.log.warning:1|c|@1.0")


def test_a_refusal_is_no_request_as_in_gunicorn(serve, collect):
    statsd = collect()
    server = serve(APPLICATION, "--statsd-host", "127.0.0.1:%d" % statsd.port)
    server.exchange(b"BROKEN\r\n\r\n")
    server.get()
    statuses = lambda message: "request.status" in message  # noqa: E731
    assert statsd.wait(statuses) == ["gunicorn.request.status.200:1|c|@1.0"]


def test_the_kernels_queue_is_sent_if_that_is_set(serve, collect):
    statsd = collect()
    server = serve(APPLICATION, "--statsd-host", "127.0.0.1:%d" % statsd.port, "--enable-backlog-metric")
    server.get()
    found = statsd.wait(lambda message: "gunicorn.backlog" in message, 2)
    assert all(re.fullmatch(r"gunicorn\.backlog:\d+\|h", message) for message in found)


def test_the_kernels_queue_is_not_sent_by_default(serve, collect):
    statsd = collect()
    server = serve(APPLICATION, "--statsd-host", "127.0.0.1:%d" % statsd.port)
    server.get()
    server.stop()
    assert statsd.wait(about_requests, 3)
    assert not statsd.matching(lambda message: "backlog" in message)


CONFIGURED = """
    statsd_host = "127.0.0.1:%d"
    def post_request(worker, req, environ, resp):
        worker.log.info("", extra={"metric": "shop.sales", "value": 3, "mtype": "counter"})
        worker.log.info("sold", extra={"metric": "shop.stock", "value": 7, "mtype": "gauge"})
        worker.log.warning("low")
        worker.log.debug("", extra={"metric": "shop.pause", "value": 1.5, "mtype": "timer"})
        worker.log.info("", extra={"metric": "shop.basket", "value": 2, "mtype": "histogram"})
"""


def test_a_line_may_carry_a_metric(serve, collect, tmp_path):
    statsd = collect()
    (tmp_path / "gunicorn.conf.py").write_text(textwrap.dedent(CONFIGURED % statsd.port))
    server = serve(APPLICATION, directory=tmp_path)
    server.get()
    sent = statsd.wait(lambda message: message.startswith("shop."), 4)
    assert sent == ["shop.sales:3|c|@1.0", "shop.stock:7|g", "shop.pause:1.5|ms", "shop.basket:2|h"]
    statsd.wait(lambda message: message == "gunicorn.log.warning:1|c|@1.0")
    server.log.wait(r"\[INFO\] sold$")
    server.log.wait(r"\[WARNING\] low$")


def test_a_collector_that_is_not_there_costs_nothing_but_its_metrics(serve):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    server = serve(APPLICATION, "--statsd-host", "127.0.0.1:%d" % port)
    assert [server.get().status for _ in range(20)] == [200] * 20
    assert not server.log.find("statsd")
