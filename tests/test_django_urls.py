"""Django imports its URL configuration at the first request; Farrier does it when it loads the project."""

import signal
import textwrap

import pytest

from wire import until

PROJECT = """
    from django.conf import settings

    settings.configure(ROOT_URLCONF="urls", SECRET_KEY="for a test", ALLOWED_HOSTS=["*"])

    from django.core.wsgi import get_wsgi_application

    application = get_wsgi_application()
"""
URLS = """
    from django.http import HttpResponse
    from django.urls import include, path

    urlpatterns = [path("", lambda request: HttpResponse("%s")), path("below/", include("below"))]
"""
BELOW = "urlpatterns = []\n"


@pytest.mark.parametrize("flags", [(), ("--preload",)], ids=["each", "preload"])
def test_a_url_configuration_that_cannot_be_imported_stops_a_start(serve, tmp_path, flags):
    for name, source in (("urls.py", URLS % "one"), ("below.py", "import no_such_module\n")):
        (tmp_path / name).write_text(textwrap.dedent(source))
    server = serve(PROJECT, *flags, directory=tmp_path, listening=False)
    assert server.wait_exit() == 3
    assert server.log.find("No module named 'no_such_module'")
    assert server.log.find(r'File ".*below.py", line 1')


@pytest.mark.parametrize("flags", [(), ("--preload",)], ids=["each", "preload"])
def test_a_reload_with_a_broken_url_configuration_changes_nothing(serve, tmp_path, flags):
    for name, source in (("urls.py", URLS % "one"), ("below.py", BELOW)):
        (tmp_path / name).write_text(textwrap.dedent(source))
    server = serve(PROJECT, *flags, directory=tmp_path)
    assert server.get().text == "one"
    server.write("urls.py", "import no_such_module\n")
    server.kill(signal.SIGHUP)
    server.log.wait("No module named 'no_such_module'")
    server.log.wait(r"(?i)goes on|go on|keep")
    assert server.get().text == "one"
    server.write("urls.py", URLS % "two")
    mark = server.log.mark()
    server.kill(signal.SIGHUP)
    # The worker that could not boot may say only now that it exits.
    server.log.wait("Reloaded: generation", since=mark)
    until(lambda: server.get().text == "two", what="the new code")
