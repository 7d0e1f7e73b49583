"""A server with TLS, HTTP/2, static files and an application that returns the request it got.

`serve_edge` gives it two addresses: `server.url` speaks HTTPS, `server.plain_url` HTTP and HTTP/2 by prior knowledge.
"""

import os
import random

from secured import context

APPLICATION = """
    import hashlib, json, os, time

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        body, status, fields = b"Hello, World!", "200 OK", [("Content-Type", "text/plain")]
        if path == "/asked":
            content = environ["wsgi.input"].read()
            told = {k: v for k, v in environ.items() if isinstance(v, str)}
            told["pid"] = os.getpid()
            told["length"], told["sha256"] = len(content), hashlib.sha256(content).hexdigest()
            body = json.dumps(told).encode()
        elif path == "/text":
            body = b"A sentence that is worth being compressed. " * 1000
        elif path.startswith("/bytes/"):
            body = b"x" * int(path[7:])
        elif path == "/streamed":
            # 8 MB in pieces, so that the server could read ahead of the client.
            start_response(status, fields)
            return (b"s" * 65536 for _ in range(128))
        elif path == "/slowly":
            def pieces():
                for number in range(5):
                    yield b"%d\\n" % number
                    time.sleep(0.02)
            start_response(status, fields)
            return pieces()
        elif path == "/hinted":
            environ["wsgi.early_hints"]([("Link", "</static/style.css>; rel=preload; as=style")])
            body, fields = b'<link rel="stylesheet" href="/static/style.css">', [("Content-Type", "text/html")]
        elif path == "/missing":
            status = "404 Not Found"
        start_response(status, fields + [("Content-Length", str(len(body)))])
        return [body]
"""

FILES = {
    "style.css": b"body { color: black }\n",
    "script.js": b"var forged = true;\n",
    "empty.txt": b"",
    "big.bin": 8 << 20,
}


def write_files(directory):
    """{name: content} of the static files, written there."""
    written = {}
    for name, content in FILES.items():
        content = random.Random(name).randbytes(content) if isinstance(content, int) else content
        (directory / name).write_bytes(content)
        written[name] = content
    return written


def serve_edge(start, directory, authority, *flags, workers=2, certificate=None, **options):
    """Starts it; `server.files` are its files' contents."""
    site = directory / "site"
    site.mkdir(exist_ok=True)
    files = write_files(site)
    certificate = certificate or authority.issue("localhost")
    server = start(
        APPLICATION,
        *(
            "--certfile",
            certificate.pem,
            "--keyfile",
            certificate.key,
            "--static",
            "/static=%s" % site,
            "--workers",
            workers,
        ),
        *("--http2-cleartext", "prior-knowledge", *flags),
        bind=("127.0.0.1:0", "http://127.0.0.1:0"),
        **options,
    )
    server.wait_booted(workers)
    server.files = files
    server.url = "https://localhost:%d" % server.addresses[0][1]
    server.plain_url = "http://localhost:%d" % server.addresses[1][1]
    return server


def trusting(authority, *alpn, version=None):
    """A client's context that trusts only this authority and offers these protocols."""
    return context(authority.pem, versions=version, alpn=list(alpn) or None)


def environment_without_proxies():
    """The environment for clients of this machine's servers."""
    return {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
