"""Fixtures: servers that are started for a test or a module and must end cleanly; a skip is a failure when CI=true.

Run it against the installed package: `pip install . && pip install -r tests/requirements.txt && pytest tests -n 4`.
"""

import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from certificates import Authority  # noqa: E402
from collectors import Collector  # noqa: E402
from hosting import Host  # noqa: E402
from process import Server  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "root: needs to be root (mounts a file system)")
    config.addinivalue_line("markers", "chromium: needs the browser")


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("root") and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    # An expected failure is reported as skipped.
    failed = report.failed or (report.skipped and hasattr(report, "wasxfail"))
    item.stash[FAILED] = item.stash.get(FAILED, False) or failed
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = "skipped although CI=true: %s" % (report.longrepr,)
    # Adds the server's log to the report of a failure.
    if report.failed:
        for server in STARTED:
            report.sections.append(("log of the server %d" % server.pid, server.log.text[-8000:]))


STARTED = []
FAILED = pytest.StashKey()


def _factory(directory_of):
    started = []

    def start(application, *flags, listening=True, **options):
        server = Server(options.pop("directory", None) or directory_of(), application, flags, **options)
        started.append(server)
        STARTED.append(server)
        return server.wait_listening() if listening else server

    def stop(after_failure=False):
        failures = []
        for server in started:
            try:
                # Servers of a failed test need not end cleanly.
                server.end() if after_failure else server.stop()
            except AssertionError as failure:
                failures.append(str(failure))
            finally:
                STARTED.remove(server)
        if failures:
            pytest.fail("\n".join(failures), pytrace=False)

    return start, stop


@pytest.fixture
def serve(request, tmp_path_factory):
    """Starts servers: `serve(source, "--threads", 1)`. Each gets its own directory, and all must end cleanly."""
    start, stop = _factory(lambda: tmp_path_factory.mktemp("server"))
    yield start
    stop(after_failure=request.node.stash.get(FAILED, False))


@pytest.fixture(scope="module")
def serve_module(tmp_path_factory):
    """The same for servers that the tests of one module share."""
    start, stop = _factory(lambda: tmp_path_factory.mktemp("server"))
    yield start
    stop()


@pytest.fixture(scope="module")
def host(serve_module, tmp_path_factory):
    """A server with default settings shared by a module: `app = host(source)`."""
    directory = tmp_path_factory.mktemp("hosted")
    return host_on(serve_module, directory)


def host_on(start, directory, *flags, **options):
    """A hosting server with its own settings."""
    server = start(
        "host:application",
        "--pythonpath",
        os.path.join(HERE, "applications"),
        *flags,
        environment=dict(options.pop("environment", {}), HOSTED_APPLICATIONS=str(directory)),
        **options,
    )
    return Host(server, directory)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """An authority whose certificates the tests of one module share."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def collect():
    """Opens sockets that collect a server's messages: `collect(kind=socket.SOCK_STREAM)`."""
    opened = []

    def open_one(**options):
        opened.append(Collector(**options))
        return opened[-1]

    yield open_one
    for collector in opened:
        collector.close()
