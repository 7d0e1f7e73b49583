"""Python's loggers, logger classes and logging configurations, as used with Gunicorn."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap

import pytest

from process import Server
from wire import message, until

PLAIN = """
    def application(environ, start_response):
        if environ["PATH_INFO"] == "/raise":
            raise ValueError("broken-883")
        start_response("200 OK", [("Content-Length", "5"), ("X-Out", "out")])
        return [b"hello"]
"""

LINE = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\] \[(\d+)\] \[%s\] %s"


@pytest.fixture
def configured(serve, tmp_path):
    """Starts a server with a gunicorn.conf.py."""

    def start(configuration, application=PLAIN, *flags, **options):
        (tmp_path / "gunicorn.conf.py").write_text(textwrap.dedent(configuration))
        return serve(application, *flags, directory=tmp_path, **options)

    return start


# Plain: the loggers write to the server's own logs.


def test_an_application_may_speak_through_the_error_log(serve):
    server = serve("""
        import logging
        def application(environ, start_response):
            logging.getLogger("gunicorn.error").info("at %s", environ["PATH_INFO"])
            logging.getLogger("farrier.error").warning("by our name")
            logging.getLogger("gunicorn.error").debug("not at this level")
            logging.getLogger("gunicorn.access").info("a line of its own")
            start_response("200 OK", [])
            return [b""]
    """)
    server.get("/here")
    pid = int(server.log.wait(LINE % ("INFO", "at /here")).group(1))
    assert pid in server.workers()
    server.log.wait(LINE % ("WARNING", "by our name"))
    server.stop()
    assert not server.log.find("not at this level")
    assert server.output.lines == ["<end of the log>"], "no access log was asked for"


def test_flasks_recipe(serve):
    server = serve("""
        import logging
        from flask import Flask
        application = Flask(__name__)
        application.logger.handlers = logging.getLogger("gunicorn.error").handlers
        application.logger.setLevel(logging.getLogger("gunicorn.error").level)
        @application.get("/")
        def index():
            application.logger.info("from the view")
            return "hello"
    """)
    assert server.get().status == 200
    server.log.wait(LINE % ("INFO", "from the view"))


def test_what_an_application_logs_goes_into_the_files_and_follows_their_rotation(serve, tmp_path):
    errors, access = tmp_path / "error.log", tmp_path / "access.log"
    server = serve(
        """
        import logging
        def application(environ, start_response):
            logging.getLogger("gunicorn.error").info("at %s", environ["PATH_INFO"])
            start_response("200 OK", [])
            return [b""]
    """,
        "--error-logfile",
        errors,
        "--access-logfile",
        access,
        bind=["unix:farrier.sock"],
        listening=False,
    )
    server.addresses = [os.path.join(server.directory, "farrier.sock")]
    until(lambda: errors.exists() and "Listening at" in errors.read_text())
    server.get("/one")
    until(lambda: "INFO] at /one\n" in errors.read_text() and "/one" in access.read_text())
    errors.rename(tmp_path / "error.log.1")
    server.kill(signal.SIGUSR1)
    until(lambda: server.get("/two") and errors.exists() and "at /two" in errors.read_text())


@pytest.mark.parametrize("flags", [[], ["--preload"]])
def test_a_handler_that_the_application_attaches_gets_the_servers_lines(serve, flags):
    server = serve(
        """
        import json, logging
        class Json(logging.Handler):
            def emit(self, record):
                with open("seen", "a") as out:
                    raised = str(record.exc_info[1]) if record.exc_info else ""
                    out.write(json.dumps([record.name, record.levelname, record.getMessage(), raised]) + "\\n")
        logging.getLogger("gunicorn.error").addHandler(Json())
        logging.getLogger("farrier.access").addHandler(Json())
        def application(environ, start_response):
            if environ["PATH_INFO"] == "/raise":
                raise ValueError("broken-884")
            start_response("200 OK", [])
            return [b"hello"]
    """,
        "--access-logfile",
        "-",
        *flags,
    )
    server.get("/raise")
    server.get("/seen")
    path = os.path.join(server.directory, "seen")

    def entries():
        return [json.loads(line) for line in open(path)] if os.path.exists(path) else []

    until(lambda: ["gunicorn.error", "ERROR", "Error handling request GET /raise", "broken-884"] in entries())
    until(lambda: [e for e in entries() if e[0] == "gunicorn.access" and '"GET /seen HTTP/1.1" 200 5' in e[2]])
    # The server's own logs have them as before.
    server.log.wait("ValueError: broken-884")
    server.output.wait("GET /seen")


def test_a_handler_that_is_attached_while_serving_gets_what_follows(serve):
    server = serve("""
        import logging
        class Note(logging.Handler):
            def emit(self, record):
                with open("seen", "a") as out:
                    out.write(self.format(record))
        def application(environ, start_response):
            if environ["PATH_INFO"] == "/raise":
                raise ValueError("broken-885")
            logging.getLogger("gunicorn.error").addHandler(Note())
            start_response("200 OK", [])
            return [b"hello"]
    """)
    server.get()
    server.get("/raise")
    path = os.path.join(server.directory, "seen")
    until(lambda: os.path.exists(path) and "broken-885" in open(path).read())


def test_the_level_that_the_application_sets_holds_for_the_server(serve):
    server = serve("""
        import logging
        logging.getLogger("gunicorn.error").setLevel(logging.CRITICAL)
        def application(environ, start_response):
            start_response("200 OK", [])
            return 1
    """)
    assert server.get().status == 500
    server.stop()
    assert not server.log.find("Error handling request")


def test_djangos_way_of_disabling_existing_loggers_does_not_silence_the_server(serve):
    server = serve("""
        import logging, logging.config
        logging.config.dictConfig({"version": 1})
        def application(environ, start_response):
            logging.getLogger("gunicorn.error").info("still here")
            raise ValueError("broken-886")
    """)
    server.get()
    server.log.wait(LINE % ("INFO", "still here"))
    server.log.wait("ValueError: broken-886")


# Configurations.


def test_logconfig_dict_decides_where_lines_go(configured, tmp_path):
    server = configured(
        """
        logconfig_dict = {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"short": {"format": "%(levelname)s|%(name)s|%(message)s"}},
            "handlers": {
                "file": {"class": "logging.FileHandler", "filename": "all.log", "formatter": "short"},
            },
            "root": {"level": "INFO", "handlers": []},
            "loggers": {
                "gunicorn.error": {"level": "INFO", "handlers": ["file"], "propagate": False},
                "gunicorn.access": {"level": "INFO", "handlers": ["file"], "propagate": False},
            },
        }
        """,
        bind=["unix:farrier.sock"],
        listening=False,
    )
    server.addresses = [str(tmp_path / "farrier.sock")]
    path = tmp_path / "all.log"
    until(lambda: path.exists() and re.search(r"^INFO\|gunicorn\.error\|Listening at: unix:", path.read_text(), re.M))
    server.get("/bought")
    until(
        lambda: re.search(
            r'^INFO\|gunicorn\.access\| - - \[.*\] "GET /bought HTTP/1\.1" 200 5 ', path.read_text(), re.M
        )
    )
    server.get("/raise")
    until(lambda: "ValueError: broken-883" in path.read_text())
    path.rename(tmp_path / "all.log.1")
    server.kill(signal.SIGUSR1)
    until(lambda: server.get("/second") and path.exists() and "/second" in path.read_text())
    server.stop()
    assert "Shutting down" in path.read_text()


JSON_FORMATTER = """
    import json, logging
    class Formatter(logging.Formatter):
        def format(self, record):
            entry = {"level": record.levelname, "logger": record.name}
            if record.name == "gunicorn.access":
                entry.update(status=record.args["s"], method=record.args["m"], path=record.args["U"],
                             agent=record.args["a"], took=record.args["M"], given=record.args["{x-in}i"],
                             gave=record.args["{X-Out}o"], none=record.args["{nothing}i"], sent=record.args["B"])
            else:
                entry["message"] = record.getMessage()
            return json.dumps(entry)
"""


def write_formatter(directory):
    (directory / "jsonlog.py").write_text(textwrap.dedent(JSON_FORMATTER))


CONFIG_JSON = {
    "formatters": {"json": {"()": "jsonlog.Formatter"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stdout"},
        "error_console": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stdout"},
    },
    "loggers": {
        "gunicorn.error": {"level": "INFO", "handlers": ["error_console"], "propagate": False},
        "gunicorn.access": {"level": "INFO", "handlers": ["console"], "propagate": False},
    },
}


def entry_of(server, wanted):
    def find():
        lines = [json.loads(line) for line in server.output.text.splitlines() if line.startswith("{")]
        return [entry for entry in lines if wanted(entry)]

    return until(find)[0]


def wait_json(serve, tmp_path, *flags):
    write_formatter(tmp_path)
    server = serve(PLAIN, *flags, directory=tmp_path, bind=["unix:farrier.sock"], listening=False)
    server.addresses = [str(tmp_path / "farrier.sock")]
    entry_of(server, lambda entry: "Listening at" in entry.get("message", ""))
    return server


def test_a_json_formatter_finds_all_atoms_in_the_records_arguments(serve, tmp_path):
    (tmp_path / "log.json").write_text(json.dumps(CONFIG_JSON))
    server = wait_json(serve, tmp_path, "--log-config-json", "log.json")
    server.exchange(message(target="/a%20b", fields=[("User-Agent", 'a "b"'), ("X-In", "in")]))
    entry = entry_of(server, lambda entry: entry["logger"] == "gunicorn.access")
    assert entry.pop("took") >= 0
    assert entry == {
        "level": "INFO",
        "logger": "gunicorn.access",
        "status": "200",
        "method": "GET",
        "path": "/a b",
        "agent": 'a \\"b\\"',
        "given": "in",
        "gave": "out",
        "none": "-",
        "sent": 5,
    }


def test_logconfig_is_an_ini_file(serve, tmp_path):
    write_formatter(tmp_path)
    (tmp_path / "log.ini").write_text(
        textwrap.dedent("""
        [loggers]
        keys = root, gunicorn.error, gunicorn.access
        [handlers]
        keys = out
        [formatters]
        keys = json
        [logger_root]
        level = INFO
        handlers =
        [logger_gunicorn.error]
        level = INFO
        handlers = out
        propagate = 0
        qualname = gunicorn.error
        [logger_gunicorn.access]
        level = INFO
        handlers = out
        propagate = 0
        qualname = gunicorn.access
        [handler_out]
        class = StreamHandler
        formatter = json
        args = (sys.stdout,)
        [formatter_json]
        class = jsonlog.Formatter
    """)
    )
    server = wait_json(serve, tmp_path, "--log-config", "log.ini")
    server.get("/bought")
    assert entry_of(server, lambda entry: entry["logger"] == "gunicorn.access")["path"] == "/bought"


def refused(tmp_path, *flags):
    command = Server(tmp_path, PLAIN, flags)
    assert command.wait_exit() == 1
    command.log.thread.join(10)
    command.end()
    return command.log.text


@pytest.mark.parametrize(
    "files, flags, said",
    [
        ({}, ["--log-config", "none.ini"], r"no log config none\.ini \(logconfig\)"),
        ({}, ["--log-config-json", "none.json"], r"no log config none\.json \(logconfig_json\)"),
        (
            {"log.json": "{"},
            ["--log-config-json", "log.json"],
            r"log\.json \(logconfig_json\) cannot be read: .*line 1",
        ),
        ({"log.ini": "[loggers]\n"}, ["--log-config", "log.ini"], r"log\.ini \(logconfig\) cannot be used"),
        (
            {"gunicorn.conf.py": "logconfig_dict = {'handlers': {'a': {'class': 'nowhere.Handler'}}}\n"},
            [],
            r"logconfig_dict cannot be used: .*'a' \(.*nowhere",
        ),
        ({}, ["--logger-class", "nowhere.Logger"], r"logger_class = 'nowhere\.Logger' cannot be imported: .*nowhere"),
    ],
)
def test_a_broken_configuration_is_reported_at_the_start(tmp_path, files, flags, said):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    text = refused(tmp_path, *flags)
    assert re.search(said, text), text
    assert "Traceback" not in text


def test_a_broken_configuration_at_hup_leaves_everything_as_it_was(serve, tmp_path):
    (tmp_path / "log.json").write_text(json.dumps(CONFIG_JSON))
    server = wait_json(serve, tmp_path, "--log-config-json", "log.json")
    server.get()
    worker = server.workers()
    broken = dict(CONFIG_JSON, handlers={"console": {"class": "nowhere.Handler"}})
    (tmp_path / "log.json").write_text(json.dumps(broken))
    server.kill(signal.SIGHUP)
    entry_of(server, lambda entry: entry["level"] == "ERROR" and "nowhere" in entry["message"])
    assert server.get("/after").status == 200
    entry_of(server, lambda entry: entry.get("path") == "/after")
    assert server.workers() == worker


def test_the_configuration_is_read_again_at_hup(serve, tmp_path):
    (tmp_path / "log.json").write_text(json.dumps(CONFIG_JSON))
    server = wait_json(serve, tmp_path, "--log-config-json", "log.json")
    server.get("/before")
    entry_of(server, lambda entry: entry.get("path") == "/before")
    CHANGED = json.loads(json.dumps(CONFIG_JSON))
    CHANGED["handlers"]["console"] = {"class": "logging.FileHandler", "filename": "access.log"}
    (tmp_path / "log.json").write_text(json.dumps(CHANGED))
    server.kill(signal.SIGHUP)
    path = tmp_path / "access.log"
    until(lambda: server.get("/after").status == 200 and path.exists() and "/after" in path.read_text())


def test_level_and_file_of_the_plain_log_change_at_hup(configured, tmp_path):
    server = configured('loglevel = "info"\n')
    (tmp_path / "gunicorn.conf.py").write_text('loglevel = "debug"\nerrorlog = "late.log"\naccesslog = "access.log"\n')
    server.kill(signal.SIGHUP)
    access = tmp_path / "access.log"
    until(lambda: server.get("/after").status == 200 and access.exists() and "/after" in access.read_text())
    server.get("/raise")
    until(lambda: "broken-883" in (tmp_path / "late.log").read_text())


# Logger classes.


def test_a_logger_class_may_add_a_filter(configured):
    server = configured(
        """
        import logging
        from gunicorn import glogging
        accesslog = "-"
        class NoHealth(logging.Filter):
            def filter(self, record):
                return "/health" not in record.getMessage()
        class Logger(glogging.Logger):
            def setup(self, cfg):
                super().setup(cfg)
                self.access_log.addFilter(NoHealth())
        logger_class = Logger
        """
    )
    server.get("/health")
    server.get("/bought")
    server.output.wait(r'^127\.0\.0\.1 - - \[.*\] "GET /bought HTTP/1\.1" 200 5 "-" "-"$')
    assert not server.output.find("/health")


def test_a_logger_class_with_an_access_of_its_own_is_called_with_the_right_objects(configured):
    server = configured(
        """
        import json
        from datetime import timedelta
        from gunicorn.glogging import Logger
        class Json(Logger):
            def access(self, resp, req, environ, request_time):
                assert isinstance(request_time, timedelta)
                self.access_log.info(json.dumps({
                    "status": resp.status, "code": resp.status_code, "sent": resp.sent, "method": req.method,
                    "path": req.path, "query": req.query, "fields": dict(req.headers)["X-IN"],
                    "gave": dict(resp.headers)["X-Out"], "agent": environ["HTTP_USER_AGENT"],
                }))
        logger_class = Json
        accesslog = "-"
        """
    )
    server.exchange(message(target="/a?b=c", fields=[("X-In", "in"), ("User-Agent", 'u"x')]))
    assert json.loads(server.output.wait("^{.*}$").group(0)) == {
        "status": "200 OK",
        "code": 200,
        "sent": 5,
        "method": "GET",
        "path": "/a",
        "query": "b=c",
        "fields": "in",
        "gave": "out",
        "agent": 'u"x',
    }


def test_a_logger_class_may_add_atoms(configured):
    server = configured(
        """
        from gunicorn.glogging import Logger
        class Own(Logger):
            def atoms(self, resp, req, environ, request_time):
                atoms = super().atoms(resp, req, environ, request_time)
                atoms["id"] = environ["HTTP_X_IN"].upper()
                return atoms
        logger_class = Own
        accesslog = "-"
        access_log_format = "%(id)s %(s)s %(U)s %(b)s %(nothing)s"
        """
    )
    server.exchange(message(fields=[("X-In", "in")]))
    server.output.wait("^IN 200 / 5 -$")


def test_a_logger_class_may_format_the_servers_lines(configured):
    server = configured(
        """
        from gunicorn.glogging import Logger
        class Own(Logger):
            def info(self, msg, *args, **kwargs):
                super().info("<" + msg + ">", *args, **kwargs)
        logger_class = Own
        """,
        listening=False,
    )
    server.log.wait(LINE % ("INFO", "<Listening at: .*>"))


def test_environ_entries_of_the_application_are_atoms(serve):
    server = serve(
        """
        def application(environ, start_response):
            environ["shop.user"] = 'anna "a"'
            start_response("200 OK", [])
            return [b""]
    """,
        "--access-logfile",
        "-",
        "--access-logformat",
        "%({shop.user}e)s %({request_method}e)s %({none}e)s",
    )
    server.get()
    server.output.wait(r'^anna \\"a\\" GET -$')


# Captured output.

PRINTING = """
    import os, sys
    print("while importing")
    def application(environ, start_response):
        print("printed")
        print("complained", file=sys.stderr)
        os.write(1, b"from below\\n")
        os.system("echo from a child")
        start_response("200 OK", [])
        return [b""]
"""


def test_captured_output_is_in_the_error_log(serve, tmp_path):
    path = tmp_path / "error.log"
    flags = ["--capture-output", "--error-logfile", path, "--access-logfile", "-"]
    server = serve(PRINTING, *flags, bind=["unix:farrier.sock"], listening=False, environment={"PYTHONUNBUFFERED": ""})
    server.addresses = [os.path.join(server.directory, "farrier.sock")]
    until(lambda: path.exists() and "Listening at" in path.read_text())
    server.get("/bought")
    words = ["while importing", "printed", "complained", "from below", "from a child"]
    until(lambda: not [word for word in words if "\n%s\n" % word not in path.read_text()])
    server.output.wait("GET /bought")
    path.rename(tmp_path / "error.log.1")
    server.kill(signal.SIGUSR1)
    until(lambda: server.get("/second") and path.exists() and "from below" in path.read_text())
    server.stop()
    assert not server.output.find("printed") and "GET /bought" not in path.read_text()


def test_output_is_not_captured_by_default(serve, tmp_path):
    path = tmp_path / "error.log"
    server = serve(PRINTING, "--error-logfile", path, bind=["unix:farrier.sock"], listening=False)
    server.addresses = [os.path.join(server.directory, "farrier.sock")]
    until(lambda: path.exists() and "Listening at" in path.read_text())
    server.get()
    server.output.wait("printed")
    assert "printed" not in path.read_text()


def test_no_file_is_created_unless_asked(serve, tmp_path):
    server = serve(PLAIN, "--access-logfile", "-", directory=tmp_path)
    server.get()
    server.kill(signal.SIGUSR1)
    assert server.get("/raise").status == 500
    assert os.listdir(tmp_path) == ["app.py"]


def test_the_time_is_local_with_its_offset_as_gunicorns(serve):
    server = serve(PLAIN, "--access-logfile", "-", environment={"TZ": "Asia/Kolkata"})
    server.get()
    assert server.log.find(r"^\[[^]]+ \+0530\] .* Listening at")
    server.output.wait(r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0530\]")


def test_the_access_line_is_byte_for_byte_gunicorns(serve):
    formats = {
        "default": '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"',
        "timed": '%(t)s %(h)s "%(r)s" %(s)s %(b)s %({x-forwarded-for}i)s %({x-out}o)s',
        "json": '{"m": "%(m)s", "path": "%(U)s", "q": "%(q)s", "status": "%(s)s", "b": %(B)s, "ua": "%(a)s"}',
        "environ": "%({raw_uri}e)s %({server_protocol}e)s %(H)s %(l)s %(zz)s %(b)8s|%(B)08d|%(m)-6s|",
    }
    raw = message(
        target="/a%20b/caf%C3%A9?c=d&e",
        fields=[("User-Agent", 'say "hi" (x)'), ("X-Forwarded-For", "10.0.0.1"), ("X-Forwarded-For", "10.0.0.2")],
    )
    lines = {}
    for name, form in formats.items():
        server = serve(PLAIN, "--access-logfile", "-", "--access-logformat", form)
        server.exchange(raw)
        lines[name] = re.sub(r"\[\d\d/.*?\]", "[T]", server.output.wait(".+").group(0))
    # Taken from Gunicorn 26.2 for the same requests.
    assert lines == {
        "default": '127.0.0.1 - - [T] "GET /a%20b/caf%C3%A9?c=d&e HTTP/1.1" 200 5 "-" "say \\"hi\\" (x)"',
        "timed": '[T] 127.0.0.1 "GET /a%20b/caf%C3%A9?c=d&e HTTP/1.1" 200 5 10.0.0.2 out',
        "json": '{"m": "GET", "path": "/a b/cafÃ©", "q": "c=d&e", "status": "200", "b": 5, "ua": "say \\"hi\\" (x)"}',
        "environ": "/a%20b/caf%C3%A9?c=d&e HTTP/1.1 HTTP/1.1 - -        5|00000005|GET   |",
    }


def test_the_classes_have_gunicorns_module_paths():
    source = """
        import gunicorn.glogging, gunicorn.instrument.statsd, farrier.glogging, farrier.statsd
        assert issubclass(gunicorn.instrument.statsd.Statsd, gunicorn.glogging.Logger)
        for name in ("atoms", "access", "now", "reopen_files", "close_on_exec", "_get_user", "_set_handler"):
            assert callable(getattr(gunicorn.glogging.Logger, name))
    """
    subprocess.run(
        [sys.executable, "-c", "import farrier._shims as s; s.install()\n" + textwrap.dedent(source)], check=True
    )
