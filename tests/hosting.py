"""Applications hosted by one shared server (see applications/host.py), for use in tests."""

import itertools
import json
import os
import textwrap

from wire import message, until

NUMBERS = itertools.count()


class Hosted:
    """One application on a shared server."""

    def __init__(self, server, name):
        self.server, self.name = server, name

    def message(self, method="GET", target="/", body=b"", fields=(), **rest):
        """A request that reaches this application."""
        return message(method, target, body, fields=[("X-App", self.name)] + list(fields), **rest)

    def connect(self, **options):
        """A new connection."""
        return self.server.connect(**options)

    def request(self, method="GET", target="/", body=b"", fields=(), **rest):
        """One exchange on a new connection."""
        return self.server.exchange(self.message(method, target, body, fields, **rest), head_only=method == "HEAD")

    def get(self, target="/", **rest):
        """GET."""
        return self.request("GET", target, **rest)

    def post(self, body, target="/", **rest):
        """POST."""
        return self.request("POST", target, body, **rest)

    def seen(self):
        """The application's SEEN list."""
        return json.loads(self.get("/seen").body)

    def wait_seen(self, note, timeout=15):
        """Waits until SEEN contains it."""
        until(lambda: note in self.seen(), timeout, "%r in SEEN" % (note,))

    def release(self):
        """Sets the application's EVENT."""
        assert self.get("/release").status == 200


class Host:
    """A shared server; call it with a source to get an application."""

    def __init__(self, server, directory):
        self.server, self.directory = server, directory

    def __call__(self, source):
        name = "app%d" % next(NUMBERS)
        with open(os.path.join(self.directory, name + ".py"), "w", encoding="utf-8") as out:
            out.write(textwrap.dedent(source))
        return Hosted(self.server, name)
