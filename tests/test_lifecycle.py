"""Processes: how the server stops, reloads, replaces its workers and cleans up after them."""

import contextlib
import errno
import os
import signal
import socket

import pytest

from load import Load
from process import is_alive
from wire import Incomplete, message, until

HELLO = """
    import os

    os.write(2, b"imported in %d\\n" % os.getpid())

    def application(environ, start_response):
        body = b"%d" % os.getpid() if environ["PATH_INFO"] == "/pid" else b"generation 1"
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]
"""

BLOCKING = """
    import os, time

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/block":
            os.write(2, b"entered\\n")
            while not os.path.exists("release"):
                time.sleep(0.02)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"done"]
"""


def pid_of(server):
    return int(server.get("/pid").text)


def all_loaded(server, workers):
    """Waits until this many workers exist, and each has imported the application HELLO and begun to poll."""
    server.log.wait("imported in", count=workers)
    until(lambda: len(server.workers()) == workers and all(map(_polls, server.workers())), what="%d workers" % workers)


def _polls(pid):
    try:
        return any("eventpoll" in os.readlink("/proc/%d/fd/%s" % (pid, fd)) for fd in os.listdir("/proc/%d/fd" % pid))
    except OSError:
        return False


def nobody_was_killed(server):
    """No worker was killed at its graceful timeout: it had nothing left to do and ended by itself."""
    assert not server.log.find("SIGKILL"), server.log.text


def test_term_while_500_requests_are_in_flight_answers_every_one(serve):
    server = serve(BLOCKING, "--queue-max", 1000, "--queue-timeout", 60)
    wires = [server.connect() for _ in range(500)]
    for wire in wires:
        wire.send(message(target="/block"))
    server.log.wait("entered", count=60)
    server.kill(signal.SIGTERM)
    server.log.wait("(?i)term|stopping|shutting down", timeout=10)
    server.write("release", "")
    for wire in wires:
        response = wire.read_response()
        assert (response.status, response.body) == (200, b"done")
    assert server.wait_exit() == 0


def test_term_lets_a_response_that_streams_come_to_its_end(serve):
    server = serve("""
        import os, time
        def application(environ, start_response):
            start_response("200 OK", [])
            yield b"first"
            while not os.path.exists("release"):
                time.sleep(0.02)
            yield b"last"
    """)
    wire = server.connect()
    wire.send(message())
    wire.read_head()
    assert wire.read_chunk() == b"first"
    server.kill(signal.SIGTERM)
    server.log.wait("(?i)term|stopping|shutting down")
    server.write("release", "")
    assert wire.read_chunk() == b"last" and wire.read_chunk() == b""
    wire.assert_closed()
    assert server.wait_exit() == 0


def test_the_response_of_a_request_in_flight_at_term_closes_the_connection(serve):
    server = serve(BLOCKING)
    wire = server.connect()
    wire.send(message(target="/block"))
    server.log.wait("entered")
    server.kill(signal.SIGTERM)
    server.log.wait("(?i)term|stopping|shutting down")
    # Refused connections show that the workers have closed their listeners too.
    server.write("release", "")
    assert wire.read_response().status == 200
    wire.assert_closed()
    assert server.wait_exit() == 0


def test_idle_connections_do_not_hold_up_term(serve):
    server = serve(HELLO, "--graceful-timeout", 20)
    wires = [server.connect() for _ in range(20)]
    for wire in wires[:10]:
        assert wire.request(message()).status == 200
    server.kill(signal.SIGTERM)
    assert server.wait_exit(10) == 0
    for wire in wires:
        wire.assert_closed()


def test_term_again_and_again_is_term(serve):
    server = serve(HELLO)
    assert server.get().status == 200
    # Also while it ends: a supervisor may repeat the signal until the process is gone.
    until(lambda: server.process.poll() is not None or server.kill(signal.SIGTERM), what="the end")
    assert server.wait_exit() == 0


def test_a_call_that_outlives_the_graceful_time_out_is_cut_off(serve):
    server = serve(BLOCKING, "--graceful-timeout", 1)
    wire = server.connect()
    wire.send(message(target="/block"))
    server.log.wait("entered")
    server.kill(signal.SIGTERM)
    assert server.wait_exit(15) == 0
    with pytest.raises(Incomplete):
        wire.read_response()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_int_and_quit_stop_quickly_though_a_call_is_running(serve, number):
    server = serve(BLOCKING, "--graceful-timeout", 300)
    wire = server.connect()
    wire.send(message(target="/block"))
    server.log.wait("entered")
    server.kill(number)
    assert server.wait_exit(15) == 0


def test_int_after_term_turns_a_graceful_stop_into_a_quick_one(serve):
    server = serve(BLOCKING, "--graceful-timeout", 300)
    wire = server.connect()
    wire.send(message(target="/block"))
    server.log.wait("entered")
    server.kill(signal.SIGTERM)
    server.log.wait("(?i)term|stopping|shutting down")
    server.kill(signal.SIGINT)
    assert server.wait_exit(15) == 0


@pytest.mark.parametrize("workers", [1, 4])
def test_hup_under_load_loses_no_request_and_brings_the_new_code(serve, workers):
    server = serve(HELLO, "--workers", workers)
    all_loaded(server, workers)
    old = set(server.workers())
    with Load(server) as load:
        for generation in (2, 3):
            until(lambda: load.answered > 100 * generation, what="some load")
            server.write("app.py", HELLO.replace("generation 1", "generation %d" % generation))
            server.kill(signal.SIGHUP)
            wanted = b"generation %d" % generation
            until(lambda: load.bodies[wanted] > 50, 30, "answers of generation %d" % generation)
            until(lambda: len(server.workers()) == workers, 30, "the old workers to leave")
    assert load.failures == [] and load.bodies[b"generation 1"]
    nobody_was_killed(server)
    assert not old & set(server.workers())


def test_hup_with_broken_code_leaves_the_old_workers_serving_and_logs_why(serve):
    server = serve(HELLO, "--workers", 2)
    all_loaded(server, 2)
    assert server.get().body == b"generation 1"
    old = set(server.workers())
    with Load(server, 4) as load:
        mark = server.log.mark()
        server.write("app.py", "raise RuntimeError('broken-771')\n")
        server.kill(signal.SIGHUP)
        server.log.wait("Traceback", since=mark)
        server.log.wait("RuntimeError: broken-771", since=mark)
        until(lambda: set(server.workers()) == old, 30, "only the old workers")
        before = load.answered
        until(lambda: load.answered > before + 100, what="answers of the old workers")
        server.write("app.py", HELLO.replace("generation 1", "generation 2"))
        server.kill(signal.SIGHUP)
        until(lambda: load.bodies[b"generation 2"] > 20, 30, "answers of the mended code")
    assert load.failures == []


def test_many_hups_in_a_row_end_in_one_generation(serve):
    server = serve(HELLO, "--workers", 2)
    all_loaded(server, 2)
    with Load(server, 4) as load:
        for _ in range(5):
            server.kill(signal.SIGHUP)
            before = load.answered
            until(lambda: load.answered > before + 5)
        until(lambda: len(server.workers()) == 2, 30, "two workers")
    assert load.failures == []
    nobody_was_killed(server)


def test_hup_lets_a_running_call_finish(serve):
    server = serve(BLOCKING)
    wire = server.connect()
    wire.send(message(target="/block"))
    server.log.wait("entered")
    server.kill(signal.SIGHUP)
    server.wait_booted(2)
    server.write("release", "")
    assert wire.read_response().body == b"done"
    until(lambda: len(server.workers()) == 1, 30, "the old worker to leave")


def test_a_worker_that_is_killed_is_replaced_and_the_others_go_on(serve):
    server = serve(HELLO, "--workers", 2)
    all_loaded(server, 2)
    victim, other = server.workers()
    server.kill(signal.SIGKILL, victim)
    server.wait_booted(3)
    until(lambda: len(server.workers()) == 2)
    assert victim not in server.workers() and other in server.workers()
    server.log.wait(r"\b%d\b.*(?i:kill|signal|died|exit)|(?i:kill|signal|died|exit).*\b%d\b" % (victim, victim))
    for _ in range(20):
        assert server.get().status == 200


def test_requests_of_other_workers_are_unaffected_by_a_killed_one(serve):
    server = serve(HELLO, "--workers", 3)
    all_loaded(server, 3)
    by_pid = {}

    def another():
        wire = server.connect()
        by_pid.setdefault(int(wire.request(message(target="/pid")).text), []).append(wire)
        return len(by_pid) >= 2 or len(sum(by_pid.values(), [])) >= 60

    # Which worker takes a connection is the kernel's choice: block the first with load until another one answers.
    until(another)
    victim = sorted(by_pid)[0]
    server.kill(signal.SIGKILL, victim)
    for pid, wires in by_pid.items():
        if pid != victim:
            for wire in wires:
                assert int(wire.request(message(target="/pid")).text) == pid
    server.wait_booted(4)


def test_dead_workers_do_not_stay_as_zombies(serve):
    server = serve(HELLO, "--workers", 2)
    for number in range(3):
        server.log.wait("imported in", count=2 + number)
        until(lambda: len(server.workers()) == 2 and all(map(_polls, server.workers())), what="two workers")
        server.kill(signal.SIGKILL, server.workers()[0])
        server.wait_booted(3 + number)
    until(lambda: not [entry for entry in server.processes() if entry[2] == "Z"], what="zombies to be reaped")


def test_a_worker_that_crashes_at_once_after_loading_is_not_restarted_in_a_tight_loop(serve):
    server = serve("""
        import os, signal, threading
        def application(environ, start_response):
            pass
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGKILL)).start()
    """)
    server.wait_booted(2)
    mark = server.log.mark()
    with pytest.raises(AssertionError):
        server.log.wait("Booting worker", count=30, since=mark, timeout=2)


def test_a_worker_whose_interpreter_hangs_is_replaced_after_the_time_out(serve):
    server = serve(
        """
        import ctypes, os
        def application(environ, start_response):
            if environ["PATH_INFO"] == "/hang":
                os.write(2, b"hanging\\n")
                ctypes.PyDLL(None).sleep(1000)
            start_response("200 OK", [])
            return [b"%d" % os.getpid()]
    """,
        "--timeout",
        2,
    )
    before = int(server.get().text)
    wire = server.connect()
    wire.send(message(target="/hang"))
    server.log.wait("hanging")
    server.wait_booted(2)
    # Until it is gone it may accept connections, which are lost when it is killed.
    until(lambda: before not in server.workers(), 30, "the hanging worker to be gone")
    assert int(server.get().text) != before
    server.log.wait(r"\b%d\b" % before)


def test_a_long_call_that_does_not_hold_the_interpreter_is_no_silence(serve):
    server = serve(BLOCKING, "--timeout", 1, "--request-timeout", 0)
    wire = server.connect()
    wire.send(message(target="/block"))
    server.log.wait("entered")
    wire.assert_silent(3)
    server.write("release", "")
    assert wire.read_response().body == b"done"
    assert len({m.group(0) for m in server.log.find(r"Booting worker with pid: (\d+)")}) == 1


def test_ttin_and_ttou_change_the_number_of_workers_but_never_below_one(serve):
    server = serve(HELLO)
    server.get()
    for number, wanted in [(signal.SIGTTIN, 2), (signal.SIGTTIN, 3), (signal.SIGTTOU, 2), (signal.SIGTTOU, 1)]:
        server.kill(number)
        until(lambda: len(server.workers()) == wanted, what="%d workers" % wanted)
        assert server.get().status == 200
    server.kill(signal.SIGTTOU)
    server.log.wait("Handling signal: ttou", count=3)
    server.kill(signal.SIGTTIN)
    until(lambda: len(server.workers()) == 2, what="2 workers: the TTOU at one had no effect")


def test_ttou_loses_no_request(serve):
    server = serve(HELLO, "--workers", 3)
    server.get()
    with Load(server) as load:
        for left in (2, 1):
            before = load.answered
            until(lambda: load.answered > before + 100)
            server.kill(signal.SIGTTOU)
            until(lambda: len(server.workers()) == left, 30, "%d workers" % left)
        before = load.answered
        until(lambda: load.answered > before + 50)
    assert load.failures == []
    nobody_was_killed(server)


# As with Gunicorn: 3 if the module's code fails, 4 if the name does not exist.
CANNOT_LOAD = [
    ("raise RuntimeError('broken-772')\n\n", "app:application", 3, ["Traceback", "RuntimeError: broken-772"]),
    ("def application(:\n\n", "app:application", 3, ["SyntaxError", "app.py"]),
    ("import a_module_that_is_missing\n\n", "app:application", 3, ["Traceback", "a_module_that_is_missing"]),
    ("import sys\nsys.exit(0)\n\n", "app:application", 3, ["SystemExit"]),
    ("application = 5\n\n", "app:application", 4, ["callable"]),
    ("other = 5\n\n", "app:application", 4, ["application"]),
    ("\n\n", "missing_module:application", 4, ["missing_module"]),
    ("\n\n", "app:missing_name", 4, ["missing_name"]),
    (
        "def create():\n    raise RuntimeError('broken-773')\n",
        "app:create()",
        3,
        ["Traceback", "RuntimeError: broken-773"],
    ),
]


@pytest.mark.parametrize("flags", [[], ["--preload"], ["--workers", 3]], ids=["one worker", "preload", "three workers"])
@pytest.mark.parametrize("source, name, status, words", CANNOT_LOAD, ids=[row[3][-1] for row in CANNOT_LOAD])
def test_an_application_that_cannot_be_loaded_ends_the_server_with_one_clear_line(
    serve, tmp_path, source, name, status, words, flags
):
    (tmp_path / "app.py").write_text(source)
    server = serve(name, *flags, directory=tmp_path, listening=False)
    assert server.wait_exit(20) == status
    server.log.thread.join(10)
    for word in words:
        assert word in server.log.text
    assert [m for m in server.log.find(r"\[(ERROR|CRITICAL)\]") if words[-1] in m.string or name in m.string], (
        server.log.text
    )


def test_without_preload_each_worker_imports_for_itself(serve):
    server = serve(HELLO, "--workers", 3)
    server.log.wait("imported in", count=3)
    until(lambda: len(server.workers()) == 3)
    assert {int(m.group(1)) for m in server.log.find(r"imported in (\d+)")} == set(server.workers())


def test_workers_leave_when_the_arbiter_was_killed(serve):
    server = serve(HELLO, "--workers", 3)
    all_loaded(server, 3)
    workers = server.workers()
    server.kill(signal.SIGKILL)
    server.process.wait()
    until(
        lambda: not [entry for entry in server.processes() if entry[0] in workers and entry[2] != "Z"],
        20,
        "the workers to leave",
    )


def test_an_idle_worker_that_stands_still_is_replaced_and_one_that_answers_is_not(serve):
    # Only running calls were watched.
    server = serve(HELLO, "--timeout", 1, "--workers", 2)
    all_loaded(server, 2)
    stopped, well = server.workers()
    until(lambda: runs_no_call(stopped), 30, "the monitor to sleep")
    server.kill(signal.SIGSTOP, stopped)
    server.log.wait(r"WORKER TIMEOUT \(pid:%d\) although it runs no call" % stopped, timeout=30)
    until(lambda: not is_alive(stopped), 15, "the worker to be gone")
    all_loaded(server, 2)
    assert well in server.workers()


def runs_no_call(pid):
    """Whether the monitor of a worker sleeps. While calls run, and a little longer, it wakes up a thousand times a second."""
    seen = [monitor_switches(pid)]
    with contextlib.suppress(AssertionError):
        until(lambda: seen.append(monitor_switches(pid)) or len(set(seen)) > 1, 0.3)
    return None not in seen and len(set(seen)) == 1


def monitor_switches(pid):
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/status" % (pid, task)) as status:
            lines = dict(line.split(":", 1) for line in status.read().splitlines())
        if lines["Name"].strip() == "farrier-monitor":
            return lines["voluntary_ctxt_switches"]
    return None


CLOSING = """
    import os, socket

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/all":
            os.closerange(3, 4096)
        elif path != "/":
            for number in map(int, os.listdir("/proc/self/fd")):
                if is_it(number, path):
                    os.close(number)
        start_response("200 OK", [])
        return [b"%d" % os.getpid()]

    def is_it(number, path):
        try:
            kind = os.readlink("/proc/self/fd/%d" % number)
        except OSError:
            return False
        if path == "/poller":
            return kind == "anon_inode:[eventpoll]"
        if not kind.startswith("socket:"):
            return False
        with socket.socket(fileno=os.dup(number)) as copy:
            return copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
"""


@pytest.mark.parametrize("path, what", [("/all", "poller"), ("/poller", "poller"), ("/listener", "listener")])
def test_a_worker_whose_descriptors_were_closed_says_so_and_is_replaced(serve, path, what):
    # Without its poller it used a whole processor and ignored TERM; without its listener it never answered.
    server = serve(CLOSING, "--timeout", 1, "--request-timeout", 0)
    before = int(server.get().text)
    wire = server.connect()
    wire.send(message(target=path))
    until(lambda: not is_alive(before), 30, "the worker to end")
    # In a debug build, the standard library notices a closed descriptor first.
    if path != "/all":
        server.log.wait(r"\[%d\] \[CRITICAL\] The worker has lost its %s \(" % (before, what))
        server.log.wait(r"Worker \(pid:%d\) exited with code 70" % before)
    assert int(server.get().text) != before


STUCK = """
    import ctypes, os, threading

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/deadlock":
            os.write(2, b"entered\\n")
            lock = threading.Lock()
            lock.acquire()
            lock.acquire()
        if environ["PATH_INFO"] == "/interpreter":
            os.write(2, b"entered\\n")
            ctypes.PyDLL(None).sleep(1000)
        start_response("200 OK", [])
        return [b"%d" % os.getpid()]
"""


def orphaned(server, path):
    """Kills the arbiter while the call of `path` runs, and returns the pid of the worker."""
    worker = int(server.get().text)
    server.connect().send(message(target=path))
    server.log.wait("entered")
    server.kill(signal.SIGKILL)
    server.process.wait()
    return worker


def refuses(server):
    """Whether nobody listens at the server's address."""
    with socket.socket() as client:
        return client.connect_ex(server.address) == errno.ECONNREFUSED


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["", "preload"])
def test_a_worker_whose_arbiter_has_died_closes_its_listeners_though_a_call_is_stuck(serve, preload):
    # It kept them for as long as the call lasted: clients hung, and a new start found the address in use.
    server = serve(STUCK, "--graceful-timeout", 300, *preload)
    worker = orphaned(server, "/deadlock")
    until(lambda: refuses(server), 15, "the listener to be closed")
    assert is_alive(worker)
    server.end()


def test_a_hook_that_asks_for_the_address_does_not_keep_the_listener_open(serve, tmp_path):
    # The copy of the descriptor that answered it was kept, and every worker inherited it.
    (tmp_path / "hooks.py").write_text(
        "def when_ready(server):\n    server.log.info('at %s', server.LISTENERS[0].getsockname()[1])\n"
        "def post_fork(server, worker):\n    worker.sockets[0].getsockname()\n"
    )
    server = serve(STUCK, "--graceful-timeout", 300, "--config", tmp_path / "hooks.py")
    server.log.wait(r"at %d$" % server.address[1])
    worker = orphaned(server, "/deadlock")
    until(lambda: refuses(server), 15, "the listener to be closed")
    assert is_alive(worker)
    server.end()


@pytest.mark.parametrize("path", ["/deadlock", "/interpreter"])
def test_a_worker_whose_arbiter_has_died_ends_at_the_graceful_time_out(serve, path):
    # Nobody is left who would kill it, and the interpreter may be held for ever.
    server = serve(STUCK, "--graceful-timeout", 1)
    worker = orphaned(server, path)
    until(lambda: not is_alive(worker), 15, "the worker to end")
    server.log.wait(r"Worker \(pid: %d\) has not finished within 1 s \(see graceful_timeout\)" % worker)


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["", "preload"])
def test_what_still_loads_the_application_ends_when_the_arbiter_has_died(serve, preload):
    # An import that hangs would keep the listener open for ever.
    server = serve(
        """
        import os, time
        os.write(2, b"loading in %d\\n" % os.getpid())
        time.sleep(1000)
    """,
        "--graceful-timeout",
        1,
        *preload,
    )
    loading = int(server.log.wait(r"loading in (\d+)").group(1))
    server.kill(signal.SIGKILL)
    until(lambda: not is_alive(loading), 15, "the process to end")
    assert refuses(server)


def test_a_server_that_stops_refuses_clients_while_a_call_runs(serve):
    # They connected to a socket at which nobody accepted any more, and waited until the call ended.
    server = serve(BLOCKING)
    wire = server.connect()
    wire.send(message(target="/block"))
    server.log.wait("entered")
    server.kill(signal.SIGTERM)
    until(lambda: refuses(server), 15, "the listener to be closed")
    server.write("release", "")
    assert wire.read_response().status == 200


def test_stopping_a_server_that_never_answered_is_clean(serve):
    server = serve(HELLO)
    server.kill(signal.SIGTERM)
    assert server.wait_exit() == 0


def test_stopping_while_the_application_loads_is_clean(serve):
    server = serve(
        """
        import os, time
        os.write(2, b"loading\\n")
        time.sleep(20)
        application = None
    """,
        "--graceful-timeout",
        3,
    )
    server.log.wait("loading")
    server.kill(signal.SIGTERM)
    assert server.wait_exit(15) == 0


def test_a_signal_to_the_whole_process_group_is_a_clean_stop(serve):
    """The effect of Ctrl-C in a terminal."""
    server = serve(HELLO, "--workers", 2)
    all_loaded(server, 2)
    os.killpg(server.pid, signal.SIGINT)
    assert server.wait_exit(15) == 0
    assert "Traceback" not in server.log.text


def test_a_repeated_stop_signal_does_not_cut_short_the_end_of_a_worker(serve):
    """A platform sends TERM to all processes at once, and the arbiter sends it to its workers too: atexit still runs."""
    server = serve(
        """
        import atexit, os, time

        def finish():
            os.write(2, b"ending\\n")
            while not os.path.exists("release"):
                time.sleep(0.01)
            os.write(2, b"finished\\n")

        atexit.register(finish)

        def application(environ, start_response):
            start_response("200 OK", [])
            return [b"x"]
    """,
        "--workers",
        3,
    )
    until(lambda: sum(map(_polls, server.workers())) == 3, what="3 workers that serve")
    workers = server.workers()
    for pid in workers:
        os.kill(pid, signal.SIGTERM)
    server.log.wait("^ending", count=3)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        for pid in workers:
            os.kill(pid, number)
    server.kill(signal.SIGTERM)
    server.log.wait("Handling signal: term")
    server.write("release", "")
    assert server.wait_exit() == 0
    assert len(server.log.find("^finished")) == 3, server.log.text


def test_a_stop_signal_that_reaches_the_booting_worker_first_is_a_stop(serve):
    server = serve("""
        import os, time
        os.write(2, b"loading in %d\\n" % os.getpid())
        time.sleep(20)
        application = None
    """)
    worker = int(server.log.wait(r"loading in (\d+)").group(1))
    os.kill(worker, signal.SIGTERM)
    server.log.wait("was sent SIGTERM")
    server.kill(signal.SIGTERM)
    assert server.wait_exit(15) == 0
    assert not server.log.find("ERROR|failed to boot"), server.log.text


def test_threads_of_the_application_do_not_hold_up_the_end(serve):
    server = serve("""
        import threading, time
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
        def application(environ, start_response):
            start_response("200 OK", [])
            return [b"x"]
    """)
    assert server.get().status == 200
    server.kill(signal.SIGTERM)
    assert server.wait_exit(20) == 0
