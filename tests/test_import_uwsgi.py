"""Typical uWSGI configurations: the imported result starts and serves, and so does --ini."""

import json
import re
import signal
import socket
import struct
import subprocess

import pytest

from process import COMMAND
from wire import until

APPLICATION = """\
import os

def answer(environ, start_response):
    start_response('200 OK', [])
    shown = [os.environ.get('SHOP', ''), os.getcwd(), environ['SCRIPT_NAME'], environ['PATH_INFO']]
    return ['\\n'.join(shown).encode()]

application = answer
"""

# In the style of a deployment guide, with everything that "the defaults are all wrong" recommends.
CAREFUL = """\
[uwsgi]
strict = true
master = true
enable-threads = true
vacuum = true
single-interpreter = true
die-on-term = true
need-app = true

disable-logging = true
log-4xx = true
log-5xx = true

harakiri = 60
max-requests = 5000
max-worker-lifetime = 3600
reload-on-rss = 2048
worker-reload-mercy = 10

cheaper-algo = busyness
processes = 3
cheaper = 1
cheaper-initial = 2
cheaper-step = 1
cheaper-busyness-multiplier = 30
cheaper-busyness-backlog-alert = 16

auto-procname = true
procname-prefix = shop-

py-call-osafterfork = true
http-socket = 127.0.0.1:0
chdir = %d
module = shop.wsgi:application
env = SHOP=careful
"""

# A service of a cloud platform behind an HTTP proxy.
PLATFORM = """\
[uwsgi]
add-header = Connection: close
buffer-size = 65535
chmod-socket = 666
die-on-term = true
enable-threads = true
exit-on-reload = false
hook-master-start = unix_signal:15 gracefully_kill_them_all
http-raw-body = true
http-socket = 127.0.0.1:0
lazy-apps = true
master = true
plugins = http,python3
procname-prefix-spaced = shop
processes = 2
socket-timeout = 10
start-time = %t
thunder-lock = true
uwsgi-file = ignored
wsgi-file = %dshop/wsgi.py
chdir = %d
env = SHOP=platform
worker-reload-mercy = 80
"""

# Behind nginx, which speaks uwsgi to it.
NGINX = """\
[uwsgi]
project = shop
base = %d

chdir = %(base)
module = %(project).wsgi:application
env = SHOP=nginx

master = true
processes = 2
vacuum = true
http-socket = 127.0.0.1:0
socket = %(project).sock
chmod-socket = 660
stats = %(base)stats.sock
disable-logging = on
"""

# A container of a large application: paths by placeholders, static files, a prefix.
CONTAINER = """\
[uwsgi]
base = %d
project = shop
ini = :common
http-socket = 127.0.0.1:0
mount = /%(project)=%(project)/wsgi.py
manage-script-name = true
callable = answer
static-map = /static=%(base)static
static-map = /media=%(base)media
http-keepalive = 1
http-timeout = 600

[common]
chdir = %d
ignore-sigpipe = true
ignore-write-errors = true
disable-write-exception = true
processes = %k
thunder-lock
env = SHOP=$(NAME_OF_SHOP)
touch-reload = %p
log-format = %(addr) - %(user) [%(ltime)] "%(method) %(uri) %(proto)" %(status) %(size) "%(referer)" "%(uagent)"
"""

YAML = """\
uwsgi:
  http-socket: 127.0.0.1:0
  chdir: %d
  module: shop.wsgi:answer
  processes: 2
  threads: 4
  env:
    - SHOP=yaml
    - OTHER=1
  need-app: true
"""

JSON = """\
{
  "uwsgi": {
    "http-socket": "127.0.0.1:0",
    "chdir": "%d",
    "module": "shop.wsgi:answer",
    "threads": 4,
    "env": ["SHOP=json", "OTHER=1"],
    "master": true
  }
}
"""

REAL = [
    ("careful.ini", CAREFUL, "careful", ""),
    ("platform.ini", PLATFORM, "platform", ""),
    ("nginx.ini", NGINX, "nginx", ""),
    ("container.ini", CONTAINER, "container", "/shop"),
    ("shop.yaml", YAML, "yaml", ""),
    ("shop.json", JSON, "json", ""),
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with an application in a package."""
    monkeypatch.setenv("NAME_OF_SHOP", "container")
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text("")
    (tmp_path / "shop" / "wsgi.py").write_text(APPLICATION)
    for name in ("static", "media"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(name)
    return tmp_path


def run(folder, *arguments):
    """Runs the command to its end."""
    return subprocess.run(COMMAND + list(arguments), cwd=folder, capture_output=True, text=True, timeout=30)


def check_answer(server, folder, name, prefix):
    """The application has the environment, the folder and the prefix of the file."""
    answer = server.get(prefix + "/path")
    assert answer.status == 200
    assert answer.body.decode().split("\n") == [name, str(folder), prefix, "/path"]


@pytest.mark.parametrize(("file", "text", "name", "prefix"), REAL, ids=[row[0] for row in REAL])
def test_an_imported_configuration_starts_and_serves(serve, folder, file, text, name, prefix):
    (folder / file).write_text(text)
    imported = run(folder, "import-uwsgi", file, "-o", "farrier.toml")
    assert (imported.returncode, imported.stdout, imported.stderr) == (0, "", "")
    server = serve("farrier.toml", "--config", bind=(), directory=folder)
    check_answer(server, folder, name, prefix)


@pytest.mark.parametrize(("file", "text", "name", "prefix"), REAL, ids=[row[0] for row in REAL])
def test_a_file_of_uwsgis_is_served_as_it_is(serve, folder, file, text, name, prefix):
    (folder / file).write_text(text)
    server = serve(file, "--ini", bind=(), directory=folder)
    check_answer(server, folder, name, prefix)


@pytest.mark.parametrize(("file", "text", "name", "prefix"), REAL, ids=[row[0] for row in REAL])
def test_no_option_is_lost(folder, file, text, name, prefix):
    (folder / file).write_text(text)
    written = run(folder, "import-uwsgi", file).stdout
    unwrapped = " ".join(line.lstrip("# ") for line in written.split("\n"))
    if file.endswith(".ini"):
        for number, line in enumerate(text.split("\n"), 1):
            if line and not line.startswith("["):
                assert "%s:%d: %s" % (file, number, line) in unwrapped, written
    for line in written.split("\n"):
        assert line == "" or line.startswith("#") or re.match(r"[a-z_]+ = ", line), line


def test_a_socket_of_uwsgis_speaks_uwsgi_and_its_statistics_are_there(serve, folder):
    (folder / "uwsgi.ini").write_text(NGINX)
    server = serve("uwsgi.ini", "--ini", bind=(), directory=folder)
    listening = server.log.wait(r"Listening at: (\S+)").group(1).split(",")
    assert "uwsgi+unix:shop.sock" in listening
    variables = {"REQUEST_METHOD": "GET", "PATH_INFO": "/path", "REQUEST_URI": "/path", "SERVER_PROTOCOL": "HTTP/1.1"}
    block = b"".join(
        struct.pack("<H", len(word)) + word for pair in variables.items() for word in (part.encode() for part in pair)
    )
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(15)
        connection.connect(str(folder / "shop.sock"))
        connection.sendall(struct.pack("<BHB", 0, len(block), 0) + block)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"nginx\n%s\n\n/path" % str(folder).encode())
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(15)
        connection.connect(str(folder / "stats.sock"))
        document = json.loads(b"".join(iter(lambda: connection.recv(65536), b"")))
    assert {entry["proto"] for entry in document["sockets"]} == {"http", "uwsgi"}


def test_the_file_is_read_again_at_a_reload(serve, folder):
    options = "[uwsgi]\nhttp-socket = 127.0.0.1:0\nchdir = shop\nmodule = wsgi\nenv = SHOP=%s\n"
    (folder / "uwsgi.ini").write_text(options % "old")
    server = serve("uwsgi.ini", "--ini", bind=(), directory=folder)
    check_answer(server, folder / "shop", "old", "")
    (folder / "uwsgi.ini").write_text(options % "new")
    server.kill(signal.SIGHUP)
    until(lambda: server.get("/path").body.startswith(b"new\n"), 20, "the new configuration")
    (folder / "uwsgi.ini").write_text(options % "newer" + "if-env = X\n")
    mark = server.log.mark()
    server.kill(signal.SIGHUP)
    server.log.wait(r"uwsgi.ini:6: `if-env` chooses options", since=mark)
    check_answer(server, folder / "shop", "new", "")


def test_options_without_a_counterpart_are_named_once_in_the_log(serve, folder):
    (folder / "uwsgi.ini").write_text(CONTAINER + "\n[other]\nmule = 1\n")
    server = serve("uwsgi.ini", "--ini", bind=(), directory=folder)
    server.wait_booted(1)
    assert not server.log.find(r"static-map")
    assert len(server.log.find(r"WARNING\] uwsgi.ini:\d+: touch-reload")) == 1
    assert not server.log.find(r"mule|thunder-lock")


def test_print_config_names_the_lines_of_the_file(folder):
    (folder / "uwsgi.ini").write_text(CONTAINER)
    printed = run(folder, "--ini", "uwsgi.ini", "--threads", "2", "--print-config")
    assert printed.returncode == 0, printed.stderr
    for line in [
        r'wsgi_app = "shop.wsgi:answer" +# uwsgi.ini:6',
        r'workers = "auto" +# uwsgi.ini:19',
        r"threads = 2 +# command line --threads",
        r'raw_env = \["SHOP=container", "SCRIPT_NAME=/shop"\] +# uwsgi.ini:21',
        r"backlog = 2048 +# default",
    ]:
        assert re.search("^%s$" % line, printed.stdout, re.M), printed.stdout


def test_a_file_that_is_there_is_not_written_over(folder):
    (folder / "uwsgi.ini").write_text(CAREFUL)
    (folder / "farrier.toml").write_text("threads = 3\n")
    refused = run(folder, "import-uwsgi", "uwsgi.ini", "-o", "farrier.toml")
    assert refused.returncode == 1
    assert "`--force` overwrites it" in refused.stderr
    assert (folder / "farrier.toml").read_text() == "threads = 3\n"
    assert run(folder, "import-uwsgi", "uwsgi.ini", "-o", "farrier.toml", "--force").returncode == 0
    assert "workers = 3" in (folder / "farrier.toml").read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[uwsgi]\nmodule = x\nif-env = A\n", "uwsgi.ini:3: `if-env` chooses options while uWSGI starts"),
        ("[uwsgi]\nprocesses = many\n", "uwsgi.ini:2: processes: expected a number, got `many`"),
        ("[other]\n", "`uwsgi.ini` has no section `uwsgi`; there are `other`"),
        ("[uwsgi]\nxml = app.xml\n", "uwsgi.ini:2: `app.xml` is XML, which is not read"),
    ],
)
@pytest.mark.parametrize("arguments", [["import-uwsgi"], ["--ini"]])
def test_a_configuration_that_cannot_be_imported_is_refused_with_the_line(folder, arguments, text, said):
    (folder / "uwsgi.ini").write_text(text)
    refused = run(folder, *arguments, "uwsgi.ini")
    assert refused.returncode in (1, 2)
    assert refused.stdout == ""
    assert "farrier: " + said in refused.stderr


def test_the_command_prints_its_usage(folder):
    for arguments, status in [(["--help"], 0), ([], 2), (["a", "b"], 2), (["-o"], 2), (["--what", "a"], 2)]:
        told = run(folder, "import-uwsgi", *arguments)
        assert told.returncode == status, arguments
        assert "import-uwsgi" in told.stdout + told.stderr
