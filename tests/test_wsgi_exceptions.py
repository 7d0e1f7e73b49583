"""Exceptions of the application: the worker survives every kind, and no object is leaked."""

import pytest

from wire import Incomplete, until

KINDS = {
    "Exception": "raise Exception('boom')",
    "KeyError": "{}['missing']",
    "OSError": "raise OSError(5, 'boom')",
    "UnicodeDecodeError": "b'\\xff'.decode()",
    "SystemExit": "raise SystemExit",
    "SystemExit(0)": "sys.exit(0)",
    "SystemExit(3)": "sys.exit(3)",
    "SystemExit text": "sys.exit('bye')",
    "KeyboardInterrupt": "raise KeyboardInterrupt",
    "GeneratorExit": "raise GeneratorExit",
    "BaseException": "raise BaseException('boom')",
    "own BaseException": "raise Own('boom')",
    "StopIteration": "raise StopIteration",
    "StopAsyncIteration": "raise StopAsyncIteration",
    "MemoryError": "raise MemoryError",
    "RecursionError": "recurse()",
    "AssertionError": "assert False, 'boom'",
    "str that raises": "raise Unprintable",
    "surrogates": "raise ValueError('\\udcff')",
    "not an exception": "raise 5",
    "chained": "chain()",
    "BrokenPipeError": "raise BrokenPipeError('the application\\'s own')",
    "ConnectionResetError": "raise ConnectionResetError('of its database')",
    "TimeoutError": "raise TimeoutError('of its database')",
}

RAISER = """
    import os, sys

    class Own(BaseException):
        pass

    class Unprintable(Exception):
        def __str__(self):
            raise RuntimeError("no text")
        __repr__ = __str__

    def recurse():
        recurse()

    def chain():
        try:
            raise ValueError("first")
        except ValueError as error:
            raise KeyError("second") from error

    def boom():
        %s

    class Iterable:
        def __init__(self, before=(), fail_next=False, fail_close=False):
            self.before, self.fail_next, self.fail_close = iter(before), fail_next, fail_close
        def __iter__(self):
            return self
        def __next__(self):
            for item in self.before:
                return item
            if self.fail_next:
                boom()
            raise StopIteration
        def close(self):
            SEEN.append("close")
            if self.fail_close:
                boom()

    def application(environ, start_response):
        where = environ["PATH_INFO"]
        if where == "/pid":
            return answer(start_response, str(os.getpid()))
        if where == "/call":
            boom()
        start_response("200 OK", [])
        if where == "/next":
            return Iterable(fail_next=True)
        if where == "/later":
            return Iterable([b"sent"], fail_next=True)
        if where == "/close":
            return Iterable([b"whole"], fail_close=True)
"""


@pytest.mark.parametrize("code", KINDS.values(), ids=KINDS.keys())
def test_an_exception_in_the_call_is_a_500_and_the_worker_lives(host, code):
    app = host(RAISER % code)
    pid = app.get("/pid").body
    mark = app.server.log.mark()
    assert app.get("/call").status == 500
    app.server.log.wait("Traceback", since=mark)
    assert app.get("/pid").body == pid


# StopIteration from __next__ is the end of the iterable, no error.
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "StopIteration"])
def test_an_exception_in_next_is_a_500_or_a_visible_end_and_the_worker_lives(host, kind):
    app = host(RAISER % KINDS[kind])
    pid = app.get("/pid").body
    assert app.get("/next").status == 500
    with app.connect() as wire, pytest.raises(Incomplete):
        wire.request(app.message(target="/later"))
    assert app.get("/pid").body == pid
    assert app.seen() == ["close", "close"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_exception_in_close_is_logged_and_the_worker_lives(host, kind):
    app = host(RAISER % KINDS[kind])
    pid = app.get("/pid").body
    mark = app.server.log.mark()
    with app.connect() as wire:
        wire.send(app.message(target="/close"))
        try:
            assert wire.read_response().body == b"whole"
        except Incomplete:
            pass  # Whether the end of the message was sent already is the server's affair.
    app.server.log.wait("Traceback", since=mark)
    assert app.get("/pid").body == pid
    assert app.seen() == ["close"]


# `/alive` answers how many of the objects from `seen` still exist.
COUNTING = """
    import gc, sys, weakref
    gc.disable()

    class Large(list):
        pass

    def seen(*pieces):
        large = Large(pieces)
        SEEN.append(weakref.ref(large))
        return large

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/alive":
            return answer(start_response, "%d of %d" % (sum(ref() is not None for ref in SEEN), len(SEEN)))
        return respond(environ, start_response)
"""

RESPONDS = {
    "exception in the call": """
    def respond(environ, start_response):
        large = seen()
        raise ValueError("keeps the frame alive")
""",
    "exception in the generator": """
    def respond(environ, start_response):
        large = seen()
        start_response("200 OK", [])
        yield b"sent"
        raise ValueError("keeps the frame alive")
""",
    "exc_info given to start_response": """
    def respond(environ, start_response):
        large = seen()
        try:
            raise ValueError("keeps the frame alive")
        except ValueError:
            start_response("500 Own", [], sys.exc_info())
        return [b"own page"]
""",
    "environ and the iterable": """
    def respond(environ, start_response):
        environ["large"] = seen()
        start_response("200 OK", [])
        return seen(b"a", b"b")
""",
}


@pytest.mark.parametrize("responds", RESPONDS)
def test_a_requests_objects_are_released_without_the_garbage_collector(host, responds):
    app = host(COUNTING + RESPONDS[responds])
    for _ in range(3):
        try:
            app.get()
        except Incomplete:
            assert responds == "exception in the generator"
    released = b"0 of %d" % (3 * RESPONDS[responds].count("seen("))
    until(lambda: app.get("/alive").body == released, 5, "the objects to be released")


def test_wsgi_errors_has_write_writelines_and_flush_and_ends_in_the_error_log(host):
    app = host("""
        def application(environ, start_response):
            errors = environ["wsgi.errors"]
            errors.write("line one 8841\\n")
            errors.writelines(["line two 8841\\n", "line three \\u2603 8841\\n"])
            print("line four 8841", file=errors)
            errors.flush()
            return answer(start_response)
    """)
    mark = app.server.log.mark()
    assert app.get().status == 200
    app.server.log.wait("line four 8841", since=mark)
    assert [m.group(1) for m in app.server.log.find("line (one|two|three|four).* ?8841", mark)] == [
        "one",
        "two",
        "three",
        "four",
    ]


def test_an_application_that_is_no_function_works_too(serve):
    server = serve("""
        class Application:
            def __call__(self, environ, start_response):
                start_response("200 OK", [])
                return [b"instance"]

        application = Application()
    """)
    assert server.get().body == b"instance"


def test_a_class_may_be_the_application(serve):
    server = serve("""
        class application:
            def __init__(self, environ, start_response):
                self.start = start_response
            def __iter__(self):
                self.start("200 OK", [])
                yield b"class"
    """)
    assert server.get().body == b"class"


def test_after_a_fork_the_hooks_of_os_register_at_fork_ran(serve):
    server = serve(
        """
        import os
        RAN = []
        os.register_at_fork(after_in_child=lambda: RAN.append(os.getpid()))

        def application(environ, start_response):
            start_response("200 OK", [])
            return [repr(os.getpid() in RAN).encode()]
    """,
        "--preload",
    )
    assert server.get().text == "True"


def test_the_first_seat_is_the_main_thread_and_signal_may_be_used(serve):
    server = serve(
        """
        import signal, threading

        def application(environ, start_response):
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            start_response("200 OK", [])
            return [repr(threading.current_thread() is threading.main_thread()).encode()]
    """,
        "--threads",
        1,
    )
    assert server.get().text == "True"


def test_subprocesses_and_threads_work_inside_a_view(host):
    app = host("""
        import subprocess, sys, threading

        def application(environ, start_response):
            out = subprocess.run([sys.executable, "-c", "print(6 * 7)"], stdout=subprocess.PIPE, check=True).stdout
            thread = threading.Thread(target=SEEN.append, args=("thread",))
            thread.start()
            thread.join()
            return answer(start_response, out)
    """)
    assert app.get().body.strip() == b"42"
    assert app.seen() == ["thread"]
