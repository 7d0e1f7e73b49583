"""The soak test: mixed clients against a server that replaces its workers all the time. No request is lost, nothing grows.

`python bench/soak.py`, for SOAK_SECONDS (600 without it). It fails when a request was lost (a connection refused or reset
without an answer, a wrong answer, none in time), or when memory, descriptors or threads have grown beyond their margin.
"""

import os
import signal
import sys
import tempfile
import time
from pathlib import Path

# The suite's modules stand before those of the same name here.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from certificates import Authority  # noqa: E402  beside the suite
from edge import trusting, write_files  # noqa: E402
from memory import pss_bytes  # noqa: E402
from process import Server  # noqa: E402
from soak_clients import APPLICATION, Visitors  # noqa: E402

SOAK_SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
RELOAD_SECONDS = 20
WORKERS = 2
#: Caches fill and workers answer their first requests before the comparison begins.
WARM_UP_SECONDS = 5
#: The longest pause before a measurement. The time-outs of connections and threads are shorter.
PAUSE_SECONDS_MAX = 60

FLAGS = (
    *("--workers", WORKERS, "--max-requests", 50, "--graceful-timeout", "20s", "--threads-idle-timeout", "2s"),
    *("--keep-alive", "5s", "--linger-timeout", "1s", "--http2-cleartext", "prior-knowledge"),
)

ARBITER, ALL = "memory of the arbiter, MB", "memory of all, MB"

#: By how much each may be above its first figure at the end: (share, and so much more). Workers are new each time:
#: their memory depends on the requests that they have served. The arbiter stays the same process, so a leak shows in it.
MARGINS = {ARBITER: (0.10, 1), ALL: (0.30, 12), "descriptors": (0, 4), "threads": (0, 2), "processes": (0, 0)}


def main():
    """Runs the soak test and prints its tables. The exit status tells whether it passed."""
    with tempfile.TemporaryDirectory(prefix="farrier-soak-") as directory:
        directory = Path(directory)
        server = start(directory)
        try:
            passed = soak(server)
        finally:
            server.end()
    sys.exit(0 if passed else 1)


def start(directory):
    """The server, with TLS and static files."""
    authority = Authority(directory)
    certificate = authority.issue("localhost")
    site = directory / "site"
    site.mkdir()
    files = write_files(site)
    tls = ("--certfile", certificate.pem, "--keyfile", certificate.key, "--static", "/static=%s" % site)
    server = Server(directory, APPLICATION, (*FLAGS, *tls), bind=("127.0.0.1:0", "http://127.0.0.1:0"))
    server.files, server.authority = files, authority
    return server.wait_listening()


def soak(server):
    """Runs the clients, and compares what the server uses before and after. True if it passed."""
    terms, h2_terms = trusting(server.authority, "http/1.1"), trusting(server.authority, "h2")
    with Visitors(server, terms, h2_terms):
        time.sleep(WARM_UP_SECONDS)
    before = rested(server)
    began, reloads = time.monotonic(), 0
    with Visitors(server, terms, h2_terms) as visitors:
        while (rest := began + SOAK_SECONDS - time.monotonic()) > 0:
            time.sleep(min(rest, RELOAD_SECONDS))
            if time.monotonic() < began + SOAK_SECONDS:
                server.kill(signal.SIGHUP)
                reloads += 1
    took = time.monotonic() - began
    after = rested(server, before)
    workers = len(server.log.find(r"Booting worker with pid"))
    print("%.0f s, %d reloads, %d workers" % (took, reloads, workers))
    lost = print_requests(visitors.tallies)
    grown = print_resources(before, after)
    unexpected = server.log.find("panicked|CRITICAL")
    for line in unexpected[:5]:
        print("log: %s" % line.string)
    return not (lost or grown or unexpected)


def occupied(server):
    """What all processes of the server use together."""
    found = {ARBITER: private_bytes(server.pid) / 1e6, ALL: pss_bytes(server) / 1e6}
    found.update(descriptors=0, threads=0, processes=0)
    for pid, _, state in server.processes():
        if state != "Z":
            try:
                found["descriptors"] += len(os.listdir("/proc/%d/fd" % pid))
                found["threads"] += len(os.listdir("/proc/%d/task" % pid))
                found["processes"] += 1
            except OSError:
                continue
    return found


def private_bytes(pid):
    """The private memory of a process."""
    lines = Path("/proc/%d/smaps_rollup" % pid).read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Private_"))


def rested(server, bound=None):
    """What the server uses after a pause: when the counts are steady and, with `bound`, within its margins."""
    deadline = time.monotonic() + PAUSE_SECONDS_MAX
    steady, found = 0, occupied(server)
    while time.monotonic() < deadline and steady < 8:
        time.sleep(1)
        now = occupied(server)
        same = all(now[name] == found[name] for name in ("descriptors", "threads", "processes"))
        steady = steady + 1 if same and (bound is None or not exceeded(bound, now)) else 0
        found = now
    return found


def exceeded(before, after):
    """Names of what is above its margin."""
    return [name for name, (share, more) in MARGINS.items() if after[name] > before[name] * (1 + share) + more]


def print_requests(tallies):
    """The table of requests. How many were lost."""
    columns = ("asked", "answered", "left", "retried", "lost")
    print(("%-30s" + "%10s" * len(columns)) % ("clients", *columns))
    for name, tally in tallies.items():
        print(("%-30s" + "%10d" * len(columns)) % (name, *(tally.counts[column] for column in columns)))
        for example in tally.examples:
            print("    lost: %s" % example)
    return sum(tally.counts["lost"] for tally in tallies.values())


def print_resources(before, after):
    """The table of resources. Whether one is above its margin."""
    above = exceeded(before, after)
    print("%-30s%10s%10s%10s" % ("in use at rest", "before", "after", "at most"))
    for name, (share, more) in MARGINS.items():
        most = before[name] * (1 + share) + more
        print("%-30s%10.1f%10.1f%10.1f%s" % (name, before[name], after[name], most, "  above" if name in above else ""))
    return bool(above)


if __name__ == "__main__":
    main()
