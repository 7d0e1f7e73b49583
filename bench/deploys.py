"""The door of the deployment benchmark: memory of preloaded workers, time from fork to ready, and latency across a reload."""

import argparse
import json
import os
import re
import signal
import statistics
import sys
import time
from pathlib import Path

import load
import machine
from process import ServerError, ServerProcess
from servers import HERE, PEERS, SERVERS, WORK_DIR, find
from works import Stream

WORKERS = 4
REQUESTS_EACH = 1000
COMMANDS = {
    "farrier": "farrier django_app:application --workers 4 --preload --log-level debug",
    "gunicorn": "gunicorn django_app:application --workers 4 --preload --log-level info",
    "gunicorn gthread": "gunicorn django_app:application --workers 4 --threads 8 --preload --log-level info",
}
STREAM = Stream("/", 32, b"Hello, World!")


def main():
    options = _options()
    cores = machine.two_cores()
    load.pin_self(cores[1])
    raw = {
        "machine": machine.notes(SERVERS),
        "rounds": options.rounds,
        "memory": {},
        "fork_to_ready_ms": [],
        "reloads": [],
    }
    for _ in range(options.rounds):
        for name, command in COMMANDS.items():
            with _started(name, command, cores[0]) as (server, port):
                raw["memory"].setdefault(name, []).append(_memory(server, port, cores[1]))
                if name == "farrier":
                    raw["fork_to_ready_ms"] += [
                        float(match) for match in re.findall(r"(\d+) ms from fork to ready", server.log.read_text())
                    ]
                    raw["reloads"].append(_reload(server, port, cores[1], options.seconds))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "deploys.json").write_text(json.dumps(raw, indent=1) + "\n")
    (options.out / "DEPLOYS.md").write_text(markdown(raw))
    print(markdown(raw))


class _started:
    """A running server, warm."""

    def __init__(self, name, command, core):
        self.directory = WORK_DIR / "run" / f"deploys-{name.replace(' ', '-')}"
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = load.free_port()
        argv = [*command.split(), "--bind", f"127.0.0.1:{self.port}", "--chdir", str(HERE / "apps")]
        argv[0] = str(find(argv[0]) or sys.exit(f"{argv[0]} is missing; see bench/README.md"))
        packages = [str(path) for path in sorted(PEERS.glob("lib/python*/site-packages"))]
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE / "apps"), *packages])}
        self.server = ServerProcess(argv, environ, self.directory, core)

    def __enter__(self):
        self.server.__enter__()
        self.server.wait_until_listening(self.port)
        self.server.wait_for_processes(1 + WORKERS)
        deadline = time.monotonic() + 20
        while True:
            try:
                load.check(self.port, STREAM)
                return self.server, self.port
            except load.LoadError:
                if time.monotonic() > deadline:
                    raise ServerError(self.server.last_words()) from None
                time.sleep(0.05)

    def __exit__(self, *exception):
        self.server.__exit__(*exception)


def _memory(server, port, core):
    """Pss of all processes of the server, in bytes, after about a thousand requests to each worker."""
    asked = 0
    while asked < 2 * WORKERS * REQUESTS_EACH:
        asked += load.run(port, [STREAM], 1.0, core)[0]["requests"]
    return server.pss_bytes()


def _reload(server, port, core, seconds):
    """Latency of a run without a reload, and of one with a reload in its middle, in µs."""
    [calm] = load.run(port, [STREAM], seconds, core)
    wrk = load.Wrk(port, STREAM, seconds, core)
    time.sleep(seconds / 3)
    os.kill(server.process.pid, signal.SIGHUP)
    reloaded = wrk.result()
    failed = sum(reloaded["errors"].values())
    return {"calm": calm, "reloaded": reloaded, "failed": failed}


def markdown(raw):
    """The report."""
    lines = [
        "# Deploying: memory of preloaded workers, fork to ready, reload",
        "",
        f"{raw['machine']['date']}, commit {raw['machine']['commit']}, {raw['rounds']} rounds; Django with one view,"
        f" {WORKERS} workers, --preload.",
        "",
        "| server | Pss of all its processes after 1,000 requests to each worker, MB |",
        "|---|---|",
    ]
    for name, samples in raw["memory"].items():
        lines.append(f"| {name} | {statistics.median(samples) / 1e6:.1f} |")
    if raw["fork_to_ready_ms"]:
        times = sorted(raw["fork_to_ready_ms"])
        lines += ["", f"From fork to ready: median {statistics.median(times):.1f} ms, longest {times[-1]:.1f} ms."]
    for reload in raw["reloads"]:
        calm, with_reload = reload["calm"], reload["reloaded"]
        lines += [
            "",
            f"Reload under load: p99 {calm['p99_us'] / 1000:.1f} ms and longest {calm['max_us'] / 1000:.1f} ms without,"
            f" p99 {with_reload['p99_us'] / 1000:.1f} ms and longest {with_reload['max_us'] / 1000:.1f} ms with one;"
            f" {reload['failed']} failed.",
        ]
    return "\n".join(lines) + "\n"


def _options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--out", type=Path, default=WORK_DIR / "partial")
    return parser.parse_args()


if __name__ == "__main__":
    main()
