"""One measurement: start a server, check its answers, warm it up, load it, and read what that cost."""

import os
import shutil
import time
from dataclasses import dataclass

import load
from process import ServerProcess
from servers import HERE, PEERS, WORK_DIR
from works import ACCESS_LOG

WARM_UP_SECONDS = 1.0


@dataclass(frozen=True)
class Bench:
    """What all measurements of a run share."""

    server_core: int
    load_core: int
    seconds: float
    warm_up_seconds: float
    compute_rounds: int
    idle_connections_max: int


def measure(server, work, bench):
    """Returns one sample as plain values; raises LoadError or ServerError."""
    directory = WORK_DIR / "run" / f"{server.name}-{work.name}"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    idle_count = min(work.idle_connections, bench.idle_connections_max)
    if idle_count:
        load.raise_descriptor_limit(idle_count + 200)
    port = load.free_port()
    argv = server.argv(work, port, directory)
    with ServerProcess(argv, _environ(bench), directory, bench.server_core) as process:
        process.wait_until_listening(port)
        process.wait_for_processes(work.workers)
        for stream in work.streams:
            load.check(port, stream)
        if bench.warm_up_seconds:
            load.run(port, work.streams, bench.warm_up_seconds, bench.load_core)
        if idle_count:
            sample = _beside_idle(process, port, work, bench, idle_count)
        else:
            sample = _under_load(process, port, work, bench)
    if work.family == ACCESS_LOG:
        _check_access_log(directory, sample)
    return sample


def _under_load(process, port, work, bench):
    cpu_before = process.cpu_seconds()
    results = load.run(port, work.streams, bench.seconds, bench.load_core)
    cpu = process.cpu_seconds() - cpu_before
    requests = sum(result["requests"] for result in results)
    if not requests:
        raise load.LoadError("no request was answered")
    return {
        "streams": [
            {"path": stream.path, "connections": stream.connections, **result}
            for stream, result in zip(work.streams, results)
        ],
        "cpu_us_per_request": cpu * 1e6 / requests,
        "pss_bytes": process.pss_bytes(),
    }


def _beside_idle(process, port, work, bench, count):
    base_bytes = process.pss_bytes()
    with load.IdleConnections(port, count) as idle:
        time.sleep(0.5)
        waiting_bytes = process.pss_bytes()
        sample = _under_load(process, port, work, bench)
        return {
            **sample,
            "idle_connections": count,
            "idle_still_open": idle.still_open(),
            "idle_bytes_per_connection": (waiting_bytes - base_bytes) / count,
        }


def _check_access_log(directory, sample):
    """After the server's end, when no buffer can hold lines any more: one line for each request, or no figure."""
    path = directory / "access.log"
    if not path.exists():
        path = directory / "server.log"
    with open(path, "rb") as log:
        lines = sum(1 for _ in log)
    requests = sum(stream["requests"] for stream in sample["streams"])
    path.unlink()
    if lines < requests:
        raise load.LoadError(f"{lines} lines in the access log for {requests} requests")


def _environ(bench):
    """The servers' environment: the applications, and the frameworks where the server lives in another venv."""
    paths = [str(HERE / "apps"), *(str(path) for path in sorted(PEERS.glob("lib/python*/site-packages")))]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "BENCH_COMPUTE_ROUNDS": str(bench.compute_rounds),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
