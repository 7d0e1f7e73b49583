"""The Django example site for a server under test: its folder and its data."""

import os
import subprocess
import sys

from process import EXAMPLES

SITE = os.path.join(EXAMPLES, "django_site")


def prepare(data):
    """Makes the site's database, user and files in this folder; returns the environment that a server of it needs."""
    environment = {"FORGE_DATA": str(data)}
    subprocess.run(
        [sys.executable, "prepare.py"],
        cwd=SITE,
        env=dict(os.environ, **environment),
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=120,
    )
    return environment
