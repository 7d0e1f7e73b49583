"""Names of servers behind the reverse proxy: they are looked up at the start and again and again.

The tests that change what a name stands for give the server a file /etc/hosts of its own, in a mount namespace.
"""

import ctypes
import os

import pytest

from process import run_alone
from wire import message, until

BEHIND = """
    def application(environ, start_response):
        start_response("200 OK", [])
        return [environ["SERVER_NAME"].encode()]
"""

NEW_NAMESPACE, PRIVATE, BIND = 0x00020000, (1 << 18) | 0x4000, 0x1000


class Hosts:
    """A file that a server sees as /etc/hosts."""

    def __init__(self, path):
        self.path = str(path)
        self.names("")

    def names(self, *lines):
        """Written in place: the mount shows this file, not its name."""
        with open(self.path, "w") as file:
            file.write("127.0.0.1 localhost\n" + "\n".join(lines) + "\n")

    def show(self):
        """In the child: mounts the file for this process and its descendants."""
        libc = ctypes.CDLL(None, use_errno=True)
        for outcome in (
            libc.unshare(NEW_NAMESPACE),
            libc.mount(b"none", b"/", None, PRIVATE, None),
            libc.mount(self.path.encode(), b"/etc/hosts", None, BIND, None),
        ):
            if outcome != 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def settings(servers, more=""):
    tables = '[[upstream]]\nname = "app"\nservers = [%s]\nresolve = "50ms"\nretries = 0\n%s\n'
    return tables % (", ".join('"%s"' % server for server in servers), more) + '[[mount]]\npath = "/"\nproxy = "app"\n'


@pytest.fixture
def pair(serve):
    """Two servers with one port at two addresses."""
    first = serve(BEHIND, bind=("127.0.0.2:0",))
    port = first.address[1]
    serve(BEHIND, bind=("127.0.0.3:%d" % port,))
    return port


@pytest.fixture
def hosts(tmp_path):
    return Hosts(tmp_path / "hosts")


def answers(front, count=8):
    """Who answers: all that are seen in some requests, and the statuses of failures."""
    responses = [front.get("/") for _ in range(count)]
    return {r.body.decode() if r.status == 200 else r.status for r in responses}


def test_a_name_is_looked_up_at_the_start(serve):
    behind = serve(BEHIND)
    front = serve("", "--proxy", "/=http://localhost:%d" % behind.address[1])
    # Its addresses may have IPv6 among them, where nobody listens: then the next one is asked.
    assert answers(front) == {"127.0.0.1"}


def test_a_server_starts_although_a_name_is_unknown(serve):
    behind = serve(BEHIND)
    front = serve(
        "",
        *("--proxy", "/gone=http://nowhere.invalid:80"),
        *("--proxy", "/here=http://%s:%d" % behind.address),
    )
    assert front.get("/here").status == 200
    assert front.get("/gone").status == 503
    front.log.wait(r"upstream http://nowhere.invalid: http://nowhere.invalid cannot be looked up", timeout=60)


def test_the_configuration_is_checked_without_a_look_up(tmp_path):
    checked = run_alone(tmp_path, "--check-config", "--proxy", "/=http://nowhere.invalid:80")
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.root
def test_each_address_of_a_name_is_a_server(serve, pair, hosts):
    hosts.names("127.0.0.2 app.test", "127.0.0.3 app.test")
    front = serve("", settings=settings(["http://app.test:%d" % pair]), preexec=hosts.show)
    assert answers(front) == {"127.0.0.2", "127.0.0.3"}


@pytest.mark.root
def test_an_address_that_is_new_gets_requests_and_one_that_has_gone_gets_none(serve, pair, hosts):
    hosts.names("127.0.0.2 app.test")
    front = serve("", settings=settings(["http://app.test:%d" % pair]), preexec=hosts.show)
    assert answers(front) == {"127.0.0.2"}
    hosts.names("127.0.0.2 app.test", "127.0.0.3 app.test")
    until(lambda: answers(front) == {"127.0.0.2", "127.0.0.3"}, what="both servers")
    hosts.names("127.0.0.3 app.test")
    until(lambda: answers(front) == {"127.0.0.3"}, what="the second server alone")


@pytest.mark.root
def test_a_name_that_is_unknown_for_a_while_keeps_its_servers(serve, pair, hosts):
    hosts.names("127.0.0.2 app.test")
    front = serve("", settings=settings(["http://app.test:%d" % pair]), preexec=hosts.show)
    assert answers(front) == {"127.0.0.2"}
    hosts.names()
    front.log.wait(r"http://app.test:\d+ cannot be looked up, its servers stay", timeout=60)
    assert answers(front) == {"127.0.0.2"}
    hosts.names("127.0.0.3 app.test")
    front.log.wait(r"http://app.test:\d+ can be looked up again", timeout=60)
    until(lambda: answers(front) == {"127.0.0.3"}, what="the new address")


@pytest.mark.root
def test_a_name_that_becomes_known_gets_its_servers(serve, pair, hosts):
    front = serve("", settings=settings(["http://app.test:%d" % pair]), preexec=hosts.show)
    assert front.get("/").status == 503
    hosts.names("127.0.0.2 app.test")
    until(lambda: answers(front) == {"127.0.0.2"}, timeout=60, what="the server")


@pytest.mark.root
def test_a_request_in_flight_outlives_the_name_of_its_server(serve, hosts):
    slow = """
        import os, time
        def application(environ, start_response):
            start_response("200 OK", [])
            def content():
                yield b"begun"
                while not os.path.exists("go"):
                    time.sleep(0.01)
                yield b", done"
            return content() if environ["PATH_INFO"] == "/slow" else [b"quick"]
    """
    behind = serve(slow, bind=("127.0.0.2:0",))
    hosts.names("127.0.0.2 app.test")
    front = serve("", settings=settings(["http://app.test:%d" % behind.address[1]]), preexec=hosts.show)
    wire = front.connect()
    wire.send(message(target="/slow"))
    assert wire.read_head().status == 200
    assert wire.read_chunk() == b"begun"
    hosts.names("127.0.0.4 app.test")
    until(lambda: front.get("/").status == 502, what="the other address, where nobody listens")
    behind.write("go", "")
    assert b"".join(wire.read_chunks()) == b", done"


@pytest.mark.root
def test_the_family_of_addresses_can_be_chosen(serve, pair, hosts):
    hosts.names("::1 app.test", "127.0.0.2 app.test")
    one = settings(["http://app.test:%d" % pair], 'resolve_family = "v4"')
    front = serve("", settings=one, preexec=hosts.show)
    assert answers(front) == {"127.0.0.2"}


@pytest.mark.root
def test_connections_come_from_the_address_that_is_named(serve, hosts):
    behind = serve(
        """
        def application(environ, start_response):
            start_response("200 OK", [])
            return [environ["REMOTE_ADDR"].encode()]
        """,
        "--forwarded-allow-ips",
        "",
    )
    hosts.names("::1 app.test", "127.0.0.1 app.test")
    one = settings(["http://app.test:%d" % behind.address[1]], 'source = "127.0.0.7"')
    front = serve("", settings=one, preexec=hosts.show)
    # IPv6 cannot be reached from there, so that address is no server.
    assert answers(front) == {"127.0.0.7"}
