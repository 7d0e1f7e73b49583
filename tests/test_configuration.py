"""Settings: which source wins, how errors are reported, and the output of the command line."""

import os
import re
import subprocess
import sys

import pytest

from process import COMMAND, run_alone

APPLICATION = "def application(e, s):\n    s('200 OK', [])\n    return [b'x']\n"


@pytest.fixture
def run(tmp_path):
    """Runs the command to its end in an empty directory with an application: `run("--flag", settings=..., WORKERS=...)`."""
    (tmp_path / "app.py").write_text(APPLICATION)

    def run(*arguments, settings=None, command=None, **variables):
        if settings is not None:
            (tmp_path / "farrier.toml").write_text(settings)
        return run_alone(tmp_path, *arguments, command=command, **variables)

    return run


def printed(result, name):
    """(value, source) of a setting in the output of --print-config."""
    assert result.returncode == 0, result.stderr
    (line,) = [line for line in result.stdout.splitlines() if line.startswith(name + " ")]
    value, _, source = line.partition("#")
    return value.partition("=")[2].strip(), source.strip()


def test_the_layers_win_in_the_order_default_platform_file_environment_flag(run):
    assert printed(run("--print-config", "app:application"), "workers") == ("1", "default")
    assert printed(run("--print-config", "app:application", WEB_CONCURRENCY="2"), "workers") == (
        "2",
        "environment WEB_CONCURRENCY",
    )
    assert printed(
        run("--print-config", "app:application", settings="workers = 3\n", WEB_CONCURRENCY="2"), "workers"
    ) == ("3", "farrier.toml:1")
    result = run("--print-config", "app:application", FARRIER_WORKERS="4", WEB_CONCURRENCY="2")
    assert printed(result, "workers") == ("4", "environment FARRIER_WORKERS")
    result = run("--print-config", "--workers", "5", "app:application", FARRIER_WORKERS="4")
    assert printed(result, "workers") == ("5", "command line --workers")


def test_the_file_is_used_by_the_server_and_not_only_printed(serve):
    server = serve(APPLICATION, settings='server_header = "from the file"\n')
    assert server.get().value("Server") == "from the file"
    server = serve(
        APPLICATION,
        settings='server_header = "from the file"\n',
        environment={"FARRIER_SERVER_HEADER": "from the environment"},
    )
    assert server.get().value("Server") == "from the environment"
    server = serve(APPLICATION, "--server-header", "from the flag", environment={"FARRIER_SERVER_HEADER": "x"})
    assert server.get().value("Server") == "from the flag"


def test_everything_may_stand_in_the_file(run, tmp_path):
    printed_config = run("--print-config", "app:application").stdout
    assert run("--print-config", settings=printed_config).returncode == 0


def test_another_file_may_be_named(run, tmp_path):
    (tmp_path / "other.toml").write_text("threads = 7\n")
    assert printed(run("-c", "other.toml", "--print-config", "app:application"), "threads") == ("7", "other.toml:1")
    result = run("-c", "missing.toml", "--print-config", "app:application")
    assert result.returncode != 0 and "missing.toml" in result.stderr


@pytest.mark.parametrize(
    "flag, meant",
    [
        ("--wrokers", "--workers"),
        ("--thraeds", "--threads"),
        ("--keepalive-timeout", "--keep"),
        ("--acces-logfile", "--access-logfile"),
    ],
)
def test_an_unknown_flag_is_refused_with_the_flag_that_was_meant(run, flag, meant):
    result = run(flag, "2", "app:application")
    assert result.returncode not in (0, 3) and flag in result.stderr and meant in result.stderr
    assert "Traceback" not in result.stderr and "panicked" not in result.stderr


@pytest.mark.parametrize(
    "settings, words",
    [
        ('workers = 2\nthreads = "many"\n', ["farrier.toml:2", "threads", "many"]),
        ("threads = 0\n", ["farrier.toml:1", "threads"]),
        ('bind = "nowhere:port"\n', ["farrier.toml:1", "bind"]),
        ("\n\nwrokers = 2\n", ["farrier.toml:3", "wrokers", "workers"]),
        ("workers = \n", ["farrier.toml:1"]),
        ('keepalive = "soon"\n', ["farrier.toml:1", "keepalive", "soon"]),
    ],
)
def test_a_bad_value_names_file_line_and_setting(run, settings, words):
    result = run("--check-config", "app:application", settings=settings)
    assert result.returncode not in (0, 3)
    for word in words:
        assert word in result.stderr, (word, result.stderr)
    assert "Traceback" not in result.stderr and "panicked" not in result.stderr


def test_a_bad_value_on_the_command_line_or_in_a_variable_names_it(run):
    result = run("--threads", "many", "app:application")
    assert result.returncode not in (0, 3) and "--threads" in result.stderr and "many" in result.stderr
    result = run("app:application", FARRIER_THREADS="many")
    assert result.returncode not in (0, 3) and "FARRIER_THREADS" in result.stderr
    result = run("app:application", FARRIER_WROKERS="2")
    assert result.returncode not in (0, 3) and "FARRIER_WROKERS" in result.stderr


def test_all_errors_are_reported_at_once(run):
    result = run("--threads", "many", "app:application", settings="workers = -1\n", FARRIER_KEEPALIVE="soon")
    for word in ("--threads", "farrier.toml:1", "FARRIER_KEEPALIVE"):
        assert word in result.stderr


def test_check_config_reports_whether_settings_and_application_load(run, tmp_path):
    assert run("--check-config", "app:application").returncode == 0
    (tmp_path / "broken.py").write_text("raise RuntimeError('broken-773')\n")
    result = run("--check-config", "broken:application")
    assert result.returncode not in (0,) and "broken-773" in result.stderr
    assert run("--check-config", "missing:application").returncode != 0
    (tmp_path / "app.py").unlink()
    assert run("--check-config").returncode != 0


def test_without_a_name_the_application_is_found_in_the_usual_places(run, tmp_path):
    assert run("--check-config").returncode == 0
    (tmp_path / "app.py").rename(tmp_path / "other.py")
    assert run("--check-config").returncode != 0


def test_without_an_application_the_error_says_what_is_missing(run, tmp_path):
    (tmp_path / "app.py").unlink()
    result = run()
    assert result.returncode != 0 and "application" in result.stderr
    assert "Traceback" not in result.stderr and "panicked" not in result.stderr


def test_help_is_readable(run):
    result = run("--help")
    assert result.returncode == 0 and "Usage" in result.stdout
    for flag in (
        "--bind",
        "--workers",
        "--threads",
        "--keep-alive",
        "--graceful-timeout",
        "--access-logfile",
        "--preload",
        "--chdir",
    ):
        assert flag in result.stdout, flag
    assert max(map(len, result.stdout.splitlines())) <= 100


def test_help_survives_a_reader_that_left(tmp_path):
    process = subprocess.Popen(COMMAND + ["--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path)
    process.stdout.close()
    errors = process.stderr.read()
    process.wait(20)
    process.stderr.close()
    assert b"panicked" not in errors and b"Traceback" not in errors


def test_version(run):
    result = run("--version")
    assert result.returncode == 0 and re.fullmatch(r"farrier \(version \d+\.\d+\.\d+\)\n", result.stdout)


def test_python_m_farrier_is_the_same_command(run):
    module = [sys.executable, "-m", "farrier"]
    assert run("--version", command=module).stdout == run("--version").stdout
    assert run("--check-config", "app:application", command=module).returncode == 0


def test_chdir_and_pythonpath(serve, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "lib").mkdir()
    (tmp_path / "site" / "mysite.py").write_text(
        "import os, mylib\ndef application(e, s):\n    s('200 OK', [])\n    return [os.getcwd().encode(), mylib.WORD]\n"
    )
    (tmp_path / "lib" / "mylib.py").write_text("WORD = b' from lib'\n")
    server = serve("mysite:application", "--chdir", tmp_path / "site", "--pythonpath", tmp_path / "lib")
    assert server.get().text == "%s from lib" % (tmp_path / "site").resolve()


def test_the_present_folder_is_importable(serve):
    assert serve(APPLICATION).get().body == b"x"


@pytest.mark.parametrize(
    "name",
    ["app", "app:application", "app:holder.inner", "app:create()", "app:create('made')", "app:create(word='made')"],
)
def test_forms_of_the_applications_name(serve, tmp_path, name):
    (tmp_path / "app.py").write_text(
        APPLICATION + "class holder:\n    inner = staticmethod(application)\n"
        "def create(word=None):\n    return application\n"
    )
    assert serve(name, directory=tmp_path).get().body == b"x"


def test_raw_env_reaches_the_application(serve):
    server = serve(
        """
        import os
        WORD = os.environ.get("MY_WORD")
        def application(environ, start_response):
            start_response("200 OK", [])
            return [repr((WORD, os.environ.get("MY_OTHER"))).encode()]
    """,
        "--raw-env",
        "MY_WORD=a=b",
        "--env",
        "MY_OTHER=c d",
    )
    assert server.get().text == "('a=b', 'c d')"


def test_workers_auto_is_one_per_core_that_may_be_used(serve):
    from wire import until

    server = serve(APPLICATION, "--workers", "auto")
    assert server.get().status == 200
    until(lambda: len(server.workers()) == len(os.sched_getaffinity(0)), what="a worker per core")
