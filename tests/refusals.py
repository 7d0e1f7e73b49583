"""The table of refused requests: a description, the bytes, the status (RFC 9110, RFC 9112). `@` stands for a unique
path.

Each row is one broken request. What follows it on the connection must never be parsed.
"""

H = b"Host: a\r\n"
POST = b"POST @ HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


def get(fields, host=H):
    """A GET with more field lines."""
    return b"GET @ HTTP/1.1\r\n" + host + fields + b"\r\n"


REQUEST_LINE = [
    ("two spaces after the method", b"GET  @ HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("two spaces before the version", b"GET @  HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("a tab for a space", b"GET\t@ HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("a vertical tab for a space", b"GET\x0b@ HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("white space before the method", b" GET @ HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("white space after the version", b"GET @ HTTP/1.1 \r\n" + H + b"\r\n", 400),
    ("no target", b"GET HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("an empty target", b"GET  HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("no version", b"GET @\r\n" + H + b"\r\n", 400),
    ("a space in the target", b"GET @/a b HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("the version in lower case", b"GET @ http/1.1\r\n" + H + b"\r\n", 400),
    ("another protocol", b"GET @ ICE/1.1\r\n" + H + b"\r\n", 400),
    ("no minor version", b"GET @ HTTP/1\r\n" + H + b"\r\n", 400),
    ("a minor version of two digits", b"GET @ HTTP/1.10\r\n" + H + b"\r\n", 400),
    ("a version with a comma", b"GET @ HTTP/1,1\r\n" + H + b"\r\n", 400),
    ("a NUL in the target", b"GET @/\x00 HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("a control byte in the target", b"GET @/\x01 HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("a DEL in the target", b"GET @/\x7f HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("a byte above 127 in the target", b"GET @/\xe9 HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("UTF-8 in the target", b"GET @/\xc3\xa9 HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("two leading empty lines", b"\r\n\r\nGET @ HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("the first bytes of a TLS handshake", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    ("an HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 505)),
    ("a relative target", b"GET a@ HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("a query without a path", b"GET ?q HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("an authority without CONNECT", b"GET a:80 HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("an asterisk without OPTIONS", b"GET * HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("CONNECT", b"CONNECT a:80 HTTP/1.1\r\n" + H + b"\r\n", 501),
    ("a path with CONNECT", b"CONNECT @ HTTP/1.1\r\n" + H + b"\r\n", 501),
    ("an absolute target of another scheme", b"GET ftp://a@ HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("an absolute target without authority", b"GET http://@ HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("a fragment in the target", b"GET @#part HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("two Content-Type fields", get(b"Content-Type: a/b\r\nContent-Type: a/c\r\n"), 400),
    ("a method in lower case", b"get @ HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("a method that is no token", b"G(T @ HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("a method with a byte above 127", b"G\xcbT @ HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("a method of 21 bytes", b"A" * 21 + b" @ HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("version 2.0", b"GET @ HTTP/2.0\r\n" + H + b"\r\n", 505),
    ("version 0.9", b"GET @ HTTP/0.9\r\n" + H + b"\r\n", 505),
    ("version 3.0", b"GET @ HTTP/3.0\r\n" + H + b"\r\n", 505),
    ("a request line above its bound", b"GET @/" + b"a" * 9000 + b" HTTP/1.1\r\n" + H + b"\r\n", 414),
    ("a request line far above its bound, without an end", b"GET @/" + b"a" * 100000, 414),
]

LINE_ENDS = [
    ("a bare LF after the request line", b"GET @ HTTP/1.1\n" + H + b"\r\n", 400),
    ("a bare LF after a field", b"GET @ HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400),
    ("a bare LF as the empty line", b"GET @ HTTP/1.1\r\nHost: a\r\n\n", 400),
    ("bare LFs everywhere", b"GET @ HTTP/1.1\nHost: a\n\n", 400),
    ("a bare CR after the request line", b"GET @ HTTP/1.1\rHost: a\r\n\r\n", 400),
    ("a bare CR after a field", b"GET @ HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", 400),
    ("a bare CR in a value", get(b"X: a\rb\r\n"), 400),
    ("CR CR LF", b"GET @ HTTP/1.1\r\nHost: a\r\r\n\r\n", 400),
    ("a bare LF after a chunk size", CHUNKED + b"3\nabc\r\n0\r\n\r\n", 400),
    ("a bare LF after a chunk", CHUNKED + b"3\r\nabc\n0\r\n\r\n", 400),
    ("a bare LF after the last chunk", CHUNKED + b"3\r\nabc\r\n0\n\r\n", 400),
    ("a bare LF as the end of the trailer section", CHUNKED + b"0\r\nX-T: 1\r\n\n", 400),
    ("a bare LF after a trailer", CHUNKED + b"0\r\nX-T: 1\n\r\n", 400),
    ("a bare CR after a chunk size", CHUNKED + b"3\rabc\r\n0\r\n\r\n", 400),
    ("a bare LF in a chunk extension", CHUNKED + b"3;a\nb\r\nabc\r\n0\r\n\r\n", 400),
    ("a bare CR in a chunk extension", CHUNKED + b"3;a\rb\r\nabc\r\n0\r\n\r\n", 400),
]

FIELDS = [
    ("a space before the colon", get(b"X : y\r\n"), 400),
    ("a tab before the colon", get(b"X\t: y\r\n"), 400),
    ("a space in a name", get(b"X Y: z\r\n"), 400),
    ("an empty name", get(b": z\r\n"), 400),
    ("no colon", get(b"nonsense\r\n"), 400),
    ("a name with a byte above 127", get(b"X-\xe9: y\r\n"), 400),
    ("a name with a slash", get(b"X/Y: z\r\n"), 400),
    ("a name in quotes", get(b'"X": z\r\n'), 400),
    ("a NUL in a name", get(b"X\x00: z\r\n"), 400),
    ("obs-fold with a space", get(b"X: y\r\n z\r\n"), 400),
    ("obs-fold with a tab", get(b"X: y\r\n\tz\r\n"), 400),
    ("a folded first field", b"GET @ HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    ("a NUL in a value", get(b"X: a\x00b\r\n"), 400),
    ("a control byte in a value", get(b"X: a\x01b\r\n"), 400),
    ("an escape in a value", get(b"X: \x1b[31m\r\n"), 400),
    ("a vertical tab in a value", get(b"X: a\x0bb\r\n"), 400),
    ("a DEL in a value", get(b"X: a\x7fb\r\n"), 400),
    ("no Host on HTTP/1.1", get(b"X: y\r\n", host=b""), 400),
    ("two Hosts", get(b"Host: b\r\n"), 400),
    ("the same Host twice", get(b"Host: a\r\n"), 400),
    ("two Hosts on HTTP/1.0", b"GET @ HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ("a Host with a space", get(b"", host=b"Host: a b\r\n"), 400),
    # An http URI without a host is invalid (RFC 9110 §4.2.1), so no client has a reason to send this.
    ("an empty Host", get(b"", host=b"Host:\r\n"), 400),
    ("a Host with a slash", get(b"", host=b"Host: a/b\r\n"), 400),
    ("a Host with user information", get(b"", host=b"Host: user@a\r\n"), 400),
    ("a Host list", get(b"", host=b"Host: a, b\r\n"), 400),
    ("a Host with a port that is no number", get(b"", host=b"Host: a:b\r\n"), 400),
    ("a Host with a broken IPv6 address", get(b"", host=b"Host: [::1\r\n"), 400),
    ("a Host with a byte above 127", get(b"", host=b"Host: \xe9\r\n"), 400),
    ("an absolute target whose authority is not the Host", b"GET http://b@ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a field line above its bound", get(b"X: " + b"y" * 9000 + b"\r\n"), 431),
    ("more fields than allowed", get(b"".join(b"X-%d: y\r\n" % number for number in range(101))), 431),
    ("a head above its bound", get(b"".join(b"X-%d: %s\r\n" % (number, b"y" * 8000) for number in range(9))), 431),
    ("an endless field line", b"GET @ HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 200000, 431),
    ("an endless head", b"GET @ HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 20000, 431),
]

BAD_LENGTHS = [
    b"+5",
    b"-5",
    b"0x5",
    b"5_0",
    b"5, 5",
    b"5,5",
    b"5 5",
    b"",
    b"five",
    b"5.0",
    b"1e1",
    b"\xb2",
    b"5;",
    b"99999999999999999999",
    b"18446744073709551616",
    b"0b101",
    b"5\x0c",
    b'"5"',
]
LENGTHS = [
    ("Content-Length %r" % value.decode("latin-1"), POST + b"Content-Length: " + value + b"\r\n\r\nabcde", 400)
    for value in BAD_LENGTHS
] + [
    ("Content-Length twice, equal", POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde", 400),
    ("Content-Length twice, different", POST + b"Content-Length: 5\r\nContent-Length: 3\r\n\r\nabcde", 400),
    ("Content-Length first zero, then not", POST + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\nabcde", 400),
    (
        "Content-Length on HTTP/1.0 twice",
        b"POST @ HTTP/1.0\r\nContent-Length: 5\r\nContent-Length: 4\r\n\r\nabcde",
        400,
    ),
    ("Content-Length above the bound of the body", POST + b"Content-Length: 10485761\r\n\r\n", 413),
]

CODINGS = [
    (
        "Transfer-Encoding with Content-Length",
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "Content-Length after Transfer-Encoding",
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "Transfer-Encoding on HTTP/1.0",
        b"POST @ HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    ("chunked twice in one field", POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    (
        "chunked twice in two fields",
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    ("chunked not last", POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", (400, 501)),
    ("identity", POST + b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n", (400, 501)),
    ("chunked, identity", POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", (400, 501)),
    ("an empty coding", POST + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n", 400),
    ("an unknown coding", POST + b"Transfer-Encoding: fancy\r\n\r\n0\r\n\r\n", (400, 501)),
    ("an unknown coding before chunked", POST + b"Transfer-Encoding: fancy, chunked\r\n\r\n0\r\n\r\n", 501),
    ("gzip before chunked", POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    ("chunked in quotes", POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', (400, 501)),
    ("chunked with a suffix", POST + b"Transfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n", (400, 501)),
    ("chunked with a parameter", POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", (400, 501)),
    ("chunked after a vertical tab", POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    ("chunked before a form feed", POST + b"Transfer-Encoding: chunked\x0c\r\n\r\n0\r\n\r\n", 400),
    ("chunked after a no-break space", POST + b"Transfer-Encoding: \xa0chunked\r\n\r\n0\r\n\r\n", (400, 501)),
    ("xchunked", POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", (400, 501)),
    ("Transfer-Encoding with a space before the colon", POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding folded", POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
]

BAD_SIZES = [
    b"",
    b"g",
    b"0x3",
    b"+3",
    b"-3",
    b" 3",
    b"3 ",
    b"3_0",
    b"\t3",
    b"3g",
    b"ffffffffffffffff",
    b"10000000000000000",
    b"1" * 40,
    b"\xb2",
    b"3,",
    b"three",
]
CHUNKS = [
    (
        "chunk size %r" % size.decode("latin-1"),
        CHUNKED + size + b"\r\nabc\r\n0\r\n\r\n",
        (400, 413) if len(size) > 5 else 400,
    )
    for size in BAD_SIZES
] + [
    ("no CRLF after a chunk", CHUNKED + b"3\r\nabc0\r\n\r\n", 400),
    ("a chunk longer than its size", CHUNKED + b"3\r\nabcdef\r\n0\r\n\r\n", 400),
    ("a chunk extension above its bound", CHUNKED + b"3;" + b"x" * 20000 + b"\r\nabc\r\n0\r\n\r\n", 400),
    ("a control byte in a chunk extension", CHUNKED + b"3;a\x00\r\nabc\r\n0\r\n\r\n", 400),
    ("a trailer section above its bound", CHUNKED + b"0\r\n" + b"X: y\r\n" * 5000 + b"\r\n", (400, 431)),
    ("a trailer with a space before the colon", CHUNKED + b"0\r\nX : y\r\n\r\n", 400),
    ("a trailer without a colon", CHUNKED + b"0\r\nnonsense\r\n\r\n", 400),
    ("a folded trailer", CHUNKED + b"0\r\nX: y\r\n z\r\n\r\n", 400),
    ("Content-Length as a trailer", CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n", 400),
    ("Transfer-Encoding as a trailer", CHUNKED + b"0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ("Host as a trailer", CHUNKED + b"0\r\nHost: b\r\n\r\n", 400),
    ("Authorization as a trailer", CHUNKED + b"0\r\nAuthorization: b\r\n\r\n", 400),
]

EXPECT = [
    ("an unknown expectation", POST + b"Expect: 200-ok\r\nContent-Length: 3\r\n\r\nabc", 417),
    (
        "an unknown expectation beside the known one",
        POST + b"Expect: 100-continue, more\r\nContent-Length: 3\r\n\r\nabc",
        417,
    ),
]

REFUSED = REQUEST_LINE + LINE_ENDS + FIELDS + LENGTHS + CODINGS + CHUNKS + EXPECT

# The opposite of each rule: unusual requests that are valid.
SERVED = [
    ("one leading empty line", b"\r\nGET @ HTTP/1.1\r\n" + H + b"\r\n"),
    ("HTTP/1.2 is served as 1.1", b"GET @ HTTP/1.2\r\n" + H + b"\r\n"),
    ("HTTP/1.9 is served as 1.1", b"GET @ HTTP/1.9\r\n" + H + b"\r\n"),
    ("an unknown method goes to the application", b"BREW @ HTTP/1.1\r\n" + H + b"\r\n"),
    ("a method with a hyphen", b"M-SEARCH @ HTTP/1.1\r\n" + H + b"\r\n"),
    ("a method of 20 bytes", b"A" * 20 + b" @ HTTP/1.1\r\n" + H + b"\r\n"),
    ("an absolute target", b"GET http://a@ HTTP/1.1\r\n" + H + b"\r\n"),
    ("an absolute target whose scheme and authority are in upper case", b"GET HTTP://A@ HTTP/1.1\r\n" + H + b"\r\n"),
    ("an empty value", get(b"X:\r\n")),
    ("no white space before a value", get(b"X:y\r\n")),
    ("much white space round a value", get(b"X: \t y \t \r\n")),
    ("bytes above 127 in a value", get(b"X: \x80\xff\r\n")),
    ("every character of a token in a name", get(b"!#$%&'*+-.^`|~09azAZ: y\r\n")),
    ("Host with a port", get(b"", host=b"Host: a:8080\r\n")),
    ("Host with an IPv6 address", get(b"", host=b"Host: [::1]:8080\r\n")),
    ("no Host on HTTP/1.0", b"GET @ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
    ("Content-Length 0", POST + b"Content-Length: 0\r\n\r\n"),
    ("Content-Length with leading zeros", POST + b"Content-Length: 0005\r\n\r\nabcde"),
    ("a body with GET", b"GET @ HTTP/1.1\r\n" + H + b"Content-Length: 3\r\n\r\nabc"),
    ("a body with DELETE", b"DELETE @ HTTP/1.1\r\n" + H + b"Content-Length: 3\r\n\r\nabc"),
    ("a body with OPTIONS", b"OPTIONS @ HTTP/1.1\r\n" + H + b"Content-Length: 3\r\n\r\nabc"),
    ("POST without any length has no body", POST + b"\r\n"),
    ("an empty chunked body", CHUNKED + b"0\r\n\r\n"),
    (
        "chunk sizes in hex of both cases with leading zeros",
        CHUNKED + b"00a\r\n0123456789\r\nB\r\n0123456789a\r\n000\r\n\r\n",
    ),
    ("a chunk extension", CHUNKED + b'3;name=value;flag;q="a;b"\r\nabc\r\n0;last\r\n\r\n'),
    ("a trailer", CHUNKED + b"3\r\nabc\r\n0\r\nX-Checksum: 5\r\n\r\n"),
    ("Chunked in upper case", POST + b"Transfer-Encoding: CHUNKED\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    ("100 fields", get(b"".join(b"X-%d: y\r\n" % number for number in range(98)))),
    ("a field line near its bound", get(b"X: " + b"y" * 8000 + b"\r\n")),
    ("a request line near its bound", b"GET @/" + b"a" * 8000 + b" HTTP/1.1\r\n" + H + b"\r\n"),
]
