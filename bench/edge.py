"""The door of the edge benchmark: Farrier alone beside nginx, and what TLS, HTTP/2 and files cost on both."""

import argparse
import json
import sys
from pathlib import Path

import edge_report
import edge_servers
import edge_works
import load
import machine
from measure import WARM_UP_SECONDS
from process import ServerError
from servers import HERE, SERVERS, WORK_DIR

RESULTS = HERE / "results"


def main():
    options = _options()
    works = [work for work in edge_works.table(options.base) if not options.work or work.name in options.work]
    server_core, load_core = machine.two_cores()
    load.pin_self(load_core)
    edge_servers.prepare()
    bench = edge_works.EdgeBench(
        server_core,
        load_core,
        options.seconds,
        0.0 if options.smoke else WARM_UP_SECONDS,
        slow_clients=5 if options.smoke else 100,
        page_loads=1 if options.smoke else 11,
        farrier=options.farrier,
        base=options.base,
    )
    raw = {
        "machine": machine.notes(SERVERS) | {"tools": edge_works.environment_notes()},
        "settings": {"rounds": options.rounds, "seconds": options.seconds, "smoke": options.smoke},
        "works": [
            {
                "name": work.name,
                "title": work.title,
                "unit": work.unit,
                "servers": [[s.name, s.title] for s in work.servers],
            }
            for work in works
        ],
        "samples": [],
        "failures": [],
    }
    options.out.mkdir(parents=True, exist_ok=True)
    done = 0
    if options.more and (options.out / "edge.json").exists():
        raw, done = _continued(json.loads((options.out / "edge.json").read_text()), raw)
    for number in range(done + 1, done + options.rounds + 1):
        for work in works:
            # The order turns round every time, so that nobody is always measured first.
            for server in work.servers if number % 2 else work.servers[::-1]:
                _measure_into(raw, {"round": number, "work": work.name, "server": server.name}, server, work, bench)
        (options.out / "edge.json").write_text(json.dumps(raw, indent=1) + "\n")
    page = HERE.parent / "docs" / "edge.md" if options.out == RESULTS else options.out / "EDGE.md"
    page.write_text(edge_report.markdown(raw))
    print(f"\n{page}")
    sys.exit(1 if raw["failures"] else 0)


def _continued(before, raw):
    """An earlier run that this one goes on with, and the number of its rounds. Only runs of one commit belong together."""
    if before["machine"]["commit"] != raw["machine"]["commit"]:
        sys.exit(f"{before['machine']['commit']} was measured there; start again without earlier results")
    known = {work["name"]: work for work in before["works"]}
    before["works"] += [work for work in raw["works"] if work["name"] not in known]
    done = max((sample["round"] for sample in before["samples"]), default=0)
    before["settings"]["rounds"] = done + raw["settings"]["rounds"]
    return before, done


def _measure_into(raw, place, server, work, bench):
    words = f"{place['round']} {work.name:14} {server.name:14}"
    try:
        sample = edge_works.measure(server, work, bench)
    except (load.LoadError, ServerError, AssertionError) as error:
        raw["failures"].append({**place, "why": str(error)[-500:]})
        print(f"{words} FAILED: {error}", flush=True)
        return
    raw["samples"].append({**place, **sample})
    print(f"{words} {sample['cost']:9.2f} {work.unit}", flush=True)


def _options():
    names = [work.name for work in edge_works.table("")]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--rounds", type=int, help="default 5")
    parser.add_argument("--seconds", type=float, help="of each measurement, default 3")
    parser.add_argument("--farrier", default="", help="the command, where it is not the installed one")
    parser.add_argument("--base", default="", help="the command of an older Farrier, for hello")
    parser.add_argument("--smoke", action="store_true", help="every work once for a moment; judges no time")
    parser.add_argument("--more", action="store_true", help="go on with the run in --out: more rounds, or other works")
    parser.add_argument("--out", type=Path, default=WORK_DIR / "partial", help="directory of edge.json and the page")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.smoke else 5)
    options.seconds = options.seconds or (0.5 if options.smoke else 3.0)
    options.out = options.out.resolve()
    return options


if __name__ == "__main__":
    main()
