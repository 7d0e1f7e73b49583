"""The door of the protocol benchmark: one application behind one nginx, and only the protocol between them differs."""

import argparse
import dataclasses
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import load
import machine
from load import LoadError
from process import ServerError, ServerProcess
from servers import HERE, SERVERS, WORK_DIR, find
from works import Stream

RESULTS = HERE / "results"
CONNECTIONS = 32


@dataclasses.dataclass(frozen=True)
class Backend:
    """A server behind nginx: its command, and how nginx speaks to it. {socket} is the unix socket between them."""

    name: str
    protocol: str
    command: tuple
    location: str
    keeps_connections: bool = False


UWSGI = (
    "uwsgi --master --processes 1 --need-app --disable-logging --die-on-term --listen 100 --buffer-size 65535"
    " --chdir {apps} --module plain:application"
).split()
FARRIER = "farrier plain:application --chdir {apps} --workers 1 --log-level warning".split()
PASS = {
    "http": "proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ''; proxy_set_header Host $host;",
    "uwsgi": "include uwsgi_params; uwsgi_pass backend;",
    "fastcgi": "include fastcgi_params; fastcgi_param PATH_INFO $document_uri; fastcgi_pass backend;",
}
CLOSED = PASS["http"].replace("1.1", "1.0").replace("Connection ''", "Connection close")
KEPT = {"http": PASS["http"], "fastcgi": PASS["fastcgi"] + " fastcgi_keep_conn on;"}

# fmt: off
BACKENDS = (
    Backend("farrier", "uwsgi", (*FARRIER, "--bind", "uwsgi+unix:{socket}"), PASS["uwsgi"]),
    Backend("farrier", "fastcgi", (*FARRIER, "--bind", "fastcgi+unix:{socket}"), PASS["fastcgi"]),
    Backend("farrier", "http", (*FARRIER, "--bind", "unix:{socket}"), CLOSED),
    Backend("uwsgi", "uwsgi", (*UWSGI, "--socket", "{socket}"), PASS["uwsgi"]),
    Backend("uwsgi", "fastcgi", (*UWSGI, "--fastcgi-socket", "{socket}"), PASS["fastcgi"]),
    Backend("uwsgi", "http", (*UWSGI, "--http-socket", "{socket}"), CLOSED),
    Backend("farrier", "fastcgi kept", (*FARRIER, "--bind", "fastcgi+unix:{socket}"), KEPT["fastcgi"], True),
    Backend("farrier", "http kept", (*FARRIER, "--bind", "unix:{socket}"), KEPT["http"], True),
    Backend("farrier", "alone", (*FARRIER, "--bind", "127.0.0.1:{port}"), "", True),
)
# fmt: on

NGINX = """
user root; worker_processes 1; daemon off; pid {directory}/nginx.pid; error_log {directory}/nginx.error crit;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {directory}/t1; proxy_temp_path {directory}/t2; fastcgi_temp_path {directory}/t3;
  uwsgi_temp_path {directory}/t4; scgi_temp_path {directory}/t5; keepalive_requests 1000000;
  upstream backend {{ server unix:{socket}; {keepalive} }}
  server {{ listen 127.0.0.1:{port}; location / {{ {location} }} }}
}}
"""


def main():
    options = _options()
    for command in ("wrk", "taskset", "nginx"):
        if not shutil.which(command):
            sys.exit(f"{command} is missing; see bench/README.md")
    cores = machine.two_cores()
    load.pin_self(cores[1])
    backends = [backend for backend in BACKENDS if find(backend.command[0])]
    raw = {"machine": machine.notes(SERVERS), "settings": vars(options) | {"out": None}, "samples": [], "failures": []}
    for number in range(1, options.rounds + 1):
        # The order turns round every time, so that nobody is always measured first.
        for backend in backends if number % 2 else backends[::-1]:
            place = {"round": number, "server": backend.name, "protocol": backend.protocol}
            try:
                sample = measure(backend, cores, options.seconds, number == 1 and not options.smoke)
            except (LoadError, ServerError) as error:
                raw["failures"].append({**place, "why": str(error)})
                print(f"{number} {backend.name:8} {backend.protocol:13} FAILED: {error}", flush=True)
                continue
            raw["samples"].append({**place, **sample})
            print(
                f"{number} {backend.name:8} {backend.protocol:13} server {sample['server_us']:6.1f} µs CPU,"
                f" nginx {sample['nginx_us']:6.1f} µs, {sample['requests_per_second']:,.0f}/s, p99 {sample['p99_us']} µs",
                flush=True,
            )
    raw["parsing"] = [] if options.smoke else parsing()
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "protocols.json").write_text(json.dumps(raw, indent=1, default=str) + "\n")
    page = HERE.parent / "docs" / "protocols.md" if options.out.resolve() == RESULTS else options.out / "PROTOCOLS.md"
    page.write_text(markdown(raw))
    print(f"\n{page}")
    sys.exit(1 if raw["failures"] else 0)


def parsing():
    """The rows of the parsers' own benchmark, or none without Cargo."""
    if not shutil.which("cargo"):
        return []
    command = ["cargo", "bench", "--quiet", "--locked", "-p", "farrier-http", "--bench", "parse"]
    done = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if line.startswith("|")]


def measure(backend, cores, seconds, counts_calls):
    """One sample: CPU of the server and of nginx a request, and once the server's system calls a request."""
    directory = WORK_DIR / "run" / f"protocol-{backend.name}-{backend.protocol.replace(' ', '-')}"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    port, socket = load.free_port(), f"/tmp/farrier-bench-{os.getpid()}.sock"
    Path(socket).unlink(missing_ok=True)
    values = {"socket": socket, "port": port, "apps": HERE / "apps", "directory": directory}
    argv = [item.format(**values) for item in backend.command]
    argv[0] = str(find(argv[0]))
    stream = Stream("/", CONNECTIONS, b"Hello, World!")
    environ = {**os.environ, "PYTHONPATH": str(HERE / "apps"), "PYTHONDONTWRITEBYTECODE": "1"}
    with ServerProcess(argv, environ, directory, cores[0]) as server:
        if backend.location:
            server.wait_for_socket(socket)
            keepalive = "keepalive 64;" if backend.keeps_connections else ""
            (directory / "nginx.conf").write_text(
                NGINX.format(keepalive=keepalive, location=backend.location, **values).replace(
                    "include ", "include /etc/nginx/"
                )
            )
            nginx_directory = directory / "nginx"
            nginx_directory.mkdir()
            argv = [shutil.which("nginx"), "-c", str(directory / "nginx.conf")]
            with ServerProcess(argv, os.environ, nginx_directory, cores[1]) as nginx:
                return _sample(server, nginx, port, stream, seconds, cores[1], counts_calls)
        return _sample(server, None, port, stream, seconds, cores[1], counts_calls)


def _sample(server, nginx, port, stream, seconds, load_core, counts_calls):
    (nginx or server).wait_until_listening(port)
    load.check(port, stream)
    load.run(port, [stream], 1.0, load_core)
    processes = [server] + ([nginx] if nginx else [])
    before = [process.cpu_seconds() for process in processes]
    [result] = load.run(port, [stream], seconds, load_core)
    spent = [process.cpu_seconds() - start for process, start in zip(processes, before)]
    sample = {
        "server_us": spent[0] * 1e6 / result["requests"],
        "nginx_us": spent[1] * 1e6 / result["requests"] if nginx else 0.0,
        "requests_per_second": result["requests"] / result["seconds"],
        "p99_us": result["p99_us"],
    }
    if counts_calls and shutil.which("strace"):
        sample["calls"] = _count_calls(server, port, stream, load_core)
    return sample


def _count_calls(server, port, stream, load_core):
    """System calls of the server for one request, by name; traced apart from the measurement, for tracing slows it down."""
    summary = WORK_DIR / "run" / "strace"
    attached = [item for pid in server.pids() for item in ("-p", str(pid))]
    tracer = subprocess.Popen(["strace", "-f", "-c", "-o", str(summary), *attached], stderr=subprocess.PIPE, text=True)
    said = []
    drain = threading.Thread(target=lambda: said.extend(tracer.stderr), daemon=True)
    drain.start()
    deadline = time.monotonic() + 10
    while not any("attached" in line for line in said) and time.monotonic() < deadline:
        time.sleep(0.02)
    [result] = load.run(port, [dataclasses.replace(stream, connections=1)], 1.0, load_core)
    tracer.terminate()
    tracer.wait()
    counts = {}
    for line in summary.read_text().splitlines():
        words = line.split()
        if len(words) >= 5 and words[0].replace(".", "").isdigit() and words[-1] != "total":
            counts[words[-1]] = round(int(words[3]) / result["requests"], 2)
    return {name: count for name, count in counts.items() if count >= 0.05}


def markdown(raw):
    """The page: medians, and the spread as the range of the samples in percent of the median."""
    settings = raw["settings"]
    lines = [
        "# uwsgi, FastCGI and HTTP compared",
        "",
        "The CPU cost of each protocol between a web server and the application server. It tests the common claim that the"
        " uwsgi protocol is ten times faster than FastCGI. Only the protocol differs between the rows. `make"
        " bench-protocols` writes this page; do not edit.",
        "",
        _answer(raw),
        "",
        "## End to end",
        "",
        f"{raw['machine']['date']}, commit {raw['machine']['commit']}, {raw['machine']['cpu']}, {settings['rounds']}"
        f" rounds of {settings['seconds']:g} s in alternating order, {CONNECTIONS} connections to nginx, a response of 13"
        " bytes, a unix socket between nginx and the server, each on a core of its own with the load on nginx's."
        " **kept**: nginx keeps its connections to the server. **alone**: the server without nginx. In the other rows each"
        " request has a connection of its own, which is nginx's default; uWSGI keeps none. System calls were counted in"
        " separate runs, with one connection.",
        "",
        "| server | protocol | server, µs CPU a request | spread | nginx, µs CPU | requests/s | system calls a request |",
        "|---|---|---|---|---|---|---|",
    ]
    for backend in BACKENDS:
        samples = _of(raw, backend.name, backend.protocol)
        if not samples:
            continue
        costs = [sample["server_us"] for sample in samples]
        middle = statistics.median(costs)
        calls = next((sample["calls"] for sample in samples if "calls" in sample), {})
        lines.append(
            f"| {backend.name} | {backend.protocol} | {middle:.1f} | {100 * (max(costs) - min(costs)) / middle:.0f} %"
            f" | {statistics.median(sample['nginx_us'] for sample in samples):.1f}"
            f" | {statistics.median(sample['requests_per_second'] for sample in samples):,.0f}"
            f" | {', '.join(f'{name} {count:g}' for name, count in sorted(calls.items()))} |"
        )
    lines += [f"\nFailed: {failure}" for failure in raw["failures"]]
    if raw["parsing"]:
        lines += [
            "",
            "## Parsing alone",
            "",
            "Farrier's own codecs, without a socket, into the same request; the median of 41 measurements, and their range."
            " With uwsgi and FastCGI nginx sends its thirteen stock parameters beside the fields.",
            "",
            *raw["parsing"],
        ]
    return "\n".join(lines) + "\n"


def _of(raw, server, protocol):
    return [sample for sample in raw["samples"] if (sample["server"], sample["protocol"]) == (server, protocol)]


def _answer(raw):
    sentences = []
    for server, title in (("farrier", "Farrier"), ("uwsgi", "uWSGI")):
        costs = {
            protocol: statistics.median(sample["server_us"] for sample in _of(raw, server, protocol))
            for protocol in ("uwsgi", "fastcgi", "http")
            if _of(raw, server, protocol)
        }
        if len(costs) == 3:
            sentences.append(
                f"Served by {title}, a request costs {costs['uwsgi']:.1f} µs by uwsgi, {costs['fastcgi']:.1f} by FastCGI"
                f" ({costs['fastcgi'] / costs['uwsgi']:.2f} times as much) and {costs['http']:.1f} by HTTP."
            )
    parsed = {}
    for row in raw["parsing"][2:]:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        parsed[cells[0], cells[2]] = float(cells[4])
    if parsed:
        sentences.append(
            f"Parsing is a small part of it: a browser's request takes {parsed['browser', 'HTTP/1.1']:.0f} ns by HTTP,"
            f" {parsed['browser', 'uwsgi']:.0f} by uwsgi and {parsed['browser', 'FastCGI']:.0f} by FastCGI."
        )
    sentences.append(
        "The uwsgi protocol is not ten times faster. The cost of a connection matters more than the protocol in it."
    )
    return " ".join(sentences)


def _options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--out", type=Path, default=WORK_DIR / "partial")
    parser.add_argument("--smoke", action="store_true", help="only show that everything runs; judges no time")
    options = parser.parse_args()
    if options.smoke:
        options.rounds, options.seconds = 1, 0.5
    return options


if __name__ == "__main__":
    main()
