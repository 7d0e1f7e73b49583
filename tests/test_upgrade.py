"""Upgrade (USR2): a new master beside the old one, forward and back, and between Gunicorn and Farrier."""

import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import textwrap

import pytest

from load import Load
from process import COMMAND, children, is_alive, number_in, title_of
from service_manager import Manager
from wire import Wire, message, until

HELLO = """
    import os

    def application(environ, start_response):
        start_response("200 OK", [("Content-Length", "12")])
        return [b"generation 1"]
"""

ACTIVATE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "applications", "activate.py")


class Upgraded:
    """A server and its successor, which is no child of the test: it is found by its pid file and ended here."""

    def __init__(self, server, path):
        self.server, self.path, self.old, self.new = server, str(path), server.pid, 0

    def start(self, workers=1):
        """USR2, until the new master's workers serve beside the old ones."""
        self.server.kill(signal.SIGUSR2)
        self.new = until(lambda: number_in(self.path + ".2"), 30, "the new master's pid file:\n" + self.server.log.text)
        ready = "Listening at: .* \\(%d\\)" % self.new
        self.server.log.wait(ready)
        until(lambda: len(children(self.new)) == workers, what="the new master's workers")
        return self

    def complete(self):
        """TERM to the old master."""
        self.server.kill(signal.SIGTERM)
        assert self.server.wait_exit() == 0
        self.server.log.wait("Master has been promoted.")
        until(lambda: number_in(self.path) == self.new, what="the pid file of the new master")
        assert not os.path.exists(self.path + ".2")

    def end(self):
        """Ends the successor."""
        if self.new and is_alive(self.new):
            os.kill(self.new, signal.SIGTERM)
            until(lambda: not is_alive(self.new), 30, "the successor to end")


@pytest.fixture
def upgrade(serve, tmp_path):
    """Starts a server that can be upgraded: `upgrade(source, *flags)`."""
    made = []

    def start(source=HELLO, *flags, **options):
        path = tmp_path / "run.pid"
        server = serve(source, "--pid", path, *flags, **options)
        made.append(Upgraded(server, path))
        return made[-1]

    yield start
    for each in made:
        each.end()


@pytest.mark.parametrize("kind", ["tcp", "unix"])
@pytest.mark.parametrize("flags", [["--workers", 2], ["--preload"]], ids=["two workers", "preload"])
def test_an_upgrade_under_load_loses_no_request(upgrade, tmp_path, kind, flags):
    bind = ("127.0.0.1:0",) if kind == "tcp" else ("unix:%s" % (tmp_path / "run.sock"),)
    both = upgrade(HELLO, *flags, bind=bind)
    workers = flags[1] if len(flags) > 1 else 1
    with Load(both.server) as load:
        until(lambda: load.answered > 200, what="some load")
        both.server.write("app.py", HELLO.replace("generation 1", "generation 2"))
        both.start(workers)
        until(lambda: load.bodies[b"generation 2"] > 50, 30, "answers of the new master")
        both.complete()
        before = load.answered
        until(lambda: load.answered > before + 200, what="answers after the old master has gone")
    assert load.failures == []
    with Wire(both.server.address) as wire:
        assert wire.request(message()).body == b"generation 2"
    both.end()
    assert os.listdir(tmp_path) == [], "neither pid file nor socket is left"


def test_the_statistics_are_the_new_masters_once_the_old_one_has_gone(upgrade, tmp_path):
    path = str(tmp_path / "stats.sock")

    def master():
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(15)
            try:
                connection.connect(path)
            except OSError:
                return None
            return json.loads(b"".join(iter(lambda: connection.recv(65536), b"")))["pid"]

    both = upgrade(HELLO, "--stats", "unix:" + path)
    assert master() == both.server.pid
    both.start()
    assert master() == both.server.pid
    both.complete()
    assert until(master, 15, "the statistics of the new master") == both.new


def test_several_upgrades_in_a_row_lose_no_request(upgrade):
    both = upgrade(HELLO)
    with Load(both.server, 4) as load:
        both.start()
        both.complete()
        for _ in range(2):
            old = both.new
            os.kill(old, signal.SIGUSR2)
            both.new = until(lambda: number_in(both.path + ".2"), 30, "the next master")
            until(lambda: len(children(both.new)) == 1, what="its worker")
            os.kill(old, signal.SIGTERM)
            until(lambda: not is_alive(old), 30, "the master before to end")
            until(lambda: number_in(both.path) == both.new, what="the pid file")
        before = load.answered
        until(lambda: load.answered > before + 100, what="answers of the last")
    assert load.failures == []


def test_both_masters_show_which_is_which(upgrade):
    both = upgrade(HELLO, "--name", "shop").start()
    assert (number_in(both.path), number_in(both.path + ".2")) == (both.old, both.new)
    assert title_of(both.old) == "farrier: master [shop]"
    assert title_of(both.new) == "farrier: master [shop.2]"
    both.complete()
    until(lambda: title_of(both.new) == "farrier: master [shop]", what="the title after the promotion")


def test_term_to_the_new_master_reverts_the_upgrade(upgrade, tmp_path):
    path = tmp_path / "run.sock"
    both = upgrade(HELLO, bind=("unix:%s" % path,))
    with Load(both.server, 4) as load:
        both.start()
        both.server.kill(signal.SIGHUP)
        os.kill(both.new, signal.SIGTERM)
        until(lambda: not is_alive(both.new), 30, "the new master to end")
        both.server.log.wait(r"The new master \(pid:%d\) exited with code 0; this one goes on" % both.new)
        assert path.exists(), "the socket is still the old master's"
        before = load.answered
        until(lambda: load.answered > before + 100, what="answers of the old master")
    assert load.failures == []
    assert number_in(both.path) == both.old and not os.path.exists(both.path + ".2")
    # And another upgrade may follow.
    both.start()
    both.complete()


def test_there_is_one_upgrade_at_a_time(upgrade):
    both = upgrade(HELLO).start()
    both.server.kill(signal.SIGUSR2)
    both.server.log.wait("USR2 signal ignored. Child exists.")
    os.kill(both.new, signal.SIGUSR2)
    both.server.log.wait("USR2 signal ignored. Parent exists.")
    assert both.server.get().status == 200


def test_a_new_master_that_cannot_load_the_application_leaves_the_old_one_serving_and_logs_why(upgrade):
    both = upgrade(HELLO)
    assert both.server.get().status == 200
    both.server.write("app.py", "raise RuntimeError('broken-661')\n")
    with Load(both.server, 4) as load:
        both.server.kill(signal.SIGUSR2)
        both.server.log.wait("RuntimeError: broken-661")
        both.server.log.wait(r"The new master \(pid:\d+\) exited with code 3; this one goes on")
        before = load.answered
        until(lambda: load.answered > before + 100, what="answers of the old master")
    assert load.failures == []
    assert number_in(both.path) == both.old and not os.path.exists(both.path + ".2")


def test_a_missing_program_leaves_the_old_master_serving_and_is_logged(upgrade, tmp_path):
    # As after an upgrade of Python that has removed the server's interpreter.
    interpreter = tmp_path / "python"
    os.symlink(sys.executable, interpreter)
    script = "import sys; sys.executable = %r; sys.path[:] = %r; from farrier.__main__ import main; sys.exit(main())"
    (tmp_path / "start.py").write_text(script % (str(interpreter), sys.path))
    both = upgrade(HELLO, command=[sys.executable, str(tmp_path / "start.py")])
    assert both.server.get().status == 200
    os.unlink(interpreter)
    both.server.kill(signal.SIGUSR2)
    both.server.log.wait("The new master's program .*/python cannot be started: No such file")
    both.server.log.wait(r"The new master \(pid:\d+\) exited with code 1; this one goes on")
    assert both.server.get().status == 200


def test_the_successor_has_the_original_command_line_environment_and_folder(upgrade, tmp_path):
    """Not those that the settings have set."""
    release = tmp_path / "release-1"
    current = tmp_path / "current"
    inner = release / "inner"
    inner.mkdir(parents=True)
    os.symlink(release, current)
    source = """
        import json, os, sys
        def application(environ, start_response):
            start_response("200 OK", [])
            names = ["GUNICORN_PID", "GUNICORN_FD", "LISTEN_FDS", "OF_THE_SETTINGS", "OF_THE_SHELL"]
            said = [sys.argv[1:], {name: os.environ.get(name) for name in names}, os.environ["PWD"], RELEASE]
            return [json.dumps(said).encode()]
        RELEASE = %d
    """
    (inner / "app.py").write_text(textwrap.dedent(source % 1))
    both = upgrade(
        "app:application",
        *("--chdir", "inner", "--raw-env", "OF_THE_SETTINGS=set", "--name", "with a blank"),
        directory=current,
        environment={"PWD": str(current), "OF_THE_SHELL": "kept"},
    )
    before = json.loads(both.server.get().body)
    assert before[1] == {
        **dict.fromkeys(["GUNICORN_PID", "GUNICORN_FD", "LISTEN_FDS"]),
        "OF_THE_SETTINGS": "set",
        "OF_THE_SHELL": "kept",
    }
    # A deployment points the link to the new release.
    second = tmp_path / "release-2" / "inner"
    second.mkdir(parents=True)
    (second / "app.py").write_text(textwrap.dedent(source % 2))
    os.unlink(current)
    os.symlink(tmp_path / "release-2", current)
    both.start()
    both.complete()
    with Wire(both.server.address) as wire:
        after = json.loads(wire.request(message()).body)
    assert after[:3] == before[:3]
    assert (before[3], after[3]) == (1, 2)


def test_an_address_that_the_new_configuration_drops_or_adds_is_dropped_or_added(upgrade):
    settings = 'bind = ["127.0.0.1:0", "unix:%s"]\npidfile = "run.pid"\n'
    # Without the fixture's flags: the file must contain everything.
    both = upgrade(HELLO, bind=(), settings=settings % "first.sock")
    assert len(both.server.addresses) == 2
    both.server.write("farrier.toml", settings % "second.sock")
    both.start()
    both.server.log.wait("The predecessor's listener unix:.*first.sock is not asked for any more and is closed")
    both.complete()
    for address in (both.server.addresses[0], os.path.join(both.server.directory, "second.sock")):
        with Wire(address) as wire:
            assert wire.request(message()).status == 200


def test_sockets_of_a_service_manager_are_handed_on(upgrade):
    command = [sys.executable, ACTIVATE, "web=127.0.0.1:0", "other=127.0.0.1:0", "--", *COMMAND]
    both = upgrade(HELLO, bind=("fd://other",), command=command)
    with Load(both.server, 4) as load:
        both.start()
        both.complete()
        before = load.answered
        until(lambda: load.answered > before + 100, what="answers of the new master")
    assert load.failures == []


def test_a_service_manager_is_notified_of_the_new_master_when_the_old_one_leaves(upgrade, tmp_path):
    manager = Manager(str(tmp_path / "notify"))
    both = upgrade(HELLO, environment=manager.environment)
    assert manager.wait("READY")["MAINPID"] == str(both.old)
    both.start()
    assert manager.hear(0.3) is None, "until then it is the old one's service"
    both.complete()
    assert manager.hear() == {"MAINPID": str(both.new)}
    assert manager.hear() == {"READY": "1", "MAINPID": str(both.new), "STATUS": "1 worker serves"}
    both.end()
    assert manager.wait("STOPPING")
    manager.socket.close()


def test_a_daemons_successor_is_a_daemon_without_another_fork(tmp_path):
    (tmp_path / "app.py").write_text(textwrap.dedent(HELLO))
    path = tmp_path / "run.pid"
    arguments = ["-D", "-b", "unix:%s" % (tmp_path / "s"), "-p", str(path), "--log-file", str(tmp_path / "log")]
    assert subprocess.run([*COMMAND, *arguments, "app:application"], cwd=tmp_path, timeout=60).returncode == 0
    old = number_in(path)
    new = 0
    try:
        os.kill(old, signal.SIGUSR2)
        new = until(lambda: number_in(str(path) + ".2"), 30, "the new master")
        assert os.getsid(new) == os.getsid(old)
        until(lambda: children(new), what="its worker")
        # The documented way: stop the old workers, and if everything works, the old master.
        os.kill(old, signal.SIGWINCH)
        until(lambda: children(old) == [new], 30, "the old workers to go")
        with Wire(str(tmp_path / "s")) as wire:
            assert wire.request(message()).status == 200
        os.kill(old, signal.SIGTERM)
        until(lambda: not is_alive(old), 30, "the old master to go")
        until(lambda: number_in(path) == new, what="the promotion")
        with Wire(str(tmp_path / "s")) as wire:
            assert wire.request(message()).status == 200
    finally:
        for pid in (old, new):
            if pid and is_alive(pid):
                os.kill(pid, signal.SIGTERM)
                until(lambda: not is_alive(pid), 30, "the end of %d" % pid)


# --- between Gunicorn and Farrier

PEERS = os.environ.get("FARRIER_TEST_PEERS") or os.path.join(sysconfig.get_path("data"), "peers")

GUNICORN = """
import sys
sys.path.insert(0, %r)
from gunicorn.app.wsgiapp import run
sys.argv[0] = %r
sys.exit(run())
"""

FARRIER = """
import sys
from farrier.__main__ import main
sys.exit(main())
"""


@pytest.fixture
def program(tmp_path):
    """A program that runs one of the two servers, and can switch to the other: `program("gunicorn")`."""
    if not os.path.isdir(os.path.join(PEERS, "gunicorn")):
        pytest.skip("needs Gunicorn in %s (tests/peers.txt)" % PEERS)
    path = str(tmp_path / "server.py")
    sources = {"gunicorn": GUNICORN % (PEERS, path), "farrier": FARRIER}

    def become(name):
        with open(path + ".new", "w") as file:
            file.write(sources[name])
        os.replace(path + ".new", path)
        return [sys.executable, path]

    return become


@pytest.mark.parametrize("before, after", [("gunicorn", "farrier"), ("farrier", "gunicorn")])
@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_either_server_hands_over_to_the_other(upgrade, tmp_path, program, kind, before, after):
    path = tmp_path / "run.sock"
    bind = ("127.0.0.1:0",) if kind == "tcp" else ("unix:%s" % path,)
    both = upgrade(HELLO, bind=bind, command=program(before))
    both.server.log.wait("Starting %s" % before)
    assert both.server.get().status == 200
    program(after)
    both.start()
    both.server.log.wait("Starting %s" % after)
    until(lambda: both.server.get().status == 200)
    both.server.kill(signal.SIGTERM)
    assert both.server.wait_exit() == 0
    both.server.log.wait("Master has been promoted.")
    until(lambda: number_in(both.path) == both.new, what="the pid file")
    for _ in range(5):
        with Wire(both.server.address) as wire:
            response = wire.request(message())
        assert response.body == b"generation 1" and response.value("Server").startswith(after)
    both.end()
    assert not os.path.exists(both.path) and not path.exists()
