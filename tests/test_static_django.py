"""`--static auto`: the folders come from Django's settings, and the example site's files never reach Django."""

import re

import pytest

from example_site import SITE, prepare

PROJECT = """
    import django
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application

    settings.configure(
        SECRET_KEY="x", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, INSTALLED_APPS=["django.contrib.staticfiles"], %s
    )
    urlpatterns = []
    application = get_wsgi_application()
"""


@pytest.fixture(scope="module")
def site(serve_module, tmp_path_factory):
    environment = prepare(tmp_path_factory.mktemp("forge"))
    flags = ["--chdir", SITE, "--static", "auto"]
    return serve_module("forge.wsgi:application", *flags, environment=environment)


def test_the_gallerys_files_come_from_the_folder_and_are_kept_for_a_year(site):
    page = site.get("/gallery/").text
    links = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', page))
    assert len(links) >= 28
    wire = site.connect()
    for link in links:
        assert re.search(r"\.[0-9a-f]{12}\.(svg|css|js|png)\Z", link)
        answer = wire.request(("GET %s HTTP/1.1\r\nHost: h\r\n\r\n" % link).encode())
        assert answer.status == 200 and answer.body
        # Django's own view says neither.
        assert answer.value("Cache-Control") == "max-age=31536000, immutable"
        assert answer.value("Accept-Ranges") == "bytes"


def test_names_without_a_hash_are_asked_for_again(site):
    answer = site.get("/static/admin/css/base.css")
    assert (answer.status, answer.value("Cache-Control")) == (200, "max-age=60")


def test_requests_below_the_path_never_reach_django(site):
    answer = site.get("/static/nothing.css")
    assert answer.status == 404 and b"html" not in answer.body


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ('STATIC_URL="/static/"', r"STATIC_ROOT is not set: name the folder that `manage.py collectstatic` fills"),
        ('STATIC_URL="/static/", STATIC_ROOT="nowhere"', r"STATIC_ROOT, .*/nowhere, does not exist: run `manage.py"),
        ('STATIC_URL="https://cdn.example/s/", STATIC_ROOT="."', r"STATIC_URL .* names another host"),
        ('STATIC_ROOT="."', r"STATIC_URL is not set"),
    ],
)
def test_missing_django_settings_are_named(serve, settings, said):
    for flags in (["--static", "auto"], ["--static", "auto", "--check-config"]):
        server = serve(PROJECT % settings, *flags, listening=False)
        assert server.wait_exit() != 0
        server.log.wait(said)


def test_an_application_that_is_not_djangos_has_no_such_settings(serve):
    source = """
        def application(environ, start_response):
            start_response("200 OK", [])
            return []
        """
    server = serve(source, "--static", "auto", listening=False)
    assert server.wait_exit() != 0
    server.log.wait("the application is none: name URL=DIR")


def test_uploads_are_served_where_the_settings_say_so(serve, tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "a.css").write_bytes(b"a")
    settings = 'STATIC_URL="static/", STATIC_ROOT="s", MEDIA_URL="/media/", MEDIA_ROOT="m"'
    server = serve(PROJECT % settings, "--static", "auto", directory=tmp_path)
    assert server.get("/static/a.css").body == b"a"
    # The folder was made for them.
    (tmp_path / "m" / "b.txt").write_bytes(b"b")
    assert server.get("/media/b.txt").body == b"b"


def test_uploads_without_a_url_are_not_public(serve, tmp_path):
    for name in ("s", "m"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_bytes(b"a")
    settings = 'STATIC_URL="/static/", STATIC_ROOT="s", MEDIA_ROOT="m"'
    server = serve(PROJECT % settings, "--static", "auto", directory=tmp_path)
    assert server.get("/a.txt").body != b"a"
    assert server.get("/static/a.txt").body == b"a"
