"""A browser on the example site over HTTPS and HTTP/2, with the site's own static files served by Farrier."""

import shutil

import pytest

import chromium
from certificates import Authority, key_digest
from example_site import SITE, prepare

pytestmark = [
    pytest.mark.chromium,
    pytest.mark.skipif(not chromium.BINARY, reason="chromium is not installed"),
    pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed"),
]

PROTOCOLS = """
    (() => [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
        .map(entry => [entry.name, entry.nextHopProtocol, entry.responseStatus]))()
"""


@pytest.fixture(scope="module")
def site(serve_module, tmp_path_factory):
    environment = prepare(tmp_path_factory.mktemp("forge"))
    issued = Authority(tmp_path_factory.mktemp("authority")).issue("localhost")
    flags = ["--chdir", SITE, "--workers", 2, "--static", "auto", "--certfile", issued.pem, "--keyfile", issued.key]
    server = serve_module("forge.wsgi:application", *flags, environment=environment)
    server.url = "https://localhost:%d" % server.address[1]
    server.digest = key_digest(issued.pem)
    return server


@pytest.fixture
def browser(site, tmp_path):
    # The one certificate is trusted by its key; any other would be an error.
    opened = chromium.Browser(tmp_path / "profile", "--ignore-certificate-errors-spki-list=" + site.digest)
    yield opened
    opened.close()


@pytest.mark.parametrize("path", ["/", "/admin/login/", "/gallery/"])
def test_a_page_and_all_that_belongs_to_it_come_by_http2(site, browser, tmp_path, path):
    browser.load(site.url + path)
    entries = browser.evaluate(PROTOCOLS)
    assert len(entries) >= {"/": 3, "/admin/login/": 4, "/gallery/": 31}[path], entries
    assert {protocol for _, protocol, _ in entries} == {"h2"}, entries
    assert {status for _, _, status in entries} == {200}, entries
    assert {status for _, status in browser.statuses()} == {200}
    assert browser.failures() == [] and browser.complaints() == []
    browser.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 5000


def test_files_are_not_asked_for_again(site, browser):
    with browser.fresh_context():
        browser.load(site.url + "/gallery/")
        since = len(browser.events)
        browser.load(site.url + "/gallery/")
        answered = [
            event["params"] for event in browser.events[since:] if event["method"] == "Network.responseReceived"
        ]
        served = [event for event in browser.events[since:] if event["method"] == "Network.requestServedFromCache"]
        from_disk = [params for params in answered if params["response"].get("fromDiskCache")]
        assert len(served) + len(from_disk) >= 30, [params["response"]["url"] for params in answered]


def test_a_visitor_logs_in_to_the_admin(site, browser):
    browser.load(site.url + "/admin/login/?next=/admin/")
    browser.evaluate(
        "document.querySelector('#id_username').value = 'demo';"
        "document.querySelector('#id_password').value = 'demo';"
        "document.querySelector('#login-form').submit()"
    )
    browser.loaded(site.url + "/admin/")
    assert "Site administration" in browser.evaluate("document.body.innerText")
    assert browser.evaluate("location.protocol") == "https:"
    assert browser.failures() == []
    assert browser.complaints() == []
