"""The compiled half of the package."""

from collections.abc import Callable, Sequence
from typing import Any

__version__: str

def main(arguments: Sequence[str]) -> int:
    """Run the command line with these arguments (without the program's name) and return the exit code."""

def embed(read: Callable[[], dict[str, Any]]) -> int:
    """Serve for a program that embeds the server: ``read`` returns its settings, at the start and at each HUP."""

def default_settings() -> dict[str, Any]:
    """Every setting and its default, typed as ``farrier._configuration.Cfg`` holds them."""
