"""The servers of the edge benchmark: Farrier alone, nginx, nginx before uWSGI, Granian; their files and certificates."""

import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field

from process import ServerError, ServerProcess
from servers import HERE, PEERS, WORK_DIR, find

FILES = WORK_DIR / "edge-files"
KEYS = WORK_DIR / "edge-keys"
SIZES = {"4k.bin": 4096, "1m.bin": 1 << 20, "100m.bin": 100 << 20}


@dataclass(frozen=True)
class EdgeServer:
    """One way to serve: command lines, all pinned to the server's core.

    Templates hold {port}, {directory}, {files}, {keys}, {key} (p256 or rsa) and {config}; a path that a command's first
    process makes is waited for before the next starts.
    """

    name: str
    title: str
    commands: tuple
    secure: bool = False
    config: str = field(default="", repr=False)
    waits_for: str = ""

    def executables(self):
        """The paths of its commands; None for one that is not installed."""
        return [find(command[0]) for command in self.commands]

    def start(self, port, directory, core, key="p256", farrier=None):
        """Starts all of it: a Running."""
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        values = {
            "port": port,
            "directory": directory,
            "files": FILES,
            "keys": KEYS,
            "key": key,
            "here": HERE,
            "venv": PEERS,
            "config": directory / "nginx.conf",
        }
        if self.config:
            values["config"].write_text(self.config % values)
        paths = [str(HERE / "apps"), *(str(path) for path in sorted(PEERS.glob("lib/python*/site-packages")))]
        environ = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "GALLERY_FILES": str(FILES / "gallery"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        running = Running(port)
        try:
            for number, command in enumerate(self.commands):
                argv = [item.format(**values) for item in command]
                argv[0] = farrier if farrier and argv[0] == "farrier" else find(argv[0])
                place = directory / f"process-{number}"
                place.mkdir()
                running.processes.append(ServerProcess(argv, environ, place, core))
                if self.waits_for and not number:
                    _wait_for(running.processes[0], self.waits_for.format(**values))
            running.processes[-1].wait_until_listening(port)
        except BaseException:
            running.stop()
            raise
        return running


class Running:
    """The started processes. Use it as a context."""

    def __init__(self, port):
        self.port, self.processes = port, []

    def cpu_seconds(self):
        """User and system time of all of them."""
        return sum(process.cpu_seconds() for process in self.processes)

    def pss_bytes(self):
        """Their proportional memory."""
        return sum(process.pss_bytes() for process in self.processes)

    def stop(self):
        """Ends all of them."""
        for process in reversed(self.processes):
            process.stop()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stop()


def _wait_for(process, path, timeout_seconds=20):
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        if process.process.poll() is not None:
            raise ServerError(f"exit {process.process.returncode}: {process.last_words()}")
        if os.path.exists(path):
            return
        time.sleep(0.02)
    raise ServerError(f"no {path} after {timeout_seconds} s: {process.last_words()}")


def prepare():
    """Makes the files and the keys once: a P-256 and an RSA-2048 certificate of localhost, each its own issuer."""
    FILES.mkdir(parents=True, exist_ok=True)
    for name, size in SIZES.items():
        if not (FILES / name).exists() or (FILES / name).stat().st_size != size:
            (FILES / name).write_bytes(os.urandom(size))
    subprocess.run([find("python"), str(HERE / "apps" / "gallery.py"), str(FILES / "gallery")], check=True)
    KEYS.mkdir(parents=True, exist_ok=True)
    for name, kind in (("p256", ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")), ("rsa", ("rsa:2048",))):
        if not (KEYS / f"{name}.pem").exists():
            subprocess.run(
                ["openssl", "req", "-x509", "-nodes", "-newkey", *kind, "-days", "3650", "-subj", "/CN=localhost"]
                + ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
                + ["-keyout", str(KEYS / f"{name}.key"), "-out", str(KEYS / f"{name}.pem")],
                check=True,
                capture_output=True,
            )


_NGINX = """
user root; worker_processes 1; worker_rlimit_nofile 20000; daemon off;
pid %%(directory)s/nginx.pid; error_log stderr error;
events { worker_connections 4096; }
http {
    include /etc/nginx/mime.types; default_type application/octet-stream; access_log off;
    sendfile on; tcp_nopush on; keepalive_requests 1000000000; keepalive_timeout 600s;
    open_file_cache max=1000 inactive=600s; open_file_cache_valid 1s; open_file_cache_errors on;
    client_body_temp_path %%(directory)s/t1; proxy_temp_path %%(directory)s/t2; fastcgi_temp_path %%(directory)s/t3;
    uwsgi_temp_path %%(directory)s/t4; scgi_temp_path %%(directory)s/t5;
    server {
        %s
        location /static/ { alias %%(files)s/; expires 60s; }
        %s
    }
}
"""
_TLS = """listen 127.0.0.1:%%(port)s ssl%s; ssl_certificate %%(keys)s/%%(key)s.pem; ssl_certificate_key %%(keys)s/%%(key)s.key;
        ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:tls:10m; ssl_session_tickets on;"""
_HELLO = 'location / { default_type text/plain; return 200 "Hello, World!"; }'
_UWSGI = """location / { include /etc/nginx/uwsgi_params; uwsgi_pass unix:%(directory)s/uwsgi.sock; }"""

# A row of the table is a command line, not a column of words.
# fmt: off
_RUN_NGINX = ("nginx", "-e", "stderr", "-p", "{directory}", "-c", "{config}")
_FARRIER = ("farrier", "--workers", "1", "--log-level", "warning", "--bind", "127.0.0.1:{port}")
_KEY = ("--certfile", "{keys}/{key}.pem", "--keyfile", "{keys}/{key}.key")
_STATIC = ("--static", "/static={files}")

FARRIER = EdgeServer("farrier", "Farrier", ((*_FARRIER, *_STATIC, "plain:application"),))
FARRIER_HELLO = EdgeServer("farrier-plain", "Farrier, plain HTTP", ((*_FARRIER, "plain:application"),))
FARRIER_TLS = EdgeServer("farrier-tls", "Farrier, TLS", ((*_FARRIER, *_KEY, *_STATIC, "plain:application"),), secure=True)
FARRIER_GALLERY = EdgeServer(
    "farrier", "Farrier alone", ((*_FARRIER, *_KEY, "--static", "/static={files}/gallery", "gallery:application"),),
    secure=True,
)
NGINX = EdgeServer(
    "nginx", "nginx", (_RUN_NGINX,), config=_NGINX % ("listen 127.0.0.1:%(port)s backlog=1024;", _HELLO),
)
NGINX_TLS = EdgeServer("nginx-tls", "nginx, TLS", (_RUN_NGINX,), secure=True, config=_NGINX % (_TLS % "", _HELLO))
NGINX_H2 = EdgeServer("nginx-h2", "nginx, return 200", (_RUN_NGINX,), secure=True, config=_NGINX % (_TLS % " http2", _HELLO))
NGINX_UWSGI = EdgeServer(
    "nginx-uwsgi", "nginx and uWSGI",
    (("uwsgi", "--socket", "{directory}/uwsgi.sock", "--chmod-socket=666", "--master", "--processes", "1", "--home", "{venv}",
      "--module", "gallery:application", "--die-on-term", "--need-app", "--disable-logging"), _RUN_NGINX),
    secure=True, config=(_NGINX % (_TLS % " http2", _UWSGI)).replace("alias %(files)s/;", "alias %(files)s/gallery/;"),
    waits_for="{directory}/uwsgi.sock",
)
GRANIAN_H2 = EdgeServer(
    "granian", "Granian",
    (("granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", "{port}", "--workers", "1", "--http", "2",
      "--ssl-certificate", "{keys}/{key}.pem", "--ssl-keyfile", "{keys}/{key}.key", "--blocking-threads", "1",
      "--log-level", "error", "plain:application"),),
    secure=True,
)
# fmt: on
