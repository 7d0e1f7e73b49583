"""Certificates from an authority: ordered, kept, renewed, and never the reason that a site is down."""

import pytest

from authority import NAMES, PEBBLE, Authority
from process import children, title_of

pytestmark = pytest.mark.skipif(not (PEBBLE and NAMES), reason="needs pebble and pebble-challtestsrv")

APPLICATION = """
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["wsgi.url_scheme"].encode()]
"""

NAME = "www.example.test"
BOTH = ("http://127.0.0.1:0", "https://127.0.0.1:0")
ISSUED = r"Certificate for %s: issued, valid until"


@pytest.fixture
def authority(tmp_path_factory):
    """Makes an authority that ends with the test."""
    made = []

    def make(**options):
        made.append(Authority(tmp_path_factory.mktemp("authority"), **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def site(serve, tmp_path):
    """Starts a server that orders from an authority, and lets the authority find it."""

    def start(authority, *flags, names=(NAME,), state=None, bind=BOTH, **options):
        given = ["--acme-directory", authority.url, "--acme-ca-certs", authority.trust]
        given += ["--acme-state-dir", str(state or tmp_path / "state"), "--acme-retry-delay", "1s"]
        for each in names:
            given += ["--acme", each]
        server = serve(APPLICATION, *given, *flags, bind=bind, **options)
        for address, shown in zip(server.addresses, bind):
            (authority.http if shown.startswith("http:") else authority.https).target = address
        return server

    return start


def helper(server):
    """The process that orders."""
    found = [child for child in children(server.pid) if title_of(child) == "farrier: acme"]
    assert len(found) <= 1
    return found[0] if found else None


def test_a_first_certificate_is_ordered_while_the_site_is_up(authority, site, tmp_path):
    ca = authority()
    server = site(ca)
    server.log.wait(ISSUED % NAME)
    assert server.get().body == b"http"
    text = (tmp_path / "state/certificates" / (NAME + ".pem")).read_text()
    assert text.count("BEGIN CERTIFICATE") == 2 and text.count("PRIVATE KEY") == 2
