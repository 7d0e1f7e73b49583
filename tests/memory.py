"""Memory of a server's processes, with a generous limit."""

from pathlib import Path


def pss_bytes(server):
    """Anonymous memory of all processes of the server: shared pages count once. Pages of files do not count: their share grows
    when another process that has mapped them ends."""
    total = 0
    for pid, _, state in server.processes():
        if state != "Z":
            try:
                rollup = Path("/proc/%d/smaps_rollup" % pid).read_text()
            except OSError:
                continue
            total += sum(int(line.split()[1]) << 10 for line in rollup.splitlines() if line.startswith("Pss_Anon:"))
    return total


class Bounded:
    """A context in which the server's memory may grow by at most this many bytes, measured by `check` and at the
    end."""

    def __init__(self, server, growth_bytes):
        self.server, self.growth_bytes = server, growth_bytes

    def __enter__(self):
        self.before = pss_bytes(self.server)
        return self

    def check(self):
        """Measures now."""
        grown = pss_bytes(self.server) - self.before
        assert grown <= self.growth_bytes, "%.1f MB more than the %.1f MB before" % (grown / 1e6, self.before / 1e6)

    def __exit__(self, kind, *_):
        if kind is None:
            self.check()
