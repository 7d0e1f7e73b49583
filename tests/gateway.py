"""The web server's side of uwsgi, FastCGI and the PROXY protocol, byte by byte, and requests as web servers translate
them."""

import socket
import struct

PARAMS, STDIN, STDOUT, END_REQUEST = 4, 5, 6, 3
BEGIN, ABORT, GET_VALUES, GET_VALUES_RESULT, UNKNOWN_TYPE = 1, 2, 9, 10, 11
COMPLETE, CANNOT_MULTIPLEX, OVERLOADED, UNKNOWN_ROLE = 0, 1, 2, 3


def variables(method="GET", target="/", body=None, fields=(), **more):
    """The variables that nginx's `uwsgi_params` make of a request."""
    path, _, query = target.partition("?")
    told = {
        "QUERY_STRING": query,
        "REQUEST_METHOD": method,
        "CONTENT_TYPE": "",
        "CONTENT_LENGTH": "" if body is None else str(len(body)),
        "REQUEST_URI": target,
        "PATH_INFO": path,
        "DOCUMENT_ROOT": "/usr/share/nginx/html",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REQUEST_SCHEME": "http",
        "REMOTE_ADDR": "192.0.2.7",
        "REMOTE_PORT": "50000",
        "SERVER_PORT": "80",
        "SERVER_NAME": "example.test",
        "HTTP_HOST": "example.test",
    }
    told.update(more)
    told.update(("HTTP_" + name.upper().replace("-", "_"), value) for name, value in fields)
    return {name: value for name, value in told.items() if value is not None}


def packet(told, modifier=0):
    """A uwsgi packet."""
    texts = [text.encode("latin-1") for pair in told.items() for text in pair]
    block = b"".join(struct.pack("<H", len(text)) + text for text in texts)
    return struct.pack("<BHB", modifier, len(block), 0) + block


def uwsgi(method="GET", target="/", body=None, **more):
    """A whole uwsgi request."""
    return packet(variables(method, target, body, **more)) + (body or b"")


def record(kind, request_id=1, content=b"", padding=0):
    """A FastCGI record."""
    return struct.pack(">BBHHBB", 1, kind, request_id, len(content), padding, 0) + content + b"\0" * padding


def pairs(told):
    """FastCGI's name-value pairs."""
    out = b""
    for name, value in told.items():
        name, value = name.encode("latin-1"), value.encode("latin-1")
        for text in (name, value):
            out += bytes([len(text)]) if len(text) < 128 else struct.pack(">I", len(text) | 0x80000000)
        out += name + value
    return out


def begin(request_id=1, role=1, keep=False):
    """The record that begins a FastCGI request."""
    return record(BEGIN, request_id, struct.pack(">HB5x", role, keep))


def stream(kind, content, request_id=1, most=65535, padding=0):
    """Content as the records of a stream, with its end."""
    pieces = [content[at : at + most] for at in range(0, len(content), most)]
    return b"".join(record(kind, request_id, piece, padding) for piece in pieces) + record(kind, request_id)


def fastcgi(method="GET", target="/", body=None, request_id=1, keep=False, **more):
    """A whole FastCGI request."""
    told = pairs(variables(method, target, body, **more))
    return begin(request_id, keep=keep) + stream(PARAMS, told, request_id) + stream(STDIN, body or b"", request_id)


class Answered:
    """A FastCGI answer: status, fields and content of its stream, and how the request ended."""

    def __init__(self, output, end, records):
        head, _, self.body = output.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        assert lines[0].startswith("Status: "), lines
        self.status = int(lines[0][8:11])
        self.fields = [tuple(line.split(": ", 1)) for line in lines[1:]]
        self.end = end
        self.records = records


class Records:
    """A web server's FastCGI connection."""

    def __init__(self, address, timeout=15):
        self.socket = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.socket.settimeout(timeout)
        self.socket.connect(address)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def send(self, *pieces):
        """Sends each piece with a separate call."""
        for piece in pieces:
            self.socket.sendall(piece)

    def read(self):
        """The next record as (kind, id, content); None at the connection's end."""
        head = self.file.read(8)
        if not head:
            return None
        version, kind, request_id, length, padding = struct.unpack(">BBHHBx", head)
        assert version == 1
        content = self.file.read(length)
        assert len(content) == length and len(self.file.read(padding)) == padding, "the connection ended in a record"
        return kind, request_id, content

    def answer(self, request_id=1):
        """The answer to one request."""
        output, records = b"", []
        while True:
            found = self.read()
            assert found is not None, "the connection ended before the request did; so far: %r" % output
            records.append(found)
            kind, of, content = found
            assert of == request_id, found
            if kind == END_REQUEST:
                status, protocol_status = struct.unpack(">IB3x", content)
                return Answered(output, (status, protocol_status), records)
            assert kind == STDOUT, found
            output += content

    def ask(self, *arguments, **more):
        """One request and its answer."""
        self.send(fastcgi(*arguments, **more))
        return self.answer(more.get("request_id", 1))

    def is_open(self):
        """Whether the connection is open; does not wait."""
        self.socket.settimeout(0.2)
        try:
            return self.socket.recv(1, socket.MSG_PEEK) != b""
        except socket.timeout:
            return True
        finally:
            self.socket.settimeout(15)
