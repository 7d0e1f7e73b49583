"""The door of the benchmark: `python bench/run.py` measures, `--smoke` only shows that everything runs."""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import load
import machine
import report
import works as works_table
from measure import WARM_UP_SECONDS, Bench, measure
from process import ServerError
from servers import BASE_COMMAND, HERE, SERVERS, WORK_DIR, find

RESULTS = HERE / "results"


def main():
    options = _options()
    for command in ("wrk", "taskset"):
        if not shutil.which(command):
            sys.exit(f"{command} is missing; see bench/README.md")
    server_core, load_core = machine.two_cores()
    load.pin_self(load_core)
    rounds = machine.compute_rounds()
    bench = Bench(
        server_core,
        load_core,
        options.seconds,
        0.0 if options.smoke else WARM_UP_SECONDS,
        rounds,
        idle_connections_max=200 if options.smoke else 8000,
    )
    plan, skipped = _plan(options, works_table.table(rounds))
    if not plan:
        sys.exit("nothing to measure")
    raw = {
        "machine": machine.notes(SERVERS),
        "settings": {
            "rounds": options.rounds,
            "seconds": options.seconds,
            "warm_up_seconds": bench.warm_up_seconds,
            "compute_rounds": rounds,
            "smoke": options.smoke,
        },
        "works": [{"name": work.name, "title": work.title} for work, _ in plan],
        "servers": [
            {"name": server.name, "title": server.title, "cannot": server.cannot, "command": " ".join(server.command)}
            for server in SERVERS
        ],
        "skipped": skipped,
        "failures": [],
        "samples": [],
    }
    options.out.mkdir(parents=True, exist_ok=True)
    # Rounds outermost and servers innermost: what the machine's other work does to one, it does to all.
    for number in range(1, options.rounds + 1):
        for work, servers in plan:
            for server in servers:
                _measure_into(raw, number, server, work, bench)
        (options.out / "raw.json").write_text(json.dumps(raw, indent=1) + "\n")
    (options.out / "RESULTS.md").write_text(report.markdown(raw))
    print(f"\n{options.out / 'RESULTS.md'}")
    if options.out == RESULTS:
        subprocess.run([find("python"), str(HERE / "plot.py")], check=True)
    if any(options.smoke or failure["server"].startswith("farrier") for failure in raw["failures"]):
        sys.exit(1)


def _measure_into(raw, number, server, work, bench):
    place = {"round": number, "work": work.name, "server": server.name}
    try:
        sample = measure(server, work, bench)
    except (load.LoadError, ServerError) as error:
        raw["failures"].append({**place, "why": str(error)})
        print(f"{number} {work.name:14} {server.name:22} FAILED: {error}", flush=True)
        return
    raw["samples"].append({**place, **sample})
    figures = "   ".join(
        f"{stream['path']} {stream['requests'] / stream['seconds']:,.0f}/s p99 {stream['p99_us']} µs"
        for stream in sample["streams"]
    )
    print(
        f"{number} {work.name:14} {server.name:22} {sample['cpu_us_per_request']:7.1f} µs CPU   {figures}", flush=True
    )


def _plan(options, works):
    """[(work, servers)], and the servers that are not installed."""
    chosen = [server for server in SERVERS if not options.servers or server.name in options.servers]
    installed, skipped = [], []
    if not options.base:
        chosen = [server for server in chosen if not server.name.endswith("-base")]
    for server in chosen:
        if server.executable() and (not server.module or machine.has_modules(server.module)):
            installed.append(server)
        else:
            skipped.append({"server": server.name, "why": "not installed"})
    if options.smoke and not options.servers and not find("farrier"):
        sys.exit("farrier is not installed; `python bench/setup_peers.py --farrier` installs this checkout")
    plan = []
    for work in works:
        if options.work and work.name not in options.work:
            continue
        framework = work.app.partition("_app:")[0]
        if framework in ("django", "flask") and not machine.has_modules(framework):
            skipped.append({"work": work.name, "why": f"{framework} is not installed"})
            continue
        servers = [server for server in installed if server.takes(work)]
        if options.smoke:
            servers = _farrier_and_one_peer(servers)
        if servers:
            plan.append((work, servers))
    return plan, skipped


def _farrier_and_one_peer(servers):
    ours = [server for server in servers if server.name.startswith("farrier")]
    peers = [server for server in servers if not server.name.startswith("farrier")]
    return ours + peers[:1]


def _options():
    names = [server.name for server in SERVERS]
    work_names = [work.name for work in works_table.table(1)]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--work", nargs="+", choices=work_names, metavar="NAME", help=", ".join(work_names))
    parser.add_argument("--rounds", type=int, help="default 5")
    parser.add_argument("--seconds", type=float, help="of each measurement, default 3")
    parser.add_argument("--base", help="the command of an older Farrier, measured in the same rounds")
    parser.add_argument(
        "--smoke", action="store_true", help="every work once for 0.3 s on Farrier and one peer; judges no time"
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="directory of raw.json and RESULTS.md; default bench/results for a whole run, else bench/.work/partial",
    )
    options = parser.parse_args()
    BASE_COMMAND.extend([options.base] if options.base else [])
    whole = not (options.smoke or options.base or options.servers or options.work or options.rounds or options.seconds)
    options.rounds = options.rounds or (1 if options.smoke else 5)
    options.seconds = options.seconds or (0.3 if options.smoke else 3.0)
    options.out = (options.out or (RESULTS if whole else WORK_DIR / "partial")).resolve()
    return options


if __name__ == "__main__":
    main()
