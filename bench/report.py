"""Raw samples to RESULTS.md and to README.md's table: medians over the rounds, and their spread.

`report.py` prints RESULTS.md again, `report.py --readme` writes what stands between the markers in README.md.
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from statistics import median

import edge_report

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
BEGIN, END = "<!-- bench:begin -->\n", "<!-- bench:end -->\n"

# Works whose tables are columns of one matrix; the others have a table each.
SHORT = ("hello", "generator", "10kb", "post", "django", "flask")
BESIDE = ("mixed", "mixed8", "surprises", "compute")
MEMORY = ("memory", "memory-django")


def markdown(raw):
    results = Results(raw)
    parts = [
        "# Results",
        _generated(raw),
        _machine(raw),
        _settings(raw),
        _short(results),
        *(_beside(results, work) for work in BESIDE),
        _idle(results),
        _access_log(results),
        _memory(results),
        _cannot(raw),
        _not_measured(raw),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def readme(raw, text, edge=None):
    """The text with the tables of whole runs between its markers; without a run (None) it says so."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"README.md has no {BEGIN.strip()} and {END.strip()}")
    tables = _summary(raw) + (f"\n{edge_report.summary(edge)}" if edge else "")
    return before + BEGIN + "\n" + tables + "\n" + END + after


def _summary(raw):
    if raw is None:
        return "Not measured yet: `make bench` writes the figures here.\n"
    results = Results(raw)
    machine, settings = raw["machine"], raw["settings"]
    alone = [
        ("hello, CPU µs", "hello", cpu_us),
        ("hello, req/s", "hello", rate()),
        ("Django, CPU µs", "django", cpu_us),
        ("Flask, CPU µs", "flask", cpu_us),
    ]
    beside = [
        ("fast view, req/s", "mixed", rate(0)),
        ("its p99, ms", "mixed", latency_ms("p99", 0)),
        ("sleeping view, req/s", "mixed", rate(1)),
    ]
    parts = [
        "One worker, short views, 64 connections:",
        _ranked(results, alone, lowest_first=True),
        "One worker, 16 connections on a view that sleeps 10 ms (so at most 1,600 requests/s) and 16 on a fast one:",
        _ranked(results, beside, lowest_first=False),
        f"Measured on {machine['date'][:10]} at commit {machine['commit'] or 'unknown'}: {machine['cpu']}, "
        f"{machine['cores']} cores, {machine['python']}; server and load on one core each; medians of "
        f"{_rounds(raw)} interleaved rounds of {settings['seconds']:g} s. CPU is user and system time of all the "
        "server's processes per request. All figures, their spread and the other works: "
        "[bench/results/RESULTS.md](bench/results/RESULTS.md); the harness: [bench/README.md](bench/README.md).",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _ranked(results, columns, lowest_first):
    """A table of (title, work, figure), ranked by its first column; servers without a figure there come last."""
    columns = [column for column in columns if results.works(column[1])]
    servers = results.servers(*(work for _, work, _ in columns))
    if not servers:
        return ""

    def rank(server):
        value = results.median(server=server, work=columns[0][1], figure=columns[0][2])
        return (value is None, 0 if value is None else value if lowest_first else -value)

    rows = [
        [results.titles[server], *(_number(results.median(work, server, figure)) for _, work, figure in columns)]
        for server in sorted(servers, key=rank)
    ]
    rows = [[f"**{cell}**" for cell in row] if row[0].startswith("Farrier") else row for row in rows]
    return _table(["server", *(title for title, _, _ in columns)], rows)


class Results:
    """The samples by work and server, in the order of the tables."""

    def __init__(self, raw):
        self.titles = {server["name"]: server["title"] for server in raw["servers"]}
        self.work_titles = {work["name"]: work["title"] for work in raw["works"]}
        self._samples = {}
        for sample in raw["samples"]:
            self._samples.setdefault((sample["work"], sample["server"]), []).append(sample)

    def servers(self, *works):
        """The servers that have a sample in one of the works."""
        return [name for name in self.titles if any((work, name) in self._samples for work in works)]

    def works(self, *names):
        """Those of `names` that were measured."""
        return [name for name in names if self.servers(name)]

    def values(self, work, server, figure):
        return [figure(sample) for sample in self._samples.get((work, server), [])]

    def median(self, work, server, figure):
        values = self.values(work, server, figure)
        return median(values) if values else None

    def spread(self, work, server, figure):
        """(largest − smallest) / median."""
        values = self.values(work, server, figure)
        middle = median(values) if values else 0
        return (max(values) - min(values)) / middle if middle else 0.0


def cpu_us(sample):
    return sample["cpu_us_per_request"]


def pss_mb(sample):
    return sample["pss_bytes"] / 1e6


def rate(stream=0):
    return lambda sample: sample["streams"][stream]["requests"] / sample["streams"][stream]["seconds"]


def latency_ms(percentile, stream=0):
    return lambda sample: sample["streams"][stream][f"{percentile}_us"] / 1000


def _generated(raw):
    smoke = " **A smoke run: its figures mean nothing.**" if raw["settings"]["smoke"] else ""
    return f"Written by `bench/run.py` from the raw samples beside this file.{smoke}"


def _machine(raw):
    machine = raw["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in sorted(machine["versions"].items()))
    return (
        f"{machine['date']}, commit {machine['commit'] or 'unknown'}. {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['memory_bytes'] / 2**30:.0f} GiB, Linux {machine['kernel']}, {machine['python']}, "
        f"{machine['wrk']}, load {machine['load_average'][0]:.1f} before the run.\n\n{versions}."
    )


def _rounds(raw):
    """How often each work was measured: a number, or a range where some were measured again."""
    counts = Counter((sample["work"], sample["server"]) for sample in raw["samples"]).values()
    least, most = min(counts, default=0), max(counts, default=0)
    return f"{least}" if least == most else f"{least} to {most}"


def _settings(raw):
    settings = raw["settings"]
    return (
        f"{_rounds(raw)} rounds of {settings['seconds']:g} s after {settings['warm_up_seconds']:g} s of "
        "warm-up, servers interleaved; the server is pinned to one core, the load to another. Medians; the "
        "percentage is the spread, (largest − smallest) / median. CPU is user and system time of all processes "
        "of the server, per request. Near 130,000 requests/s the load generator is the limit."
    )


def _short(results):
    works = results.works(*SHORT)
    if not works:
        return ""
    servers = results.servers(*works)
    titles = "\n".join(f"- `{work}`: {results.work_titles[work]}" for work in works)

    def matrix(heading, cell):
        rows = [[results.titles[server], *(cell(work, server) for work in works)] for server in servers]
        return f"### {heading}\n\n{_table(['server', *works], rows)}"

    def with_spread(work, server):
        value = results.median(work, server, cpu_us)
        return "–" if value is None else f"{_number(value)} ±{results.spread(work, server, cpu_us):.0%}"

    def plain(figure):
        return lambda work, server: _number(results.median(work, server, figure))

    return "\n\n".join(
        [
            "## Short views, 64 connections",
            titles,
            matrix("CPU, µs per request", with_spread),
            matrix("Requests per second", plain(rate())),
            matrix("p50, ms", plain(latency_ms("p50"))),
            matrix("p99, ms", plain(latency_ms("p99"))),
            matrix("Memory after the load (Pss), MB", plain(pss_mb)),
        ]
    )


def _beside(results, work):
    if not results.works(work):
        return ""
    columns = [
        ("hello, req/s", rate(0)),
        ("hello p50, ms", latency_ms("p50", 0)),
        ("hello p99, ms", latency_ms("p99", 0)),
        ("other view, req/s", rate(1)),
        ("other p50, ms", latency_ms("p50", 1)),
        ("other p99, ms", latency_ms("p99", 1)),
        ("CPU, µs/request", cpu_us),
    ]
    return f"## {work}: {results.work_titles[work]}\n\n{_figures(results, work, columns)}"


def _idle(results):
    if not results.works("idle"):
        return ""
    columns = [
        ("opened", lambda sample: sample["idle_connections"]),
        ("still open at the end", lambda sample: sample["idle_still_open"]),
        ("bytes per connection (Pss)", lambda sample: sample["idle_bytes_per_connection"]),
        ("hello, req/s", rate()),
        ("hello p99, ms", latency_ms("p99")),
        ("CPU, µs/request", cpu_us),
    ]
    return f"## idle: {results.work_titles['idle']}\n\n{_figures(results, 'idle', columns)}"


def _access_log(results):
    if not results.works("access-log"):
        return ""
    rows = []
    for server in results.servers("access-log"):
        without, with_log = (results.median(work, server, cpu_us) for work in ("hello", "access-log"))
        ratio = f"{with_log / without:.2f}" if without else "–"
        rows.append(
            [
                results.titles[server],
                _number(without),
                _number(with_log),
                ratio,
                _number(results.median("access-log", server, rate())),
            ]
        )
    header = ["server", "log off, CPU µs", "log on, CPU µs", "ratio", "log on, req/s"]
    return f"## access-log: {results.work_titles['access-log']}\n\n{_table(header, rows)}"


def _memory(results):
    works = results.works(*MEMORY)
    if not works:
        return ""
    rows = [
        [results.titles[server], *(_number(results.median(work, server, pss_mb)) for work in works)]
        for server in results.servers(*works)
    ]
    titles = [results.work_titles[work] for work in works]
    return (
        f"## Memory of the workers (Pss), MB\n\nPreloaded where the server can.\n\n{_table(['server', *titles], rows)}"
    )


def _cannot(raw):
    rows = [[server["title"], server["cannot"], f"`{server['command']}`"] for server in raw["servers"]]
    return f"## The servers\n\n{_table(['server', 'cannot', 'command'], rows)}"


def _not_measured(raw):
    lines = [f"- {row.get('server') or row.get('work')}: {row['why']}" for row in raw["skipped"]]
    lines += [
        f"- {row['server']}, {row['work']}, round {row['round']}: {' '.join(row['why'].split())}"
        for row in raw["failures"]
    ]
    errors = Counter()
    for sample in raw["samples"]:
        for stream in sample["streams"]:
            for kind, count in stream["errors"].items():
                errors[sample["server"], sample["work"], kind] += count
    lines += [
        f"- {server}, {work}: measured, but wrk met {count} {kind} errors"
        for (server, work, kind), count in errors.items()
        if count
    ]
    return "## Not measured, or with errors\n\n" + "\n".join(lines) if lines else ""


def _figures(results, work, columns):
    rows = [
        [
            results.titles[server],
            *(_number(results.median(work, server, figure)) for _, figure in columns),
            f"±{results.spread(work, server, rate()):.0%}",
        ]
        for server in results.servers(work)
    ]
    return _table(["server", *(title for title, _ in columns), "spread of hello, req/s"], rows)


def _table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|---|" + "---|" * (len(header) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def _number(value):
    """Three significant digits, thousands with a comma."""
    if value is None:
        return "–"
    if abs(value) >= 100:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.3g}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("raw", nargs="?", type=Path, default=HERE / "results" / "raw.json")
    parser.add_argument("--readme", action="store_true", help="write README.md's table")
    parser.add_argument(
        "--check", action="store_true", help="with --readme: fail if it would change, and write nothing"
    )
    options = parser.parse_args()
    if not options.readme:
        print(markdown(json.loads(options.raw.read_text())), end="")
        return
    raw = json.loads(options.raw.read_text()) if options.raw.exists() else None
    if raw and raw["settings"]["smoke"]:
        sys.exit(f"{options.raw} is a smoke run: its figures mean nothing")
    edge_path = options.raw.with_name("edge.json")
    edge = json.loads(edge_path.read_text()) if edge_path.exists() else None
    old = README.read_text()
    new = readme(raw, old, edge)
    if options.check and new != old:
        sys.exit("README.md's figures are not those of bench/results/raw.json; run `python bench/report.py --readme`")
    if not options.check:
        README.write_text(new)


if __name__ == "__main__":
    main()
