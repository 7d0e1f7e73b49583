"""A session is resumed at any worker, with TLS 1.3 and 1.2, and never with a forged ticket."""

import contextlib
import signal
import subprocess

import pytest

from process import paused
from wire import message, until

APPLICATION = """
    import os


    def application(environ, start_response):
        content = b"worker %d." % os.getpid()
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(content)))])
        return [content]
"""


@pytest.fixture(scope="module")
def certificate(authority):
    return authority.issue("localhost")


def connect(server, authority, *flags):
    """One connection of `openssl s_client` with one request; whether it was resumed, and the worker that answered."""
    command = ["openssl", "s_client", "-connect", "127.0.0.1:%d" % server.address[1], "-servername", "localhost"]
    command += ["-CAfile", authority.pem, "-verify_return_error", "-ign_eof", *map(str, flags)]
    request = message(fields=[("Connection", "close")])
    printed = subprocess.run(command, input=request, capture_output=True, timeout=30).stdout.decode("latin-1")
    assert "Reused, " in printed or "New, " in printed, printed
    return "Reused, " in printed, int(printed.partition("worker ")[2].partition(".")[0])


@pytest.mark.parametrize("version", ["-tls1_3", "-tls1_2"])
def test_every_worker_resumes_every_session(serve, authority, certificate, tmp_path, version):
    # No worker is replaced because it stands still for long.
    server = serve(APPLICATION, "--certfile", certificate.both, "--workers", "4", "--timeout", "0")
    server.wait_booted(4)
    session = tmp_path / "session"
    reused, worker = connect(server, authority, version, "-sess_out", session)
    assert reused is False
    seen = [worker]
    with contextlib.ExitStack() as stopped:
        while len(seen) < 4:
            # A worker that has answered waits, so that another one answers next.
            stopped.enter_context(paused(seen[-1]))
            reused, worker = connect(server, authority, version, "-sess_in", session)
            assert reused is True and worker not in seen
            seen.append(worker)


def test_a_session_outlives_a_reload(serve, authority, certificate, tmp_path):
    server = serve(APPLICATION, "--certfile", certificate.both)
    session = tmp_path / "session"
    assert connect(server, authority, "-sess_out", session)[0] is False
    (worker,) = server.workers()
    server.kill(signal.SIGHUP)
    until(lambda: server.workers() and worker not in server.workers(), what="the next generation")
    assert connect(server, authority, "-sess_in", session)[0] is True


def test_a_ticket_is_good_for_one_more_key_and_then_no_more(serve, authority, certificate, tmp_path):
    server = serve(APPLICATION, "--certfile", certificate.both, "--tls-ticket-rotation", "2s")
    session = tmp_path / "session"
    assert connect(server, authority, "-tls1_2", "-sess_out", session)[0] is False
    assert connect(server, authority, "-tls1_2", "-sess_in", session)[0] is True
    until(lambda: not connect(server, authority, "-tls1_2", "-sess_in", session)[0], 20, "the end of the ticket")


@pytest.mark.parametrize("version", ["-tls1_3", "-tls1_2"])
def test_without_tickets_every_handshake_is_a_full_one(serve, authority, certificate, tmp_path, version):
    server = serve(APPLICATION, "--certfile", certificate.both, "--tls-ticket-rotation", "0")
    session = tmp_path / "session"
    connect(server, authority, version, "-sess_out", session)
    if session.exists():
        assert connect(server, authority, version, "-sess_in", session)[0] is False
