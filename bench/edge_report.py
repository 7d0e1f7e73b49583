"""Raw samples of the edge to docs/edge.md and to README.md's rows: medians over the rounds, their spread, and ratios.

`edge_report.py` prints the page again.
"""

import json
import sys
from collections import Counter
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent


def markdown(raw):
    """The page."""
    machine, settings = raw["machine"], raw["settings"]
    tools = "; ".join(machine["tools"].values())
    parts = [
        "# Files, TLS and HTTP/2 beside nginx",
        "The CPU cost of static files, TLS and HTTP/2 in Farrier, without a web server in front, and in nginx."
        " `make bench-edge` writes this page; do not edit."
        + (" **A smoke run: its figures mean nothing.**" if settings["smoke"] else ""),
        f"{machine['date']}, commit {machine['commit']}, {machine['cpu']}, {machine['cores']} cores, Linux"
        f" {machine['kernel']}, {machine['python']}, nginx {machine['versions'].get('nginx', '')}, {tools}."
        f" {_rounds(raw)} rounds of {settings['seconds']:g} s in alternating order, one worker each, the servers on one"
        " core and the clients on another. Medians; the spread is (largest − smallest) / median. CPU is user and system"
        " time of all processes of a server. nginx has `sendfile`, `tcp_nopush` and `open_file_cache` on and no access log;"
        " both sides have the same certificate and the same clients.",
        "| work | server | figure | unit | spread | × the first |\n|---|---|---|---|---|---|\n" + "\n".join(_rows(raw)),
        _slow(raw),
    ]
    parts += [f"Failed: {failure}" for failure in raw["failures"]]
    return "\n\n".join(part for part in parts if part) + "\n"


def _rounds(raw):
    """How often each was measured: a number, or a range."""
    counts = Counter((sample["work"], sample["server"]) for sample in raw["samples"]).values()
    least, most = min(counts, default=0), max(counts, default=0)
    return f"{least}" if least == most else f"{least} to {most}"


def _rows(raw):
    for work in raw["works"]:
        first = None
        for name, title in work["servers"]:
            costs = _costs(raw, work["name"], name)
            if not costs:
                continue
            middle = median(costs)
            first = first or middle
            spread = (max(costs) - min(costs)) / middle
            yield (
                f"| {work['title']} | {title} | {middle:.3g} | {work['unit']} | {spread:.0%} | {middle / first:.2f} |"
            )


def _costs(raw, work, server):
    return [sample["cost"] for sample in _of(raw, work, server)]


def _of(raw, work, server):
    return [sample for sample in raw["samples"] if (sample["work"], sample["server"]) == (work, server)]


def _slow(raw):
    lines = []
    for work in raw["works"]:
        for name, title in work["servers"] if work["name"] == "slow" else ():
            if samples := _of(raw, "slow", name):
                before, meanwhile = (
                    median(sample[f"pss_{when}_bytes"] for sample in samples) / 1e6 for when in ("before", "meanwhile")
                )
                rate = median(sample["rate_ratio"] for sample in samples)
                lines.append(
                    f"Beside the slow readers {title} serves {rate:.0%} of the hellos it serves alone; its memory (Pss) is"
                    f" {before:.1f} MB before and {meanwhile:.1f} MB meanwhile."
                )
    return " ".join(lines)


def summary(raw):
    """The main rows for README.md: Farrier's figure, and its ratio to each peer's."""
    rows = []
    for work in raw["works"]:
        figures = [(title, _costs(raw, work["name"], name)) for name, title in work["servers"]]
        figures = [(title, median(costs)) for title, costs in figures if costs]
        if work["name"] in ("slow", "hello") or len(figures) < 2:
            continue
        (_, ours), *others = figures
        peers = ", ".join(f"{title} {cost:.3g} (× {ours / cost:.2f})" for title, cost in others)
        rows.append(f"| {work['title']} | **{ours:.3g}** | {peers} | {work['unit']} |")
    return (
        "Without a web server in front, beside one:\n\n| work | Farrier | peers, and × theirs | unit |\n|---|---|---|---|\n"
        + "\n".join(rows)
        + f"\n\nMeasured on {raw['machine']['date'][:10]} at commit {raw['machine']['commit']}; all of it:"
        " [docs/edge.md](docs/edge.md).\n"
    )


if __name__ == "__main__":
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "results" / "edge.json"
    print(markdown(json.loads(path.read_text())), end="")
