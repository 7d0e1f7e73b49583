"""Views that fork: only the worker answers and serves, whatever the forked process does."""

import signal
import socket

import pytest

from process import is_alive
from wire import message, until

FORKING = """
    import os, sys, time

    def wait():
        while not os.path.exists("release"):
            time.sleep(0.01)

    def pieces(pid):
        yield b"par"
        if os.fork() == 0:
            raise ValueError("in the child's iterable")
        yield b"ent"

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/iterable":
            start_response("200 OK", [("Content-Length", "6")])
            return pieces(0)
        pid = os.fork()
        if pid == 0:
            os.write(2, b"child %d\\n" % os.getpid())
            if path == "/raise":
                raise ValueError("in the child")
            if path == "/exit":
                sys.exit(7)
            if path == "/stay":
                wait()
                os._exit(0)
            if path == "/write":
                start_response("200 OK", [])(b"from the child")
        elif path != "/stay":
            status = os.waitpid(pid, 0)[1]
            os.write(2, b"ended with %d\\n" % os.waitstatus_to_exitcode(status))
        start_response("200 OK", [("Content-Length", "6")])
        return [b"parent"]
"""


def everything_sent(server, target):
    """All bytes of one connection that asks for this."""
    wire = server.connect()
    wire.send(message(target=target, fields=[("Connection", "close")]))
    response = wire.read_response()
    wire.assert_closed()
    return response


@pytest.mark.parametrize(
    ("target", "code", "said"),
    [
        ("/raise", 1, "^ValueError: in the child$"),
        ("/exit", 7, None),
        ("/return", 0, r"End such a process with os\._exit\(\)"),
        ("/write", 1, "ConnectionError: the application has forked this process"),
    ],
)
def test_a_forked_process_that_comes_back_from_the_call_ends_and_answers_nobody(serve, target, code, said):
    server = serve(FORKING, "--workers", 1)
    response = everything_sent(server, target)
    assert (response.status, response.body) == (200, b"parent")
    server.log.wait("^ended with %d$" % code)
    if said is not None:
        server.log.wait(said)
    assert server.get("/exit").body == b"parent"
    assert len(server.workers()) == 1


def test_a_process_forked_by_the_iterable_ends_and_answers_nobody(serve):
    server = serve(FORKING)
    response = everything_sent(server, "/iterable")
    assert (response.status, response.body) == (200, b"parent")
    server.log.wait("^ValueError: in the child's iterable$")


def test_a_forked_process_keeps_neither_the_connection_nor_the_listener(serve):
    server = serve(FORKING)
    # The end of the connection is seen though the forked process lives.
    response = everything_sent(server, "/stay")
    assert (response.status, response.body) == (200, b"parent")
    child = int(server.log.wait(r"^child (\d+)").group(1))
    server.kill(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert is_alive(child)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(server.address, 5)
    server.write("release", "")
    until(lambda: not is_alive(child), what="the forked process to end")


def test_a_process_forked_while_the_application_is_loaded_becomes_no_worker(serve):
    for flags in ([], ["--preload"]):
        server = serve(
            """
            import os
            if os.fork() == 0:
                os.write(2, b"child %d\\n" % os.getpid())
            def application(environ, start_response):
                start_response("200 OK", [])
                return [b"%d" % os.getpid()]
        """,
            *flags,
        )
        server.log.wait("was forked while the application was loaded")
        child = int(server.log.wait(r"^child (\d+)").group(1))
        until(lambda child=child: not is_alive(child), what="the forked process to end")
        assert int(server.get().text) in server.workers()
        server.stop()


def test_a_fork_in_c_is_noticed_as_well(serve):
    """No hook of Python's runs there."""
    server = serve("""
        import ctypes, os
        def application(environ, start_response):
            pid = ctypes.PyDLL(None).fork()
            if pid == 0:
                raise ValueError("in the child")
            os.waitpid(pid, 0)
            start_response("200 OK", [("Content-Length", "6")])
            return [b"parent"]
    """)
    assert everything_sent(server, "/").body == b"parent"
    server.log.wait("^ValueError: in the child$")


def test_programs_that_a_view_starts_are_untouched(serve):
    server = serve("""
        import multiprocessing, subprocess
        def application(environ, start_response):
            said = subprocess.check_output(["echo", "started"], preexec_fn=lambda: None)
            queue = multiprocessing.get_context("fork").Queue()
            process = multiprocessing.get_context("fork").Process(target=queue.put, args=(b"forked",))
            process.start()
            said += queue.get(timeout=15)
            process.join()
            start_response("200 OK", [])
            return [said]
    """)
    assert server.get().text == "started\nforked"
    assert "came back" not in server.log.text
