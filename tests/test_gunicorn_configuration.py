"""Gunicorn's configuration, used unchanged: its file, its variables, its flags, and messages about the rest."""

import os
import signal
import textwrap

import pytest

from process import run_alone
from wire import until

APPLICATION = "def application(e, s):\n    s('200 OK', [])\n    return [b'x']\n"


@pytest.fixture
def run(tmp_path):
    """Runs the command to its end in a directory with an application: `run("--flag", file="workers = 2", PORT="1")`."""
    (tmp_path / "app.py").write_text(APPLICATION)

    def run(*arguments, file=None, name="gunicorn.conf.py", **variables):
        if file is not None:
            (tmp_path / name).write_text(textwrap.dedent(file))
        return run_alone(tmp_path, *arguments, **variables)

    return run


@pytest.fixture
def printed(run):
    """(value, source) of settings in the output of --print-config: `printed("workers", file=...)`."""

    def printed(name, *arguments, **options):
        result = run("--print-config", *arguments, "app:application", **options)
        assert result.returncode == 0, result.stderr
        (line,) = [line for line in result.stdout.splitlines() if line.startswith(name + " ")]
        value, _, source = line.partition("#")
        return value.partition("=")[2].strip(), source.strip()

    return printed


def test_the_file_of_gunicorn_is_found_and_run(printed):
    file = """
        import multiprocessing
        import os
        import syslog

        _private = __name__, __file__
        cores = multiprocessing.cpu_count()
        workers = 2 + len(_private)
        bind = "127.0.0.1:%d" % 8001
        proc_name = __name__ + ":" + os.path.basename(__file__)
        umask = 0o027
        errorlog = None
    """
    assert printed("workers", file=file) == ("4", "gunicorn.conf.py:8")
    assert printed("bind") == ('["127.0.0.1:8001"]', "gunicorn.conf.py:9")
    assert printed("proc_name") == ('"__config__:gunicorn.conf.py"', "gunicorn.conf.py:10")
    assert printed("umask") == ('"027"', "gunicorn.conf.py:11")
    assert printed("errorlog") == ('"-"', "default")
    assert printed("syslog") == ("false", "default")


def test_the_places_win_in_order(printed):
    flags = "--workers 5"
    assert printed("workers", WEB_CONCURRENCY="2") == ("2", "environment WEB_CONCURRENCY")
    assert printed("workers", file="workers = 3", WEB_CONCURRENCY="2") == ("3", "gunicorn.conf.py:1")
    assert printed("workers", FARRIER_WORKERS="4") == ("4", "environment FARRIER_WORKERS")
    assert printed("workers", FARRIER_WORKERS="4", GUNICORN_CMD_ARGS=flags) == ("5", "GUNICORN_CMD_ARGS --workers")
    assert printed("workers", "-w", "6", FARRIER_WORKERS="4", GUNICORN_CMD_ARGS=flags) == ("6", "command line -w")


@pytest.mark.parametrize("named", ["other.conf.py", "file:other.conf.py", "python:other_settings", "./other.cfg"])
def test_another_file_may_be_named(printed, tmp_path, named):
    for name in ("other.conf.py", "other_settings.py", "other.cfg"):
        (tmp_path / name).write_text("threads = 7\n")
    value, source = printed("threads", "-c", named, file="threads = 3")
    assert value == "7" and source.endswith(":1") and "other" in source
    assert printed("threads", GUNICORN_CMD_ARGS="-c " + named)[0] == "7"
    assert printed("threads", FARRIER_CONFIG=named)[0] == "7"


def test_farriers_own_python_file_wins_over_gunicorns(run, printed):
    run("--version", file="threads = 3", name="farrier.conf.py")
    assert printed("threads", file="threads = 2") == ("3", "farrier.conf.py:1")
    assert "`gunicorn.conf.py` is not read" in run("--check-config", "app:application").stderr
    result = run("--check-config", "app:application", file="threads = 4", name="farrier.toml")
    assert result.returncode != 0 and "keep one" in result.stderr


def test_a_shared_file_may_be_imported_and_its_settings_count(printed, tmp_path):
    (tmp_path / "base_conf.py").write_text("threads = 5\nworkers = 2\n")
    file = "\nfrom base_conf import *\nworkers = 3\n"
    assert printed("threads", file=file) == ("5", "gunicorn.conf.py:2")
    assert printed("workers") == ("3", "gunicorn.conf.py:3")


@pytest.mark.parametrize(
    "file, words",
    [
        ("\nworkers = 'many'\n", ["gunicorn.conf.py:2: workers: expected a whole number", "`many`"]),
        ("if True:\n    timeout = -1\nelse:\n    timeout = 5\n", ["gunicorn.conf.py:2: timeout"]),
        ("bind = ['127.0.0.1:0',\n    'nowhere:port']\n", ["gunicorn.conf.py:2: bind", "nowhere:port"]),
        ("def preload_app():\n    pass\n", ["gunicorn.conf.py:1: preload_app", "the function preload_app"]),
        ("workers = 3 / 2\n", ["gunicorn.conf.py:1: workers", "1.5"]),
        ("\n\nthreads = 0\n", ["gunicorn.conf.py:3: threads"]),
        ("logconfig_dict = {}\npost_fork = 7\n", ["post_fork"]),
        ("def post_fork(server):\n    pass\n", ["post_fork(server, worker)"]),
    ],
)
def test_a_bad_value_names_file_line_and_setting(run, file, words):
    result = run("--check-config", "app:application", file=file)
    assert result.returncode == 1, result.stderr
    for word in words:
        assert word in result.stderr
    assert "Traceback" not in result.stderr


def test_a_file_may_be_in_another_encoding(printed, tmp_path):
    (tmp_path / "other.py").write_bytes(b"# coding: latin-1\nserver_header = '\xe9'\n")
    assert printed("server_header", "-c", "other.py") == ('"\xe9"', "other.py:2")


@pytest.mark.parametrize("named", ["missing.py", "file:missing.py", "python:missing_module", "missing.toml"])
def test_a_file_that_is_named_must_be_there(run, named):
    result = run("-c", named, "app:application", file="threads = 2")
    assert result.returncode in (1, 2)
    assert "missing" in result.stderr.splitlines()[0] or "missing" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "file, line, words",
    [
        (
            "import os\n\ndef f():\n    return os.environ['NO_SUCH']\n\nworkers = f()\n",
            4,
            ["in f", "KeyError: 'NO_SUCH'"],
        ),
        ("workers = 1\nbind = = 2\n", 2, ["SyntaxError"]),
        ("import no_such_module\n", 1, ["ModuleNotFoundError"]),
        ("import sys\nsys.exit('not today')\n", 2, ["SystemExit: not today"]),
    ],
)
def test_a_file_that_fails_shows_its_own_frames_and_one_clear_line(run, file, line, words):
    result = run("app:application", file=file)
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("farrier: gunicorn.conf.py:%d: " % line), result.stderr
    for word in words:
        assert word in result.stderr
    assert "_config_file" not in result.stderr


def test_misspelt_names_are_warned_of_and_other_variables_are_not(run):
    file = """
        wrokers = 3
        preload = True
        worker_per_core = 2
        worker = 1
        bind_host = "x"
        cores = worker
    """
    result = run("--check-config", "app:application", file=file)
    assert result.returncode == 0
    assert result.stderr.splitlines() == [
        "farrier: gunicorn.conf.py:2: `wrokers` is no setting and has no effect; did you mean `workers`?",
        "farrier: gunicorn.conf.py:3: `preload` is no setting and has no effect; did you mean `preload_app`?",
    ]


def test_a_setting_without_effect_is_warned_of_once(serve, tmp_path):
    (tmp_path / "gunicorn.conf.py").write_text("worker_tmp_dir = '/dev/shm'\n")
    server = serve(APPLICATION, "--no-control-socket", directory=tmp_path)
    assert server.get().text == "x"
    assert len(server.log.find(r"\[WARNING\] gunicorn.conf.py:1: worker_tmp_dir has no effect")) == 1
    assert len(server.log.find(r"\[WARNING\] command line --no-control-socket: control_socket_disable")) == 1
    assert not [name for name in os.listdir(tmp_path) if name not in ("app.py", "gunicorn.conf.py", "__pycache__")]


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["-k", "gevent"], ["gevent", "leave `worker_class` away"]),
        (["-k", "uvicorn.workers.UvicornWorker"], ["UvicornWorker", "ASGI server"]),
        (["-k", "tornado"], ["tornado", "Tornado's own server"]),
        (["-k", "mysite.workers.Mine"], ["mysite.workers.Mine", "max_worker_rss"]),
        (["--http2-cleartext", "both"], ["http2-cleartext", "prior-knowledge"]),
        (["--dirty-workers", "1"], ["dirty_workers", "task queue"]),
        (["--asgi-loop", "uvloop"], ["asgi_loop", "ASGI server"]),
    ],
)
def test_unsupported_settings_are_refused_with_a_hint(run, arguments, words):
    result = run(*arguments, "app:application")
    assert result.returncode not in (0, 3, 4)
    for word in words:
        assert word in result.stderr
    assert "Starting" not in result.stderr


def test_a_certificate_that_is_not_there_ends_the_start_wherever_it_was_named(run):
    for result in (
        run("app:application", "--certfile", "x.pem"),
        run("app:application", GUNICORN_CMD_ARGS="--certfile x.pem"),
        run("app:application", file="certfile = 'x.pem'\n"),
    ):
        assert result.returncode == 1 and "certfile: cannot read x.pem" in result.stderr


def test_the_example_of_a_platform_is_understood(printed):
    flags = (
        "--bind 0.0.0.0:8001 --workers 3 --threads 2 --timeout 120 --access-logfile - --max-requests 1000"
        " --max-requests-jitter 50 --limit-request-field_size 16000 --worker-tmp-dir /dev/shm -R --no-sendfile"
    ).split()
    assert printed("request_timeout", *flags) == ('"120s"', "from timeout")
    assert printed("threads", *flags) == ("2", "command line --threads")
    assert printed("limit_request_field_size", *flags)[0] == "16000"
    assert printed("sendfile", *flags) == ("false", "command line --no-sendfile")


def test_values_that_only_python_can_hold_are_printed_as_comments(run):
    file = "threads = 2\n\n\ndef post_fork(server, worker):\n    pass\n"
    result = run("--print-config", "app:application", file=file)
    assert result.returncode == 0
    (line,) = [line for line in result.stdout.splitlines() if "post_fork" in line]
    assert line.startswith("# post_fork: the function post_fork") and line.endswith("# gunicorn.conf.py:4")
    again = run("--print-config", file=result.stdout, name="farrier.toml")
    assert again.returncode == 0 and "threads = 2" in again.stdout


def test_check_config_answers_with_its_exit_status(run):
    assert run("--check-config", "app:application").returncode == 0
    assert run("--check-config", "no_such_app:application").returncode == 1
    assert run("--check-config", "app:application", file="workers = None + 1\n").returncode == 1
    version = run("--version")
    assert version.returncode == 0 and version.stdout.startswith("farrier (version ")


def test_the_python_object_has_gunicorns_names_and_types(run, tmp_path):
    file = """
        import json

        bind = ["127.0.0.1:0", "unix:x.sock"]
        raw_env = ["A=1=2"]
        timeout = 7
        worker_tmp_dir = "/dev/shm"
        logconfig_dict = {"version": 1, "disable_existing_loggers": False}
        secure_scheme_headers = {"x-scheme": "https"}


        def on_starting(server):
            cfg = server.cfg
            seen = {
                "address": cfg.address,
                "env": cfg.env,
                "timeout": cfg.timeout,
                "workers": cfg.workers,
                "worker_class_str": cfg.worker_class_str,
                "worker_tmp_dir": cfg.worker_tmp_dir,
                "logconfig_dict": cfg.logconfig_dict,
                "secure_scheme_headers": cfg.secure_scheme_headers,
                "forwarded_allow_ips": cfg.forwarded_allow_ips,
                "hook": cfg.settings["on_starting"].get().__name__,
                "unset": cfg.post_fork,
                "uid": cfg.uid,
                "umask": cfg.umask,
                "is_ssl": cfg.is_ssl,
                "threads": cfg.threads,
                "proc_name": cfg.proc_name,
            }
            with open("seen.json", "w") as out:
                json.dump(seen, out)
            raise SystemExit(1)
    """
    run("-k", "gthread", "app:application", file=file)
    import json

    assert json.loads((tmp_path / "seen.json").read_text()) == {
        "address": [["127.0.0.1", 0], "x.sock"],
        "env": {"A": "1=2"},
        "timeout": 7,
        "workers": 1,
        "worker_class_str": "gthread",
        "worker_tmp_dir": "/dev/shm",
        "logconfig_dict": {"version": 1, "disable_existing_loggers": False},
        "secure_scheme_headers": {"X-SCHEME": "https"},
        "forwarded_allow_ips": ["127.0.0.1", "::1"],
        "hook": "on_starting",
        "unset": None,
        "uid": os.geteuid(),
        "umask": 0,
        "is_ssl": False,
        "threads": 1,
        "proc_name": "app:application",
    }


def test_a_broken_file_at_hup_leaves_the_old_generation_serving(serve, tmp_path):
    server = serve(APPLICATION, directory=tmp_path)
    server.write("gunicorn.conf.py", "server_header = 'second'\n")
    server.kill(signal.SIGHUP)
    until(lambda: server.get().value("Server") == "second", what="the new settings")

    for broken, word in [
        ("server_header = no_such_name\n", "NameError"),
        ("workers = 'x'\n", "gunicorn.conf.py:1: workers"),
    ]:
        mark = server.log.mark()
        server.write("gunicorn.conf.py", broken)
        server.kill(signal.SIGHUP)
        server.log.wait(word, since=mark)
        assert server.get().value("Server") == "second"
    # And it goes on from there.
    server.write("gunicorn.conf.py", "server_header = 'third'\n")
    server.kill(signal.SIGHUP)
    until(lambda: server.get().value("Server") == "third", what="the mended settings")


def test_a_reload_reads_the_file_of_the_folder_where_it_started_with_the_variables_of_then(serve, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "app.py").write_text(APPLICATION)
    file = "import os\nchdir = 'site'\nraw_env = ['SEEN=yes']\nserver_header = '%s ' + os.environ.get('SEEN', 'no')\n"
    (tmp_path / "gunicorn.conf.py").write_text(file % "first")
    server = serve("app:application", directory=tmp_path)
    assert server.get().value("Server") == "first no"
    server.write("gunicorn.conf.py", file % "second")
    server.kill(signal.SIGHUP)
    until(lambda: server.get().value("Server") == "second no", what="the new settings")
