"""The server hooks of a gunicorn.conf.py: when each is called, in which process, with which arguments, and what its
failure causes."""

import json
import os
import signal
import textwrap

import pytest

from wire import message, until

#: Every hook writes a line of JSON: its name, the process, and its arguments.
RECORDER = """
import json, os

def note(hook, **facts):
    line = json.dumps(dict(facts, hook=hook, pid=os.getpid()), default=str) + "\\n"
    descriptor = os.open("notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line.encode())
    os.close(descriptor)
"""

ALL_HOOKS = (
    RECORDER
    + """
def on_starting(server):
    note("on_starting", workers=server.num_workers, listeners=len(server.LISTENERS))

def when_ready(server):
    note("when_ready", server=server.pid, listeners=[str(l) for l in server.LISTENERS], children=list(server.WORKERS))

def on_reload(server):
    note("on_reload", server=server.pid)

def nworkers_changed(server, new_value, old_value):
    note("nworkers_changed", new=new_value, old=old_value, has=server.num_workers)

def pre_fork(server, worker):
    worker.mark = "mark %d" % worker.age
    note("pre_fork", worker=worker.pid, age=worker.age, server_age=server.worker_age)

def post_fork(server, worker):
    note("post_fork", worker=worker.pid, age=worker.age, ppid=worker.ppid, mark=worker.mark, booted=worker.booted)

def post_worker_init(worker):
    note("post_worker_init", app=worker.wsgi.__name__, alive=worker.alive, booted=worker.booted)

def pre_request(worker, req):
    req.began = "here"
    note("pre_request", nr=worker.nr, booted=worker.booted, method=req.method, path=req.path, query=req.query, uri=req.uri,
         headers=req.headers, version=req.version, remote=req.remote_addr, peer=req.peer_addr, scheme=req.scheme,
         trailers=req.trailers)

def post_request(worker, req, environ, resp):
    note("post_request", nr=worker.nr, path=environ["PATH_INFO"], began=req.began, status=resp.status,
         code=resp.status_code, headers=resp.headers, sent=resp.sent, length=resp.response_length)

def worker_int(worker):
    note("worker_int", alive=worker.alive)

def worker_abort(worker):
    note("worker_abort", alive=worker.alive)

def worker_exit(server, worker):
    note("worker_exit", worker=worker.pid, server=server.pid)

def child_exit(server, worker):
    note("child_exit", worker=worker.pid, mark=worker.mark, left=list(server.WORKERS))

def pre_exec(server):
    note("pre_exec", server=server.pid)

def on_exit(server):
    note("on_exit")
"""
)

HELLO = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Own", "1")])
    return [b"hello"]
"""


class Site:
    """A directory with a gunicorn.conf.py, and the records of its hooks."""

    def __init__(self, directory, configuration):
        self.directory = directory
        self.configure(configuration)

    def configure(self, configuration):
        (self.directory / "gunicorn.conf.py").write_text(textwrap.dedent(configuration))

    def notes(self, hook=None):
        path = self.directory / "notes"
        lines = path.read_text().splitlines() if path.exists() else []
        notes = [json.loads(line) for line in lines]
        return [note for note in notes if hook in (None, note["hook"])]

    def names(self):
        return [note["hook"] for note in self.notes()]

    def wait(self, hook, count=1):
        """The record of the hook's call of this number."""
        until(lambda: len(self.notes(hook)) >= count, 20, "call %d of %s; called: %r" % (count, hook, self.names()))
        return self.notes(hook)[count - 1]


@pytest.fixture
def site(tmp_path):
    return lambda configuration=ALL_HOOKS: Site(tmp_path, configuration)


def test_hooks_are_called_in_order_and_in_their_processes(site, serve):
    site = site()
    server = serve(HELLO, "--workers", 1, directory=site.directory)
    assert server.get("/a%20b?c=d", [("X-Asked", "yes")]).status == 200
    site.wait("post_request")
    server.stop()
    order = "nworkers_changed on_starting when_ready pre_fork post_fork post_worker_init pre_request post_request worker_exit child_exit on_exit"
    assert site.names() == order.split()
    calls = {note["hook"]: note for note in site.notes()}
    arbiter, worker = server.pid, calls["post_fork"]["pid"]
    assert worker != arbiter
    in_arbiter = {"nworkers_changed", "on_starting", "when_ready", "pre_fork", "child_exit", "on_exit"}
    for name, note in calls.items():
        assert note["pid"] == (arbiter if name in in_arbiter else worker), name
    assert calls["nworkers_changed"]["new"] == 1 and calls["nworkers_changed"]["old"] is None
    assert calls["on_starting"]["listeners"] == 0 and calls["on_starting"]["workers"] == 1
    host, port = server.address
    assert calls["when_ready"]["listeners"] == ["http://%s:%d" % (host, port)]
    assert calls["when_ready"]["children"] == []
    assert calls["pre_fork"]["worker"] == "[booting]" and calls["pre_fork"]["age"] == 1
    fork = calls["post_fork"]
    assert (fork["worker"], fork["ppid"], fork["age"], fork["booted"]) == (worker, arbiter, 1, False)
    assert fork["mark"] == "mark 1"
    init = calls["post_worker_init"]
    assert (init["app"], init["alive"], init["booted"]) == ("application", True, False)
    assert (calls["worker_exit"]["worker"], calls["worker_exit"]["server"]) == (worker, arbiter)
    assert (calls["child_exit"]["worker"], calls["child_exit"]["mark"]) == (worker, "mark 1")
    assert calls["child_exit"]["left"] == []


def test_request_hooks_see_the_request_and_its_response(site, serve):
    site = site()
    server = serve(HELLO, "--workers", 1, directory=site.directory)
    server.get("/a%20b?c=d", [("X-Asked", "yes")])
    before, after = site.wait("pre_request"), site.wait("post_request")
    assert (before["method"], before["path"], before["query"]) == ("GET", "/a%20b", "c=d")
    assert (before["uri"], before["version"], before["scheme"]) == ("/a%20b?c=d", [1, 1], "http")
    assert ["X-ASKED", "yes"] in before["headers"]
    assert before["remote"][0] == before["peer"][0] == "127.0.0.1"
    assert before["trailers"] == []
    assert (after["path"], after["began"]) == ("/a b", "here")
    assert (after["status"], after["code"], after["sent"], after["length"]) == ("200 OK", 200, 5, 5)
    assert ["X-Own", "1"] in after["headers"]
    assert (before["nr"], after["nr"], before["booted"]) == (0, 1, True)


def test_a_reload_calls_on_reload_before_the_new_workers_and_takes_the_new_hooks(site, serve):
    site = site()
    server = serve(HELLO, "--workers", 1, directory=site.directory)
    assert server.get().status == 200
    site.configure(ALL_HOOKS.replace('note("on_reload"', 'note("on_reload", new=True'))
    server.kill(signal.SIGHUP)
    site.wait("child_exit")
    assert site.wait("on_reload")["new"] is True
    assert site.wait("on_reload")["pid"] == server.pid
    names = site.names()
    assert names.index("on_reload") < [i for i, name in enumerate(names) if name == "pre_fork"][1]


def test_a_reload_with_a_hook_that_does_not_fit_leaves_the_old_ones(site, serve):
    site = site()
    server = serve(HELLO, "--workers", 1, directory=site.directory)
    assert server.get().status == 200
    site.configure("def post_fork(server):\n    pass\n")
    server.kill(signal.SIGHUP)
    server.log.wait(r"post_fork\(server, worker\)")
    assert server.get().status == 200
    assert site.wait("post_request")["pid"] == site.notes("post_fork")[-1]["pid"]
    assert "on_reload" not in site.names()


def test_pre_exec_is_called_in_the_process_that_becomes_the_successor(site, serve):
    site = site()
    server = serve(HELLO, "--workers", 1, directory=site.directory)
    assert server.get().status == 200
    server.kill(signal.SIGUSR2)
    before = site.wait("pre_exec")
    assert before["server"] == server.pid != before["pid"]
    assert site.wait("on_starting", 2)["pid"] == before["pid"]
    site.wait("post_worker_init", 2)
    server.kill(signal.SIGTERM, before["pid"])
    assert site.wait("on_exit")["pid"] == before["pid"]
    assert server.get().status == 200


def test_what_pre_fork_sets_reaches_the_workers_of_a_preloaded_application(site, serve):
    site = site()
    server = serve(HELLO, "--workers", 2, "--preload", directory=site.directory)
    site.wait("post_worker_init", 2)
    before, after = site.notes("pre_fork"), site.notes("post_fork")
    assert {note["pid"] for note in before} == {server.pid}
    assert sorted(note["mark"] for note in after) == ["mark 1", "mark 2"]
    assert sorted(note["age"] for note in after) == [1, 2]
    assert {note["ppid"] for note in after} == {server.pid}
    assert server.get().status == 200
    server.kill(signal.SIGHUP)
    server.log.wait("Reloaded")
    assert sorted(note["mark"] for note in site.notes("post_fork"))[2:] == ["mark 3", "mark 4"]
    # The template of the old generation ends, too, and has no mark.
    ended = {note["worker"] for note in site.notes("child_exit") if note["mark"] is not None}
    assert ended == {note["pid"] for note in after}


def test_values_of_pre_fork_that_cannot_be_passed_to_a_preloaded_worker_are_logged(site, serve):
    site = site("def pre_fork(server, worker):\n    worker.file = open('/dev/null')\n    worker.mark = 1\n")
    server = serve(HELLO, "--preload", directory=site.directory)
    server.log.wait("pre_fork has set file on the worker")
    assert server.get().status == 200


def test_changes_of_the_number_of_workers_are_reported(site, serve):
    site = site()
    server = serve(HELLO, "--workers", 1, directory=site.directory)
    assert server.get().status == 200
    server.kill(signal.SIGTTIN)
    changed = site.wait("nworkers_changed", 2)
    assert (changed["old"], changed["new"], changed["has"]) == (1, 2, 2)
    site.wait("post_worker_init", 2)
    server.kill(signal.SIGTTOU)
    changed = site.wait("nworkers_changed", 3)
    assert (changed["old"], changed["new"]) == (2, 1)
    assert site.wait("child_exit")["pid"] == server.pid


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_worker_int_is_called_in_a_worker_that_is_interrupted(site, serve, number):
    site = site()
    server = serve(HELLO, "--workers", 1, directory=site.directory)
    # From here on it catches signals.
    assert server.get().status == 200
    worker = site.wait("post_worker_init")["pid"]
    server.kill(number, worker)
    assert site.wait("worker_int") == {"hook": "worker_int", "pid": worker, "alive": False}
    assert site.wait("worker_exit")["pid"] == worker
    assert site.wait("child_exit")["worker"] == worker


STUCK = """
import threading, time
def application(environ, start_response):
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/computes":
        end = time.monotonic() + 60
        while time.monotonic() < end:
            pass
    if environ["PATH_INFO"] == "/waits":
        time.sleep(60)
    return [b"done"]
"""


@pytest.mark.parametrize("target", ["/", "/computes", "/waits"])
def test_worker_abort_is_called_whatever_the_worker_does(site, serve, target):
    site = site()
    server = serve(STUCK, "--workers", 1, "--threads", 1, directory=site.directory)
    worker = site.wait("post_worker_init")["pid"]
    wire = server.connect()
    wire.send(message(target=target))
    site.wait("pre_request")
    server.kill(signal.SIGABRT, worker)
    assert site.wait("worker_abort") == {"hook": "worker_abort", "pid": worker, "alive": False}
    assert site.wait("worker_exit")["pid"] == worker
    server.log.wait(r"Worker \(pid:%d\) exited with code 1" % worker)


def test_a_hook_that_hangs_does_not_keep_a_worker_that_must_leave(site, serve):
    site = site(RECORDER + "import time\ndef worker_abort(worker):\n    note('worker_abort')\n    time.sleep(3600)\n")
    server = serve(HELLO, "--workers", 1, directory=site.directory)
    server.get()
    (worker,) = server.workers()
    server.kill(signal.SIGABRT, worker)
    site.wait("worker_abort")
    server.log.wait(r"Worker \(pid:%d\) exited with code 1" % worker)


def test_alive_set_false_recycles_the_worker_when_its_successor_serves(site, serve):
    site = site(
        RECORDER
        + """
def post_request(worker, req, environ, resp):
    note("post_request", nr=worker.nr)
    if worker.nr >= 3:
        worker.alive = False
        note("asked", alive=worker.alive)

def child_exit(server, worker):
    note("child_exit", worker=worker.pid)
"""
    )
    server = serve(HELLO, "--workers", 1, directory=site.directory)
    for _ in range(3):
        assert server.get().status == 200
    asked = site.wait("asked")
    assert asked["alive"] is False
    assert site.wait("child_exit")["worker"] == asked["pid"]
    assert server.get().status == 200
    last = site.wait("post_request", 4)
    assert last["pid"] != asked["pid"] and last["nr"] == 1


def test_an_exception_of_pre_request_is_a_500_and_post_request_gets_no_response(site, serve):
    site = site(
        RECORDER
        + """
def pre_request(worker, req):
    if req.path == "/refused":
        raise PermissionError("not today")

def post_request(worker, req, environ, resp):
    note("post_request", path=req.path, environ=bool(environ), resp=resp)
"""
    )
    server = serve(HELLO, directory=site.directory)
    assert server.get("/refused").status == 500
    server.log.wait(r"Error handling request GET /refused")
    server.log.wait(r"PermissionError: not today")
    note = site.wait("post_request")
    assert (note["path"], note["environ"], note["resp"]) == ("/refused", False, None)
    assert server.get("/").status == 200


def test_an_exception_of_post_request_is_logged_and_the_response_is_sent(site, serve):
    site = site("def post_request(worker, req):\n    raise ValueError('too late')\n")
    server = serve(HELLO, directory=site.directory)
    with server.connect() as wire:
        assert wire.request(message()).body == b"hello"
        assert wire.request(message()).body == b"hello"
    server.log.wait(r"Exception in post_request hook")
    server.log.wait(r"ValueError: too late", count=2)


@pytest.mark.parametrize("parameters", ["worker, req", "worker, req, environ", "worker, req, environ, resp", "*given"])
def test_post_request_takes_two_to_four_arguments(site, serve, parameters):
    given = parameters if parameters.startswith("*") else "*(%s,)" % parameters
    site = site(RECORDER + "def post_request(%s):\n    note('post_request', got=len([%s]))\n" % (parameters, given))
    server = serve(HELLO, directory=site.directory)
    server.get()
    assert site.wait("post_request")["got"] == (parameters.count(",") + 1 if "," in parameters else 4)


def test_post_request_is_called_when_the_application_fails_and_not_for_malformed_requests(site, serve):
    site = site(
        RECORDER
        + """
def post_request(worker, req, environ, resp):
    note("post_request", path=req.path, status=resp.status, code=resp.status_code, sent=resp.headers_sent)
"""
    )
    server = serve(
        """
        def application(environ, start_response):
            if environ["PATH_INFO"] == "/late":
                start_response("202 Accepted", [])
                def late():
                    yield b"some"
                    raise KeyError("late")
                return late()
            raise KeyError("early")
        """,
        directory=site.directory,
    )
    assert server.exchange(b"GET / HTTP/1.1\r\nno field\r\n\r\n").status == 400
    assert server.get("/early").status == 500
    with server.connect() as wire:
        wire.send(message(target="/late"))
        assert wire.read_head().status == 202
        site.wait("post_request", 2)
    early, late = site.notes("post_request")
    assert (early["path"], early["code"], early["sent"]) == ("/early", 500, False)
    assert (late["path"], late["status"], late["sent"]) == ("/late", "202 Accepted", True)


def test_what_pre_request_changes_reaches_the_application(site, serve):
    site = site(
        """
        def pre_request(worker, req):
            req.headers.append(("X-ADDED", "by the hook"))
            req.headers = [(name, value) for name, value in req.headers if name != "X-SECRET"]
            req.path = "/else%20where"
        """
    )
    server = serve(
        """
        def application(environ, start_response):
            start_response("200 OK", [])
            names = ("PATH_INFO", "HTTP_X_ADDED", "HTTP_X_SECRET", "HTTP_X_KEPT")
            return [repr([environ.get(name) for name in names]).encode()]
        """,
        directory=site.directory,
    )
    answer = server.get("/here", [("X-Secret", "no"), ("X-Kept", "yes")])
    assert answer.body == repr(["/else where", "by the hook", None, "yes"]).encode()


@pytest.mark.parametrize(
    "hook, parameters, signature",
    [
        ("post_fork", "server", "post_fork(server, worker)"),
        ("on_starting", "", "on_starting(server)"),
        ("worker_exit", "worker", "worker_exit(server, worker)"),
        ("nworkers_changed", "server, new", "nworkers_changed(server, new_value, old_value)"),
        ("post_request", "worker", "post_request(worker, req, environ, resp)"),
        ("pre_request", "worker, req, environ", "pre_request(worker, req)"),
    ],
)
def test_a_hook_with_the_wrong_parameters_is_refused_with_its_place(site, serve, hook, parameters, signature):
    site = site("import os\n\ndef %s(%s):\n    pass\n" % (hook, parameters))
    server = serve(HELLO, directory=site.directory, listening=False)
    assert server.wait_exit() == 1
    assert signature in server.log.text
    assert "gunicorn.conf.py, line 3" in server.log.text
    assert "Listening" not in server.log.text


def test_a_hook_may_be_an_import_string(site, serve):
    site = site("post_fork = 'elsewhere.after_fork'\npre_fork = 'elsewhere:before_fork'\n")
    (site.directory / "elsewhere.py").write_text(
        RECORDER
        + "def after_fork(server, worker):\n    note('post_fork')\ndef before_fork(s, w):\n    note('pre_fork')\n"
    )
    serve(HELLO, directory=site.directory)
    site.wait("post_fork")
    assert site.names() == ["pre_fork", "post_fork"]


@pytest.mark.parametrize("given", ["'nowhere.hook'", "'os.nothing_of_this_name'", "42", "'unqualified'"])
def test_a_value_that_is_no_hook_is_refused(site, serve, given):
    server = serve(HELLO, directory=site("post_fork = %s\n" % given).directory, listening=False)
    assert server.wait_exit() == 1
    assert "post_fork" in server.log.text and given.strip("'") in server.log.text


def test_ssl_context_is_refused_with_a_sentence(site, serve):
    site = site("def ssl_context(config, default_ssl_context_factory):\n    return default_ssl_context_factory()\n")
    server = serve(HELLO, directory=site.directory, listening=False)
    assert server.wait_exit() == 1
    assert "Python's `ssl` does not serve here" in server.log.text


@pytest.mark.parametrize("raised, code", [("RuntimeError('no disk')", 1), ("SystemExit(7)", 7)])
def test_an_exception_of_on_starting_ends_the_start(site, serve, raised, code):
    server = serve(
        HELLO, directory=site("def on_starting(server):\n    raise %s\n" % raised).directory, listening=False
    )
    assert server.wait_exit() == code
    assert "Listening" not in server.log.text
    if code == 1:
        assert "RuntimeError: no disk" in server.log.text


@pytest.mark.parametrize("hook", ["post_fork(server, worker)", "post_worker_init(worker)"])
def test_an_exception_of_a_booting_workers_hook_is_a_boot_failure(site, serve, hook):
    server = serve(HELLO, directory=site("def %s:\n    raise OSError('no net')\n" % hook).directory, listening=False)
    assert server.wait_exit() == 3
    assert "OSError: no net" in server.log.text
    assert "gunicorn.conf.py" in server.log.text


@pytest.mark.parametrize(
    "hook",
    ["when_ready(server)", "pre_fork(server, worker)", "child_exit(server, worker)", "on_reload(server)"],
)
def test_exceptions_of_other_hooks_of_the_arbiter_are_logged_and_the_server_continues(site, serve, hook):
    server = serve(HELLO, directory=site("def %s:\n    raise OSError('oh dear')\n" % hook).directory)
    assert server.get().status == 200
    server.kill(signal.SIGHUP)
    server.log.wait(r"Reloaded")
    server.log.wait(r"Exception in %s hook" % hook.partition("(")[0])
    server.log.wait(r"OSError: oh dear")
    assert server.get().status == 200


def test_worker_alive_is_false_for_threads_of_a_worker_that_drains(site, serve):
    site = site(
        RECORDER
        + """
import threading, time
def post_worker_init(worker):
    def watch():
        while worker.alive:
            time.sleep(0.01)
        note("watched", pid_of_worker=worker.pid)
    threading.Thread(target=watch, daemon=True).start()

def pre_request(worker, req):
    note("pre_request")
"""
    )
    server = serve(
        """
        import os, time
        def application(environ, start_response):
            while not os.path.exists("release"):
                time.sleep(0.01)
            start_response("200 OK", [])
            return [b"released"]
        """,
        directory=site.directory,
    )
    with server.connect() as wire:
        wire.send(message())
        worker = site.wait("pre_request")["pid"]
        server.kill(signal.SIGTERM, worker)
        assert site.wait("watched")["pid_of_worker"] == worker
        (site.directory / "release").write_text("")
        assert wire.read_response().body == b"released"


def test_prometheus_drops_the_gauges_of_a_dead_worker(site, serve):
    pytest.importorskip("prometheus_client")
    site = site(
        """
        from prometheus_client import multiprocess

        def child_exit(server, worker):
            multiprocess.mark_process_dead(worker.pid)
            server.log.info("marked %d", worker.pid)
        """
    )
    metrics = site.directory / "metrics"
    metrics.mkdir()
    server = serve(
        """
        import os
        from prometheus_client import CollectorRegistry, Gauge, generate_latest, multiprocess
        LIVE = Gauge("live", "Living workers", multiprocess_mode="livesum")
        LIVE.set(1)
        def application(environ, start_response):
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)
            start_response("200 OK", [])
            return [generate_latest(registry)]
        """,
        "--workers",
        2,
        directory=site.directory,
        environment={"PROMETHEUS_MULTIPROC_DIR": str(metrics)},
    )
    until(lambda: b"live 2.0" in server.get().body, 15, "both workers in the metrics")
    victim = server.workers()[0]
    files = lambda: [name for name in os.listdir(metrics) if name.startswith("gauge_live")]  # noqa: E731
    assert "gauge_livesum_%d.db" % victim in files()
    server.kill(signal.SIGKILL, victim)
    server.log.wait(r"marked %d" % victim)
    assert "gauge_livesum_%d.db" % victim not in files()
    until(lambda: b"live 2.0" in server.get().body, 15, "the successor in the metrics")


def test_child_exit_is_called_for_a_template_too(site, serve):
    """It has loaded the application, so what metrics keep for each process ends with it."""
    pytest.importorskip("prometheus_client")
    site = site(
        """
        from prometheus_client import multiprocess

        def pre_fork(server, worker):
            worker.mark = "a worker"

        def child_exit(server, worker):
            multiprocess.mark_process_dead(worker.pid)
            server.log.info("marked %d: %s %s", worker.pid, worker.mark, worker.is_template)
        """
    )
    metrics = site.directory / "metrics"
    metrics.mkdir()
    server = serve(
        """
        from prometheus_client import Gauge
        LIVE = Gauge("live", "Living processes", multiprocess_mode="liveall")
        def application(environ, start_response):
            start_response("200 OK", [])
            return [b"x"]
        """,
        "--preload",
        directory=site.directory,
        environment={"PROMETHEUS_MULTIPROC_DIR": str(metrics)},
    )
    assert server.get().status == 200
    (first,) = server.templates()
    assert (metrics / f"gauge_liveall_{first}.db").exists()
    server.kill(signal.SIGHUP)
    server.log.wait(f"marked {first}: None True")
    second = server.templates()[1]
    living = [name for name in os.listdir(metrics) if name.startswith("gauge_liveall")]
    assert f"gauge_liveall_{first}.db" not in living and f"gauge_liveall_{second}.db" in living
    server.stop()
    server.log.wait(f"marked {second}: None True")
    assert server.log.find(r"marked \d+: a worker False")
    assert "Exception in" not in server.log.text
