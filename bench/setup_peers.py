"""Makes the virtual environment of the peers in bench/.work/venv; `--farrier` installs this checkout into it, too."""

import argparse
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENVIRONMENT = HERE / ".work" / "venv"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--farrier", action="store_true", help="only (re)install Farrier from this checkout")
    options = parser.parse_args()
    if not ENVIRONMENT.exists():
        venv.create(ENVIRONMENT, with_pip=True)
    pip = [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    if options.farrier:
        subprocess.run([*pip, "--force-reinstall", "--no-deps", str(HERE.parent)], check=True)
        return
    done = subprocess.run([*pip, "-r", str(HERE / "requirements.txt")])
    if done.returncode:
        sys.exit("bjoern needs libev-dev, uWSGI and bjoern a C compiler and python3-dev; see bench/README.md")


if __name__ == "__main__":
    main()
