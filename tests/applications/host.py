"""Hosts many test applications: a request's `X-App` field names the source file that answers it.

So each test can have its own application without its own server. The hosted application gets environ and start_response
unchanged, and its iterable is passed through.

A hosted source finds these names: `SEEN` (a list; GET /seen returns it as JSON), `answer`, and `EVENT`, which GET
/release sets.
"""

import json
import os
import threading

DIRECTORY = os.environ["HOSTED_APPLICATIONS"]
LOADED = {}
LOADING = threading.Lock()


def answer(start_response, body=b"", status="200 OK", fields=()):
    """A whole response."""
    if isinstance(body, str):
        body = body.encode()
    start_response(status, [("Content-Type", "text/plain")] + list(fields))
    return [body]


def load(name):
    """The namespace of a hosted source, executed once."""
    with LOADING:
        if name not in LOADED:
            path = os.path.join(DIRECTORY, os.path.basename(name) + ".py")
            with open(path, encoding="utf-8") as source:
                code = compile(source.read(), path, "exec")
            namespace = {"SEEN": [], "answer": answer, "EVENT": threading.Event(), "__name__": name}
            exec(code, namespace)
            LOADED[name] = namespace
        return LOADED[name]


def application(environ, start_response):
    hosted = load(environ["HTTP_X_APP"])
    if environ["PATH_INFO"] == "/seen":
        return answer(start_response, json.dumps(list(hosted["SEEN"]), default=repr))
    if environ["PATH_INFO"] == "/release":
        hosted["EVENT"].set()
        return answer(start_response)
    return hosted["application"](environ, start_response)
