"""Three published deployments for Gunicorn, run with only the command's name changed: a Dockerfile, a config file, a
systemd unit."""

import re
import shlex
import signal
import socket
import textwrap

from example_site import SITE, prepare
from process import COMMAND
from wire import until

DOCKERFILE = """
    FROM python:3.12-slim
    WORKDIR /app
    COPY . .
    RUN pip install -r requirements.txt
    ENV PORT=8000
    CMD gunicorn --bind 0.0.0.0:$PORT --workers 3 --threads 2 --timeout 120 --access-logfile - \
        --max-requests 1000 --max-requests-jitter 50 forge.wsgi:application
"""

CONFIG_FILE = """
    import multiprocessing
    import os

    from prometheus_client import multiprocess

    bind = os.environ.get("BIND", "0.0.0.0:8000")
    workers = min(2, multiprocessing.cpu_count() * 2 + 1)
    worker_class = "gthread"
    threads = 4
    timeout = 60
    worker_tmp_dir = "/dev/shm"
    preload_app = True
    accesslog = "-"

    logconfig_dict = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"tagged": {"format": "TAGGED %(name)s %(levelname)s %(message)s"}},
        "handlers": {
            "errors": {"class": "logging.StreamHandler", "formatter": "tagged", "stream": "ext://sys.stderr"},
            "requests": {"class": "logging.StreamHandler", "formatter": "tagged", "stream": "ext://sys.stdout"},
        },
        "root": {"level": "INFO", "handlers": ["errors"]},
        "loggers": {
            "gunicorn.error": {"level": "INFO", "handlers": ["errors"], "propagate": False},
            "gunicorn.access": {"level": "INFO", "handlers": ["requests"], "propagate": False},
        },
    }


    def post_fork(server, worker):
        server.log.info("Worker spawned (pid: %s)", worker.pid)


    def worker_exit(server, worker):
        server.log.info("Worker leaves (pid: %s)", worker.pid)


    def child_exit(server, worker):
        multiprocess.mark_process_dead(worker.pid)
"""

#: What the real package does with a dead worker, as far as this hook needs it.
PROMETHEUS = """
    import os

    def mark_process_dead(pid):
        with open(os.path.join(os.environ["PROMETHEUS_MULTIPROC_DIR"], "dead"), "a") as out:
            out.write("%d\\n" % pid)
"""

UNIT = """
    [Unit]
    Description=gunicorn daemon
    Requires=mysite.socket
    After=network.target

    [Service]
    Type=notify
    NotifyAccess=main
    RuntimeDirectory=mysite
    ExecStart=/srv/mysite/.venv/bin/gunicorn --workers 2 app:application
    ExecReload=/bin/kill -s HUP $MAINPID
    KillMode=mixed
    TimeoutStopSec=30

    [Install]
    WantedBy=multi-user.target
"""

HELLO = """
    import os

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"%d" % os.getpid()]
"""


def one_word_changed(line):
    """The command with `farrier` in place of `gunicorn`, listening on loopback only."""
    words = re.sub(r"\S*\bgunicorn\b", shlex.join(COMMAND), line, count=1)
    return ["sh", "-c", "exec " + words.replace("0.0.0.0", "127.0.0.1")]


def test_a_dockerfile_with_django(serve, tmp_path):
    environment = {**prepare(tmp_path), "PORT": "0"}
    command = one_word_changed(re.search(r"^ *CMD (.*)$", DOCKERFILE, re.MULTILINE)[1])
    server = serve("unused", directory=SITE, bind=(), command=command, environment=environment)
    page = server.get("/admin/login/")
    assert page.status == 200 and "csrfmiddlewaretoken" in page.text
    server.output.wait(r'"GET /admin/login/ HTTP/1.1" 200 \d+ "-" "-"')
    until(lambda: len(server.workers()) == 3, what="three workers")
    assert not server.log.find("WARNING|ERROR")


def test_a_config_file_with_hooks_logging_and_prometheus(serve, tmp_path):
    (tmp_path / "prometheus_client").mkdir()
    for name, text in [
        ("gunicorn.conf.py", CONFIG_FILE),
        ("prometheus_client/__init__.py", ""),
        ("prometheus_client/multiprocess.py", PROMETHEUS),
    ]:
        (tmp_path / name).write_text(textwrap.dedent(text))
    environment = {"BIND": "127.0.0.1:0", "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    command = one_word_changed("gunicorn app:application")
    (tmp_path / "app.py").write_text(textwrap.dedent(HELLO))
    server = serve("unused", directory=tmp_path, bind=(), command=command, environment=environment)
    assert server.get().status == 200
    server.output.wait(r'TAGGED gunicorn.access INFO 127.0.0.1 .* "GET / HTTP/1.1" 200')
    server.log.wait(r"TAGGED gunicorn.error INFO Worker spawned \(pid: \d+\)", count=2)
    server.log.wait(r"TAGGED gunicorn.error WARNING gunicorn.conf.py:\d+: worker_tmp_dir has no effect")
    first = set(server.workers())
    server.kill(signal.SIGHUP)
    server.log.wait(r"TAGGED gunicorn.error INFO Worker leaves \(pid: \d+\)", count=2)
    dead = tmp_path / "dead"
    until(
        lambda: dead.exists() and first & {int(pid) for pid in dead.read_text().split()}, what="the hook of prometheus"
    )
    assert server.get().status == 200


def test_a_systemd_unit_with_socket_activation(serve, tmp_path):
    (tmp_path / "app.py").write_text(textwrap.dedent(HELLO))
    start = re.search(r"^ *ExecStart=(.*)$", UNIT, re.MULTILINE)[1]
    _, _, words = one_word_changed(start)
    with socket.socket() as listener, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = listener.getsockname()
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        # Does what the service manager does: the socket is descriptor 3, and LISTEN_PID names the process.
        hand_over = "exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ " + words
        server = serve(
            "unused",
            directory=tmp_path,
            bind=(),
            command=["sh", "-c", hand_over],
            environment={"NOTIFY_SOCKET": str(tmp_path / "notify")},
            stdin=listener,
        )
        assert server.address == address
        until(lambda: b"READY=1" in manager.recv(4096), what="the server to be ready")
        before = server.get().text
        server.kill(signal.SIGHUP)
        until(lambda: server.get().text != before, what="new workers")
    # The service manager's copy is gone, and the server's keeps serving.
    assert server.get().status == 200
