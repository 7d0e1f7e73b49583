"""Notes about the machine and the versions a run was made with, and what this machine needs for 5 ms."""

import datetime
import json
import os
import platform
import subprocess

from servers import HERE, find


def notes(servers):
    """Everything a reader needs to judge the figures, as plain values."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "python": _output(find("python"), "--version"),
        "load_average": os.getloadavg(),
        "commit": _output("git", "-C", str(HERE), "describe", "--always", "--dirty"),
        "wrk": _output("wrk", "-v").split("[")[0].strip(),
        "versions": _versions(servers),
    }


def two_cores():
    """The server's core and the load's. With one core only, both share it and the figures mean little."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[0], cores[-1] if len(cores) == 1 else cores[1]


def compute_rounds(seconds=0.005):
    """How many rounds of /compute last `seconds` in the servers' interpreter, so that all do the same work."""
    program = (
        "import time, apps.plain as a\n"
        "def once():\n"
        "    start = time.perf_counter(); a.sum_of_squares(100_000); return time.perf_counter() - start\n"
        "print(min(once() for _ in range(9)))"
    )
    took = subprocess.run([find("python"), "-c", program], cwd=HERE, capture_output=True, text=True, check=True)
    return int(100_000 * seconds / float(took.stdout))


def has_modules(*modules):
    """Whether the servers' interpreter can import these."""
    program = "import importlib.util, sys; sys.exit(not all(map(importlib.util.find_spec, sys.argv[1:])))"
    return subprocess.run([find("python"), "-c", program, *modules]).returncode == 0


def _versions(servers):
    packages = sorted({server.package for server in servers if server.package} | {"Django", "Flask"})
    program = (
        "import importlib.metadata as m, json, sys\n"
        "def v(p):\n"
        "    try: return m.version(p)\n"
        "    except m.PackageNotFoundError: return None\n"
        "print(json.dumps({p: v(p) for p in sys.argv[1:]}))"
    )
    versions = json.loads(_output(find("python"), "-c", program, *packages) or "{}")
    if find("farrier"):
        versions["farrier"] = _output(find("farrier"), "--version").rpartition(" ")[2].strip("()")
    if find("nginx"):
        versions["nginx"] = _output(find("nginx"), "-v").rpartition("/")[2]
    return {name: version for name, version in versions.items() if version}


def _cpu_model():
    with open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _output(*argv):
    """The first line a command says, on whichever stream."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[0] if lines else ""
