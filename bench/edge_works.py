"""The table of the edge's works: which servers do it, what is asked of them, and what the goal says about the figure."""

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass

import edge_servers as servers
import handshakes
import load
import page_loads
from load import LoadError
from process import ServerError
from servers import HERE, WORK_DIR
from works import Stream

HELLO = b"Hello, World!"


@dataclass(frozen=True)
class Work:
    """One row. `measure(running, work, bench)` gives a sample whose `cost` is what the rows are compared by."""

    name: str
    title: str
    unit: str
    servers: tuple
    measure: object
    path: str = "/"
    connections: int = 64
    key: str = "p256"
    resumed: bool = False


@dataclass(frozen=True)
class EdgeBench:
    """What all measurements of a run share."""

    server_core: int
    load_core: int
    seconds: float
    warm_up_seconds: float
    slow_clients: int
    page_loads: int
    farrier: str = ""  # the command, where it is not the installed one
    base: str = ""  # the command of an older Farrier


def measure(server, work, bench):
    """One sample of one server, which is started for it and ended."""
    if missing := [command[0] for command, path in zip(server.commands, server.executables()) if not path]:
        raise ServerError(f"{', '.join(missing)}: not installed")
    directory = WORK_DIR / "run" / f"edge-{server.name}-{work.name}"
    command = bench.base if server.name == "farrier-base" else bench.farrier
    with server.start(load.free_port(), directory, bench.server_core, work.key, command or None) as running:
        running.secure = server.secure
        return work.measure(running, work, bench)


def with_wrk(running, work, bench):
    """CPU for each request of many connections that are kept."""
    stream = Stream(work.path, work.connections, _expected(work.path))
    scheme = "https" if running.secure else "http"
    load.check(running.port, stream, scheme=scheme)
    if bench.warm_up_seconds:
        load.run(running.port, [stream], bench.warm_up_seconds, bench.load_core, scheme)
    before = running.cpu_seconds()
    [result] = load.run(running.port, [stream], bench.seconds, bench.load_core, scheme)
    cpu = running.cpu_seconds() - before
    return {**result, "cost": cpu * 1e6 / result["requests"], "pss_bytes": running.pss_bytes()}


def with_h2load(running, work, bench):
    """CPU for each request of one connection with a hundred streams at once."""
    if bench.warm_up_seconds:
        _h2load(running.port, bench.warm_up_seconds, bench.load_core)
    before = running.cpu_seconds()
    requests, seconds = _h2load(running.port, bench.seconds, bench.load_core)
    cpu = running.cpu_seconds() - before
    return {"requests": requests, "seconds": seconds, "cost": cpu * 1e6 / requests, "pss_bytes": running.pss_bytes()}


def _h2load(port, seconds, core):
    # h2load counts whole seconds, and what its connection may carry is no limit of the measurement.
    command = ["taskset", "-c", str(core), "h2load", "-c", "1", "-m", "100", "-w", "24", "-W", "24"]
    command += ["-D", str(max(1, round(seconds))), f"https://127.0.0.1:{port}/"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30)
    counts = re.search(r"(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", done.stdout)
    took = re.search(r"finished in ([\d.]+)(ms|s)", done.stdout)
    if not counts or not took or "Application protocol: h2" not in done.stdout:
        raise LoadError(f"h2load: {(done.stdout + done.stderr).strip()[-300:]}")
    total, succeeded, failed, errored = map(int, counts.groups())
    if failed or errored or not succeeded:
        raise LoadError(f"h2load: {succeeded} of {total} succeeded, {failed} failed, {errored} errored")
    return succeeded, float(took.group(1)) / (1000 if took.group(2) == "ms" else 1)


def with_handshakes(running, work, bench):
    """CPU for each TLS 1.3 connection that asks for 4 KB once, full or resumed."""
    if bench.warm_up_seconds:
        handshakes.run(running.port, min(0.3, bench.warm_up_seconds), work.resumed, bench.load_core)
    before = running.cpu_seconds()
    result = handshakes.run(running.port, bench.seconds, work.resumed, bench.load_core)
    cpu = running.cpu_seconds() - before
    return {**result, "cost": cpu * 1e6 / result["connections"]}


def beside_slow_clients(running, work, bench):
    """hello alone and beside slow readers of 100 MB each: its CPU and rate, and the memory before and meanwhile."""
    alone = with_wrk(running, work, bench)
    before = running.pss_bytes()
    slow = subprocess.Popen(
        ["taskset", "-c", str(bench.load_core), sys.executable, str(HERE / "slow_readers.py")]
        + [str(running.port), "/static/100m.bin", str(bench.slow_clients)],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    )
    try:
        if slow.stdout.readline().strip() != "reading":
            raise LoadError("the slow clients got no content")
        time.sleep(min(1.0, bench.seconds))
        meanwhile = running.pss_bytes()
        beside = with_wrk(running, work, bench)
        slow.stdin.close()
        still = int(slow.stdout.readline() or 0)
    finally:
        slow.kill()
        slow.wait()
        slow.stdout.close()
    if still != bench.slow_clients:
        raise LoadError(f"{bench.slow_clients - still} of the slow clients were cut off")
    return {
        "cost": beside["cost"] / alone["cost"],
        "alone": alone,
        "beside": beside,
        "rate_ratio": (beside["requests"] / beside["seconds"]) / (alone["requests"] / alone["seconds"]),
        "pss_before_bytes": before,
        "pss_meanwhile_bytes": meanwhile,
    }


def _expected(path):
    return (servers.FILES / path.rpartition("/")[2]).read_bytes() if path.startswith("/static/") else HELLO


def page(running, work, bench):
    """The median time until a fresh browser context has loaded a Django page and its thirty files."""
    if not shutil.which("chromium"):
        raise LoadError("chromium: not installed")
    with page_loads.pinned_browser(bench.load_core, WORK_DIR / "run" / "edge-browser") as browser:
        times = [page_loads.load_ms(browser, f"https://127.0.0.1:{running.port}/", 30) for _ in range(bench.page_loads)]
    # The browser's first page waits for its own start.
    return {"cost": sorted(times[1:] or times)[len(times[1:] or times) // 2], "times_ms": times}


# fmt: off
def table(base):
    """All works. With a command of an older Farrier, hello is compared with that, too."""
    older = servers.EdgeServer("farrier-base", "Farrier before", servers.FARRIER_HELLO.commands)
    both, both_tls = (servers.FARRIER, servers.NGINX), (servers.FARRIER_TLS, servers.NGINX_TLS)
    us, requests = "µs CPU a request", "keep-alive, 64 connections"
    return (
        Work("static-4k", f"a file of 4 KB, {requests}", us, both, with_wrk, "/static/4k.bin"),
        Work("static-1m", "a file of 1 MB, keep-alive, 8 connections", us, both, with_wrk, "/static/1m.bin", 8),
        Work("static-4k-tls", f"a file of 4 KB over TLS, {requests}", us, both_tls, with_wrk, "/static/4k.bin"),
        Work("static-1m-tls", "a file of 1 MB over TLS, 8 connections", us, both_tls, with_wrk, "/static/1m.bin", 8),
        Work("slow", "hello beside 100 slow readers of 100 MB", "× hello's CPU alone", both, beside_slow_clients),
        Work("tls-full", "TLS 1.3 full handshake, P-256, then 4 KB", "µs CPU a connection", both_tls, with_handshakes),
        Work("tls-resumed", "TLS 1.3 resumed handshake, then 4 KB", "µs CPU a connection", both_tls, with_handshakes, resumed=True),
        Work("tls-full-rsa", "TLS 1.3 full handshake, RSA-2048, then 4 KB", "µs CPU a connection", both_tls, with_handshakes, key="rsa"),
        Work("hello", f"hello, {requests}", us,
             (servers.FARRIER_HELLO, servers.FARRIER_TLS, servers.NGINX, servers.NGINX_TLS) + ((older,) if base else ()), with_wrk),
        Work("h2", "hello over HTTP/2 and TLS, 1 connection, 100 streams", us,
             (servers.FARRIER_TLS, servers.GRANIAN_H2, servers.NGINX_H2), with_h2load),
        Work("page", "a Django page with 30 static files in Chromium, HTTP/2 and TLS", "ms until loaded",
             (servers.FARRIER_GALLERY, servers.NGINX_UWSGI), page),
    )
# fmt: on


def environment_notes():
    """What the peers are, in their own words."""
    said = {}
    for name, command in (
        ("openssl", ["openssl", "version"]),
        ("h2load", ["h2load", "--version"]),
        ("chromium", ["chromium", "--version"]),
    ):
        if shutil.which(command[0]):
            done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
            said[name] = (done.stdout or done.stderr).strip().splitlines()[0]
    return said
