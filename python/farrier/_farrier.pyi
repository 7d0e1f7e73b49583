"""The compiled half of the package."""

from collections.abc import Sequence

__version__: str

def main(arguments: Sequence[str]) -> int:
    """Run the command line with these arguments (without the program's name) and return the exit code."""
