"""Preload: a template imports the application and forks the workers; a reload imports it again in another template."""

import os
import signal

import pytest

from load import Load
from wire import until

APPLICATION = """
    import gc, os

    os.write(2, b"imported in %d\\n" % os.getpid())
    FORKS = []
    os.register_at_fork(after_in_child=lambda: FORKS.append(os.getpid()))

    def application(environ, start_response):
        answers = {
            "/pid": os.getpid(),
            "/parent": os.getppid(),
            "/frozen": gc.get_freeze_count(),
            "/forks": len(FORKS),
            "/last-fork": FORKS[-1],
        }
        body = str(answers.get(environ["PATH_INFO"], "generation 1")).encode()
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]
"""


def imported_in(server):
    return [int(match.group(1)) for match in server.log.find(r"imported in (\d+)")]


def settled(server, workers):
    """Waits until that many workers serve, with one living template beside them."""
    until(lambda: len(server.workers()) == workers, 30, "%d workers" % workers)
    until(lambda: len(living_templates(server)) == 1, 30, "one template")


def living_templates(server):
    living = {pid for pid, _, state in server.processes() if state != "Z"}
    return [pid for pid in server.templates() if pid in living]


def test_preload_imports_once_in_a_template_and_freezes(serve):
    server = serve(APPLICATION, "--preload", "--workers", 3)
    assert int(server.get("/frozen").text) > 0
    server.wait_booted(3)
    settled(server, 3)
    assert imported_in(server) == living_templates(server)
    assert server.pid not in imported_in(server)


def test_workers_of_a_template_are_the_arbiters_children(serve):
    server = serve(APPLICATION, "--preload")
    assert int(server.get("/parent").text) == server.pid
    until(lambda: not [entry for entry in server.processes() if entry[2] == "Z"], what="nobody to be a zombie")


def test_at_fork_handlers_run_once_in_a_worker(serve):
    server = serve(APPLICATION, "--preload")
    assert server.get("/forks").text == "1"
    assert server.get("/last-fork").text == server.get("/pid").text


@pytest.mark.parametrize("workers", [1, 4])
def test_hup_imports_the_new_code_and_the_old_template_leaves(serve, workers):
    server = serve(APPLICATION, "--preload", "--workers", workers)
    server.wait_booted(workers)
    settled(server, workers)
    (old,) = living_templates(server)
    with Load(server, 4) as load:
        for generation in (2, 3):
            until(lambda: load.answered > 50 * generation, what="some load")
            server.write("app.py", APPLICATION.replace("generation 1", "generation %d" % generation))
            server.kill(signal.SIGHUP)
            until(lambda: load.bodies[b"generation %d" % generation] > 20, 30, "answers of generation %d" % generation)
            server.log.wait("Reloaded: generation %d serves" % generation, timeout=30)
    assert load.failures == []
    settled(server, workers)
    assert living_templates(server) != [old]
    assert server.get().text == "generation 3"


def test_hup_with_code_that_cannot_be_imported_leaves_template_and_workers_as_they_are(serve):
    server = serve(APPLICATION, "--preload", "--workers", 2)
    server.wait_booted(2)
    settled(server, 2)
    workers, templates = set(server.workers()), living_templates(server)
    with Load(server, 4) as load:
        server.write("app.py", "import os\nraise RuntimeError('broken-881')\n")
        server.kill(signal.SIGHUP)
        server.log.wait("Traceback")
        server.log.wait(r"\[ERROR\] .*could not be loaded: RuntimeError: broken-881")
        server.log.wait("Reload abandoned")
        until(lambda: living_templates(server) == templates, 30, "the new template to leave")
        assert set(server.workers()) == workers
        # The old template stays too: it replaces a worker, with the old code.
        server.kill(signal.SIGKILL, sorted(workers)[0])
        server.wait_booted(3)
        until(lambda: len(server.workers()) == 2, 30, "the successor")
    assert [failure for failure in load.failures if "Incomplete" not in failure and "reset" not in failure] == []
    assert set(load.bodies) == {b"generation 1"}


def test_a_template_that_is_killed_is_made_again_and_the_workers_live_on(serve):
    server = serve(APPLICATION, "--preload", "--workers", 2)
    server.wait_booted(2)
    settled(server, 2)
    workers, (template,) = set(server.workers()), living_templates(server)
    with Load(server, 4) as load:
        server.kill(signal.SIGKILL, template)
        server.log.wait(r"Template \(pid:%d\) was sent SIGKILL" % template)
        server.log.wait("Preloaded the application", count=2)
        until(lambda: load.answered > 200, what="answers")
    assert load.failures == [] and set(server.workers()) == workers
    settled(server, 2)
    assert living_templates(server) != [template]
    server.kill(signal.SIGKILL, sorted(workers)[0])
    server.wait_booted(3)
    settled(server, 2)
    assert server.get("/forks").text == "1"
    until(lambda: not [entry for entry in server.processes() if entry[2] == "Z"], what="zombies to be reaped")


def test_threads_of_a_preloaded_application_are_warned_of_once(serve):
    server = serve(
        """
        import threading, time

        threading.Thread(target=time.sleep, args=(1000,), name="reporter-7", daemon=True).start()

        def application(environ, start_response):
            start_response("200 OK", [])
            return [b"%d" % threading.active_count()]
        """,
        "--preload",
        "--workers",
        3,
    )
    server.wait_booted(3)
    assert server.get().status == 200
    assert len(server.log.find(r"\[WARNING\] .*threads.*reporter-7")) == 1


def test_a_terminals_interrupt_to_all_processes_ends_the_server_in_order(serve):
    server = serve(APPLICATION, "--preload", "--workers", 2)
    server.wait_booted(2)
    settled(server, 2)
    os.killpg(server.pid, signal.SIGINT)
    assert server.wait_exit() == 0
    assert not server.log.find("Template .* was sent"), server.log.text


def test_the_time_from_fork_to_ready_is_in_the_log(serve):
    server = serve(APPLICATION, "--preload", "--log-level", "debug")
    server.wait_booted(1)
    server.log.wait(r"\[DEBUG\] Worker \(pid:%s\): \d+ ms from fork to ready" % server.get("/pid").text)
