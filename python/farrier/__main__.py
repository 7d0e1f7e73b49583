"""The command line: ``farrier`` and ``python -m farrier``."""

from __future__ import annotations

import sys

from farrier import _farrier, _shims


def main() -> int:
    """Run the command line and return its exit code."""
    _shims.install()
    return _farrier.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
