"""Which site and which mount answers: hosts, paths, redirects, fixed responses; ambiguous requests are refused."""

import json
import textwrap

import pytest

from wire import message

TELL = """
    import json

    NAME = {name!r}

    def application(environ, start_response):
        body = environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps({{
            "name": NAME,
            "script_name": environ["SCRIPT_NAME"],
            "path_info": environ["PATH_INFO"],
            "query": environ["QUERY_STRING"],
            "uri": environ["REQUEST_URI"],
            "host": environ.get("HTTP_HOST"),
            "body": len(body),
        }}).encode()]
"""

SITES = """
[[site]]
hosts = ["example.org", "*.example.org", "192.0.2.1", "[2001:db8::1]"]
app = "shop:application"
[[site.mount]]
path = "/api"
app = "api:application"
[[site.mount]]
path = "/api/v2"
app = "apitwo:application"
[[site.mount]]
path = "/secret"
app = "secret:application"
[[site.mount]]
path = "/old"
redirect = "/new$rest$query"
status = 301
[[site.mount]]
path = "/away"
redirect = "https://elsewhere.test$path$query"
[[site.mount]]
path = "/here"
redirect = "$scheme://$host/there$rest"
status = 302
[[site.mount]]
path = "/robots.txt"
respond = "User-agent: *\\nDisallow:\\n"
[[site.mount]]
path = "/down"
respond = "<p>back soon"
content_type = "text/html"
status = 503
[[site.mount]]
path = "/gone"
status = 410

[[site]]
hosts = [".blog.test"]
app = "blog:application"
canonical_host = "blog.test"

[[site]]
hosts = ["paths.test"]
[[site.mount]]
path = "/only"
app = "only:application"
"""


def write_applications(directory, *names):
    for name in names:
        (directory / (name + ".py")).write_text(textwrap.dedent(TELL.format(name=name)))


@pytest.fixture(scope="module")
def sites(serve_module, tmp_path_factory):
    directory = tmp_path_factory.mktemp("sites")
    write_applications(directory, "shop", "api", "apitwo", "secret", "blog", "only")
    return serve_module("", directory=directory, settings=SITES)


@pytest.fixture
def ask(sites):
    def ask(target="/", host="example.org", method="GET", **options):
        return sites.exchange(message(method, target, host=host, **options), head_only=method == "HEAD")

    return ask


def told(response):
    assert response.status == 200, (response.status, response.body)
    return json.loads(response.body)


@pytest.mark.parametrize(
    "host, name",
    [
        ("example.org", "shop"),
        ("EXAMPLE.Org", "shop"),
        ("example.org:8000", "shop"),
        ("example.org.", "shop"),
        ("www.example.org", "shop"),
        ("a.b.example.org", "shop"),
        ("192.0.2.1:80", "shop"),
        ("[2001:DB8:0::1]:80", "shop"),
        ("blog.test", "blog"),
        ("paths.test", None),
        ("badexample.org", 421),
        ("example.org.evil.test", 421),
        ("[2001:db8::2]", 421),
        ("127.0.0.1", 421),
    ],
)
def test_a_host_finds_its_site(ask, host, name):
    response = ask(host=host)
    if name is None:
        assert response.status == 404
    elif name == 421:
        assert (response.status, response.text) == (421, "421 Misdirected Request\n")
        assert not response.closes
    else:
        assert told(response)["name"] == name


def test_a_request_of_http_1_0_without_a_host_is_400_where_no_site_takes_every_name(sites, ask):
    assert ask(host=None, version="1.0").status == 400
    assert told(ask(host="example.org", version="1.0"))["name"] == "shop"


@pytest.mark.parametrize(
    "target, name, script_name, path_info",
    [
        ("/", "shop", "", "/"),
        ("/apix", "shop", "", "/apix"),
        ("/api", "api", "/api", ""),
        ("/api/", "api", "/api", "/"),
        ("/api/x?y=1", "api", "/api", "/x"),
        ("/api/v2/x", "apitwo", "/api/v2", "/x"),
        ("/api/v22", "api", "/api", "/v22"),
        ("/%61pi/a%20b", "api", "/api", "/a b"),
        ("/api%2Fx", "api", "/api", "/x"),
        ("/api/x//y", "api", "/api", "/x//y"),
        ("/api/x/../y", "api", "/api", "/x/../y"),
        ("/%2561pi", "shop", "", "/%61pi"),
    ],
)
def test_the_longest_mount_answers_and_its_path_is_the_script_name(ask, target, name, script_name, path_info):
    said = told(ask(target))
    assert (said["name"], said["script_name"], said["path_info"]) == (name, script_name, path_info)
    assert said["uri"] == target


@pytest.mark.parametrize(
    "target",
    [
        "/api/../secret/x",
        "/api/%2e%2e/secret",
        "/x/..%2fsecret",
        "/%2e%2e/secret",
        "//secret",
        "/./secret",
        "/secret/..",
        "/..",
    ],
)
def test_a_path_that_may_be_read_as_another_mounts_is_refused(ask, target):
    assert ask(target).status == 400


def test_an_absolute_target_is_routed_by_its_own_host(ask):
    assert told(ask("http://example.org/api/x"))["path_info"] == "/x"
    assert told(ask("http://example.org"))["name"] == "shop"
    assert ask("http://nobody.test/", host="nobody.test").status == 421


def test_options_for_the_server_reaches_no_mount(ask):
    assert ask("*", method="OPTIONS").status == 204


def test_a_path_that_no_mount_has_is_404(ask):
    assert told(ask("/only/x", host="paths.test"))["name"] == "only"
    response = ask("/other", host="paths.test")
    assert (response.status, response.text) == (404, "404 Not Found\n")


@pytest.mark.parametrize(
    "target, status, location",
    [
        ("/old/a%20b?x=1", 301, "/new/a%20b?x=1"),
        ("/old", 301, "/new"),
        ("/%6fld/x", 301, "/new/x"),
        ("/away/x?y", 308, "https://elsewhere.test/away/x?y"),
        ("/here/x?y", 302, "http://example.org/there/x"),
    ],
)
def test_a_redirect_fills_its_placeholders(ask, target, status, location):
    for method in ("GET", "HEAD", "POST"):
        response = ask(target, method=method)
        assert (response.status, response.values("Location")) == (status, [location])


def test_a_redirect_never_leads_to_the_host_that_a_path_looks_like(serve, tmp_path):
    write_applications(tmp_path, "shop")
    settings = 'wsgi_app = "shop"\n[[mount]]\npath = "/old"\nredirect = "/$rest"\n'
    server = serve("", directory=tmp_path, settings=settings)
    for target in ("/old//evil.test", "/old/%2f/evil.test", "/old///evil.test/x"):
        location = server.get(target).value("Location")
        assert location.startswith("/") and not location.startswith(("//", "/\\")), location


def test_a_fixed_answer_has_its_status_type_and_text(ask):
    response = ask("/robots.txt")
    assert (response.status, response.text) == (200, "User-agent: *\nDisallow:\n")
    assert response.value("Content-Type") == "text/plain; charset=utf-8"
    response = ask("/down/anywhere", method="POST", body=b"x")
    assert (response.status, response.text, response.value("Content-Type")) == (503, "<p>back soon", "text/html")
    response = ask("/gone")
    assert response.status == 410
    head = ask("/robots.txt", method="HEAD")
    assert (head.status, head.value("Content-Length"), head.body) == (200, "24", b"")


def test_a_site_redirects_to_its_canonical_name(ask):
    response = ask("/a%20b/?x=1&y", host="www.blog.test")
    assert (response.status, response.value("Location")) == (308, "http://blog.test/a%20b/?x=1&y")
    response = ask("/", host="WWW.Blog.test.:8080")
    assert response.value("Location") == "http://blog.test:8080/"
    assert told(ask("/", host="BLOG.test:8080"))["name"] == "blog"


def test_the_scheme_of_a_canonical_redirect_is_the_clients(serve, tmp_path):
    write_applications(tmp_path, "shop")
    settings = 'wsgi_app = "shop"\ncanonical_host = "example.org"\nproxy_headers = ["x-forwarded-host"]\n'
    server = serve("", directory=tmp_path, settings=settings)
    response = server.get("/x", fields=[("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "www.example.org")])
    assert response.value("Location") == "https://example.org/x"
    response = server.get("/x", fields=[("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "example.org")])
    assert told(response)["name"] == "shop"


def test_allowed_hosts_are_all_that_is_served(serve, tmp_path):
    write_applications(tmp_path, "shop")
    settings = 'wsgi_app = "shop"\nallowed_hosts = [".example.org"]\nlivez_path = "/livez"\n'
    server = serve("", directory=tmp_path, settings=settings)
    for host, status in (("example.org", 200), ("www.example.org", 200), ("other.test", 421)):
        assert server.exchange(message(host=host)).status == status
    assert server.exchange(message(host=None, version="1.0")).status == 400
    # Health checks may use any host name.
    assert server.exchange(message(target="/livez", host="10.0.0.1")).status == 200


def test_the_default_site_serves_all_other_names(serve, tmp_path):
    write_applications(tmp_path, "shop", "blog")
    settings = 'wsgi_app = "shop"\n[[site]]\nhosts = ["blog.test"]\napp = "blog"\n'
    server = serve("", directory=tmp_path, settings=settings)
    assert told(server.exchange(message(host="blog.test")))["name"] == "blog"
    assert told(server.exchange(message(host="any.test")))["name"] == "shop"
    assert told(server.exchange(message(host=None, version="1.0")))["name"] == "shop"


def test_a_default_site_takes_every_other_name(serve, tmp_path):
    write_applications(tmp_path, "shop", "blog")
    settings = '[[site]]\nhosts = ["blog.test"]\napp = "blog"\n[[site]]\ndefault = true\napp = "shop"\n'
    server = serve("", directory=tmp_path, settings=settings)
    assert told(server.exchange(message(host="blog.test")))["name"] == "blog"
    assert told(server.exchange(message(host="any.test")))["name"] == "shop"


def test_the_flag_mounts_an_application_beside_the_positional_one(serve, tmp_path):
    write_applications(tmp_path, "shop", "api")
    server = serve("shop", "--mount", "/api=api:application", directory=tmp_path)
    assert told(server.get("/api/x"))["script_name"] == "/api"
    assert told(server.get("/x"))["name"] == "shop"


def test_a_proxys_prefix_precedes_the_mounts(serve, tmp_path):
    write_applications(tmp_path, "shop", "api")
    flags = ("--mount", "/api=api", "--proxy-headers", "x-forwarded-prefix")
    server = serve("shop", *flags, directory=tmp_path)
    for target in ("/base/api/x", "/api/x"):
        said = told(server.get(target, fields=[("X-Forwarded-Prefix", "/base")]))
        assert (said["name"], said["script_name"], said["path_info"]) == ("api", "/base/api", "/x")
    said = told(server.get("/base/x", fields=[("X-Forwarded-Prefix", "/base")]))
    assert (said["name"], said["script_name"], said["path_info"]) == ("shop", "/base", "/x")


def test_the_environments_script_name_stands_before_the_mounts(serve, tmp_path):
    write_applications(tmp_path, "shop", "api")
    server = serve("shop", "--mount", "/api=api", directory=tmp_path, environment={"SCRIPT_NAME": "/base"})
    said = told(server.get("/base/api/x"))
    assert (said["name"], said["script_name"], said["path_info"]) == ("api", "/base/api", "/x")


def test_a_mount_may_be_written_with_the_environments_script_name(serve, tmp_path):
    write_applications(tmp_path, "shop", "api")
    server = serve("shop", "--mount", "/base/api=api", directory=tmp_path, environment={"SCRIPT_NAME": "/base"})
    said = told(server.get("/base/api/x"))
    assert (said["name"], said["script_name"], said["path_info"]) == ("api", "/base/api", "/x")


def test_a_pipelined_request_of_another_site_finds_it(sites):
    wire = sites.connect()
    wire.send(message(target="/api/a", host="example.org") + message(host="blog.test") + message(host="none.test"))
    assert told(wire.read_response())["name"] == "api"
    assert told(wire.read_response())["name"] == "blog"
    assert wire.read_response().status == 421
