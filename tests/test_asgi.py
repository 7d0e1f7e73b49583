"""ASGI applications: refused when they are loaded, with what to use instead, and WSGI applications never."""

import textwrap

import pytest

from process import run_alone

ASGI = {
    "a coroutine function": """
        async def application(scope, receive, send):
            pass
    """,
    "an object with an asynchronous __call__": """
        class Framework:
            async def __call__(self, scope, receive, send):
                pass

        application = Framework()
    """,
    "a function that returns a coroutine": """
        def application(scope, receive, send):
            return None
    """,
    "a decorated coroutine function": """
        import functools

        async def inner(extra, scope, receive, send):
            pass

        application = functools.partial(inner, "extra")
    """,
    "a class for a scope": """
        class application:
            def __init__(self, scope):
                pass

            async def __call__(self, receive, send):
                pass
    """,
    "the result of a factory": """
        class Framework:
            async def __call__(self, scope, receive, send):
                pass

        def application():
            return Framework()
    """,
}

#: WSGI applications that look a little like the above.
WSGI = {
    "a function": """
        def application(environ, start_response):
            start_response("200 OK", [])
            return [b"wsgi"]
    """,
    "other names of parameters": """
        def application(scope, send, *rest):
            send("200 OK", [])
            return [b"wsgi"]
    """,
    "a class that is iterable": """
        class application:
            def __init__(self, environ, start_response):
                start_response("200 OK", [])

            def __iter__(self):
                yield b"wsgi"

            async def __call__(self, receive, send):
                pass
    """,
    "an object with asynchronous methods": """
        class Framework:
            def __call__(self, environ, start_response):
                start_response("200 OK", [])
                return [b"wsgi"]

            async def asgi(self, scope, receive, send):
                pass

        application = Framework()
    """,
    "an object that refuses questions": """
        class Framework:
            __signature__ = "none"

            def __call__(self, environ, start_response):
                start_response("200 OK", [])
                return [b"wsgi"]

        application = Framework()
    """,
}


# The server started, and every request was answered with 500.
@pytest.mark.parametrize("flags", [[], ["--preload"], ["--check-config"]], ids=["worker", "preload", "check"])
@pytest.mark.parametrize("kind", ASGI)
def test_an_asgi_application_is_refused_when_it_is_loaded(tmp_path, kind, flags):
    (tmp_path / "app.py").write_text(textwrap.dedent(ASGI[kind]))
    name = "app:application()" if "factory" in kind else "app:application"
    result = run_alone(tmp_path, "--bind", "unix:app.sock", *flags, name)
    assert "%r is an ASGI application" % name in result.stderr, result.stderr
    for word in ["Uvicorn", "a2wsgi"]:
        assert word in result.stderr
    assert result.returncode == (1 if "--check-config" in flags else 4)
    assert "Traceback" not in result.stderr


def test_the_refusal_names_the_wsgi_module_beside_an_asgi_module(tmp_path):
    (tmp_path / "site1").mkdir()
    (tmp_path / "site1" / "__init__.py").touch()
    (tmp_path / "site1" / "asgi.py").write_text(textwrap.dedent(ASGI["a coroutine function"]))
    result = run_alone(tmp_path, "--check-config", "site1.asgi:application")
    assert "name it: `site1.wsgi:application`" in result.stderr


@pytest.mark.parametrize("kind", WSGI)
def test_a_wsgi_application_is_never_taken_for_an_asgi_application(serve, kind):
    assert serve(WSGI[kind]).get().body == b"wsgi"


def test_a_frameworks_application_is_named_by_its_class(tmp_path):
    text = "from django.conf import settings\nsettings.configure()\nfrom django.core.asgi import get_asgi_application\n"
    (tmp_path / "app.py").write_text(text + "application = get_asgi_application()\n")
    result = run_alone(tmp_path, "--check-config", "app:application")
    assert "is an ASGI application (django.ASGIHandler)" in result.stderr


def test_a_coroutine_that_is_returned_is_explained(serve):
    server = serve("""
        async def answer():
            return [b""]

        def application(environ, start_response):
            start_response("200 OK", [])
            return answer()
    """)
    assert server.get().status == 500
    server.log.wait("TypeError: the application returned a coroutine, .* ASGI")
