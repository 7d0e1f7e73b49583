"""Several applications in one process tree: each with its own environ, all loaded and reloaded together."""

import json
import os
import signal
import textwrap

import pytest

from wire import message, until

PLAIN = """
    import os

    SHARED = []

    def application(environ, start_response):
        SHARED.append(1)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [("plain %s %s %d" % (environ["SCRIPT_NAME"], environ["PATH_INFO"], os.getpid())).encode()]
"""

FLASK = """
    import flask

    application = flask.Flask(__name__)

    @application.route("/")
    def home():
        return "flask home " + flask.url_for("ware", number=7)

    @application.route("/wares/<int:number>", methods=["GET", "POST"])
    def ware(number):
        return "flask %d %s %d" % (number, flask.request.script_root, len(flask.request.get_data()))

    @application.route("/broken")
    def broken():
        raise RuntimeError("flask is broken")
"""

DJANGO = """
    import os

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "{settings}")

    from django.core.wsgi import get_wsgi_application

    application = get_wsgi_application()
"""

DJANGO_SETTINGS = """
    SECRET_KEY = "x"
    ROOT_URLCONF = "{urls}"
    ALLOWED_HOSTS = ["*"]
    DEBUG = False
    STATIC_URL = "/assets/"
    STATIC_ROOT = "collected"
"""

DJANGO_URLS = """
    from django.http import HttpResponse
    from django.urls import path, reverse

    def home(request):
        return HttpResponse("django {called} " + reverse("ware", args=[7]))

    def ware(request, number):
        return HttpResponse("django {called} %d" % number)

    urlpatterns = [path("", home), path("wares/<int:number>", ware, name="ware")]
"""

SETTINGS = """
wsgi_app = "plain"

[[mount]]
path = "/shop"
app = "shop:application"

[[mount]]
path = "/blog"
app = "blog.wsgi:application"

[[mount]]
path = "/again"
app = "plain"

[[static]]
url = "/files"
dir = "collected"
"""


def write(directory, name, source, **names):
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    text = textwrap.dedent(source)
    for key, value in names.items():
        text = text.replace("{%s}" % key, value)
    (directory / (name + ".new")).write_text(text)
    os.replace(directory / (name + ".new"), path)


def write_project(directory, name):
    write(directory, name + "/__init__.py", "")
    write(directory, name + "/wsgi.py", DJANGO, settings=name + ".settings")
    write(directory, name + "/settings.py", DJANGO_SETTINGS, urls=name + ".urls")
    write(directory, name + "/urls.py", DJANGO_URLS, called=name)


@pytest.fixture
def directory(tmp_path):
    write(tmp_path, "plain.py", PLAIN)
    write(tmp_path, "shop.py", FLASK)
    write_project(tmp_path, "blog")
    (tmp_path / "collected").mkdir()
    (tmp_path / "collected" / "site.css").write_text("body{}")
    return tmp_path


@pytest.mark.parametrize("flags", [(), ("--preload",), ("--workers", 2, "--preload"), ("--threads", 1)])
def test_flask_django_and_a_plain_application_are_served_side_by_side(serve, directory, flags):
    server = serve("", *flags, directory=directory, settings=SETTINGS)
    for _ in range(3):
        assert server.get("/shop/").text == "flask home /shop/wares/7"
        assert server.get("/shop/wares/7").text == "flask 7 /shop 0"
        assert server.exchange(message("POST", "/shop/wares/8", body=b"abc")).text == "flask 8 /shop 3"
        assert server.get("/blog/").text == "django blog /blog/wares/7"
        assert server.get("/blog/wares/3").text == "django blog 3"
        assert server.get("/blog/nothing").status == 404
        assert server.get("/blogs").text.startswith("plain  /blogs ")
        assert server.get("/again/x").text.startswith("plain /again /x ")
        assert server.get("/files/site.css").body == b"body{}"
    assert server.get("/shop/broken").status == 500
    server.log.wait(r"RuntimeError: flask is broken")
    assert server.get("/shop").status in (200, 308)


def test_the_applications_of_a_worker_share_its_process(serve, directory):
    server = serve("", directory=directory, settings=SETTINGS)
    pids = {server.get(path).text.split()[-1] for path in ("/a", "/again/b")}
    assert pids == {str(server.workers()[0])}


@pytest.mark.parametrize("flags", [(), ("--preload",)])
def test_a_reload_loads_every_application_anew(serve, directory, flags):
    server = serve("", *flags, directory=directory, settings=SETTINGS)
    assert server.get("/shop/wares/7").text == "flask 7 /shop 0"
    write(directory, "shop.py", FLASK.replace('return "flask %d', 'return "newer %d'))
    write(directory, "plain.py", PLAIN.replace('"plain %s', '"plainer %s'))
    server.kill(signal.SIGHUP)
    until(lambda: server.get("/shop/wares/7").text == "newer 7 /shop 0", 20, "the new Flask application")
    until(lambda: server.get("/x").text.startswith("plainer  /x"), 20, "the new plain application")
    assert server.get("/blog/").text == "django blog /blog/wares/7"


def test_a_reload_may_change_the_mounts(serve, directory):
    server = serve("", directory=directory, settings=SETTINGS)
    assert server.get("/api/wares/7").text.startswith("plain  /api/wares/7")
    server.write("farrier.toml", SETTINGS.replace('"/shop"', '"/api"'))
    server.kill(signal.SIGHUP)
    until(lambda: server.get("/api/wares/7").text == "flask 7 /api 0", 20, "the new mount")


def test_a_reload_with_mounts_that_contradict_each_other_changes_nothing(serve, directory):
    server = serve("", directory=directory, settings=SETTINGS)
    server.write("farrier.toml", SETTINGS.replace('"/blog"', '"/shop"'))
    server.kill(signal.SIGHUP)
    server.log.wait(r"the path `/shop` is mounted already")
    assert server.get("/blog/").text == "django blog /blog/wares/7"


def test_a_change_of_any_application_is_seen_with_reload(serve, directory):
    server = serve("", "--reload", directory=directory, settings=SETTINGS)
    assert server.get("/shop/wares/7").text == "flask 7 /shop 0"
    write(directory, "shop.py", FLASK.replace('return "flask %d', 'return "newer %d'))
    until(lambda: server.get("/shop/wares/7").text == "newer 7 /shop 0", 20, "the new Flask application")


@pytest.mark.parametrize("flags, exit_code", [((), 3), (("--preload",), 3)])
def test_an_application_that_cannot_be_loaded_ends_the_start_and_names_its_mount(serve, directory, flags, exit_code):
    write(directory, "shop.py", "raise RuntimeError('no shop today')\n")
    server = serve("", *flags, directory=directory, settings=SETTINGS, listening=False)
    assert server.wait_exit() == exit_code
    place = r"farrier\.toml:\d+: the mount at /shop: The application \"shop:application\" could not be loaded"
    assert server.log.find(place + ": RuntimeError: no shop today")
    assert server.log.find(r"RuntimeError: no shop today")


def test_two_django_projects_in_one_process_are_refused(serve, directory):
    write_project(directory, "news")
    settings = SETTINGS.replace('app = "shop:application"', 'app = "news.wsgi:application"')
    server = serve("", directory=directory, settings=settings, listening=False)
    assert server.wait_exit() == 4
    clash = server.log.wait(
        r"the mount at /blog: 'blog\.wsgi:application' is a Django project with the settings .*"
    ).group(0)
    assert "'news.wsgi:application' has brought 'news.settings'" in clash
    assert "serve one of them from a server of its own" in clash


def test_one_django_project_at_two_mounts_is_one_application(serve, directory):
    settings = SETTINGS.replace('app = "shop:application"', 'app = "blog.wsgi:application"')
    server = serve("", directory=directory, settings=settings)
    assert server.get("/shop/").text == "django blog /shop/wares/7"
    assert server.get("/blog/").text == "django blog /blog/wares/7"


def test_the_folders_of_djangos_settings_are_mounted_beside_the_others(serve, directory):
    server = serve("blog.wsgi", "--static", "auto", "--mount", "/shop=shop:application", directory=directory)
    assert server.get("/assets/site.css").body == b"body{}"
    assert server.get("/shop/wares/1").text == "flask 1 /shop 0"
    assert server.get("/").text == "django blog /wares/7"


def test_hooks_see_the_requests_of_every_application(serve, directory):
    hooks = textwrap.dedent(
        """
        wsgi_app = "plain"
        mount = [{"path": "/shop", "app": "shop:application"}]

        def pre_request(worker, req):
            worker.log.info("begins %s", req.path)

        def post_request(worker, req, environ, resp):
            worker.log.info("ended %s at %r with %s", req.path, environ["SCRIPT_NAME"], resp.status)

        def post_worker_init(worker):
            worker.log.info("serves %s", worker.wsgi.__module__)
        """
    )
    (directory / "farrier.conf.py").write_text(hooks)
    server = serve("", directory=directory)
    server.get("/shop/wares/1")
    server.get("/x")
    for line in (
        "begins /shop/wares/1",
        "ended /shop/wares/1 at '/shop' with 200 OK",
        "begins /x",
        "ended /x at '' with",
        "serves plain",
    ):
        server.log.wait(line)


def test_a_site_need_not_have_an_application_at_all(serve, directory):
    settings = '[[static]]\nurl = "/"\ndir = "collected"\n[[mount]]\npath = "/old"\nredirect = "/site.css"\n'
    server = serve("", directory=directory, settings=settings)
    assert server.get("/site.css").body == b"body{}"
    assert server.get("/old/x").value("Location") == "/site.css"


def test_health_is_answered_before_any_site(serve, directory):
    settings = SETTINGS + '[[site]]\nhosts = ["a.test"]\napp = "shop"\n'
    server = serve("", "--livez-path", "/livez", directory=directory, settings=settings)
    for host in ("a.test", "other.test"):
        assert server.exchange(message(target="/livez", host=host)).text == "ok\n"


@pytest.mark.parametrize("threads", [1, 4])
def test_slow_and_short_applications_do_not_mix_their_environs(serve, tmp_path, threads):
    write(
        tmp_path,
        "one.py",
        """
        import json, time

        def make(name, pause):
            def application(environ, start_response):
                time.sleep(pause)
                start_response("200 OK", [("Content-Type", "application/json")])
                return [json.dumps([name, environ["SCRIPT_NAME"], environ["PATH_INFO"]]).encode()]
            return application
        """,
    )
    settings = "".join(
        '[[mount]]\npath = "/%s"\napp = "one:make(\'%s\', %s)"\n' % (name, name, pause)
        for name, pause in (("slow", 0.03), ("short", 0))
    )
    server = serve("", "--threads", threads, directory=tmp_path, settings=settings)
    wires = [server.connect() for _ in range(6)]
    for turn in range(5):
        for number, wire in enumerate(wires):
            wire.send(message(target="/%s/%d" % ("slow" if number % 2 else "short", turn)))
        for number, wire in enumerate(wires):
            name = "slow" if number % 2 else "short"
            assert json.loads(wire.read_response().body) == [name, "/" + name, "/%d" % turn]
