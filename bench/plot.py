"""Draws docs/bench.svg and docs/bench.png from the raw samples: CPU per request, and hello beside sleepers."""

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  the backend is chosen first

from report import Results, cpu_us, latency_ms, rate  # noqa: E402

HERE = Path(__file__).resolve().parent

# Okabe and Ito's palette: told apart with every kind of colour vision; and the labels say it all again.
OURS, FLOOR, PEER = "#0072B2", "#E69F00", "#A0A0A0"

# fmt: off
STYLE = {
    "font.family": "DejaVu Sans", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False,
    "axes.spines.bottom": False, "axes.titlelocation": "left", "axes.titlesize": 11, "axes.titleweight": "bold",
    "xtick.bottom": False, "xtick.labelbottom": False, "ytick.left": False, "figure.facecolor": "white",
    "svg.hashsalt": "farrier",  # the same figures give the same file
}
# fmt: on


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("raw", nargs="?", type=Path, default=HERE / "results" / "raw.json")
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs")
    options = parser.parse_args()
    raw = json.loads(options.raw.read_text())
    options.out.mkdir(parents=True, exist_ok=True)
    figure = draw(Results(raw), raw)
    figure.savefig(options.out / "bench.svg", metadata={"Date": None})
    figure.savefig(options.out / "bench.png", dpi=160)
    print(options.out / "bench.svg")


def draw(results, raw):
    with plt.rc_context(STYLE):
        panels = [
            (work, draw_panel)
            for work, draw_panel in (
                ("hello", _cpu("hello: CPU per request, µs", "Shorter is better.")),
                ("django", _cpu("Django: CPU per request, µs", "One view, three middlewares. Shorter is better.")),
                ("mixed", _mixed),
            )
            if results.servers(work)
        ]
        heights = [len(results.servers(work)) + 1.6 for work, _ in panels]
        figure, axes = plt.subplots(
            len(panels),
            1,
            figsize=(8, 0.27 * sum(heights) + 0.5),
            squeeze=False,
            gridspec_kw={"height_ratios": heights},
            layout="constrained",
        )
        for axis, (work, draw_panel) in zip(axes[:, 0], panels):
            draw_panel(axis, results, work)
        machine, settings = raw["machine"], raw["settings"]
        figure.supxlabel(
            f"{machine['cpu']}, {machine['python']}; server and load on one core each; "
            f"{settings['rounds']} interleaved rounds of {settings['seconds']:g} s, medians. {machine['date'][:10]}",
            fontsize=7,
            color="#555555",
        )
        return figure


def _cpu(title, remark):
    def panel(axis, results, work):
        rows = sorted(((results.median(work, name, cpu_us), name) for name in results.servers(work)), reverse=True)
        _bars(
            axis,
            results,
            [(name, value, f"{value:.1f}" if value < 100 else f"{value:.0f}") for value, name in rows],
            title,
            remark,
        )

    return panel


def _mixed(axis, results, work):
    rows = sorted((results.median(work, name, rate(0)), name) for name in results.servers(work))
    _bars(
        axis,
        results,
        [
            (
                name,
                value,
                f"{value:,.0f}   (p99 {results.median(work, name, latency_ms('p99', 0)):.3g} ms; "
                f"sleeping view {results.median(work, name, rate(1)):,.0f}/s)",
            )
            for value, name in rows
        ],
        "mixed: hello, requests/s, beside a view that sleeps 10 ms",
        "16 connections on each at the same time. Longer is better; the sleeping view's ideal is 1,600/s.",
    )


def _bars(axis, results, rows, title, remark):
    """Horizontal bars from the bottom up, each with its figure at its end."""
    names = [name for name, _, _ in rows]
    values = [value for _, value, _ in rows]
    bars = axis.barh(
        [results.titles[name] for name in names], values, height=0.72, color=[_colour(name) for name in names]
    )
    axis.bar_label(bars, [label for _, _, label in rows], padding=3, fontsize=8)
    axis.set_xlim(0, max(values) * (1.75 if len(rows[0][2]) > 10 else 1.1))
    axis.set_title(f"{title}\n", pad=2)
    axis.text(0, 1.0, remark, transform=axis.transAxes, fontsize=8, color="#555555", va="bottom")
    for tick, name in zip(axis.get_yticklabels(), names):
        tick.set_fontweight("bold" if name.startswith("farrier") else "normal")
    axis.margins(y=0.02)


def _colour(name):
    if name.startswith("farrier"):
        return OURS
    return FLOOR if name == "nginx" else PEER


if __name__ == "__main__":
    main()
