"""The replacement for the package `gunicorn` if that is not installed, and programs that embed the server."""

import os
import signal
import subprocess
import sys
import sysconfig
import venv

import pytest

from wire import until

HERE = os.path.dirname(os.path.abspath(__file__))

#: The example from Gunicorn's documentation.
STANDALONE = """
import sys
import gunicorn.app.base

def handler(environ, start_response):
    body = b"embedded %d" % os.getpid()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body]

import os

class Standalone(gunicorn.app.base.BaseApplication):
    def __init__(self, app, options=None):
        self.options = options or {}
        self.application = app
        super().__init__()

    def load_config(self):
        config = {key: value for key, value in self.options.items() if key in self.cfg.settings and value is not None}
        for key, value in config.items():
            self.cfg.set(key.lower(), value)

    def load(self):
        return self.application
"""


def environment_at(folder):
    """Makes an environment that has the packages of this one; returns its interpreter and its own folder of packages."""
    venv.create(folder, with_pip=False, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "parent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return str(folder / "bin" / "python"), packages


@pytest.fixture(scope="module")
def compatible(tmp_path_factory):
    """The interpreter of an environment in which the stand-ins are installed."""
    interpreter, _ = environment_at(tmp_path_factory.mktemp("compatible"))
    subprocess.run([interpreter, "-m", "farrier", "gunicorn-compat", "install"], check=True, timeout=60)
    return interpreter


def run_script(interpreter, directory, source):
    script = directory / "script.py"
    script.write_text(source)
    return subprocess.run([interpreter, str(script)], cwd=directory, capture_output=True, text=True, timeout=60)


@pytest.fixture
def python(compatible):
    """Runs a script in that environment."""
    return lambda directory, source: run_script(compatible, directory, source)


@pytest.fixture
def serve_program(serve, tmp_path, compatible):
    """Starts a program that embeds the server, in that environment."""

    def start(source, *arguments, **options):
        (tmp_path / "program.py").write_text(source)
        return serve("", directory=tmp_path, bind=(), command=[compatible, "program.py", *arguments], **options)

    return start


def test_nothing_is_found_where_nothing_was_installed(tmp_path):
    """Installing Farrier changes no other program: none may take the stand-in for the real package."""
    done = run_script(sys.executable, tmp_path, "import farrier, gunicorn\n")
    assert "ModuleNotFoundError: No module named 'gunicorn'" in done.stderr


def test_a_program_asks_for_the_stand_ins(tmp_path):
    source = "import farrier\nfarrier.stand_in_for_gunicorn()\nfrom gunicorn.app.base import BaseApplication\nprint('found')\n"
    done = run_script(sys.executable, tmp_path, source)
    assert done.stdout == "found\n", done.stderr


def test_an_application_and_a_configuration_file_find_the_stand_ins(serve, tmp_path):
    (tmp_path / "gunicorn.conf.py").write_text("from gunicorn.glogging import Logger\n")
    server = serve(
        """
        import gunicorn.util
        def application(environ, start_response):
            start_response("200 OK", [])
            return [gunicorn.util.http_date(0).encode()]
    """,
        directory=tmp_path,
    )
    assert server.get().text == "Thu, 01 Jan 1970 00:00:00 GMT"


def test_the_stand_ins_are_installed_and_uninstalled_for_an_environment(tmp_path):
    interpreter, packages = environment_at(tmp_path / "environment")

    def compat(*arguments):
        done = subprocess.run(
            [interpreter, "-m", "farrier", "gunicorn-compat", *arguments], capture_output=True, text=True, timeout=60
        )
        return done.returncode, done.stdout + done.stderr

    find = "import importlib.util\nprint(importlib.util.find_spec('gunicorn') is not None)\n"
    assert compat("status") == (1, "Not installed.\n")
    code, said = compat("install")
    assert code == 0 and str(packages / "farrier-gunicorn.pth") in said
    assert compat("install")[0] == 0 and compat("status")[0] == 0
    assert run_script(interpreter, tmp_path, find).stdout == "True\n"
    assert compat("uninstall")[0] == 0
    assert run_script(interpreter, tmp_path, find).stdout == "False\n"
    assert sorted(path.name for path in packages.iterdir() if "farrier" in path.name) == []
    assert compat("uninstall") == (0, "Nothing was installed.\n")
    for wrong in ((), ("instal",), ("install", "twice")):
        code, said = compat(*wrong)
        assert code == 2 and "expected `install`, `uninstall` or `status`" in said


def test_names_resolve_without_importing_farrier_first(python, tmp_path):
    done = python(
        tmp_path,
        """
import gunicorn, sys
from gunicorn.app.base import Application, BaseApplication
from gunicorn.app.wsgiapp import WSGIApplication, run
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.errors import AppImportError, ConfigError, HaltServer
from gunicorn.glogging import Logger
from gunicorn.http import Message, Request
from gunicorn.instrument.statsd import Statsd
from gunicorn.util import http_date, import_app, is_ipv6, parse_address
from gunicorn.workers.base import Worker
from gunicorn.workers.gthread import ThreadWorker
from gunicorn.workers.sync import SyncWorker
assert issubclass(ThreadWorker, Worker) and issubclass(SyncWorker, Worker)
assert issubclass(WSGIApplication, BaseApplication)
assert Arbiter.WORKER_BOOT_ERROR == 3
assert parse_address("[::1]:80") == ("::1", 80) and parse_address("h") == ("h", 8000)
assert parse_address("unix:/run/x") == "/run/x" and is_ipv6("::1") and not is_ipv6("1.1.1.1")
assert http_date(0) == "Thu, 01 Jan 1970 00:00:00 GMT"
print(gunicorn.SERVER_SOFTWARE, gunicorn.version_info >= (20, 1), gunicorn.__version__)
""",
    )
    assert done.stdout == "gunicorn/27.0.1 True 27.0.1\n", done.stderr


def test_an_interpreter_that_needs_nothing_imports_nothing_of_farrier(python, tmp_path):
    done = python(
        tmp_path, "import sys\nprint(sorted(name for name in sys.modules if 'farrier' in name or 'gunicorn' in name))\n"
    )
    assert done.stdout == "['_farrier_gunicorn']\n", done.stderr


def test_the_real_package_is_found_first(python, tmp_path):
    (tmp_path / "gunicorn").mkdir()
    (tmp_path / "gunicorn" / "__init__.py").write_text("REAL = True\n")
    done = python(tmp_path, "import gunicorn\nprint(gunicorn.REAL)\n")
    assert done.stdout == "True\n", done.stderr


def test_a_later_finder_may_find_the_real_package(python, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "gunicorn.py").write_text("REAL = True\n")
    done = python(
        tmp_path,
        """
import sys
from importlib.machinery import PathFinder
class Later:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return PathFinder.find_spec(name, ["elsewhere"])
sys.meta_path.append(Later)
import gunicorn
print(gunicorn.REAL)
""",
    )
    assert done.stdout == "True\n", done.stderr


def test_a_name_that_has_no_stand_in_is_missing_as_any_other(python, tmp_path):
    done = python(tmp_path, "import gunicorn.nothing_like_this\n")
    assert "ModuleNotFoundError: No module named 'gunicorn.nothing_like_this'" in done.stderr


def test_a_program_embeds_the_server(serve_program):
    server = serve_program(
        STANDALONE
        + """
if __name__ == "__main__":
    def post_fork(server, worker):
        line = "forked %d %s %d\\n" % (worker.age, type(server.app).__name__, server.app.options["workers"])
        os.write(1, line.encode())
    Standalone(handler, {"bind": "127.0.0.1:0", "workers": 2, "post_fork": post_fork, "unknown": 1}).run()
"""
    )
    answer = server.get()
    assert answer.body.startswith(b"embedded ")
    assert int(answer.body.split()[1]) != server.pid
    server.wait_booted(2)
    server.output.wait("forked 2 Standalone 2")


def test_a_program_that_embeds_the_server_reads_its_settings_again_at_hup(serve_program):
    server = serve_program(
        STANDALONE
        + """
class Renewed(Standalone):
    def load_config(self):
        super().load_config()
        self.cfg.set("workers", int(open("workers").read()) if os.path.exists("workers") else 1)

Renewed(handler, {"bind": "127.0.0.1:0"}).run()
"""
    )
    server.wait_booted(1)
    server.write("workers", "3")
    server.kill(signal.SIGHUP)
    server.log.wait("Reloaded")
    until(lambda: len(server.workers()) == 3, 15, "three workers")
    assert server.get().status == 200


def test_an_invalid_setting_of_an_embedding_program_is_reported(serve_program):
    server = serve_program(STANDALONE + "\nStandalone(handler, {'workers': 'plenty'}).run()\n", listening=False)
    assert server.wait_exit() == 1
    assert "workers" in server.log.text and "plenty" in server.log.text


def test_a_subclass_of_wsgiapplication_serves_the_application_of_its_name(serve_program):
    server = serve_program(
        """
from gunicorn.app.wsgiapp import WSGIApplication

class Named(WSGIApplication):
    def __init__(self, uri, options):
        self.options = options
        super().__init__()
        self.app_uri = uri

    def load_config(self):
        for key, value in self.options.items():
            self.cfg.set(key, value)

def app(environ, start_response):
    start_response("200 OK", [])
    return [b"by name"]

if __name__ == "__main__":
    Named("program:app", {"bind": ["127.0.0.1:0"]}).run()
"""
    )
    assert server.get().body == b"by name"


def test_wsgiapp_run_reads_the_command_line(serve_program):
    server = serve_program(
        """
from gunicorn.app.wsgiapp import run

def app(environ, start_response):
    start_response("200 OK", [])
    return [b"by command line"]

if __name__ == "__main__":
    import sys
    sys.argv[1:] = ["--bind", "127.0.0.1:0", "program:app"]
    run()
"""
    )
    assert server.get().body == b"by command line"


HELLO = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
"""


@pytest.mark.parametrize(
    "change, header",
    [
        ("import gunicorn\ngunicorn.SERVER_SOFTWARE = 'Forge'\n", "Forge"),
        ("import gunicorn\ngunicorn.SERVER = 'Forge 2'\n", "Forge 2"),
        ("import gunicorn\ngunicorn.SERVER_SOFTWARE = ''\n", None),
        ("import gunicorn.http.wsgi\ngunicorn.http.wsgi.SERVER = 'Elsewhere'\n", "Elsewhere"),
        ("import gunicorn\n", "farrier"),
    ],
)
def test_a_configuration_file_changes_the_server_field_as_it_did(serve, tmp_path, change, header):
    (tmp_path / "gunicorn.conf.py").write_text(change)
    server = serve(HELLO, directory=tmp_path)
    assert server.get().value("Server") == header


def test_a_logger_that_subclasses_gunicorns_writes_json(serve, tmp_path):
    (tmp_path / "jsonlog.py").write_text(
        """
import json, logging
from gunicorn.glogging import Logger

class JsonFormatter(logging.Formatter):
    def format(self, record):
        return json.dumps({"level": record.levelname, "message": record.getMessage(), "json": True})

class JsonLogger(Logger):
    def setup(self, cfg):
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(JsonFormatter())
"""
    )
    (tmp_path / "gunicorn.conf.py").write_text(
        """
logger_class = "jsonlog.JsonLogger"
def post_fork(server, worker):
    server.log.info("from the hook %d", worker.age)
"""
    )
    server = serve(HELLO, directory=tmp_path)
    server.log.wait(r'^\{.*"message": "from the hook 1", "json": true\}$')
    assert server.get().status == 200
