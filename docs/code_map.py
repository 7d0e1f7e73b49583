"""Writes docs/code-map.md: every source file, with the first sentence of its own header.

`python docs/code_map.py` writes it, `--check` says whether it is current.
"""

import argparse
import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "code-map.md"
OPENING = """# Code map

Every source file, with the first sentence of its header. `make docs` writes this page; do not edit it. How the parts
fit together is in [ARCHITECTURE.md](ARCHITECTURE.md).
"""

# Folders that get a table, in the order in which a reader meets them: from the vocabulary up to the whole program.
ROOMS = (
    "crates/farrier-http",
    "crates/farrier-config",
    "crates/farrier-log",
    "crates/farrier-tls",
    "crates/farrier-transport",
    "crates/farrier-scheduler",
    "crates/farrier-protocol",
    "crates/farrier-engine",
    "crates/farrier-handlers",
    "crates/farrier-import",
    "crates/farrier-supervisor",
    "crates/farrier-acme",
    "crates/farrier-wsgi",
    "crates/farrier-proxy",
    "crates/farrier",
    "python/farrier",
    "fuzz",
    "tests",
    "bench",
    "docs",
    "examples",
)

# What tools and servers leave behind.
LEFT_BEHIND = {"__pycache__", ".work", "results", "target", "data", "corpus", "artifacts"}


def sources(room):
    """The room's files in Rust and Python: its `src` first, and in each folder the file that speaks for it."""
    found = [
        path
        for path in (ROOT / room).rglob("*")
        if path.suffix in (".rs", ".py", ".pyi") and not LEFT_BEHIND.intersection(path.relative_to(ROOT).parts)
    ]
    # An empty __init__.py says nothing, and need not.
    found = [path for path in found if path.stat().st_size]
    speaks = ("lib.rs", "mod.rs", "__init__.py")
    return sorted(
        found,
        key=lambda path: (
            not path.is_relative_to(ROOT / room / "src"),
            path.parent,
            path.name not in speaks,
            path.name,
        ),
    )


def header(path):
    """The file's `//!` lines or its docstring; empty when it does not open with one."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".rs":
        return ast.get_docstring(ast.parse(text)) or ""
    lines = []
    for line in text.splitlines():
        if not line.startswith("//!"):
            break
        lines.append(line[3:].strip())
    return "\n".join(lines).strip()


def first_sentence(text):
    """Up to the first full stop, exclamation or question mark that ends a word, within the first paragraph."""
    paragraph = " ".join(text.partition("\n\n")[0].split())
    return re.split(r"(?<=[.!?])\s", paragraph, maxsplit=1)[0].replace("|", "\\|")


def code_map():
    """The whole page."""
    parts = [OPENING.rstrip()]
    for room in ROOMS:
        files = sources(room)
        if not files:
            continue
        parts.append(f"## {room}\n\n| file | what it is for |\n|---|---|")
        for path in files:
            name = path.relative_to(ROOT / room).as_posix()
            link = f"[`{name}`](../{path.relative_to(ROOT).as_posix()})"
            parts[-1] += f"\n| {link} | {first_sentence(header(path))} |"
    return "\n\n".join(parts) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="fail if the page is stale, and write nothing")
    options = parser.parse_args()
    new = code_map()
    if options.check:
        current = PAGE.exists() and PAGE.read_text(encoding="utf-8") == new
        sys.exit(0 if current else "docs/code-map.md is stale; run `make docs`")
    PAGE.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
