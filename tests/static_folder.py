"""A folder with the files for the tests of static files."""

import gzip
import os
import socket
from pathlib import Path

#: Sunday, 6 November 1994, 08:49:37, the date of RFC 9110's examples.
MODIFIED_S = 784111777
MODIFIED = "Sun, 06 Nov 1994 08:49:37 GMT"

TEXT = b"".join(b"%03d\n" % number for number in range(1000))

#: Too large for the cache's memory: sent by the kernel.
LARGE = os.urandom(300_000)

SECRET = b"outside of the folder\n"

APPLICATION = """
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain"), ("X-By", "application")])
        return [environ["PATH_INFO"].encode("latin-1")]
"""


def write(path, content, modified_s=MODIFIED_S):
    """Writes a file, with a date."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (modified_s, modified_s))
    return path


def fill(directory):
    """Makes the folder `files` and a secret beside it; returns the folder."""
    root = Path(directory) / "files"
    write(root.parent / "secret.txt", SECRET)
    write(root / "text.txt", TEXT)
    write(root / "large.bin", LARGE)
    write(root / "empty.txt", b"")
    write(root / "css" / "site.css", b"body { color: black }\n")
    write(root / "js" / "app.0123456789ab.js", b"hashed()\n")
    write(root / "assets" / "index-BX2k1aZ9.js", b"bundled()\n")
    write(root / "a b\u00fc%.txt", b"odd name\n")
    write(root / "pages" / "index.html", b"<!doctype html>\n")
    write(root / ".env", b"hidden\n")
    write(root / ".git" / "config", b"hidden\n")
    write(root / ".well-known" / "security.txt", b"Contact: x\n")
    write(root / "coded.css", b"plain" * 100)
    write(root / "coded.css.gz", gzip.compress(b"plain" * 100))
    write(root / "coded.css.br", b"br" * 10)
    write(root / "coded.css.zst", b"zst" * 10)
    write(root / "stale.css", b"new")
    write(root / "stale.css.gz", gzip.compress(b"old"), MODIFIED_S - 60)
    (root / "bare").mkdir()
    (root / "inside.txt").symlink_to("text.txt")
    (root / "css" / "up.txt").symlink_to("../text.txt")
    (root / "outside.txt").symlink_to("../secret.txt")
    (root / "absolute.txt").symlink_to(root.parent / "secret.txt")
    (root / "outdoors").symlink_to("..")
    (root / "circle").symlink_to("circle")
    (root / "dangling").symlink_to("nowhere")
    (root / "zero").symlink_to("/dev/zero")
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        # The name of a socket has a limit that folders of tests exceed.
        here = os.open(root, os.O_PATH)
        listener.bind("/proc/self/fd/%d/socket" % here)
        os.close(here)
    return root


def has_thread(pid, name):
    """Whether a process has a thread of this name."""
    tasks = Path("/proc/%d/task" % pid)
    return any((task / "comm").read_text().strip() == name for task in tasks.iterdir())
