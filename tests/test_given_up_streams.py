"""A drain while calls of one HTTP/2 connection are given up: they count as one connection, not as many.

A call is given up when it does not come back after its `request_timeout`. The worker then asks to be replaced and drains.
"""

from frames import Connection
from process import is_alive
from wire import message, until

APPLICATION = """
    import os, time

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/lost":
            os.write(2, b"lost call\\n")
            # RequestTimeout is raised in this thread, but only after the sleep.
            time.sleep(40)
        content = environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(content)))])
        return [content]
"""


def test_a_drain_with_several_given_up_streams_of_one_connection_waits_for_the_last_other_connection(serve):
    """Each stream was counted as a connection, so that the drain ended while another client still sent its request."""
    flags = ["--http2-cleartext", "prior-knowledge", "--request-timeout", 1, "--graceful-timeout", 30]
    server = serve(APPLICATION, *flags)
    assert server.get().status == 200
    (worker,) = server.workers()
    whole = message("POST", "/", b"0123456789")
    with Connection(server.address) as h2, server.connect() as upload:
        upload.send(whole[:-5])
        lost = [h2.open(path="/lost") for _ in range(3)]
        server.log.wait("lost call", count=3)
        # The worker drains from here on: another has been started in its place.
        server.log.wait("has not come back", count=3)
        server.wait_booted(2)
        assert [h2.response(stream).status for stream in lost] == [504] * 3
        upload.assert_silent(1)
        assert is_alive(worker)
        upload.send(whole[-5:])
        response = upload.read_response()
        assert (response.status, response.body) == (200, b"0123456789")
    # The other connection has ended. The drain does not wait for calls that are given up.
    until(lambda: not is_alive(worker), 8, "the end of the worker")
