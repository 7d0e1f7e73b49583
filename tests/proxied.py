"""A proxying server in front of a scripted one, for the tests of a module."""

import pytest

from upstream import Upstream


class Proxied:
    """`front` forwards to `upstream`; `on` adds a case."""

    def __init__(self, front, upstream):
        self.front, self.upstream = front, upstream

    def on(self, *steps, **options):
        """A case with these steps."""
        return self.upstream.on(list(steps), **options) if steps else self.upstream.on(**options)

    def get(self, *steps, below="/", **rest):
        """The answer that a client gets for this script."""
        return self.front.exchange(self.on(*steps).message(below=below, **rest))

    def works(self):
        """An ordinary request is answered; the failures of the server's own thread are reported."""
        assert self.get().body == b"ok"
        assert not self.upstream.failures, self.upstream.failures


def mounts(*tables):
    """The text of mounts: (path, keys) each; all go to the upstream `app`."""
    return "".join('[[mount]]\npath = "%s"\nproxy = "app"\n%s\n' % table for table in tables)


def upstream_table(url, keys=""):
    """The text of the upstream `app`."""
    return '[[upstream]]\nname = "app"\nservers = ["%s"]\n%s\n' % (url, keys)


def proxied_by(serve, tables=(("/", ""),), keys="", flags=(), **options):
    """A started pair, as a generator for a fixture."""
    upstream = Upstream(options.pop("path", None))
    front = serve("", *flags, settings=upstream_table(upstream.url, keys) + mounts(*tables), **options)
    yield Proxied(front, upstream)
    upstream.close()
    if upstream.failures:
        pytest.fail("the scripted server failed: %r" % upstream.failures, pytrace=False)
