"""Errors in sites and mounts are reported at the start and by --check-config, with their place."""

import subprocess

import pytest

from process import COMMAND

APPLICATION = "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'']\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "app.py").write_text(APPLICATION)
    (tmp_path / "files").mkdir()
    (tmp_path / "file.txt").write_text("x")
    (tmp_path / "large.html").write_bytes(b"x" * (1024 * 1024 + 1))
    return tmp_path


def run(folder, *arguments):
    """Runs the command to its end."""
    return subprocess.run(COMMAND + list(arguments), cwd=folder, capture_output=True, text=True, timeout=60)


WRONG = [
    ("[[static]]\nurl = '/s'\ndir = 'nowhere'\n", r"nowhere.*farrier.toml:2"),
    ("[[static]]\nurl = '/s'\ndir = 'file.txt'\n", r"file.txt.*farrier.toml:2"),
    ("[[mount]]\npath = '/s'\nstatic = 'nowhere'\n", r"nowhere.*farrier.toml:2"),
    (
        "[[mount]]\npath = '/s'\nstatus = 404\n[[mount]]\npath = '/s/'\nstatus = 404\n",
        "farrier.toml:5: the path `/s` is mounted",
    ),
    ("[[mount]]\npath = 's'\nstatus = 404\n", "farrier.toml:3: mount: path: `s` must begin with a slash: `/s`"),
    ("[[mount]]\npath = '/s'\nredirect = '/s/t'\n", "farrier.toml:2: mount `/s`: the redirect leads back to itself"),
    ("[[mount]]\npath = '/s'\nstatsu = 404\n", "farrier.toml:4: mount: unknown key `statsu`; did you mean `status`?"),
    (
        "[[mount]]\npath = '/s'\nstatus = 'x'\n",
        "farrier.toml:4: mount: status: expected a status from 200 to 599, got `x`",
    ),
    ("[[mount]]\npath = '/s'\nredirect = 'evil'\n", "farrier.toml:4: mount: redirect: expected a URL or a path"),
    (
        "[[site]]\nhosts = ['a.test']\napp = 'app'\ndefault = true\n",
        "farrier.toml:2: site: what stands outside of any site",
    ),
    (
        "[[site]]\nhosts = ['a.test']\napp = 'app'\n[[site]]\nhosts = ['A.TEST.']\napp = 'app'\n",
        r"farrier.toml:5: site: the host `a.test` is served already \(farrier.toml:2\)",
    ),
    ("[[site]]\nhosts = ['a.test:80']\napp = 'app'\n", "farrier.toml:3: site: hosts: `a.test:80` has a port"),
    ("[error_pages]\n404 = 'nowhere.html'\n", "error_pages: the page for 404, `nowhere.html`, cannot be read"),
    ("[error_pages]\n404 = 'files'\n", "error_pages: the page for 404, `files`, is not a file"),
    ("[error_pages]\n404 = 'large.html'\n", "error_pages: the page for 404, `large.html`, is larger than 1 MiB"),
    ("[error_pages]\n200 = 'file.txt'\n", "farrier.toml:3: error_pages: `200` is no status of an error"),
]


@pytest.mark.parametrize("tables, error", WRONG)
def test_an_error_is_reported_with_its_place(folder, tables, error):
    import re

    (folder / "farrier.toml").write_text('wsgi_app = "app"\n' + tables)
    checked = run(folder, "--check-config")
    assert checked.returncode == 1 and re.search(error, checked.stderr), checked.stderr
    started = run(folder, "--bind", "127.0.0.1:0")
    assert started.returncode == 1 and re.search(error, started.stderr), started.stderr


def test_a_valid_configuration_passes(folder):
    (folder / "farrier.toml").write_text(
        'wsgi_app = "app"\nerror_pages = { 404 = "file.txt" }\n[[static]]\nurl = "/s"\ndir = "files"\n'
        '[[site]]\nhosts = [".a.test"]\napp = "app"\ncanonical_host = "a.test"\n'
    )
    checked = run(folder, "--check-config")
    assert (checked.returncode, checked.stderr) == (0, "")


def test_tables_may_be_lists_of_dictionaries_in_python(folder):
    (folder / "farrier.conf.py").write_text(
        'import pathlib\nwsgi_app = "app"\nstatic = [{"url": "/s", "dir": pathlib.Path("files")}]\n'
        'site = [{"hosts": ["a.test"], "app": "app", "mount": [{"path": "/x", "status": 404}]}]\n'
    )
    printed = run(folder, "--print-config")
    assert printed.returncode == 0, printed.stderr
    for line in ("[[static]]", 'url = "/s"', "[[site.mount]]", "# farrier.conf.py:3", "# farrier.conf.py:4"):
        assert line in printed.stdout, printed.stdout
    (folder / "farrier.conf.py").write_text(
        'wsgi_app = "app"\nmount = [{"path": "/x", "status": 404}, {"path": "y"}]\n'
    )
    checked = run(folder, "--check-config")
    assert checked.returncode == 1
    assert "farrier.conf.py:2: mount: path: `y` must begin with a slash" in checked.stderr


def test_a_variable_of_a_python_file_that_only_shares_a_name_is_its_own(folder):
    (folder / "gunicorn.conf.py").write_text('wsgi_app = "app"\nsite = "production"\nstatic = True\n')
    checked = run(folder, "--check-config")
    assert (checked.returncode, checked.stderr) == (0, "")


def test_a_printed_configuration_is_read_as_the_same(folder):
    text = 'wsgi_app = "app"\n[[mount]]\npath = "/x"\nrespond = "hello"\n[[site]]\nhosts = ["a.test"]\napp = "app"\n'
    (folder / "farrier.toml").write_text(text)
    first = run(folder, "--print-config").stdout
    (folder / "farrier.toml").write_text(first)
    again = run(folder, "--print-config")
    assert again.returncode == 0, again.stderr

    def without_sources(text):
        return [line.partition("  #")[0].rstrip() for line in text.splitlines() if not line.startswith("# ")]

    assert without_sources(again.stdout) == without_sources(first)
