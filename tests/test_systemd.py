"""Under a service manager: sockets that it passes, messages to it, and the units in deploy/systemd."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from process import COMMAND, paused
from service_manager import Manager
from wire import Wire, message

HERE = Path(__file__).resolve().parent
UNITS = HERE.parent / "deploy" / "systemd"
ACTIVATE = str(HERE / "applications" / "activate.py")

HELLO = """
    import os

    def application(environ, start_response):
        start_response("200 OK", [])
        return [b"hello"]
"""

SLOW = """
    import os, time

    os.write(2, b"importing\\n")
    while not os.path.exists("release"):
        time.sleep(0.01)

    def application(environ, start_response):
        start_response("200 OK", [])
        return [b"hello"]
"""


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    made = Manager(str(tmp_path / "notify") if request.param == "path" else "\0farrier-test-%d" % os.getpid())
    yield made
    made.socket.close()


@pytest.fixture
def plain_manager(tmp_path):
    made = Manager(str(tmp_path / "notify"))
    yield made
    made.socket.close()


# --- messages to the manager


def test_ready_is_sent_when_a_worker_has_loaded_the_application_and_not_before(serve, manager):
    server = serve(SLOW, environment=manager.environment)
    server.log.wait("importing")
    assert manager.hear(0.3) is None, "it listens, but nobody answers yet"
    server.write("release", "")
    ready = manager.wait("READY")
    assert (ready["READY"], ready["MAINPID"], ready["STATUS"]) == ("1", str(server.pid), "1 worker serves")
    assert server.get().body == b"hello"


def test_a_reload_is_framed_by_reloading_and_ready(serve, plain_manager):
    server = serve(HELLO, environment=plain_manager.environment)
    plain_manager.wait("READY")
    before = time.clock_gettime(time.CLOCK_MONOTONIC)
    server.kill(signal.SIGHUP)
    reloading = plain_manager.hear()
    assert reloading["RELOADING"] == "1"
    # systemd only accepts a time between its signal and now.
    assert before <= int(reloading["MONOTONIC_USEC"]) / 1e6 <= time.clock_gettime(time.CLOCK_MONOTONIC)
    assert plain_manager.hear()["READY"] == "1"


def test_an_abandoned_reload_ends_with_ready_as_well(serve, plain_manager):
    server = serve(HELLO, environment=plain_manager.environment)
    plain_manager.wait("READY")
    server.write("app.py", "raise RuntimeError('broken-991')\n")
    server.kill(signal.SIGHUP)
    assert plain_manager.hear()["RELOADING"] == "1"
    assert plain_manager.hear()["READY"] == "1"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopping_is_sent_when_the_stop_begins(serve, plain_manager, number):
    server = serve(HELLO, environment=plain_manager.environment)
    plain_manager.wait("READY")
    server.kill(number)
    assert plain_manager.wait("STOPPING")["STOPPING"] == "1"
    assert server.wait_exit() == 0


def test_an_application_that_cannot_be_loaded_is_never_ready(serve, plain_manager):
    server = serve("raise RuntimeError('broken-992')\n\n", environment=plain_manager.environment, listening=False)
    assert server.wait_exit() == 3
    plain_manager.wait("STOPPING")
    assert not [message for message in plain_manager.heard if "READY" in message]


def test_signs_of_life_come_while_the_master_lives_and_has_workers(serve, plain_manager):
    server = serve(HELLO, environment=dict(plain_manager.environment, WATCHDOG_USEC="400000"))
    plain_manager.wait("READY")
    for _ in range(3):
        assert plain_manager.wait("WATCHDOG", 5) == {"WATCHDOG": "1"}
    with paused(server.pid):
        while plain_manager.hear(0.01):
            pass
        assert plain_manager.hear(0.5) is None, "a master that does not run says nothing"
    plain_manager.wait("WATCHDOG", 5)


def test_the_watchdog_is_ignored_if_it_is_for_another_process(serve, plain_manager):
    server = serve(HELLO, environment=dict(plain_manager.environment, WATCHDOG_USEC="100000", WATCHDOG_PID="1"))
    plain_manager.wait("READY")
    assert server.get().body == b"hello"
    assert plain_manager.hear(0.3) is None


def test_a_manager_that_has_gone_is_no_reason_not_to_serve(serve, tmp_path):
    server = serve(HELLO, environment={"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    assert server.get().body == b"hello"
    server.log.wait("Cannot notify the service manager")


def test_a_notify_socket_that_makes_no_sense_ends_the_start(serve):
    server = serve(HELLO, environment={"NOTIFY_SOCKET": "relative"}, listening=False)
    assert server.wait_exit() == 1
    server.log.wait("NOTIFY_SOCKET=relative is neither a path nor")


# --- sockets that it passes


def activated(serve, *sockets, source=HELLO, flags=(), bind=(), **options):
    command = [sys.executable, ACTIVATE, *sockets, "--", *COMMAND]
    return serve(source, *flags, bind=bind, command=command, **options)


def test_without_an_address_all_passed_sockets_are_served(serve, tmp_path):
    path = tmp_path / "web.sock"
    server = activated(serve, "web=127.0.0.1:0", "local=%s" % path)
    assert len(server.addresses) == 2
    for address in server.addresses:
        with Wire(address) as wire:
            assert wire.request(message()).body == b"hello"
    server.stop()
    assert path.exists(), "the socket is the manager's"


def test_passed_sockets_take_the_place_of_addresses_as_with_gunicorn(serve):
    server = activated(serve, "web=127.0.0.1:0", bind=("127.0.0.1:1",))
    port = int(server.log.wait(r"activated web at 127.0.0.1:(\d+)").group(1))
    assert server.addresses == [("127.0.0.1", port)]
    server.log.wait("Listening at the sockets that the service manager has passed, not at `bind`")


def test_a_name_chooses_among_the_sockets_and_keeps_other_addresses(serve, tmp_path):
    server = activated(serve, "web=127.0.0.1:0", "admin=127.0.0.1:0", bind=("fd://admin", "127.0.0.1:0"))
    web, admin = (int(server.log.wait(r"activated %s at .*:(\d+)" % name).group(1)) for name in ("web", "admin"))
    ports = [port for _, port in server.addresses]
    assert ports[0] == admin and web not in ports and len(ports) == 2
    for address in server.addresses:
        with Wire(address) as wire:
            assert wire.request(message()).body == b"hello"


def test_an_unknown_socket_name_is_reported_with_the_known_ones(serve):
    server = activated(serve, "web=127.0.0.1:0", "admin=127.0.0.1:0", bind=("fd://api",), listening=False)
    assert server.wait_exit() == 1
    server.log.wait("there is no socket of the name `api` for fd://api; LISTEN_FDNAMES has web, admin")


def test_sockets_for_another_process_are_not_ours(serve):
    server = serve(HELLO, environment={"LISTEN_PID": "1", "LISTEN_FDS": "1"})
    assert server.get().body == b"hello"


def test_neither_variables_nor_sockets_reach_the_application_and_its_programs(serve):
    server = activated(
        serve,
        "web=127.0.0.1:0",
        source="""
            import json, os, subprocess
            def application(environ, start_response):
                start_response("200 OK", [])
                left = [name for name in os.environ if name.startswith("LISTEN_")]
                child = subprocess.run(["ls", "/proc/self/fd"], capture_output=True, close_fds=False).stdout
                return [json.dumps([left, child.decode().split()]).encode()]
        """,
    )
    left, descriptors = json.loads(server.get().body)
    assert left == []
    # The standard streams, and the folder that is being listed.
    assert len(descriptors) == 4, descriptors


def test_passed_sockets_stay_across_a_reload(serve):
    server = activated(serve, "web=127.0.0.1:0")
    assert server.get().body == b"hello"
    server.kill(signal.SIGHUP)
    server.log.wait("Reloaded: generation 2")
    assert server.get().body == b"hello"
    assert len(server.log.find("Listening at")) == 1


def test_clients_that_come_before_the_server_are_served_by_it(serve, tmp_path):
    """systemd's own launcher: it starts the server when the first client connects, which waits meanwhile."""
    if not shutil.which("systemd-socket-activate"):
        pytest.skip("needs systemd-socket-activate")
    path = str(tmp_path / "web.sock")
    command = ["systemd-socket-activate", "-l", path, "--fdname=web", "-E", "PATH"]
    command += ["-E", "PYTHONDONTWRITEBYTECODE", *COMMAND]
    server = serve(HELLO, bind=("fd://web",), command=command, listening=False)
    server.log.wait("Listening on")
    with Wire(path) as wire:
        assert wire.request(message()).body == b"hello"
    server.wait_listening()
    assert server.addresses == [path]
    server.stop()
    assert os.path.exists(path)


# --- the units


@pytest.fixture
def analyze(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze")

    def analyze(*arguments):
        # The units as installed: with a program and a folder that exist.
        text = (UNITS / "farrier.service").read_text()
        assert "ExecStart=/srv/mysite/.venv/bin/farrier " in text
        text = text.replace("/srv/mysite/.venv/bin/farrier", COMMAND[0]).replace("/srv/mysite", str(tmp_path))
        (tmp_path / "farrier.service").write_text(text)
        shutil.copy(UNITS / "farrier.socket", tmp_path)
        units = [str(tmp_path / name) for name in ("farrier.service", "farrier.socket")]
        return subprocess.run(["systemd-analyze", *arguments, *units], capture_output=True, text=True)

    return analyze


def test_systemd_finds_nothing_wrong_with_the_units(analyze):
    done = analyze("verify", "--man=no")
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_check_of_the_units_can_fail(analyze, tmp_path):
    analyze("verify", "--man=no")
    path = tmp_path / "farrier.service"
    path.write_text(path.read_text().replace("KillMode=mixed", "KillMode=whatever"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(path)], capture_output=True, text=True)
    assert "kill mode" in done.stderr


def test_the_command_in_the_unit_is_one_that_farrier_understands(tmp_path):
    command = re.search(r"^ExecStart=\S+ (.*)$", (UNITS / "farrier.service").read_text(), re.MULTILINE)[1].split()
    (tmp_path / "mysite").mkdir()
    (tmp_path / "mysite" / "__init__.py").write_text("")
    (tmp_path / "mysite" / "wsgi.py").write_text("def application(environ, start_response): pass\n")
    done = subprocess.run([*COMMAND, "--check-config", *command], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_units_give_the_server_the_time_that_it_takes(serve):
    """The manager kills no earlier than the server itself would."""
    unit = (UNITS / "farrier.service").read_text()
    printed = subprocess.run([*COMMAND, "--help", "graceful_timeout"], capture_output=True, text=True).stdout
    graceful = int(re.search(r"default.*?(\d+)s", printed, re.IGNORECASE)[1])
    assert int(re.search(r"^TimeoutStopSec=(\d+)", unit, re.MULTILINE)[1]) >= graceful + 5
