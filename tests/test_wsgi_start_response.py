"""start_response and write (PEP 3333, "The start_response() Callable"): when it may be called, with what, and what it refuses."""

import pytest

from wire import Incomplete


def test_it_may_be_called_as_late_as_in_the_first_next(host):
    app = host("""
        def application(environ, start_response):
            start_response("202 Later", [("X-Late", "1")])
            yield b"body"
    """)
    response = app.get()
    assert (response.status, response.reason, response.value("X-Late"), response.body) == (202, "Later", "1", b"body")


def test_empty_chunks_may_come_before_it_is_called(host):
    app = host("""
        def application(environ, start_response):
            yield b""
            yield b""
            start_response("200 OK", [])
            yield b"body"
    """)
    response = app.get()
    assert (response.status, response.body) == (200, b"body")


def test_a_non_empty_chunk_before_it_was_called_is_a_500(host):
    app = host("""
        def application(environ, start_response):
            yield b"too early"
            start_response("200 OK", [])
    """)
    response = app.get()
    assert response.status == 500 and b"too early" not in response.body


def test_an_application_that_never_calls_it_gets_a_500_and_its_iterable_is_closed(host):
    app = host("""
        class Iterable:
            def __iter__(self):
                return iter([])
            def close(self):
                SEEN.append("closed")

        def application(environ, start_response):
            return Iterable()
    """)
    assert app.get().status == 500
    assert app.seen() == ["closed"]


def test_a_second_call_without_exc_info_raises_in_the_application(host):
    app = host("""
        def application(environ, start_response):
            start_response("200 First", [("X-First", "1")])
            try:
                start_response("500 Second", [("X-Second", "1")])
            except Exception as error:
                SEEN.append("raised")
            return [b"first"]
    """)
    response = app.get()
    assert (response.status, response.value("X-Second"), response.body) == (200, None, b"first")
    assert app.seen() == ["raised"]


def test_exc_info_of_none_is_no_exc_info(host):
    app = host("""
        def application(environ, start_response):
            start_response("200 First", [], None)
            try:
                start_response("500 Second", [], None)
            except Exception as error:
                SEEN.append("raised")
            return [b"first"]
    """)
    assert app.get().status == 200
    assert app.seen() == ["raised"]


@pytest.mark.parametrize("before", ["", "yield b''"])
def test_with_exc_info_it_replaces_the_whole_head_if_nothing_was_sent(host, before):
    app = host(
        """
        import sys

        def application(environ, start_response):
            start_response("200 OK", [("X-First", "1"), ("Content-Length", "999")])
            %s
            try:
                raise ValueError("replaced")
            except ValueError:
                start_response("503 Replaced", [("X-Second", "2")], sys.exc_info())
            yield b"error page"
    """
        % before
    )
    response = app.get()
    assert (response.status, response.reason, response.body) == (503, "Replaced", b"error page")
    assert (response.value("X-First"), response.value("X-Second")) == (None, "2")


def test_with_exc_info_it_raises_that_exception_again_if_the_head_was_sent(host):
    app = host("""
        import sys

        class Particular(Exception):
            pass

        def application(environ, start_response):
            start_response("200 OK", [])
            yield b"sent"
            try:
                raise Particular("late")
            except Particular:
                info = sys.exc_info()
            try:
                start_response("500 Late", [], info)
            except Particular as error:
                SEEN.append(["same", error is info[1], error.__traceback__ is not None])
                raise
            finally:
                info = None
            SEEN.append("not raised")
    """)
    with app.connect() as wire, pytest.raises(Incomplete) as incomplete:
        wire.request(app.message())
    assert b"sent" in incomplete.value.received and b"Late" not in incomplete.value.received
    assert app.seen() == [["same", True, True]]


def test_write_sends_before_the_iterable_and_at_once(host):
    app = host("""
        def application(environ, start_response):
            write = start_response("200 OK", [])
            write(b"one ")
            write(b"")
            write(b"two ")
            EVENT.wait(20)
            return [b"three"]
    """)
    with app.connect() as wire:
        wire.send(app.message())
        wire.read_head()
        got = b""
        while got != b"one two ":
            got += wire.read_chunk()
        app.release()
        assert wire.read_chunk() == b"three"
        assert wire.read_chunk() == b""


def test_write_of_anything_but_bytes_raises(host):
    app = host("""
        def application(environ, start_response):
            write = start_response("200 OK", [])
            for wrong in ("text", 5, None, [b"x"]):
                try:
                    write(wrong)
                except Exception:
                    SEEN.append("raised")
            return [b"fine"]
    """)
    assert app.get().body == b"fine"
    assert app.seen() == ["raised"] * 4


def test_write_with_a_content_length_needs_no_chunks(host):
    app = host("""
        def application(environ, start_response):
            write = start_response("200 OK", [("Content-Length", "6")])
            write(b"abc")
            write(b"def")
            return []
    """)
    response = app.get()
    assert (response.body, response.chunks, response.value("Content-Length")) == (b"abcdef", None, "6")


def test_the_head_leaves_with_the_first_non_empty_chunk_and_not_before(host):
    app = host("""
        def application(environ, start_response):
            start_response("200 OK", [])
            yield b""
            SEEN.append("blocked")
            EVENT.wait(20)
            yield b"first"
    """)
    with app.connect() as wire:
        wire.send(app.message())
        app.wait_seen("blocked")
        wire.assert_silent(0.2)
        app.release()
        assert wire.read_response().body == b"first"


BAD_STATUSES = [
    "''",
    "'20 OK'",
    "'2000 OK'",
    "'abc OK'",
    "'099 Low'",
    "'200OK'",
    "' 200 OK'",
    "'-20 OK'",
    "'2 0 OK'",
    "'\\u0662\\u0660\\u0660 OK'",
    "'200 OK\\r\\nX-Injected: 1'",
    "'200 OK\\n'",
    "'200 OK\\r'",
    "'200 O\\x00K'",
    "'200 O\\x7fK'",
    "'200 \\u2603'",
    "b'200 OK'",
    "200",
    "None",
]


@pytest.mark.parametrize("status", BAD_STATUSES)
def test_a_status_that_is_not_ddd_reason_raises(host, status):
    app = host(
        """
        def application(environ, start_response):
            try:
                start_response(%s, [("Content-Type", "text/plain")])
            except Exception:
                SEEN.append("raised")
                raise
            return [b"accepted"]
    """
        % status
    )
    response = app.get()
    assert response.status == 500 and response.value("X-Injected") is None
    assert app.seen() == ["raised"]


@pytest.mark.parametrize("status", ["200 OK", "999 Highest", "299 Some Words, \xe9", "404 Not Found"])
def test_a_valid_status_is_sent_unchanged(host, status):
    app = host(
        """
        def application(environ, start_response):
            return answer(start_response, b"x", %r)
    """
        % status
    )
    response = app.get()
    assert "%d %s" % (response.status, response.reason) == status


BAD_FIELDS = [
    ("''", "'v'"),
    ("'X Y'", "'v'"),
    ("'X:'", "'v'"),
    ("'X\\n'", "'v'"),
    ("'X\\x00'", "'v'"),
    ("'X-\\xe9'", "'v'"),
    ("b'X'", "'v'"),
    ("None", "'v'"),
    ("'X'", "'secret-7141\\r\\nX-Injected: 1'"),
    ("'X'", "'secret-7141\\nX-Injected: 1'"),
    ("'X'", "'secret-7141\\r'"),
    ("'X'", "'secret-7141\\x00'"),
    ("'X'", "'secret-7141\\u2603'"),
    ("'X'", "b'secret-7141'"),
    ("'X'", "5"),
    ("'X'", "None"),
]


@pytest.mark.parametrize("name, value", BAD_FIELDS)
def test_a_field_that_is_not_token_and_plain_value_raises_and_its_value_is_not_logged(host, name, value):
    app = host(
        """
        def application(environ, start_response):
            fields = [("Content-Type", "text/plain"), (%s, %s)]
            try:
                start_response("200 OK", fields)
            except Exception:
                SEEN.append("raised")
                fields = None
                raise
            return [b"accepted"]
    """
        % (name, value)
    )
    mark = app.server.log.mark()
    response = app.get()
    assert response.status == 500 and response.value("X-Injected") is None
    assert app.seen() == ["raised"]
    # The source line of the traceback is the application's own; the server's message must not repeat the value.
    assert not [m for m in app.server.log.find("secret-7141", mark) if "fields = [" not in m.string]


@pytest.mark.parametrize("length", ["-1", "+5", "0x5", "5_0", "5, 5", "", "five", "99999999999999999999999999"])
def test_a_content_length_that_is_not_digits_is_refused(host, length):
    app = host(
        """
        def application(environ, start_response):
            start_response("200 OK", [("Content-Length", %r)])
            return [b"12345"]
    """
        % length
    )
    assert app.get().status == 500


def test_two_different_content_lengths_are_refused(host):
    app = host("""
        def application(environ, start_response):
            start_response("200 OK", [("Content-Length", "5"), ("content-length", "6")])
            return [b"12345"]
    """)
    assert app.get().status == 500


def test_the_field_list_may_be_changed_afterwards_without_effect(host):
    app = host("""
        def application(environ, start_response):
            fields = [("X-Kept", "1")]
            start_response("200 OK", fields)
            fields[0] = ("X-Kept", "2")
            fields.append(("X-Late", "1"))
            return [b"body"]
    """)
    response = app.get()
    assert (response.value("X-Kept"), response.value("X-Late")) == ("1", None)


def test_fields_keep_their_order_case_and_repetition(host):
    app = host("""
        def application(environ, start_response):
            start_response("200 OK", [("X-b", "1"), ("Set-Cookie", "a=1"), ("X-A", "\\xe9"), ("Set-Cookie", "b=2"), ("X-Empty", "")])
            return [b"body"]
    """)
    own = [field for field in app.get().fields if field[0].startswith("X-") or field[0] == "Set-Cookie"]
    assert own == [("X-b", "1"), ("Set-Cookie", "a=1"), ("X-A", "\xe9"), ("Set-Cookie", "b=2"), ("X-Empty", "")]


@pytest.mark.parametrize(
    "call",
    [
        "start_response()",
        "start_response('200 OK')",
        "start_response('200 OK', [], None, 1)",
        "start_response('200 OK', [('only-one',)])",
        "start_response('200 OK', [None])",
        "start_response('200 OK', 5)",
        "start_response('200 OK', {'A': 'b'})",
    ],
)
def test_a_call_of_the_wrong_shape_raises(host, call):
    app = host(
        """
        def application(environ, start_response):
            try:
                %s
            except Exception:
                SEEN.append("raised")
                raise
            return [b"accepted"]
    """
        % call
    )
    assert app.get().status == 500
    assert app.seen() == ["raised"]


def test_an_exc_info_that_calls_start_response_again_hangs_nothing(host):
    """Its lock must not be held while code of the application's runs: that code would wait for itself."""
    app = host("""
        def application(environ, start_response):
            class Reentrant:
                def __getitem__(self, index):
                    try:
                        start_response("500 Inner", [], (None, ValueError("inner"), None))
                    except ValueError:
                        SEEN.append("inner raised")
                    return ValueError("outer")

            start_response("200 OK", [])
            yield b"sent"
            try:
                start_response("500 Outer", [], Reentrant())
            except ValueError as error:
                SEEN.append(str(error))
    """)
    assert app.get().body == b"sent"
    assert app.seen() == ["inner raised", "outer"]


def test_a_name_that_calls_start_response_again_hangs_nothing(host):
    app = host("""
        def application(environ, start_response):
            class Name(str):
                def __str__(self):
                    start_response("200 OK", [])
                    return "never asked"

            try:
                start_response("200 OK", [(Name("X-A"), 5)])
            except TypeError as error:
                SEEN.append("X-A" in error.args[0])
            return answer(start_response, b"body")
    """)
    assert app.get().body == b"body"
    assert app.seen() == [True]
