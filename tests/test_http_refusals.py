"""Refused requests: the status, the closed connection, and no further byte parsed (RFC 9112 §2.2, §11.2)."""

import itertools
import random

import pytest

from refusals import REFUSED, SERVED
from wire import message

NUMBERS = itertools.count()

RECORDER = """
    def application(environ, start_response):
        if environ["PATH_INFO"] != "/record":
            CALLS.append(environ["PATH_INFO"])
            environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return ["\\n".join(CALLS).encode()]

    CALLS = []
"""


@pytest.fixture(scope="module")
def recorder(serve_module):
    return serve_module(RECORDER)


def calls(server):
    """Paths for which the application was called."""
    return server.get("/record").text.split("\n")


def whole(raw, _):
    return [raw]


def byte_by_byte(raw, _):
    # A long run of equal bytes is sent as it is: its splits are all the same.
    edge = raw[:400], raw[400:-400], raw[-400:]
    if len(raw) > 1000:
        return [bytes([b]) for b in edge[0]] + [edge[1]] + [bytes([b]) for b in edge[2]]
    return [bytes([b]) for b in raw]


def random_splits(raw, seed):
    random_ = random.Random(seed)
    cuts = sorted(random_.randrange(len(raw) + 1) for _ in range(random_.randrange(1, 8)))
    return [piece for piece in (raw[a:b] for a, b in zip([0] + cuts, cuts + [len(raw)])) if piece]


DELIVERIES = [("whole", whole, 0), ("byte by byte", byte_by_byte, 0)] + [
    ("split %d" % seed, random_splits, seed) for seed in range(3)
]


@pytest.mark.parametrize("sentence, raw, status", REFUSED, ids=[row[0].replace("\x00", "NUL") for row in REFUSED])
def test_refused(recorder, sentence, raw, status):
    statuses = status if isinstance(status, tuple) else (status,)
    for how, deliver, seed in DELIVERIES:
        path = b"/broken%d" % next(NUMBERS)
        after = "/after%d" % next(NUMBERS)
        request = raw.replace(b"@", path, 1) + message(target=after)
        with recorder.connect() as wire:
            wire.send_anyway(*deliver(request, seed))
            response = wire.read_response()
            assert response.status in statuses, (how, response)
            assert response.closes, (how, response)
            assert response.value("Date"), how
            assert 0 < len(response.body) < 4096, how
            wire.assert_closed()
        seen = calls(recorder)
        assert after not in seen, how
        assert not [call for call in seen if call.startswith(path.decode())], how


@pytest.mark.parametrize("sentence, raw", SERVED, ids=[row[0] for row in SERVED])
def test_served(recorder, sentence, raw):
    for how, deliver, seed in DELIVERIES:
        path, after = b"/odd%d" % next(NUMBERS), "/after%d" % next(NUMBERS)
        with recorder.connect() as wire:
            wire.send(*deliver(raw.replace(b"@", path, 1) + message(target=after), seed))
            first, second = wire.read_response(), wire.read_response()
            assert (first.status, second.status) == (200, 200), (how, first)
        seen = calls(recorder)
        assert [call for call in seen if call.startswith(path.decode())] and after in seen, how


def test_a_refused_request_gets_one_answer_however_much_is_pipelined_behind_it(recorder):
    with recorder.connect() as wire:
        wire.send_anyway(message(target="/good") + b"GET / HTTP/1.1\r\n\r\n" + message(target="/never-parsed") * 50)
        assert wire.read_response().status == 200
        assert wire.read_response().status == 400
        wire.assert_closed()
    assert "/never-parsed" not in calls(recorder)


def test_the_field_bomb_takes_linear_time(recorder):
    """CVE-2020-5236: no pattern of white space makes parsing explode. The deadline of the wire is the limit."""
    value = b"\x01" + b" " * 7000 + b"\x01"
    with recorder.connect() as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + value + b"\r\n\r\n")
        assert wire.read_response().status == 400


def test_options_asterisk_is_answered_by_the_server(recorder):
    """RFC 9110 §9.3.7: it asks about the server. An application would take `*` for a path."""
    with recorder.connect() as wire:
        assert wire.request(message("OPTIONS", "*")).status == 204
        assert wire.request(message("OPTIONS", "*", body=b"content")).status == 204
        assert wire.request(message("GET", "/after")).status == 200
    assert calls(recorder)[-1:] == ["/after"]


def test_bounds_are_settings(serve):
    server = serve(
        RECORDER,
        "--limit-request-line",
        100,
        "--limit-request-fields",
        5,
        "--limit-request-field-size",
        200,
        "--limit-request-head",
        500,
        "--limit-request-body",
        1000,
    )
    rows = [
        (message(target="/" + "a" * 80), 200),
        (message(target="/" + "a" * 100), 414),
        (message(fields=[("X", "y")] * 4), 200),
        (message(fields=[("X", "y")] * 5), 431),
        (message(fields=[("X", "y" * 190)]), 200),
        (message(fields=[("X", "y" * 210)]), 431),
        (message(fields=[("X", "y" * 190)] * 3), 431),
        (message("POST", body=b"x" * 1000), 200),
        (message("POST", body=b"x" * 1001), 413),
    ]
    for raw, status in rows:
        with server.connect() as wire:
            wire.send_anyway(raw)
            assert wire.read_response().status == status, raw


def test_garbage_of_every_kind_never_brings_the_server_down(recorder):
    random_ = random.Random(20261122)
    corpus = [row[1].replace(b"@", b"/fuzz") for row in REFUSED + SERVED if len(row[1]) < 500]
    for _ in range(150):
        raw = bytearray(random_.choice(corpus) + random_.choice(corpus))
        for _ in range(random_.randrange(1, 5)):
            where = random_.randrange(len(raw))
            choice = random_.randrange(3)
            if choice == 0:
                raw[where] = random_.randrange(256)
            elif choice == 1:
                del raw[where : where + random_.randrange(1, 9)]
            else:
                raw[where:where] = random_.choice([b"\r\n", b"\n", b"\x00", b" ", b":", b"0", b"\xff"])
            if not raw:
                break
        with recorder.connect() as wire:
            wire.send_anyway(bytes(raw))
            try:
                wire.half_close()
            except OSError:
                pass
            answered = 0
            while wire._more() or wire.pending:
                # Every answer is well-formed.
                response = wire.read_response(head_only=False) if wire.pending else None
                if response is None:
                    break
                assert response.status in (100, 200, 400, 408, 413, 414, 417, 431, 501, 505), response
                answered += 1
                assert answered < 10
    assert recorder.get("/record").status == 200
