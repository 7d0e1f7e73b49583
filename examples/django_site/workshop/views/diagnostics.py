"""What the server told the application about a request, and what happens when the application fails."""

from django.shortcuts import render


class ColdIron(Exception):
    """What /broken/ raises."""


def environ(request):
    items = sorted(request.environ.items())
    groups = [
        ("The request", [row for row in items if row[0].isupper() and not row[0].startswith("HTTP_")]),
        ("Its fields", [row for row in items if row[0].startswith("HTTP_")]),
        ("The server", [row for row in items if not row[0].isupper()]),
    ]
    return render(
        request,
        "workshop/environ.html",
        {
            "groups": [(title, [(name, _shown(name, value)) for name, value in rows]) for title, rows in groups],
        },
    )


def broken(request):
    raise ColdIron("This page strikes while the iron is cold.")


def _shown(name, value):
    """A cookie is a key to the visitor's session and does not belong on a screen."""
    if name == "HTTP_COOKIE":
        names = [part.partition("=")[0].strip() for part in value.split(";")]
        return "; ".join(f"{cookie}=…" for cookie in names)
    return repr(value)[:400]
