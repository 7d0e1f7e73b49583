"""Several servers behind the reverse proxy: which one is asked, what is known of their health, and who stays with one."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sysconfig
import threading

import pytest

from load import Load
from upstream_process import Upstream
from web_server import free_port
from wire import Incomplete, Wire, message, until

#: In the place of a status: the response was cut in its content.
CUT = "cut"

MOUNT = '[[mount]]\npath = "/"\nproxy = "app"\n'


@pytest.fixture
def upstreams(tmp_path):
    """Starts servers: `upstreams("a", "b")`."""
    started = []

    def start(*names):
        for name in names:
            (tmp_path / name).mkdir()
            started.append(Upstream(tmp_path / name, name))
        return started[-len(names) :]

    yield start
    for upstream in started:
        upstream.kill()


def settings(servers, *keys, workers=1):
    """A server that forwards everything to these."""
    urls = ", ".join(server if isinstance(server, str) else '"%s"' % server.url for server in servers)
    lines = ["workers = %d" % workers, "[[upstream]]", 'name = "app"', "servers = [%s]" % urls, *keys]
    return "\n".join(lines) + "\n" + MOUNT


def names(front, count, target="/", fields=()):
    """The names of the servers that answer so many requests, one after the other."""
    found = []
    for _ in range(count):
        response = front.get(target, fields)
        assert response.status == 200, response
        found.append(response.body.decode())
    return found


HEALTH = 'health = { path = "/healthz", interval = "100ms", fast_interval = "50ms", up = 2, down = 2 }'


# Which server.


def test_the_round_robin_goes_by_weight(serve, upstreams):
    one, two = upstreams("one", "two")
    weighted = '{ url = "%s", weight = 3 }' % one.url
    front = serve("", settings=settings([weighted, two], 'balance = "round_robin"'))
    found = names(front, 40)
    assert (found.count("one"), found.count("two")) == (30, 10)


def test_a_hash_keeps_a_key_with_its_server(serve, upstreams):
    servers = upstreams("one", "two", "three")
    front = serve("", settings=settings(servers, 'balance = "hash"', 'hash_on = "query:user"'))
    first = {user: names(front, 1, "/?user=%d" % user) for user in range(30)}
    assert {name for found in first.values() for name in found} == {"one", "two", "three"}
    assert all(names(front, 1, "/other?user=%d" % user) == found for user, found in first.items())


def test_the_first_server_gets_all_that_it_has_room_for(serve, upstreams):
    front = serve("", settings=settings(upstreams("one", "two"), 'balance = "first"'))
    assert set(names(front, 10)) == {"one"}


def test_a_backup_is_asked_while_the_others_refuse_connections(serve, upstreams):
    (backup,) = upstreams("backup")
    refused = '"http://127.0.0.1:%d"' % free_port()
    front = serve("", settings=settings([refused, '{ url = "%s", backup = true }' % backup.url]))
    assert set(names(front, 10)) == {"backup"}


# Failures.


def test_a_server_that_refuses_connections_is_left_out_with_one_line(serve, upstreams):
    (one,) = upstreams("one")
    refused = '"http://127.0.0.1:%d"' % free_port()
    front = serve("", settings=settings([refused, one]))
    assert set(names(front, 30)) == {"one"}
    line = front.log.wait(r"upstream app: (\S+) is left out for 10 s: it refuses connections; 1 of 2 servers is well")
    assert line.group(1) in refused
    assert len(front.log.find("is left out")) == 1


def test_a_server_that_was_left_out_comes_back_after_one_request_that_succeeds(serve, upstreams):
    one, two = upstreams("one", "two")
    front = serve("", settings=settings([one, two], 'fail = { max = 2, eject = "200ms" }'))
    two.kill()
    until(lambda: set(names(front, 4)) and front.log.find("is left out"), what="the ejection")
    two.start()
    until(lambda: set(names(front, 4)) == {"one", "two"}, what="both servers")
    front.log.wait(r"upstream app: %s answers again; 2 of 2 servers are well" % re.escape(two.url))


def test_a_reload_keeps_what_is_known_of_a_server(serve, upstreams):
    one, two = upstreams("one", "two")
    front = serve("", settings=settings([one, two], 'fail = { on = ["503"], max = 1, eject = "10m" }'))
    one.set("sick")
    until(lambda: front.get("/healthz") and front.log.find("is left out for 600 s"), what="the ejection")
    mark = front.log.mark()
    front.kill(signal.SIGHUP)
    front.log.wait("Worker exiting", since=mark)
    assert set(names(front, 10)) == {"two"}


def test_statuses_are_failures_only_where_the_configuration_says_so(serve, upstreams):
    one, two = upstreams("one", "two")
    one.set("sick")
    front = serve("", settings=settings([one, two], 'fail = { on = ["503"], max = 2 }'))
    until(lambda: front.get("/healthz") and front.log.find("is left out"), what="the ejection")
    assert front.log.find(r"it answers with a status of failure")


def test_only_requests_inside_a_killed_server_fail_and_none_is_executed_twice(serve, upstreams):
    one, two = upstreams("one", "two")
    front = serve("", settings=settings([one, two]))
    clients, answers, stopping = 6, {}, threading.Event()

    def run(client):
        number = 0
        while not stopping.is_set():
            number += 1
            target = "/%d-%d" % (client, number)
            with Wire(front.address) as wire:
                try:
                    answers[target] = wire.request(message("POST", target, body=b"content")).status
                except Incomplete as ended:
                    answers[target] = CUT if b"\r\n\r\n" in ended.received else None

    threads = [threading.Thread(target=run, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    until(lambda: len(one.seen("POST")) > 30 and len(two.seen("POST")) > 30, what="load on both")
    one.kill()
    before = len(two.seen("POST"))
    until(lambda: len(two.seen("POST")) > before + 60, what="load on the second")
    stopping.set()
    for thread in threads:
        thread.join(30)
    executed = [target for server in (one, two) for _, target, *_ in server.seen("POST")]
    assert len(executed) == len(set(executed)), "a POST was executed twice"
    failed = [target for target, status in answers.items() if status != 200]
    # An answer whose head has gone to the client can only be cut.
    assert {answers[target] for target in failed} <= {502, CUT}
    # Those that were inside it, and those that met a connection whose end was not seen yet.
    assert len(failed) <= 2 * clients
    assert set(answers) - set(failed) <= set(executed)


def test_servers_that_restart_in_turn_lose_no_idempotent_request(serve, tmp_path):
    """Three servers stop and start again, one after the other, while clients send requests."""
    application = """
        def application(environ, start_response):
            start_response("200 OK", [("Content-Length", "2")])
            return [b"ok"]
    """
    ports = [free_port() for _ in range(3)]
    behind = {port: serve(application, bind=("127.0.0.1:%d" % port,)) for port in ports}
    urls = ['"http://127.0.0.1:%d"' % port for port in ports]
    front = serve("", settings=settings(urls, "retries = 2", 'retry_on = ["connect", "stale", "reset"]'))
    with Load(front, clients=6) as load:
        for port in ports:
            answered = load.answered
            until(lambda: load.answered > answered + 50, 60, what="load before a restart")
            behind[port].kill(signal.SIGTERM)
            assert behind[port].wait_exit() == 0
            answered = load.answered
            until(lambda: load.answered > answered + 50, 60, what="load on the others")
            behind[port] = serve(application, bind=("127.0.0.1:%d" % port,))
    assert not load.failures, load.failures[:3]


def test_a_server_whose_backlog_is_full_is_busy_and_not_broken(serve, tmp_path):
    """A unix socket with a full backlog refuses at once, and was left out as if it had failed."""
    path = str(tmp_path / "busy.sock")
    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as waiting:
        listener.bind(path)
        listener.listen(1)
        with contextlib.suppress(BlockingIOError):
            while True:
                one = waiting.enter_context(socket.socket(socket.AF_UNIX))
                one.setblocking(False)
                one.connect(path)
        front = serve("", settings=settings(['"http://unix:%s"' % path], 'connect_timeout = "60s"'))
        wire = front.connect()
        wire.send(message(target="/"))
        wire.assert_silent(0.2)
        answered = False
        while not answered:
            connection, _ = listener.accept()
            with connection:
                # Those that only fill the backlog send nothing.
                waiting.close()
                answered = b"GET / " in connection.recv(65536)
                if answered:
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    assert wire.read_response().body == b"ok"
    assert not front.log.find("is left out")


# Checks.


def test_a_check_that_fails_takes_a_server_out_and_one_that_passes_brings_it_back(serve, upstreams):
    one, two = upstreams("one", "two")
    front = serve("", settings=settings([one, two], HEALTH, workers=2))
    until(lambda: set(names(front, 4)) == {"one", "two"}, what="both servers")
    one.set("sick")
    front.log.wait(r"upstream app: %s is down: it answers with a status of failure; 1 of 2" % re.escape(one.url))
    # All workers know it: each request may come to another one.
    assert set(names(front, 20)) == {"two"}
    one.set("sick", False)
    front.log.wait(r"upstream app: %s is up again; 2 of 2 servers are well" % re.escape(one.url))
    until(lambda: set(names(front, 4)) == {"one", "two"}, what="both servers")
    assert len(front.log.find(" is down: ")) == 1, "one worker checks for all"


def test_another_worker_checks_when_the_one_that_did_has_died(serve, upstreams):
    one, two = upstreams("one", "two")
    front = serve("", settings=settings([one, two], HEALTH, workers=2))
    front.log.wait(r"Ready in")
    for pid in front.workers():
        front.kill(signal.SIGKILL, pid)
        until(lambda pid=pid: pid not in front.workers() and len(front.workers()) == 2, what="a successor")
    one.set("sick")
    front.log.wait(r"upstream app: %s is down" % re.escape(one.url), timeout=60)


def test_without_a_server_requests_get_503_and_the_log_one_line(serve, upstreams):
    (one,) = upstreams("one")
    front = serve("", settings=settings([one], HEALTH))
    assert names(front, 1) == ["one"]
    one.kill()
    front.log.wait(
        r"upstream app: \S+ is down: it refuses connections; 0 of 1 servers are well: requests are answered with 503"
    )
    responses = [front.get() for _ in range(20)]
    assert all(response.status == 503 and response.value("Retry-After") for response in responses)
    one.start()
    front.log.wait("is up again; 1 of 1 servers is well")
    assert names(front, 1) == ["one"]
    assert len(front.log.find(" is down: ")) == 1
    # The requests themselves are summed up: at most a line a second.
    assert len(front.log.find("no server of the upstream is available")) <= 5


def test_a_wrong_check_does_not_take_all_servers_away(serve, upstreams):
    one, two = upstreams("one", "two")
    one.set("sick")
    two.set("sick")
    front = serve("", settings=settings([one, two], HEALTH))
    front.log.wait(" is down: ", count=2)
    assert set(names(front, 10)) == {"one", "two"}


def test_a_request_waits_for_a_server_that_was_not_checked_yet(serve, upstreams):
    (one,) = upstreams("one")
    one.set("sick")
    health = HEALTH.replace("}", ', down = 60, start = "down" }').replace(", down = 2", "")
    front = serve("", settings=settings([one], health, 'queue_timeout = "60s"'))
    with front.connect() as wire:
        wire.send(message(target="/"))
        one.set("sick", False)
        assert wire.read_response().body == b"one"


def test_a_connection_can_be_the_check(serve, upstreams):
    one, two = upstreams("one", "two")
    health = 'health = { type = "tcp", interval = "100ms", fast_interval = "50ms" }'
    front = serve("", settings=settings([one, two], health))
    two.kill()
    front.log.wait(r"upstream app: %s is down: it refuses connections" % re.escape(two.url))
    assert set(names(front, 10)) == {"one"}


# php-fpm stands where users do not look for programs, and uWSGI apart from the suite's packages (tests/peers.txt).
PEERS = os.environ.get("FARRIER_TEST_PEERS") or os.path.join(sysconfig.get_path("data"), "peers")
PLACES = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", os.path.join(PEERS, "bin")])


def program(name):
    found = shutil.which(name, path=PLACES)
    return found or pytest.skip("needs %s" % name)


def uwsgi(folder, port):
    """uWSGI, which answers pings in its own protocol."""
    (folder / "app.py").write_text("def application(environ, start_response):\n    raise SystemExit\n")
    return [program("uwsgi"), "--socket", "127.0.0.1:%d" % port, "--wsgi-file", "app.py", "--need-app", "--die-on-term"]


def php_fpm(folder, port):
    """php-fpm, which tells the values that a FastCGI server has."""
    lines = ["[global]", "error_log = %s/log" % folder, "daemonize = no", "[www]", "listen = 127.0.0.1:%d" % port]
    user = ["user = root", "group = root"] if os.geteuid() == 0 else []
    (folder / "fpm.conf").write_text("\n".join([*lines, *user, "pm = static", "pm.max_children = 1"]) + "\n")
    return [program("php-fpm8.2"), "--fpm-config", str(folder / "fpm.conf"), *(["-R"] if user else [])]


@pytest.mark.parametrize("kind, command", [("uwsgi", uwsgi), ("fastcgi", php_fpm)], ids=["uwsgi", "php-fpm"])
def test_gateways_are_checked_in_their_protocol(serve, tmp_path, kind, command):
    port = free_port()
    arguments = command(tmp_path, port)
    health = 'health = { type = "%s", interval = "100ms", fast_interval = "100ms", up = 3, down = 1 }' % kind
    front = serve("", settings=settings(['"%s://127.0.0.1:%d"' % (kind, port)], health))
    front.log.wait(" is down: it refuses connections")
    peer = subprocess.Popen(arguments, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        front.log.wait("is up again; 1 of 1 servers is well", timeout=60)
    finally:
        peer.terminate()
        peer.wait(30)


def test_an_agent_lets_its_server_drain_and_makes_it_ready(serve, upstreams):
    one, two = upstreams("one", "two")
    said = [b"up\n"]
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(said[0])

        threading.Thread(target=answer, daemon=True).start()
        agent = '{ url = "%s", agent = "127.0.0.1:%d" }' % (one.url, listener.getsockname()[1])
        front = serve("", settings=settings([agent, two], 'agent_interval = "100ms"', 'balance = "round_robin"'))
        said[0] = b"drain\n"
        front.log.wait(r"upstream app: %s drains, as its agent says; 1 of 2" % re.escape(one.url))
        assert set(names(front, 10)) == {"two"}
        said[0] = b"ready 50%\n"
        front.log.wait(r"upstream app: %s is ready, as its agent says; 2 of 2" % re.escape(one.url))
        assert sorted(names(front, 9)) == ["one"] * 3 + ["two"] * 6
        listener.shutdown(socket.SHUT_RDWR)


# Drain.


def test_a_file_lets_servers_drain_while_the_server_runs(serve, upstreams):
    one, two = upstreams("one", "two")
    front = serve("", settings=settings([one, two], 'drain_file = "drain.txt"'))
    with Load(front, clients=4) as load:
        until(lambda: load.bodies[b"one"] > 10 and load.bodies[b"two"] > 10, what="load on both")
        front.write("drain.txt", "# maintenance\n%s\n" % one.url)
        front.log.wait(r"upstream app: %s gets no new requests, as drain_file says" % re.escape(one.url))
        seen = len(one.seen())
        answered = load.answered
        until(lambda: load.answered > answered + 50, what="load on the second")
        assert len(one.seen()) <= seen + 4
        os.remove(os.path.join(front.directory, "drain.txt"))
        front.log.wait(r"upstream app: %s gets requests again" % re.escape(one.url))
        seen = len(one.seen())
        until(lambda: len(one.seen()) > seen, what="load on the first")
    assert not load.failures, load.failures[:3]


def test_a_reload_lets_a_server_drain_without_losing_a_request(serve, upstreams):
    one, two = upstreams("one", "two")
    front = serve("", settings=settings([one, two]))
    one.set("slow")
    two.set("slow")
    wires = [front.connect() for _ in range(4)]
    for number, wire in enumerate(wires):
        wire.send(message(target="/held-%d" % number))
    until(lambda: len(one.seen()) == 2 and len(two.seen()) == 2, what="requests in both")
    front.write("farrier.toml", settings(['{ url = "%s", drain = true }' % one.url, two]))
    mark = front.log.mark()
    front.kill(signal.SIGHUP)
    front.log.wait("Listening|Booting worker", since=mark)
    one.set("slow", False)
    two.set("slow", False)
    assert sorted(wire.read_response().body for wire in wires) == [b"one", b"one", b"two", b"two"]
    until(lambda: set(names(front, 6)) == {"two"}, what="the second server alone")


# Clients that stay.


def cookie(response):
    return response.value("Set-Cookie").split(";")[0]


def test_a_cookie_keeps_a_client_with_its_server(serve, upstreams):
    servers = upstreams("one", "two", "three")
    front = serve("", settings=settings(servers, 'sticky = { cookie = "srv" }', workers=2))
    first = front.get()
    assert re.fullmatch(r"srv=[\w-]{38}; Path=/; HttpOnly; SameSite=Lax", first.value("Set-Cookie"))
    bound = ("Cookie", "a=1; %s; b=2" % cookie(first))
    responses = [front.get("/again", [bound]) for _ in range(12)]
    assert {response.body for response in responses} == {first.body}
    assert not any(response.values("Set-Cookie") for response in responses)
    by_name = {server.name: server for server in servers}
    seen = [line for line in by_name[first.body.decode()].seen() if line[1] == "/again"]
    assert {cookies for _, _, cookies in seen} == {"a=1; b=2"}, "the server does not see the cookie"


def test_a_cookie_of_someone_else_binds_to_nothing(serve, upstreams):
    front = serve("", settings=settings(upstreams("one", "two"), 'sticky = { cookie = "srv" }'))
    forged = front.get("/", [("Cookie", "srv=" + "A" * 38)])
    assert forged.status == 200 and forged.value("Set-Cookie").startswith("srv=")


def test_a_client_whose_server_has_gone_gets_another_and_a_new_cookie(serve, upstreams):
    one, two = upstreams("one", "two")
    front = serve("", settings=settings([one, two], 'sticky = { cookie = "srv" }'))
    first = front.get()
    gone, left = (one, two) if first.body == b"one" else (two, one)
    gone.kill()
    second = front.get("/", [("Cookie", cookie(first))])
    assert (second.status, second.body.decode()) == (200, left.name)
    assert cookie(second) != cookie(first)


def test_a_strict_binding_answers_with_503_instead_of_another_server(serve, upstreams):
    one, two = upstreams("one", "two")
    front = serve("", settings=settings([one, two], 'sticky = { cookie = "srv", strict = true }', HEALTH))
    first = front.get()
    gone = one if first.body == b"one" else two
    gone.kill()
    front.log.wait(" is down: ")
    assert front.get("/", [("Cookie", cookie(first))]).status == 503
    assert front.get().status == 200


def test_a_server_that_drains_keeps_the_clients_that_are_bound_to_it(serve, upstreams):
    one, two = upstreams("one", "two")
    front = serve("", settings=settings([one, two], 'sticky = { cookie = "srv" }', 'drain_file = "drain.txt"'))
    first = front.get()
    drained = one if first.body == b"one" else two
    front.write("drain.txt", drained.url + "\n")
    front.log.wait("gets no new requests")
    assert set(names(front, 6, fields=[("Cookie", cookie(first))])) == {drained.name}
    assert drained.name not in names(front, 6)


def test_a_cookie_of_the_application_can_bind(serve, upstreams):
    front = serve("", settings=settings(upstreams("one", "two", "three"), 'sticky = { learn = "sessionid" }'))
    for _ in range(5):
        login = front.get("/login")
        assert set(names(front, 6, fields=[("Cookie", cookie(login))])) == {login.body.decode()}


def test_a_connection_that_switches_protocols_is_bound_too(serve):
    """Clients that only open WebSockets came to another server with each of them."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = '"http://127.0.0.1:%d"' % listener.getsockname()[1]
        front = serve("", settings=settings([url], 'sticky = { cookie = "srv" }'))
        wire = front.connect()
        asked = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
        wire.send(message(target="/", fields=[*asked, ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]))
        connection, _ = listener.accept()
        with connection:
            assert b"Upgrade: websocket" in connection.recv(65536)
            connection.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
            )
            head = wire.read_head()
            assert (head.status, head.value("Set-Cookie")[:4]) == (101, "srv=")
            wire.close()
