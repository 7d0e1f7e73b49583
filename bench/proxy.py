"""The door of the proxy benchmark: Farrier and nginx before the same server, and what a request costs each of them."""

import argparse
import dataclasses
import json
import os
import shutil
import statistics
import sys
from pathlib import Path

import load
import machine
from load import LoadError
from process import ServerError, ServerProcess
from servers import HERE, SERVERS, WORK_DIR, find
from works import Stream

RESULTS = HERE / "results"
HELLO = b"Hello, World!"

#: The server behind: nginx, which costs less than either proxy. Its files are in memory.
UPSTREAM = """
user root; worker_processes 1; daemon off; pid {directory}/nginx.pid; error_log {directory}/nginx.error crit;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {directory}/t1; proxy_temp_path {directory}/t2; fastcgi_temp_path {directory}/t3;
  uwsgi_temp_path {directory}/t4; scgi_temp_path {directory}/t5; keepalive_requests 1000000; sendfile on;
  open_file_cache max=100; default_type text/plain;
  server {{ listen 127.0.0.1:{upstream}; root {directory};
    location = / {{ return 200 "Hello, World!"; }}
    location = /post {{ client_body_buffer_size 64k; proxy_pass http://127.0.0.1:{upstream}/; proxy_method GET; }}
  }}
}}
"""

#: nginx as a proxy, with connections kept to the server.
NGINX = """
user root; worker_processes 1; daemon off; pid {directory}/nginx.pid; error_log {directory}/nginx.error crit;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {directory}/t1; proxy_temp_path {directory}/t2; fastcgi_temp_path {directory}/t3;
  uwsgi_temp_path {directory}/t4; scgi_temp_path {directory}/t5; keepalive_requests 1000000;
  upstream backend {{ server {server}; {keepalive} }}
  server {{ listen 127.0.0.1:{port}; client_max_body_size 100m;
    proxy_set_header Host $host; proxy_set_header X-Real-IP $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_http_version 1.1; proxy_set_header Connection "";
    location / {{ {location} }} }}
}}
"""
#: Farrier as a proxy, with as many connections kept.
FARRIER = """
bind = "127.0.0.1:{port}"
loglevel = "warning"
limit_request_body = "100M"

[[upstream]]
name = "backend"
servers = ["{place}"]
keepalive = 64
keepalive_requests = 1000000

[[mount]]
path = "/"
proxy = "backend"
"""

UWSGI = (
    "uwsgi --master --processes 1 --need-app --disable-logging --die-on-term --listen 100 --buffer-size 65535"
    " --chdir {apps} --module plain:application --socket {socket}"
).split()


@dataclasses.dataclass(frozen=True)
class Work:
    """One row: what is asked, and the server behind."""

    name: str
    title: str
    stream: Stream
    #: uWSGI at a unix socket in the place of nginx.
    is_uwsgi: bool = False


def works():
    """All rows."""
    return (
        Work("hello", "hello, 64 connections", Stream("/", 64, HELLO)),
        Work("100kb", "100 KB", Stream("/100k", 32, b"a" * 100_000)),
        Work("10mb", "10 MB", Stream("/10m", 8, b"b" * 10_000_000)),
        Work("post", "POST of 10 KB", Stream("/post", 32, HELLO, post_bytes=10_240)),
        Work("uwsgi", "hello by uwsgi at a unix socket", Stream("/", 32, HELLO), is_uwsgi=True),
    )


PROXIES = ("farrier", "nginx")


def main():
    options = _options()
    for command in ("wrk", "taskset", "nginx"):
        if not shutil.which(command):
            sys.exit(f"{command} is missing; see bench/README.md")
    cores = machine.two_cores()
    load.pin_self(cores[1])
    raw = {
        "machine": machine.notes(SERVERS),
        "settings": vars(options) | {"out": None, "farrier": ""},
        "samples": [],
        "failures": [],
    }
    for number in range(1, options.rounds + 1):
        for work in works():
            if options.work and work.name not in options.work:
                continue
            if work.is_uwsgi and not find("uwsgi"):
                continue
            # The order turns round every time, so that nobody is always measured first.
            for proxy in PROXIES if number % 2 else PROXIES[::-1]:
                place = {"round": number, "work": work.name, "proxy": proxy}
                try:
                    sample = measure(work, proxy, cores, options)
                except (LoadError, ServerError) as error:
                    raw["failures"].append({**place, "why": str(error)})
                    print(f"{number} {work.name:6} {proxy:8} FAILED: {error}", flush=True)
                    continue
                raw["samples"].append({**place, **sample})
                print(
                    f"{number} {work.name:6} {proxy:8} {sample['proxy_us']:8.2f} µs CPU a request,"
                    f" {sample['requests_per_second']:,.0f}/s, p99 {sample['p99_us']} µs",
                    flush=True,
                )
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "proxy.json").write_text(json.dumps(raw, indent=1, default=str) + "\n")
    page = HERE.parent / "docs" / "proxy-cost.md" if options.out.resolve() == RESULTS else options.out / "PROXY.md"
    page.write_text(markdown(raw))
    print(f"\n{page}")
    sys.exit(1 if raw["failures"] else 0)


def measure(work, proxy, cores, options):
    """One sample: the proxy's own CPU for a request. The server behind and the load share the other core."""
    directory = WORK_DIR / "run" / f"proxy-{work.name}-{proxy}"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    (directory / "100k").write_bytes(b"a" * 100_000)
    (directory / "10m").write_bytes(b"b" * 10_000_000)
    socket = f"/tmp/farrier-bench-{os.getpid()}.sock"
    Path(socket).unlink(missing_ok=True)
    values = {
        "directory": directory,
        "upstream": load.free_port(),
        "port": load.free_port(),
        "socket": socket,
        "apps": HERE / "apps",
        "keepalive": "" if work.is_uwsgi else "keepalive 64;",
        "server": f"unix:{socket}" if work.is_uwsgi else "127.0.0.1:{upstream}",
        "location": "include /etc/nginx/uwsgi_params; uwsgi_pass backend;"
        if work.is_uwsgi
        else "proxy_pass http://backend;",
    }
    values["server"] = values["server"].format(**values)
    if work.is_uwsgi:
        behind = [item.format(**values) for item in UWSGI]
        behind[0] = str(find(behind[0]))
    else:
        behind = _nginx(directory / "upstream", UPSTREAM, values)
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    with ServerProcess(behind, environ, directory, cores[1]) as server:
        if work.is_uwsgi:
            server.wait_for_socket(socket)
        else:
            server.wait_until_listening(values["upstream"])
        with ServerProcess(
            _proxy(proxy, directory, values, options), environ, directory / "proxy", cores[0]
        ) as process:
            process.wait_until_listening(values["port"])
            load.check(values["port"], work.stream)
            load.run(values["port"], [work.stream], 0.5 if options.smoke else 1.0, cores[1])
            before = process.cpu_seconds()
            [result] = load.run(values["port"], [work.stream], options.seconds, cores[1])
            spent = process.cpu_seconds() - before
    return {
        "proxy_us": spent * 1e6 / result["requests"],
        "requests_per_second": result["requests"] / result["seconds"],
        "p99_us": result["p99_us"],
    }


def _proxy(proxy, directory, values, options):
    (directory / "proxy").mkdir()
    if proxy == "nginx":
        return _nginx(directory / "proxy", NGINX, values)
    place = f"uwsgi://unix:{values['socket']}" if values["keepalive"] == "" else f"http://{values['server']}"
    command = options.farrier.split() if options.farrier else [str(find("farrier"))]
    settings = directory / "proxy" / "farrier.toml"
    settings.write_text(FARRIER.format(place=place, **values))
    return [*command, "--config", str(settings)]


def _nginx(directory, template, values):
    directory.mkdir(exist_ok=True)
    # The files of the server stand above its own folder.
    text = template.format(**{**values, "directory": directory})
    (directory / "nginx.conf").write_text(text.replace(f"root {directory};", f"root {values['directory']};"))
    return [shutil.which("nginx"), "-c", str(directory / "nginx.conf")]


def markdown(raw):
    """The page: medians, and the spread as the range of the samples in percent of the median."""
    settings = raw["settings"]
    lines = [
        "# What a proxied request costs",
        "",
        "Farrier and nginx before the same server, each with one worker, and connections to the server kept. The cost is the"
        " proxy's own CPU for a request. `make bench-proxy` writes this page; do not edit.",
        "",
        f"{raw['machine']['date']}, commit {raw['machine']['commit']}, {raw['machine']['cpu']}, {settings['rounds']}"
        f" rounds of {settings['seconds']:g} s in alternating order. The proxy has a core of its own; the load and the server"
        " behind share the other one.",
        "",
        "| work | Farrier, µs CPU | spread | nginx, µs CPU | spread | Farrier / nginx |",
        "|---|---|---|---|---|---|",
    ]
    for work in works():
        cells, middles = [], []
        for proxy in PROXIES:
            costs = [
                sample["proxy_us"]
                for sample in raw["samples"]
                if (sample["work"], sample["proxy"]) == (work.name, proxy)
            ]
            if costs:
                middles.append(statistics.median(costs))
                cells += [f"{middles[-1]:.2f}", f"{100 * (max(costs) - min(costs)) / middles[-1]:.0f} %"]
        if len(middles) == len(PROXIES):
            lines.append(f"| {work.title} | {' | '.join(cells)} | {middles[0] / middles[1]:.2f} |")
    lines += [f"\nFailed: {failure}" for failure in raw["failures"]]
    return "\n".join(lines) + "\n"


def _options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", nargs="+", metavar="NAME", help=", ".join(work.name for work in works()))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--farrier", default="", help="the command, where it is not the installed one")
    parser.add_argument("--out", type=Path, default=WORK_DIR / "partial")
    parser.add_argument("--smoke", action="store_true", help="only show that everything runs; judges no time")
    options = parser.parse_args()
    if options.smoke:
        options.rounds, options.seconds = 1, 0.5
    return options


if __name__ == "__main__":
    main()
