"""A start that fails: the last line is the reason, and it names what to mend."""

import os
import pathlib
import shutil
import sys
import tempfile

import pytest

import farrier
from process import run_alone


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("app:application", "ModuleNotFoundError: No module named 'a_module_that_is_missing'"),
        ("missing_module:application", "There is no module 'missing_module' for the application"),
    ],
)
@pytest.mark.parametrize("flags", [[], ["--preload"]], ids=["plain", "preload"])
def test_the_last_line_of_a_server_that_cannot_load_its_application_is_the_reason(serve, tmp_path, flags, name, reason):
    (tmp_path / "app.py").write_text("import a_module_that_is_missing\n")
    server = serve(name, *flags, directory=tmp_path, listening=False)
    assert server.wait_exit() in (3, 4)
    server.log.thread.join(10)
    lines = [line for line in server.log.lines if not line.startswith("<end")]
    assert f"[{server.pid}] [ERROR]" in lines[-1] and reason in lines[-1], server.log.text


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("runserver", "`farrier`, which finds the application of this folder"),
        ("help", "`farrier --help`"),
        ("version", "`farrier --version`"),
        ("init", "`farrier --print-config`"),
        ("migrate", "`python manage.py migrate`"),
        ("import_uwsgi", "`farrier import-uwsgi uwsgi.ini`"),
        ("nginx", "`farrier import-nginx /etc/nginx/nginx.conf`"),
        ("import_nginx", "`farrier import-nginx /etc/nginx/nginx.conf`"),
        ("gunicorn-compatt", "`farrier gunicorn-compat install`"),
    ],
)
def test_a_word_that_is_no_command_is_answered_with_what_was_meant(tmp_path, word, meant):
    done = run_alone(tmp_path, word)
    assert done.returncode == 4
    last = done.stderr.splitlines()[-1]
    assert f"There is no command {word!r}" in last and f"did you mean {meant}" in last
    assert "Listening" not in done.stderr


def test_a_module_that_has_the_name_of_such_a_word_is_served(serve, tmp_path):
    source = 'def application(environ, start_response):\n    start_response("200 OK", [])\n    return [b"served"]\n'
    (tmp_path / "serve.py").write_text(source)
    assert serve("serve", directory=tmp_path).get().text == "served"


@pytest.fixture
def closed():
    """A folder that only root may enter, in one that everybody may enter."""
    outer = pathlib.Path(tempfile.mkdtemp(prefix="farrier-closed-"))
    outer.chmod(0o755)
    inner = outer / "closed"
    inner.mkdir(mode=0o700)
    yield inner
    shutil.rmtree(outer)


@pytest.mark.root
def test_a_folder_that_the_user_of_the_workers_cannot_enter_is_named(serve, closed):
    (closed / "app.py").write_text("def application(environ, start_response):\n    pass\n")
    server = serve("app:application", "--user", "nobody", directory=closed, listening=False)
    assert server.wait_exit() == 4
    server.log.thread.join(10)
    assert server.log.find(f"app:application' that this user can read: {closed} is closed to it"), server.log.text


@pytest.mark.root
def test_an_environment_that_the_user_of_the_workers_cannot_read_is_named(serve, closed):
    """Imports fail later, and name the module alone."""
    packages = closed / "packages"
    shutil.copytree(os.path.dirname(farrier.__file__), packages / "farrier")
    start = closed.parent / "start.py"
    start.write_text(
        "import sys\nsys.path.insert(0, sys.argv.pop(1))\nfrom farrier.__main__ import main\nsys.exit(main())\n"
    )
    site = closed.parent / "site"
    site.mkdir()
    command = [sys.executable, str(start), str(packages)]
    source = "import farrier.statsd\n\n"
    server = serve(source, "--user", "nobody", directory=site, command=command, listening=False)
    server.wait_exit()
    server.log.thread.join(10)
    line = [line for line in server.log.lines if "[ERROR]" in line][-1]
    assert "The user nobody of the workers cannot read" in line
    assert "No module named 'farrier.statsd'" in line
    assert f"the installed packages: {packages} is in {closed}, which is closed to it" in line
