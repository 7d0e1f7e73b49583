"""The iterable that an application returns: its kinds, its single close(), and messages that fail half-way."""

import pytest

from wire import Incomplete, until


@pytest.mark.parametrize(
    "expression, body",
    [
        ("[b'a', b'b']", b"ab"),
        ("(b'a', b'b')", b"ab"),
        ("[]", b""),
        ("(part for part in (b'a', b'b'))", b"ab"),
        ("iter([b'a', b'b'])", b"ab"),
        ("map(bytes, [b'a', b'b'])", b"ab"),
        ("{b'a': 1}", b"a"),
        ("Sequence()", b"ab"),
        ("Custom()", b"ab"),
        ("environ['wsgi.file_wrapper'](io.BytesIO(b'ab'))", b"ab"),
        ("io.BytesIO(b'ab')", b"ab"),
        ("[b'', b'a', b'', b'', b'b', b'']", b"ab"),
        ("[b'x' * 1000000, b'y']", b"x" * 1000000 + b"y"),
    ],
)
def test_any_iterable_of_bytes_is_a_body(host, expression, body):
    app = host(
        """
        import io

        class Sequence:
            def __getitem__(self, index):
                return [b"a", b"b"][index]

        class Custom:
            def __iter__(self):
                yield b"a"
                yield b"b"

        def application(environ, start_response):
            start_response("200 OK", [])
            return %s
    """
        % expression
    )
    with app.connect() as wire:
        assert wire.request(app.message()).body == body
        # The framing was right: the same connection serves the next request.
        assert wire.request(app.message()).body == body


@pytest.mark.parametrize(
    "expression",
    [
        "['text']",
        "(t for t in ['text'])",
        "'text'",
        "b'bytes'",
        "[None]",
        "[5]",
        "[bytearray(b'x')]",
        "[memoryview(b'x')]",
        "None",
        "5",
    ],
)
def test_an_item_that_is_not_bytes_is_an_error_with_a_clear_message(host, expression):
    app = host(
        """
        def application(environ, start_response):
            start_response("200 OK", [])
            return %s
    """
        % expression
    )
    mark = app.server.log.mark()
    assert app.get().status == 500
    app.server.log.wait(r"bytes|iterable", since=mark)


def test_an_item_that_is_not_bytes_breaks_off_a_message_that_has_begun(host):
    app = host("""
        def application(environ, start_response):
            start_response("200 OK", [])
            yield b"sent"
            yield "text"
    """)
    with app.connect() as wire, pytest.raises(Incomplete):
        wire.request(app.message())


@pytest.mark.parametrize(
    "expression, length", [("[b'12345']", "5"), ("(b'12345',)", "5"), ("[b'']", "0"), ("[]", "0"), ("One()", "5")]
)
def test_a_length_of_one_gives_a_content_length(host, expression, length):
    app = host(
        """
        class One:
            def __len__(self):
                return 1
            def __iter__(self):
                return iter([b"12345"])

        def application(environ, start_response):
            start_response("200 OK", [])
            return %s
    """
        % expression
    )
    response = app.get()
    assert (response.value("Content-Length"), response.value("Transfer-Encoding")) == (length, None)


@pytest.mark.parametrize(
    "claim, items", [(1, "[b'ab', b'cd']"), (1, "[]"), (0, "[b'ab']"), (5, "[b'ab']"), (-1, "[b'ab']")]
)
def test_a_wrong_len_never_yields_a_message_that_can_be_misread(host, claim, items):
    app = host(
        """
        class Liar:
            def __len__(self):
                return %d
            def __iter__(self):
                return iter(%s)

        def application(environ, start_response):
            start_response("200 OK", [])
            return Liar()
    """
        % (claim, items)
    )
    with app.connect() as wire:
        try:
            response = wire.request(app.message())
        except Incomplete:
            return
        # PEP 3333: the server may rely on len(). A body cut by it is the application's fault, broken framing would be ours.
        assert response.status == 500 or b"".join(eval(items)).startswith(response.body)
        if response.closes:
            wire.assert_closed()
        else:
            assert wire.request(app.message()).status in (200, 500)


COUNTING = """
    class Counting:
        def __init__(self, items):
            self.items = iter(items)
        def __iter__(self):
            return self
        def __next__(self):
            item = next(self.items)
            if isinstance(item, BaseException):
                raise item
            return item
        def close(self):
            SEEN.append("close")

    def application(environ, start_response):
        %s
"""


@pytest.mark.parametrize(
    "how, code, method, status",
    [
        ("on the normal end", "start_response('200 OK', []); return Counting([b'a', b'b'])", "GET", 200),
        ("of an empty body", "start_response('200 OK', []); return Counting([])", "GET", 200),
        ("on an error in the first next", "start_response('200 OK', []); return Counting([ValueError()])", "GET", 500),
        ("on an item that is no bytes", "start_response('200 OK', []); return Counting(['text'])", "GET", 500),
        ("on HEAD", "start_response('200 OK', []); return Counting([b'a', b'b'])", "HEAD", 200),
        ("on 204", "start_response('204 No Content', []); return Counting([b'a'])", "GET", 204),
        ("on 304", "start_response('304 Not Modified', []); return Counting([b'a'])", "GET", 304),
        ("when start_response was never called", "return Counting([b'a'])", "GET", 500),
        (
            "when the length was exceeded",
            "start_response('200 OK', [('Content-Length', '1')]); return Counting([b'abc', b'd'])",
            "GET",
            200,
        ),
    ],
)
def test_close_is_called_exactly_once(host, how, code, method, status):
    app = host(COUNTING % code)
    assert app.request(method).status == status
    app.wait_seen("close")
    assert app.seen() == ["close"]


@pytest.mark.parametrize(
    "code",
    [
        "start_response('200 OK', []); return Counting([b'sent', ValueError()])",
        "start_response('200 OK', [('Content-Length', '9')]); return Counting([b'sent'])",
        "start_response('200 OK', [('Content-Length', '9')]); return Counting([b'sent', ValueError()])",
    ],
)
def test_close_is_called_exactly_once_when_the_message_breaks_off(host, code):
    app = host(COUNTING % code)
    with app.connect() as wire, pytest.raises(Incomplete):
        wire.request(app.message())
    app.wait_seen("close")
    assert app.seen() == ["close"]


def test_close_of_a_generator_runs_its_finally(host):
    app = host("""
        def application(environ, start_response):
            try:
                start_response("200 OK", [("Content-Length", "1")])
                yield b"a"
                yield b"b"
                yield b"c"
            finally:
                SEEN.append("finally")
    """)
    assert app.get().body == b"a"
    app.wait_seen("finally")


@pytest.mark.parametrize("leave", ["close", "reset"])
def test_when_the_client_left_the_iterator_is_closed_and_not_advanced_any_more(host, leave):
    app = host("""
        class Endless:
            count = 0
            def __iter__(self):
                return self
            def __next__(self):
                Endless.count += 1
                if Endless.count > 5000:
                    raise StopIteration
                return b"x" * 65536
            def close(self):
                SEEN.append(Endless.count)

        def application(environ, start_response):
            if environ["PATH_INFO"] == "/count":
                return answer(start_response, str(Endless.count))
            start_response("200 OK", [])
            return Endless()
    """)
    wire = app.connect(receive_buffer=65536)
    wire.send(app.message())
    wire.read_head()
    getattr(wire, leave)()
    until(lambda: app.seen(), what="close() after the client left")
    assert len(app.seen()) == 1 and app.seen()[0] < 5000
    assert int(app.get("/count").body) == app.seen()[0]


@pytest.mark.parametrize(
    "where", ["raise ValueError('marker-5512')", "start_response('200 OK', []); raise ValueError('marker-5512')"]
)
def test_an_exception_before_the_head_was_sent_is_a_500_and_a_traceback_in_the_log(host, where):
    app = host(
        """
        def application(environ, start_response):
            %s
    """
        % where
    )
    mark = app.server.log.mark()
    response = app.get("/failing?secret")
    assert response.status == 500 and b"marker-5512" not in response.body
    app.server.log.wait("Traceback", since=mark)
    app.server.log.wait("ValueError: marker-5512", since=mark)
    app.server.log.wait("in application", since=mark)


@pytest.mark.parametrize("fields, body", [("[]", b"4\r\nsent\r\n"), ("[('Content-Length', '100')]", b"sent")])
def test_an_exception_after_the_head_leaves_the_message_visibly_incomplete(host, fields, body):
    app = host(
        """
        def application(environ, start_response):
            start_response("200 OK", %s)
            yield b"sent"
            raise ValueError("late")
    """
        % fields
    )
    mark = app.server.log.mark()
    with app.connect() as wire:
        with pytest.raises(Incomplete) as incomplete:
            wire.request(app.message())
        assert incomplete.value.received.endswith(body)
    app.server.log.wait("ValueError: late", since=mark)


def test_more_bytes_than_content_length_are_cut_and_logged(host):
    app = host("""
        def application(environ, start_response):
            start_response("200 OK", [("Content-Length", "5")])
            return [b"1234", b"5678", b"9"]
    """)
    mark = app.server.log.mark()
    with app.connect() as wire:
        response = wire.request(app.message())
        assert response.body == b"12345"
        if response.closes:
            wire.assert_closed()
        else:
            assert wire.request(app.message()).body == b"12345"
    app.server.log.wait("(?i)content-length|more bytes|too much|too many", since=mark)


def test_more_bytes_than_content_length_in_one_item_are_cut_too(host):
    app = host("""
        def application(environ, start_response):
            start_response("200 OK", [("Content-Length", "5")])
            return [b"123456789"]
    """)
    with app.connect() as wire:
        wire.send(app.message())
        assert wire.read_response().body == b"12345"
        assert wire.pending == b""


@pytest.mark.parametrize("items", ["[b'1234']", "[b'12', b'34']", "[]", "[b'']", "iter([b'1234'])"])
def test_fewer_bytes_than_content_length_close_the_connection(host, items):
    app = host(
        """
        def application(environ, start_response):
            start_response("200 OK", [("Content-Length", "5")])
            return %s
    """
        % items
    )
    with app.connect() as wire:
        wire.send(app.message())
        try:
            response = wire.read_response()
        except Incomplete:
            return
        # Known before the head was sent: a 500 is as good.
        assert response.status == 500


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("body", ["[b'body']", "[]", "iter([b'body', b'more'])"])
def test_204_and_304_send_no_body(host, status, body):
    app = host(
        """
        def application(environ, start_response):
            start_response(%r, [])
            return %s
    """
        % (status, body)
    )
    with app.connect() as wire:
        for _ in range(2):
            response = wire.request(app.message())
            assert response.status == int(status[:3])
            assert response.value("Transfer-Encoding") is None and wire.pending == b""


@pytest.mark.parametrize(
    "fields, body, length",
    [
        ("[]", "[b'12345']", "5"),
        ("[('Content-Length', '5')]", "[b'12345']", "5"),
        ("[('Content-Length', '5')]", "[]", "5"),
        ("[('Content-Length', '5000000')]", "iter([])", "5000000"),
        ("[]", "iter([b'12', b'345'])", None),
    ],
)
def test_head_sends_no_body_and_the_framing_field_of_get_or_none(host, fields, body, length):
    app = host(
        """
        def application(environ, start_response):
            start_response("200 OK", %s)
            return %s
    """
        % (fields, body)
    )
    with app.connect() as wire:
        for _ in range(2):
            response = wire.request(app.message("HEAD"), head_only=True)
            assert response.status == 200 and response.value("Content-Length") == length
            assert wire.pending == b""


def test_write_on_head_sends_no_body(host):
    app = host("""
        def application(environ, start_response):
            write = start_response("200 OK", [("Content-Length", "4")])
            write(b"body")
            return []
    """)
    with app.connect() as wire:
        for _ in range(2):
            assert wire.request(app.message("HEAD"), head_only=True).value("Content-Length") == "4"
            assert wire.pending == b""


@pytest.mark.parametrize("where", ["__iter__", "__next__"])
def test_a_close_that_fails_after_its_iterable_has_failed_is_logged_beside_it(host, where):
    """PEP 3333: close() is called after an error too. Its own error must not disappear behind the first one."""
    app = host(
        """
        class Broken:
            def fails(self):
                raise ValueError("first-7730")
            def __iter__(self):
                return self
            def __next__(self):
                return b""
            %s = fails
            def close(self):
                raise OSError("second-7731")

        def application(environ, start_response):
            start_response("200 OK", [])
            return Broken()
    """
        % where
    )
    mark = app.server.log.mark()
    assert app.get().status == 500
    app.server.log.wait("OSError: second-7731", since=mark)
    app.server.log.wait("ValueError: first-7730", since=mark)
    app.server.log.wait(r"Error in close\(\) of the application's iterable, after the error that follows", since=mark)


def test_a_close_that_fails_after_its_client_has_left_is_logged(host):
    app = host("""
        class Endless:
            def __iter__(self):
                return self
            def __next__(self):
                return b"x" * 65536
            def close(self):
                raise OSError("late-7732")

        def application(environ, start_response):
            start_response("200 OK", [])
            return Endless()
    """)
    mark = app.server.log.mark()
    wire = app.connect(receive_buffer=65536)
    wire.send(app.message())
    wire.read_head()
    wire.reset()
    app.server.log.wait(r"close\(\) of the application's iterable, after its client had left", since=mark)
    app.server.log.wait("OSError: late-7732", since=mark)
