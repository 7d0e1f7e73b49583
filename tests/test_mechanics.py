"""The master process: pid file, daemon, users and groups, titles, and failed starts."""

import contextlib
import grp
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import textwrap
from pathlib import Path

import pytest

from capabilities import NOBODY, nobody, root_that_can_change_its_user
from process import COMMAND, children, is_alive, number_in, title_of
from wire import Wire, message, until

HELLO = """
    import json, os, sys

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "application/json")])
        said = {"pid": os.getpid(), "ids": os.getresuid() + os.getresgid(), "groups": sorted(os.getgroups())}
        said["imported as"] = IMPORTED_AS
        return [json.dumps(said).encode()]

    IMPORTED_AS = [os.getuid(), os.getgid()]
"""


def name_of(pid):
    with open("/proc/%d/comm" % pid) as file:
        return file.read().strip()


def free_port():
    with socket.socket() as finder:
        finder.bind(("127.0.0.1", 0))
        return finder.getsockname()[1]


# --- the pid file


def test_the_pid_file_names_the_master_is_readable_by_all_and_goes_with_it(serve, tmp_path):
    path = tmp_path / "run.pid"
    server = serve(HELLO, "--pid", path, preexec=lambda: os.umask(0o077))
    assert path.read_text() == "%d\n" % server.pid
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.listdir(tmp_path) == ["run.pid"]
    server.stop()
    assert os.listdir(tmp_path) == []


def test_a_second_server_is_refused_while_the_process_of_the_pid_file_lives(serve, tmp_path):
    path = tmp_path / "run.pid"
    first = serve(HELLO, "-p", path)
    second = serve(HELLO, "-p", path, listening=False)
    assert second.wait_exit() == 1
    second.log.wait(r"Already running on PID %d \(or pid file '%s' is stale\)" % (first.pid, path))
    assert path.read_text() == "%d\n" % first.pid
    assert first.get().status == 200


@pytest.mark.parametrize("left", ["4194305\n", "", "nonsense"])
def test_a_pid_file_of_a_dead_process_is_replaced(serve, tmp_path, left):
    path = tmp_path / "run.pid"
    path.write_text(left)
    server = serve(HELLO, "-p", path)
    assert number_in(path) == server.pid


def test_a_pid_file_that_is_another_s_by_now_is_left_alone(serve, tmp_path):
    path = tmp_path / "run.pid"
    server = serve(HELLO, "-p", path)
    path.write_text("1\n")
    server.stop()
    assert path.read_text() == "1\n"


def test_a_pid_file_that_cannot_be_written_ends_the_start(serve, tmp_path):
    server = serve(HELLO, "-p", tmp_path / "missing" / "run.pid", listening=False)
    assert server.wait_exit() == 1
    server.log.wait("Can't write the pid file .*missing/run.pid: No such file")


def test_hup_moves_the_pid_file_where_the_setting_says(serve, tmp_path):
    first, second = tmp_path / "first.pid", tmp_path / "second.pid"
    server = serve(HELLO, settings='pidfile = "%s"\n' % first)
    assert number_in(first) == server.pid
    server.write("farrier.toml", 'pidfile = "%s"\n' % second)
    server.kill(signal.SIGHUP)
    until(lambda: number_in(second) == server.pid, what="the new pid file")
    until(lambda: not first.exists(), what="the old pid file to go")
    server.stop()
    assert os.listdir(tmp_path) == []


def test_hup_writes_a_pid_file_anew_that_was_removed(serve, tmp_path):
    path = tmp_path / "run.pid"
    server = serve(HELLO, "-p", path)
    path.unlink()
    server.kill(signal.SIGHUP)
    until(lambda: number_in(path) == server.pid, what="the pid file")


@pytest.mark.parametrize("flags", [[], ["--preload"]], ids=["worker", "preload"])
def test_an_application_that_cannot_be_loaded_leaves_no_pid_file(serve, tmp_path, flags):
    path = tmp_path / "run.pid"
    server = serve("raise RuntimeError('broken')\n\n", "-p", path, *flags, listening=False)
    assert server.wait_exit() == 3
    assert not path.exists()


# --- the daemon


@contextlib.contextmanager
def daemon(tmp_path, *flags, source=HELLO, command=COMMAND, status=0):
    """Starts a daemon, yields the command's output and a client for it, and ends the daemon."""
    (tmp_path / "app.py").write_text(textwrap.dedent(source))
    port, pid_path = free_port(), tmp_path / "daemon.pid"
    arguments = [*command, "-D", "-b", "127.0.0.1:%d" % port, "-p", pid_path, "--log-file", tmp_path / "log"]
    arguments += [*flags, "app:application"]
    done = subprocess.run(list(map(str, arguments)), cwd=tmp_path, capture_output=True, timeout=60)
    assert done.returncode == status, (done.returncode, done.stderr, (tmp_path / "log").read_text())

    def ask():
        with Wire(("127.0.0.1", port)) as wire:
            return wire.request(message())

    try:
        yield done, pid_path, ask
    finally:
        pid = number_in(pid_path)
        if pid:
            os.kill(pid, signal.SIGTERM)
            until(lambda: not is_alive(pid), 30, "the daemon to end:\n" + (tmp_path / "log").read_text())


def test_a_daemon_serves_in_a_session_of_its_own_without_a_terminal(tmp_path):
    with daemon(tmp_path) as (done, pid_path, ask):
        assert (done.stdout, done.stderr) == (b"", b"")
        assert ask().status == 200
        pid = number_in(pid_path)
        # A process that is no session leader cannot acquire a terminal.
        assert os.getsid(pid) not in (os.getsid(0), pid)
        with open("/proc/%d/stat" % pid) as file:
            assert file.read().rpartition(")")[2].split()[4] == "0", "no controlling terminal"
        for number in (0, 1, 2):
            assert os.readlink("/proc/%d/fd/%d" % (pid, number)) == "/dev/null"
        with open("/proc/%d/status" % pid) as file:
            assert "Umask:\t0022" in file.read()
    assert not pid_path.exists()


def test_the_command_returns_when_the_daemon_serves(tmp_path):
    source = HELLO.replace("import json", "import time; time.sleep(1)\n    import json")
    with daemon(tmp_path, source=source) as (_, pid_path, ask):
        assert "Booting worker" in (tmp_path / "log").read_text()
        assert children(number_in(pid_path)) and ask().status == 200


def test_the_error_of_a_daemons_start_is_printed_with_its_exit_code(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        arguments = [*COMMAND, "-D", "-b", "127.0.0.1:%d" % taken.getsockname()[1], "app:application"]
        done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, timeout=60)
    assert done.returncode == 1
    assert b"Connection in use: ('127.0.0.1', %d)" % taken_port(done.stderr) in done.stderr


def taken_port(text):
    return int(text.rpartition(b"Connection in use: ('127.0.0.1', ")[2].partition(b")")[0])


@pytest.mark.parametrize("flags", [[], ["--preload"]], ids=["worker", "preload"])
def test_a_daemon_that_cannot_load_the_application_has_its_exit_code(tmp_path, flags):
    (tmp_path / "app.py").write_text("raise RuntimeError('broken-881')\n")
    arguments = [*COMMAND, "-D", *flags, "-b", "127.0.0.1:0", "-p", "pid", "--log-file", "log", "app:application"]
    done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, timeout=60)
    assert done.returncode == 3
    assert b"the daemon ended with code 3 before it served; its error log says why" in done.stderr
    assert "RuntimeError: broken-881" in (tmp_path / "log").read_text()
    assert not (tmp_path / "pid").exists()


def test_a_daemon_may_keep_its_output(tmp_path):
    source = "import os\nos.write(1, b'loaded\\n')\n" + HELLO.replace("\n    ", "\n")
    (tmp_path / "app.py").write_text(source)
    port, pid_path = free_port(), tmp_path / "pid"
    arguments = [*COMMAND, "-D", "-R", "-b", "127.0.0.1:%d" % port, "-p", str(pid_path), "app:application"]
    with open(tmp_path / "output", "wb") as output:
        assert subprocess.run(arguments, cwd=tmp_path, stdout=output, stderr=output, timeout=60).returncode == 0
    pid = number_in(pid_path)
    try:
        assert os.readlink("/proc/%d/fd/0" % pid) == "/dev/null"
        until(lambda: "loaded" in (tmp_path / "output").read_text(), what="what the application printed")
    finally:
        os.kill(pid, signal.SIGTERM)
        until(lambda: not is_alive(pid), 30, "the daemon to end")


def test_winch_stops_a_daemons_workers_and_hup_brings_them_back(tmp_path):
    with daemon(tmp_path, "--workers", 2) as (_, pid_path, ask):
        pid = number_in(pid_path)
        assert ask().status == 200
        until(lambda: len(children(pid)) == 2, what="two workers")
        os.kill(pid, signal.SIGWINCH)
        until(lambda: not children(pid), what="no worker")
        os.kill(pid, signal.SIGHUP)
        until(lambda: len(children(pid)) == 2, what="two workers again")
        assert ask().status == 200


def test_winch_means_nothing_in_a_terminal(serve):
    server = serve(HELLO, "--log-level", "debug")
    before = server.get().body
    server.kill(signal.SIGWINCH)
    server.log.wait("Handling signal: winch")
    server.log.wait("SIGWINCH ignored. Not daemonized")
    assert server.get().body == before


# --- users and groups


@pytest.mark.root
def test_workers_run_as_the_user_and_its_own_group_and_nothing_of_root_is_left(serve):

    def preexec():
        os.setgroups([0, 4, 20])
        root_that_can_change_its_user()

    server = serve(HELLO, "--user", "nobody", preexec=preexec)
    said = json_of(server)
    assert said["ids"] == [NOBODY.pw_uid] * 3 + [NOBODY.pw_gid] * 3
    assert said["groups"] == [NOBODY.pw_gid]
    assert said["imported as"] == [NOBODY.pw_uid, NOBODY.pw_gid]
    # The arbiter stays root: it must be able to stop them, to bind again and to remove its files.
    assert os.stat("/proc/%d" % server.pid).st_uid == 0


@pytest.mark.root
def test_numbers_and_another_group_are_accepted(serve):
    daemon_group = grp.getgrnam("daemon").gr_gid
    said = json_of(serve(HELLO, "-u", str(NOBODY.pw_uid), "-g", "daemon", preexec=root_that_can_change_its_user))
    assert said["ids"] == [NOBODY.pw_uid] * 3 + [daemon_group] * 3
    said = json_of(serve(HELLO, "-u", "12345", "-g", "12346", preexec=root_that_can_change_its_user))
    assert said["ids"] == [12345] * 3 + [12346] * 3 and said["groups"] == [12346]


@pytest.mark.root
def test_initgroups_gives_all_groups_of_the_user(serve):
    said = json_of(serve(HELLO, "--user", "nobody", "--initgroups", preexec=root_that_can_change_its_user))
    assert said["groups"] == sorted(os.getgrouplist("nobody", NOBODY.pw_gid))


@pytest.mark.root
def test_a_preloaded_application_is_loaded_as_root_and_called_as_the_user(serve):
    said = json_of(serve(HELLO, "--user", "nobody", "--preload", preexec=root_that_can_change_its_user))
    assert said["imported as"] == [0, 0] and said["ids"][:3] == [NOBODY.pw_uid] * 3


@pytest.fixture
def public():
    """A folder of root that everybody can enter, unlike those of the suite."""
    folder = Path(tempfile.mkdtemp(prefix="farrier-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.root
def test_logs_sockets_and_bodies_work_for_the_user(serve, public):
    logs, path = public / "logs", public / "run.sock"
    logs.mkdir()
    server = serve(
        """
        def application(environ, start_response):
            size = len(environ["wsgi.input"].read())
            start_response("200 OK", [])
            return [b"%d" % size]
    """,
        # Loaded by root, so that the interpreter's folder does not matter.
        *("--preload", "--user", "nobody", "--umask", "007", "--body-buffer-bytes", "1KiB"),
        *("--access-logfile", logs / "access"),
        bind=("unix:%s" % path,),
    )
    assert server.exchange(message("POST", body=b"x" * 100_000)).body == b"100000"
    found = path.stat()
    assert (found.st_uid, found.st_gid) == (NOBODY.pw_uid, NOBODY.pw_gid)
    assert stat.S_IMODE(found.st_mode) == 0o660
    until(lambda: "POST / HTTP/1.1" in (logs / "access").read_text(), what="the line of the access log")
    assert (logs / "access").stat().st_uid == NOBODY.pw_uid
    # A rotation: the directory is root's, so the workers could not make the file themselves.
    os.rename(logs / "access", logs / "access.1")
    server.kill(signal.SIGUSR1)
    until((logs / "access").exists, what="the new file")
    assert (logs / "access").stat().st_uid == NOBODY.pw_uid

    def written():
        server.get()
        return "GET / HTTP/1.1" in (logs / "access").read_text()

    until(written, what="a line in the new file")


@pytest.mark.root
def test_without_root_another_user_is_refused_with_a_sentence(serve):
    server = serve(HELLO, "--user", "daemon", preexec=nobody, listening=False)
    assert server.wait_exit() == 1
    server.log.wait("workers shall run as user .* which needs root, but this is user %d" % NOBODY.pw_uid)


@pytest.mark.root
def test_without_root_one_s_own_user_is_fine(serve):
    server = serve(HELLO, "--user", "nobody", preexec=nobody)
    assert json_of(server)["ids"][:3] == [NOBODY.pw_uid] * 3


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--user", "nosuchuser"], "user and group: there is no user 'nosuchuser' here"),
        (["--group", "nosuchgroup"], "user and group: there is no group 'nosuchgroup' here"),
        (["--unix-socket-owner", "nosuchuser"], "unix_socket_owner: there is no user 'nosuchuser' here"),
        (["--unix-socket-owner", ":nosuchgroup"], "unix_socket_owner: there is no group 'nosuchgroup' here"),
    ],
)
def test_a_name_that_does_not_exist_is_named_with_its_setting(serve, flags, words):
    server = serve(HELLO, *flags, listening=False)
    assert server.wait_exit() == 1
    server.log.wait(words)
    assert "KeyError" not in server.log.text


# --- titles


def test_process_titles_have_the_role_and_the_name(serve):
    server = serve(HELLO, "--name", "shop", "--workers", 2)
    assert server.get().status == 200
    until(lambda: len(server.workers()) == 2, what="two workers")
    assert title_of(server.pid) == "farrier: master [shop]"
    assert name_of(server.pid) == "farrier: master"
    until(lambda: {title_of(pid) for pid in server.workers()} == {"farrier: worker [shop]"}, what="the titles")


def test_without_a_name_the_application_s_is_taken(serve):
    server = serve(HELLO)
    assert server.get().status == 200
    assert title_of(server.pid) == "farrier: master [app:application]"


def test_a_title_longer_than_the_command_line_is_cut(serve):
    server = serve(
        """
        import os
        def application(environ, start_response):
            start_response("200 OK", [])
            return [os.environ["MARK"].encode()]
    """,
        *("--raw-env", "OTHER=1"),
        environment={"MARK": "untouched", "FARRIER_PROC_NAME": "x" * 5000},
    )
    assert server.get().body == b"untouched"
    title = title_of(server.pid)
    assert title.startswith("farrier: master [xxx") and len(title) < 5000


def test_hup_renames_the_processes(serve):
    server = serve(HELLO, settings='proc_name = "first"\n')
    assert server.get().status == 200
    server.write("farrier.toml", 'proc_name = "second"\n')
    server.kill(signal.SIGHUP)
    until(lambda: title_of(server.pid) == "farrier: master [second]", what="the new title")


# --- lines that other tools search for


def test_the_lines_of_a_life_are_gunicorn_s(serve):
    server = serve(HELLO, "--worker-class", "gthread", "--threads", 2)
    assert server.get().status == 200
    old = server.workers()[0]
    server.kill(signal.SIGHUP)
    server.log.wait(r"Worker exiting \(pid: %d\)" % old)
    server.kill(signal.SIGTTIN)
    until(lambda: len(server.workers()) == 2, what="two workers")
    victim = server.workers()[0]
    until(lambda: title_of(victim).startswith("farrier: worker"), what="a worker that has begun")
    server.kill(signal.SIGKILL, victim)
    server.log.wait(r"Worker \(pid:%d\) was sent SIGKILL! Perhaps out of memory\?" % victim)
    server.kill(signal.SIGTERM)
    assert server.wait_exit() == 0
    stamp = r"^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\] "
    for pid, level, line in [
        (server.pid, "INFO", r"Starting farrier \d+\.\d+\.\d+"),
        (server.pid, "INFO", r"Listening at: http://127\.0\.0\.1:\d+ \(%d\)$" % server.pid),
        (server.pid, "INFO", r"Using worker: gthread$"),
        (old, "INFO", r"Booting worker with pid: %d$" % old),
        (server.pid, "INFO", r"Handling signal: hup$"),
        (server.pid, "INFO", r"Hang up: Master$"),
        (server.pid, "INFO", r"Handling signal: ttin$"),
        (server.pid, "ERROR", r"Worker \(pid:%d\) was sent SIGKILL! Perhaps out of memory\?$" % victim),
        (server.pid, "INFO", r"Handling signal: term$"),
        (server.pid, "INFO", r"Shutting down: Master$"),
    ]:
        assert server.log.find(r"%s\[%d\] \[%s\] %s" % (stamp, pid, level, line)), (line, server.log.text)


# --- stopping before the server has started


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_stop_signal_ends_the_wait_for_an_address_at_once(serve, tmp_path, number):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = serve(
            *(HELLO, "-p", tmp_path / "pid"), bind=("127.0.0.1:%d" % taken.getsockname()[1],), listening=False
        )
        server.log.wait("Retrying in 1 second")
        server.kill(number)
        assert server.wait_exit(20) == 0
    server.log.wait("Handling signal: %s" % signal.Signals(number).name[3:].lower())
    assert len(server.log.find("Connection in use")) <= 2, "it did not go on trying"
    assert not (tmp_path / "pid").exists()


def test_ctrl_c_while_workers_load_the_application_is_a_clean_stop(serve):
    """Every process of a terminal gets the signal, in any state."""
    for delay in (0, 0.01, 0.02, 0.05, 0.1):
        server = serve(
            """
            import os, time
            os.write(2, b"importing\\n")
            time.sleep(%r)
            def application(environ, start_response):
                start_response("200 OK", [])
                return [b""]
        """
            % delay,
            *("--workers", 2),
        )
        server.log.wait("importing")
        os.killpg(server.pid, signal.SIGINT)
        assert server.wait_exit(20) == 0, server.log.text
        assert "Worker failed to boot" not in server.log.text


def json_of(server):
    return json.loads(server.get().body)
