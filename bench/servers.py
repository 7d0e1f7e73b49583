"""The table of servers: how each is started for each family of works, and what it cannot do."""

import os
import shutil
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

from works import ACCESS_LOG, BLOCKING, EIGHT, FAST, IDLE, WORKERS

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
WORK_DIR = HERE / ".work"
PEERS = WORK_DIR / "venv"


#: Stands in a command for that of an older Farrier; `run.py --base` says which.
BASE = "farrier-base"
BASE_COMMAND = []


@dataclass(frozen=True)
class Server:
    """One row.

    `command` is a template: {port}, {app}, {workers}, {log} (the access log's path), {venv}, {here}, {config};
    the item "{extra}" is replaced by the arguments `families` holds for the family of the work. A configuration
    file is a template of the same kind; there they are {extra[0]}, {extra[1]}, …
    """

    name: str
    command: tuple
    families: dict
    title: str = ""
    package: str = ""  # the distribution whose version is noted
    module: str = ""  # what the interpreter must be able to import, for servers without a command
    works: frozenset = frozenset()  # when not empty, the only works it takes part in
    cannot: str = ""
    config: str = field(default="", repr=False)  # the template of a configuration file

    def takes(self, work):
        return work.family in self.families and (not self.works or work.name in self.works)

    def executable(self):
        """The path of the command, or None when it is not installed."""
        return find(self.command[0])

    def argv(self, work, port, directory):
        """The command line for one work; writes the configuration file when there is one."""
        values = {
            "port": port,
            "app": work.app,
            "module": work.app.partition(":")[0],
            "workers": work.workers,
            "log": directory / "access.log",
            "venv": PEERS,
            "here": HERE,
            "config": directory / "server.conf",
            "directory": directory,
        }
        extra = self.families[work.family]
        if self.config:
            filled = [item.format(**values) for item in extra]
            values["config"].write_text(self.config.format(extra=filled, **values))
        items = [self.executable()]
        for item in self.command[1:]:
            items += extra if item == "{extra}" else [item]
        return [str(item).format(**values) for item in items]


def with_base(servers):
    """The same rows, and each of Farrier's once more for the older build; it is not installed without `run.py --base`."""
    for server in servers:
        yield server
        if server.name.startswith("farrier"):
            command = (BASE, *server.command[1:])
            yield replace(
                server, name=f"{server.name}-base", title=f"{server.title}, the build before", command=command
            )


def find(command):
    """Looks for a command where the peers are, beside this interpreter, in the checkout's venv, then on the PATH."""
    if command == "farrier" and os.environ.get("FARRIER"):
        return os.environ["FARRIER"]
    if command == BASE:
        return BASE_COMMAND[0] if BASE_COMMAND else None
    if command == "python":
        python = PEERS / "bin" / "python"
        return str(python) if python.exists() else sys.executable
    for directory in (PEERS / "bin", Path(sys.executable).parent, ROOT / ".venv" / "bin"):
        if (directory / command).exists():
            return str(directory / command)
    return shutil.which(command) or shutil.which(command, path="/usr/sbin:/sbin")


NGINX = """\
daemon off;
worker_processes {workers};
worker_rlimit_nofile 20000;
pid {directory}/nginx.pid;
error_log stderr error;
events {{ worker_connections {extra[1]}; }}
http {{
    access_log {extra[0]};
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    default_type text/plain;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{ return 200 "Hello, World!"; }}
    }}
}}
"""

# A row of the table is a command line, not a column of words.
# fmt: off
_BIND = "127.0.0.1:{port}"
_GUNICORN = ("gunicorn", "--bind", _BIND, "--workers", "{workers}", "--log-level", "error", "--no-control-socket")
# The pure-Python parser is what a plain `pip install gunicorn` gives.
_PYTHON_PARSER = ("--http-parser", "python")
_MANY = ("--keep-alive", "600", "--worker-connections", "16000")
_GRANIAN = ("granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", "{port}",
            "--workers", "{workers}", "--log-level", "error", "{extra}", "{app}")
_EMBED = ("{here}/apps/embed.py",)
_UWSGI = ("uwsgi", "--http-socket", _BIND, "--master", "--processes", "{workers}", "--home", "{venv}",
          "--module", "{app}", "--die-on-term", "--need-app", "--listen", "128", "{extra}")

_ROWS = (
    Server(
        "farrier", ("farrier", "--bind", _BIND, "--workers", "{workers}", "{extra}", "{app}"),
        title="Farrier, default settings", package="farrier",
        families={FAST: (), BLOCKING: (), IDLE: (), ACCESS_LOG: ("--access-logfile", "{log}"),
                  WORKERS: ("--preload",)},
    ),
    Server(
        "farrier-8", ("farrier", "--bind", _BIND, "--workers", "{workers}", "--threads", "8", "{app}"),
        title="Farrier, 8 threads", package="farrier", families={EIGHT: ()},
    ),
    Server(
        "nginx", ("nginx", "-e", "stderr", "-p", "{directory}", "-c", "{config}"), config=NGINX,
        title="nginx, return 200 (the floor)",
        families={FAST: ("off", "1000"), IDLE: ("off", "16000"), ACCESS_LOG: ("{log}", "1000"),
                  WORKERS: ("off", "1000")},
        works=frozenset({"hello", "idle", "access-log", "memory"}),
        cannot="runs no Python; it is the floor for hello",
    ),
    Server(
        "bjoern", ("python", *_EMBED, "bjoern", "{app}", "{port}", "{workers}"),
        title="bjoern", package="bjoern", module="bjoern",
        families={FAST: (), BLOCKING: (), IDLE: (), WORKERS: ()},
        cannot="no threads, no access log, no process management",
    ),
    Server(
        "fastpysgi", ("python", *_EMBED, "fastpysgi", "{app}", "{port}", "{workers}"),
        title="FastPySGI", package="fastpysgi", module="fastpysgi",
        families={FAST: (), BLOCKING: (), IDLE: (), WORKERS: ()},
        cannot="no threads, no access log",
    ),
    Server(
        "granian", _GRANIAN, title="Granian, 1 thread", package="granian",
        families={FAST: ("--blocking-threads", "1"),
                  IDLE: ("--blocking-threads", "1", "--backlog", "16000", "--backpressure", "16000"),
                  ACCESS_LOG: ("--blocking-threads", "1", "--access-log"),
                  WORKERS: ("--blocking-threads", "1")},
        cannot="no preload; its access log goes to standard output",
    ),
    Server(
        "granian-32", _GRANIAN, title="Granian, 32 threads", package="granian",
        families={BLOCKING: ("--blocking-threads", "32")},
    ),
    Server(
        "granian-8", _GRANIAN, title="Granian, 8 threads", package="granian",
        families={BLOCKING: ("--blocking-threads", "8"), EIGHT: ("--blocking-threads", "8")},
    ),
    Server(
        "gunicorn-sync", (*_GUNICORN, *_PYTHON_PARSER, "{extra}", "{app}"),
        title="Gunicorn, sync", package="gunicorn",
        families={FAST: (), ACCESS_LOG: ("--access-logfile", "{log}"), WORKERS: ("--preload",)},
        cannot="closes every connection; no threads",
    ),
    Server(
        "gunicorn-gthread", (*_GUNICORN, *_PYTHON_PARSER, "--threads", "4", "{extra}", "{app}"),
        title="Gunicorn, gthread, 4 threads", package="gunicorn",
        families={FAST: (), IDLE: _MANY, ACCESS_LOG: ("--access-logfile", "{log}"), WORKERS: ("--preload",)},
    ),
    Server(
        "gunicorn-gthread-fast", (*_GUNICORN, "--http-parser", "fast", "--threads", "4", "{extra}", "{app}"),
        title="Gunicorn, gthread, 4 threads, C parser", package="gunicorn", module="gunicorn_h1c",
        families={FAST: ()},
    ),
    Server(
        "gunicorn-gthread-32", (*_GUNICORN, *_PYTHON_PARSER, "--threads", "32", "{extra}", "{app}"),
        title="Gunicorn, gthread, 32 threads", package="gunicorn", families={BLOCKING: ()},
    ),
    Server(
        "gunicorn-gthread-8", (*_GUNICORN, *_PYTHON_PARSER, "--threads", "8", "{extra}", "{app}"),
        title="Gunicorn, gthread, 8 threads", package="gunicorn", families={EIGHT: ()},
    ),
    Server(
        "gunicorn-gevent", (*_GUNICORN, *_PYTHON_PARSER, "--worker-class", "gevent", "{extra}", "{app}"),
        title="Gunicorn, gevent", package="gunicorn",
        families={FAST: (), BLOCKING: (), IDLE: _MANY, ACCESS_LOG: ("--access-logfile", "{log}"),
                  WORKERS: ("--preload",)},
    ),
    Server(
        "uwsgi", _UWSGI, title="uWSGI, --http-socket", package="uWSGI",
        families={FAST: ("--disable-logging",), ACCESS_LOG: ("--logto", "{log}"), WORKERS: ("--disable-logging",)},
        cannot="closes every connection without saying so, hence wrk's read errors",
    ),
    Server(
        "waitress", ("waitress-serve", "--listen", _BIND, "{extra}", "{app}"),
        title="waitress, 4 threads", package="waitress",
        families={FAST: (), BLOCKING: (),
                  # select() ends at descriptor 1,023.
                  IDLE: ("--asyncore-use-poll", "--connection-limit", "16000", "--channel-timeout", "600")},
        cannot="one process, no access log",
    ),
    Server(
        "waitress-8", ("waitress-serve", "--listen", _BIND, "--threads", "8", "{app}"),
        title="waitress, 8 threads", package="waitress", families={EIGHT: ()},
    ),
)
# fmt: on

SERVERS = tuple(with_base(_ROWS))
