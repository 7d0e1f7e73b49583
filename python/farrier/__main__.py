"""The command line: ``farrier`` and ``python -m farrier``."""

from __future__ import annotations

import sys

from farrier import _farrier, _gunicorn_compat, _shims


def main() -> int:
    """Run the command line and return its exit code."""
    _shims.install()
    if sys.argv[1:2] == [_gunicorn_compat.COMMAND]:
        return _gunicorn_compat.run(sys.argv[2:])
    return _farrier.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
