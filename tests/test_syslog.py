"""Syslog: messages in the form in which Gunicorn sends them, over each kind of socket."""

import re
import socket

import pytest

from wire import until

APPLICATION = """
    import logging
    def application(environ, start_response):
        if environ["PATH_INFO"] == "/raise":
            raise ValueError("broken-882")
        if environ["PATH_INFO"] == "/say":
            logging.getLogger("gunicorn.error").warning("own %s", "words")
        start_response("200 OK", [("Content-Length", "5")])
        return [b"hello"]
"""


def syslog(serve, to, *flags):
    return serve(APPLICATION, "--log-syslog", "--log-syslog-to", to, *flags)


def test_lines_go_to_syslog_and_to_the_error_log(serve, collect):
    daemon = collect()
    server = syslog(serve, "udp://127.0.0.1:%d" % daemon.port)
    said = "Listening at: http://127.0.0.1:%d (%d)" % (server.address[1], server.pid)
    wanted = "<14>gunicorn.app.application.error: [%d] %s" % (server.pid, said)
    assert daemon.wait(lambda message: said in message) == [wanted]
    server.log.wait(re.escape("[INFO] " + said))


def test_each_level_has_its_severity_and_a_traceback_is_one_message(serve, collect):
    daemon = collect()
    server = syslog(serve, "udp://127.0.0.1:%d" % daemon.port)
    server.get("/raise")
    failed = daemon.wait(lambda message: "Error handling request" in message)[0]
    assert re.match(r"<11>gunicorn\.app\.application\.error: \[\d+\] Error handling request GET /raise\n", failed)
    assert failed.endswith("ValueError: broken-882")
    server.get("/say")
    own = daemon.wait(lambda message: "own words" in message)[0]
    assert re.fullmatch(r"<12>gunicorn\.app\.application\.error: \[\d+\] own words", own)


def test_the_access_log_goes_there_too_without_a_file(serve, collect):
    daemon = collect()
    server = syslog(serve, "udp://127.0.0.1:%d" % daemon.port, "--log-syslog-prefix", "shop")
    server.get("/bought")
    line = daemon.wait(lambda message: "/bought" in message)[0]
    assert re.fullmatch(
        r'<14>gunicorn\.shop\.access: \[\d+\] 127\.0\.0\.1 - - \[[^]]+\] "GET /bought HTTP/1\.1" 200 5 "-" "-"', line
    )
    server.stop()
    assert server.output.lines == ["<end of the log>"]


def test_the_access_log_can_be_kept_out(serve, collect):
    daemon = collect()
    flags = ["--disable-redirect-access-to-syslog", "--access-logfile", "-"]
    server = syslog(serve, "udp://127.0.0.1:%d" % daemon.port, *flags)
    server.get("/bought")
    server.output.wait("/bought")
    server.stop()
    assert daemon.wait(lambda message: "Shutting down" in message)
    assert not daemon.matching(lambda message: "/bought" in message)


def test_the_facility_is_a_setting(serve, collect):
    daemon = collect()
    syslog(serve, "udp://127.0.0.1:%d" % daemon.port, "--log-syslog-facility", "local3")
    assert daemon.wait(lambda message: "Listening at" in message)[0].startswith("<158>")


@pytest.mark.parametrize("suffix", ["", "#dgram"])
def test_a_unix_socket_of_datagrams(serve, collect, tmp_path, suffix):
    path = str(tmp_path / "log")
    daemon = collect(family=socket.AF_UNIX, path=path)
    server = syslog(serve, "unix://" + path + suffix)
    server.get("/bought")
    daemon.wait(lambda message: "/bought" in message)


@pytest.mark.parametrize("suffix", ["", "#stream"])
def test_a_unix_stream_has_a_message_a_line(serve, collect, tmp_path, suffix):
    path = str(tmp_path / "log")
    daemon = collect(kind=socket.SOCK_STREAM, family=socket.AF_UNIX, path=path)
    server = syslog(serve, "unix://" + path + suffix)
    server.get("/raise")
    failed = daemon.wait(lambda message: "Error handling request" in message)[0]
    assert "#012Traceback" in failed and failed.endswith("ValueError: broken-882")


def test_tcp(serve, collect):
    daemon = collect(kind=socket.SOCK_STREAM)
    server = syslog(serve, "tcp://127.0.0.1:%d" % daemon.port)
    server.get("/bought")
    daemon.wait(lambda message: re.match(r"<14>gunicorn\.app\.application\.access: ", message))


def test_a_missing_syslog_daemon_does_not_block_and_is_used_once_it_starts(serve, collect, tmp_path):
    path = str(tmp_path / "log")
    server = syslog(serve, "unix://" + path)
    assert server.get().status == 200
    daemon = collect(family=socket.AF_UNIX, path=path)

    def arrives():
        server.get("/later")
        return daemon.matching(lambda message: "/later" in message)

    until(arrives)
