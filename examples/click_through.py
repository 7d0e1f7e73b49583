"""Clicks through the running Django site as a visitor would: `python click_through.py http://127.0.0.1:8000`.

Knows nothing of the server underneath, so it also compares servers. Exits with 1 at the first thing that is wrong.
"""

import concurrent.futures
import hashlib
import http.client
import http.cookiejar
import os
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request


class Visitor:
    """A browser without a screen: cookies, forms with their CSRF token, redirects."""

    def __init__(self, site):
        self.site = site.rstrip("/")
        self.cookies = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))

    def get(self, path, status=200):
        return self._open(urllib.request.Request(self.site + path), status)

    def post(self, path, fields, status=200):
        return self._send(path, urllib.parse.urlencode(fields).encode(), "application/x-www-form-urlencoded", status)

    def upload(self, path, fields, name, content, status=200):
        boundary = "----forge" + hashlib.sha256(content).hexdigest()[:24]
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'.encode()
            for field, value in fields.items()
        ]
        parts.append(
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            f"Content-Type: application/octet-stream\r\n\r\n".encode()
            + content
            + b"\r\n"
        )
        body = b"".join(parts) + f"--{boundary}--\r\n".encode()
        return self._send(path, body, f"multipart/form-data; boundary={boundary}", status)

    def token(self, page):
        return re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.decode()).group(1)

    def _send(self, path, body, content_type, status):
        request = urllib.request.Request(self.site + path, body, {"Content-Type": content_type})
        return self._open(request, status)

    def _open(self, request, status):
        try:
            with self.opener.open(request, timeout=30) as response:
                body, answered = response.read(), response.status
        except urllib.error.HTTPError as error:
            body, answered = error.read(), error.code
        expect(answered == status, f"{request.full_url} answers {status} (answered {answered})")
        return body


def expect(truth, sentence):
    print(("ok      " if truth else "WRONG   ") + sentence)
    if not truth:
        sys.exit(1)


def home_leads_everywhere(visitor):
    home = visitor.get("/").decode()
    for path in sorted(set(re.findall(r'href="(/[^"]*)"', home))):
        visitor.get(path, status={"/no-such-page/": 404, "/broken/": 500}.get(path, 200))


def basket_is_kept(visitor):
    page = visitor.get("/basket/")
    token = visitor.token(page)
    page = visitor.post("/basket/1/more/", {"csrfmiddlewaretoken": token}).decode()
    expect("<span>1</span>" in page, "the basket holds one piece")
    expect(re.search(r"<strong>\d+</strong> time", page), "visits are counted")
    visitor.post("/basket/1/less/", {"csrfmiddlewaretoken": token})
    visitor.post("/basket/1/more/", {}, status=403)


def upload_returns_as_it_came(visitor):
    content = os.urandom(3_000_000)
    token = visitor.token(visitor.get("/drawings/"))
    page = visitor.upload(
        "/drawings/", {"csrfmiddlewaretoken": token, "title": "click through"}, "gate.bin", content
    ).decode()
    path = re.search(r'href="(/drawings/\d+/download/)">gate.bin', page).group(1)
    expect(visitor.get(path) == content, f"{len(content):,} bytes come back unchanged")
    page = visitor.post(path.replace("download", "delete"), {"csrfmiddlewaretoken": token}).decode()
    expect(path not in page, "the drawing is deleted")


def stream_arrives_line_by_line(visitor):
    address = urllib.parse.urlsplit(visitor.site)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
    connection.request("GET", "/stream/")
    response = connection.getresponse()
    started, first, page = time.monotonic(), None, b""
    while chunk := response.read1(65536):
        page += chunk
        if first is None and b"<li>" in page:
            first = time.monotonic() - started
    connection.close()
    expect(page.count(b"<li>") == 12, "twelve lines arrive")
    expect(first is not None and first < 2, f"the first line comes before the last is made ({first:.2f} s)")


def ledger_is_whole(visitor):
    expect(visitor.get("/download/ledger.csv").count(b"\n") == 50_001, "the ledger has all its rows")


def naps_hold_nobody_up(visitor):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        naps = [pool.submit(visitor.get, "/waiting/nap/") for _ in range(4)]
        time.sleep(0.3)
        started = time.monotonic()
        visitor.get("/waiting/quick/")
        took = time.monotonic() - started
        expect(took < 1, f"the quick view answers while four naps sleep ({took:.3f} s)")
        for nap in naps:
            nap.result()


def admin_lets_the_demo_user_in(visitor):
    token = visitor.token(visitor.get("/admin/login/"))
    page = visitor.post(
        "/admin/login/?next=/admin/", {"csrfmiddlewaretoken": token, "username": "demo", "password": "demo"}
    ).decode()
    expect("Site administration" in page, "demo / demo opens the admin")
    expect("Horseshoe" in visitor.get("/admin/workshop/ware/").decode(), "the admin lists the wares")
    visitor.get("/static/admin/css/base.css")


def main():
    visitor = Visitor(sys.argv[1])
    for clicks in (
        home_leads_everywhere,
        basket_is_kept,
        upload_returns_as_it_came,
        stream_arrives_line_by_line,
        ledger_is_whole,
        admin_lets_the_demo_user_in,
        naps_hold_nobody_up,
    ):
        clicks(visitor)


if __name__ == "__main__":
    main()
