"""The example sites end to end, as their visitors use them: Django with its admin, Flask, Bottle, and a browser."""

import hashlib
import json
import os
import random
import re

import pytest
import requests

import chromium
from example_site import SITE, prepare
from process import EXAMPLES


@pytest.fixture(scope="module")
def django(serve_module, tmp_path_factory):
    environment = prepare(tmp_path_factory.mktemp("forge"))
    server = serve_module("forge.wsgi:application", "--chdir", SITE, "--workers", 2, environment=environment)
    server.url = "http://127.0.0.1:%d" % server.address[1]
    return server


@pytest.fixture
def visitor(django):
    with requests.Session() as session:
        # The example's own loop back to this host must not go through a proxy.
        session.trust_env = False
        yield session


def token(page):
    return re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text).group(1)


def log_in(visitor, url):
    page = visitor.get(url + "/admin/login/?next=/admin/")
    return visitor.post(
        url + "/admin/login/?next=/admin/",
        data={"csrfmiddlewaretoken": token(page), "username": "demo", "password": "demo"},
    )


def test_django_admin_lets_a_user_in_and_out(django, visitor):
    page = log_in(visitor, django.url)
    assert page.status_code == 200 and "Site administration" in page.text
    assert "Horseshoe" in visitor.get(django.url + "/admin/workshop/ware/").text
    style = visitor.get(django.url + "/static/admin/css/base.css")
    assert style.status_code == 200 and "text/css" in style.headers["Content-Type"]
    page = visitor.post(django.url + "/admin/logout/", data={"csrfmiddlewaretoken": visitor.cookies["csrftoken"]})
    assert page.status_code == 200
    assert visitor.get(django.url + "/admin/", allow_redirects=False).status_code == 302


def test_django_admin_refuses_a_wrong_password(django, visitor):
    page = visitor.get(django.url + "/admin/login/")
    page = visitor.post(
        django.url + "/admin/login/", data={"csrfmiddlewaretoken": token(page), "username": "demo", "password": "wrong"}
    )
    assert page.status_code == 200 and "Site administration" not in page.text


def test_django_admin_adds_a_ware_with_umlauts(django, visitor):
    log_in(visitor, django.url)
    url = django.url + "/admin/workshop/ware/add/"
    fields = {
        "csrfmiddlewaretoken": token(visitor.get(url)),
        "name": "Hufräumer ☃",
        "description": "für Einhörner",
        "price_cents": "1200",
    }
    assert visitor.post(url, data=fields).status_code == 200
    assert (
        "Hufräumer ☃" in visitor.get(django.url + "/").text
        or "Hufräumer ☃" in visitor.get(django.url + "/admin/workshop/ware/").text
    )


@pytest.mark.parametrize("size", [0, 1, 100000, 3000000, 7000000])
def test_django_upload_comes_back_as_it_was(django, visitor, size):
    content = random.Random(size).getrandbits(8 * size).to_bytes(size, "big") if size else b""
    page = visitor.get(django.url + "/drawings/")
    page = visitor.post(
        django.url + "/drawings/",
        data={"csrfmiddlewaretoken": token(page), "title": "of size %d" % size},
        files={"file": ("gate-%d.bin" % size, content)},
    )
    if not size:
        assert page.status_code == 422  # Django's forms refuse an empty file.
        return
    assert page.status_code == 200
    path = re.search(r'href="(/drawings/\d+/download/)">gate-%d\.bin' % size, page.text).group(1)
    # The download goes through wsgi.file_wrapper.
    answer = visitor.get(django.url + path)
    assert answer.content == content and answer.headers["Content-Length"] == str(size)
    head = visitor.head(django.url + path)
    assert head.headers["Content-Length"] == str(size) and head.content == b""


def test_django_csrf_failure_is_403(django, visitor):
    visitor.get(django.url + "/basket/")
    assert visitor.post(django.url + "/basket/1/more/", data={}).status_code == 403


def test_django_sessions_are_kept_across_workers(django, visitor):
    page = visitor.get(django.url + "/basket/")
    for count in range(1, 6):
        page = visitor.post(
            django.url + "/basket/1/more/", data={"csrfmiddlewaretoken": token(page)}, headers={"Connection": "close"}
        )
        assert "<span>%d</span>" % count in page.text


def test_django_404_and_500_are_its_own_pages_and_the_traceback_is_logged(django, visitor):
    page = visitor.get(django.url + "/no-such-page/")
    assert page.status_code == 404 and "The Forge" in page.text
    mark = django.log.mark()
    page = visitor.get(django.url + "/broken/")
    assert page.status_code == 500 and "ColdIron" not in page.text and "<html" in page.text
    django.log.wait("ColdIron: This page strikes while the iron is cold", since=mark)


def test_django_stream_is_whole(django, visitor):
    assert visitor.get(django.url + "/download/ledger.csv").text.count("\n") == 50001


def test_django_answers_others_while_views_sleep(django, visitor):
    naps = [django.connect(timeout=30) for _ in range(20)]
    for wire in naps:
        wire.send(b"GET /waiting/nap/ HTTP/1.1\r\nHost: a\r\n\r\n")
    for _ in range(10):
        assert visitor.get(django.url + "/waiting/quick/").text == "quick\n"
    for wire in naps:
        assert wire.read_response().text.startswith("slept")


def test_django_behind_a_unix_socket_and_preload(serve, tmp_path):
    from wire import message

    server = serve(
        "forge.wsgi",
        "--chdir",
        SITE,
        "--preload",
        "--workers",
        2,
        bind=["unix:%s" % (tmp_path / "site.sock")],
        environment={"FORGE_DATA": str(tmp_path / "data")},
    )
    for _ in range(20):
        assert "The Forge" in server.exchange(message(host="forge.test")).text


@pytest.mark.chromium
@pytest.mark.skipif(chromium.BINARY is None, reason="chromium is not installed")
def test_a_browser_logs_in_to_the_admin_and_loads_every_file_of_it(django, tmp_path):
    browser = chromium.Browser(tmp_path)
    try:
        browser.open(django.url + "/")
        assert "Forge" in browser.evaluate("document.title")
        assert browser.evaluate("document.images[0].naturalWidth") > 0
        browser.open(django.url + "/admin/login/?next=/admin/")
        browser.evaluate("document.querySelector('[name=username]').value = 'demo'")
        browser.evaluate("document.querySelector('[name=password]').value = 'demo'")
        browser.evaluate("document.querySelector('[type=submit]').click()")
        browser.loaded(django.url + "/admin/")
        assert "Site administration" in browser.evaluate("document.title")
        assert browser.evaluate("document.styleSheets.length") > 0
        browser.open(django.url + "/admin/workshop/ware/")
        assert "Horseshoe" in browser.evaluate("document.body.innerText")
        assert browser.failures() == []
        bad = [(url, status) for url, status in browser.statuses() if status >= 400]
        assert bad == [] and len(browser.statuses()) > 5
    finally:
        browser.close()


@pytest.fixture(scope="module")
def flask(serve_module, tmp_path_factory):
    server = serve_module(
        "app:application",
        "--chdir",
        os.path.join(EXAMPLES, "flask_app"),
        "--workers",
        2,
        "--graceful-timeout",
        3,
        environment={"GUESTBOOK_DATA": str(tmp_path_factory.mktemp("guestbook"))},
    )
    server.url = "http://127.0.0.1:%d" % server.address[1]
    return server


def test_flask_form_json_picture_and_errors(flask, visitor):
    picture = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 1000
    page = visitor.post(
        flask.url + "/", data={"name": "Änne", "text": "grüße <b>"}, files={"picture": ("p.png", picture)}
    )
    assert page.status_code == 200 and "grüße &lt;b&gt;" in page.text
    path = re.search(r'src="(/pictures/[^"]+)"', page.text).group(1)
    answer = visitor.get(flask.url + path)
    assert answer.content == picture and answer.headers["Content-Type"] == "image/png"
    # A conditional request: 304 without a body, and the connection stays open.
    again = visitor.get(flask.url + path, headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304 and again.content == b""
    part = visitor.get(flask.url + path, headers={"Range": "bytes=8-17"})
    assert part.status_code == 206 and part.content == picture[8:18]
    created = visitor.post(flask.url + "/entries", json={"name": "j", "text": "☃"})
    assert created.status_code == 201
    assert visitor.get(flask.url + "/entries").json()[0]["text"] == "☃"
    assert (
        visitor.post(flask.url + "/entries", data=b"{broken", headers={"Content-Type": "application/json"}).status_code
        == 400
    )
    assert visitor.post(flask.url + "/entries", json={"name": ""}).status_code == 400
    assert visitor.delete(flask.url + "/entries").status_code == 405
    assert visitor.get(flask.url + "/none").status_code == 404
    assert (
        visitor.post(
            flask.url + "/", data=b"x" * 9000000, headers={"Content-Type": "application/x-www-form-urlencoded"}
        ).status_code
        == 413
    )


def test_flask_stream_arrives_while_it_is_made(flask, visitor):
    # The stream begins with the existing entries, and so does its answer.
    requests.post(flask.url + "/entries", json={"name": "s", "text": "the first"})
    with visitor.get(flask.url + "/stream", stream=True) as answer:
        lines = answer.iter_lines()
        visitor_text = "streamed %d" % random.getrandbits(40)
        requests.post(flask.url + "/entries", json={"name": "s", "text": visitor_text})
        for line in lines:
            if json.loads(line)["text"] == visitor_text:
                break
        else:
            pytest.fail("the new entry did not arrive")
    # The stream's next line finds that the client has left, which ends the view early.
    requests.post(flask.url + "/entries", json={"name": "s", "text": "unheard"})


@pytest.fixture(scope="module")
def bottle(serve_module):
    server = serve_module("app:application", "--chdir", os.path.join(EXAMPLES, "bottle_app"))
    server.url = "http://127.0.0.1:%d" % server.address[1]
    return server


def test_bottle_form_json_upload_and_errors(bottle, visitor):
    assert visitor.get(bottle.url + "/").status_code == 200
    assert "&quot;words&quot;: 2" in visitor.post(bottle.url + "/words", data={"text": "zwei Wörter"}).text
    assert visitor.post(bottle.url + "/api/words", json={"text": "a b"}).json()["words"] == 2
    content = os.urandom(2000000)
    page = visitor.post(bottle.url + "/fingerprint", files={"file": ("f.bin", content)})
    assert hashlib.sha256(content).hexdigest() in page.text
    assert visitor.get(bottle.url + "/none").status_code == 404
    assert (
        visitor.post(bottle.url + "/api/words", data=b"{", headers={"Content-Type": "application/json"}).status_code
        == 400
    )
    assert visitor.get(bottle.url + "/words").status_code == 405
    assert visitor.get(bottle.url + "/countdown/99").status_code == 400


def test_bottle_generator_arrives_line_by_line(bottle, visitor):
    with visitor.get(bottle.url + "/countdown/1", stream=True) as answer:
        assert [line.decode() for line in answer.iter_lines()] == ["1 …", "Strike!"]
