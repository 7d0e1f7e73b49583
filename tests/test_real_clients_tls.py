"""TLS with openssl's own client, requests and urllib3: versions, resumption at every worker, chains and names."""

import json
import re
import shutil
import signal
import ssl
import subprocess

import pytest
import requests
import urllib3

from edge import serve_edge, trusting
from process import paused
from wire import until

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")


@pytest.fixture(scope="module")
def server(serve_module, tmp_path_factory, authority):
    return serve_edge(serve_module, tmp_path_factory.mktemp("edge"), authority, workers=4)


def s_client(server, authority, *flags, request=b"GET /asked HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"):
    """One connection of openssl's client; its output and the server's."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect", "127.0.0.1:%d" % server.addresses[0][1], "-servername", "localhost"]
        + ["-CAfile", authority.pem, "-verify_return_error", *map(str, flags)]
        + (["-ign_eof"] if request else []),
        input=request,
        capture_output=True,
        timeout=60,
    )
    return done.stdout.decode("latin-1") + done.stderr.decode("latin-1")


def asked(said):
    """The request that the application got, from the client's output."""
    return json.loads(re.search(r"^(\{.*\})", said, re.M).group(1))


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_session_is_resumed_by_every_worker(server, authority, tmp_path, version):
    workers = set(server.workers())
    assert len(workers) == 4
    session = tmp_path / "session"
    first = s_client(server, authority, version, "-sess_out", session)
    assert re.search(r"^New, TLSv1", first, re.M) and "Verify return code: 0" in first
    for worker in workers:
        with paused(*workers - {worker}):
            again = s_client(server, authority, version, "-sess_in", session)
        assert asked(again)["pid"] == worker
        assert re.search(r"^Reused, TLSv1", again, re.M), again


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_session_is_resumed_after_a_reload(server, authority, tmp_path, version):
    session = tmp_path / "session"
    pid = asked(s_client(server, authority, version, "-sess_out", session))["pid"]
    mark, before = server.log.mark(), set(server.workers())
    server.kill(signal.SIGHUP)
    server.log.wait(r"Booting worker", count=4, since=mark)
    until(lambda: not before & set(server.workers()), 40, "the old workers to leave")
    again = s_client(server, authority, version, "-sess_in", session)
    assert re.search(r"^Reused, TLSv1", again, re.M), again
    assert asked(again)["pid"] != pid


@pytest.mark.parametrize("flag", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("key", ["P-256", "P-384", "RSA"])
def test_openssl_verifies_certificates_of_each_kind(serve, tmp_path, authority, key, flag):
    server = serve_edge(serve, tmp_path, authority, workers=1, certificate=authority.issue("localhost", kind=key))
    said = s_client(server, authority, flag)
    assert "Verify return code: 0 (ok)" in said and asked(said)["HTTPS"] == "on"


def test_openssl_is_offered_http2_and_http_1_1(server, authority):
    assert "ALPN protocol: h2" in s_client(server, authority, "-alpn", "h2,http/1.1", request=b"")
    assert "ALPN protocol: http/1.1" in s_client(server, authority, "-alpn", "http/1.1")
    assert "No ALPN negotiated" in s_client(server, authority)


def test_an_unsupported_protocol_is_refused(server, authority):
    # RFC 7301 §3.2: no overlap is a fatal alert.
    assert "no application protocol" in s_client(server, authority, "-alpn", "spdy/1")


def test_renegotiation_is_refused(server, authority):
    said = s_client(server, authority, "-tls1_2", request=b"R\n")
    assert "Secure Renegotiation IS supported" in said
    with requests.Session() as visitor:
        visitor.trust_env, visitor.verify = False, authority.pem
        assert visitor.get(server.url + "/").status_code == 200


def test_compression_is_never_offered(server, authority):
    assert "Compression: NONE" in s_client(server, authority, "-tls1_2")


def test_weak_ciphers_are_refused(server, authority):
    for cipher in ("AES128-SHA", "AES256-GCM-SHA384", "ECDHE-RSA-AES128-SHA", "NULL:@SECLEVEL=0"):
        said = s_client(server, authority, "-tls1_2", "-cipher", cipher)
        assert "Cipher is (NONE)" in said or "no cipher match" in said, said


def test_requests_keeps_its_connection_and_its_session(server, authority):
    with requests.Session() as visitor:
        visitor.trust_env, visitor.verify = False, authority.pem
        for number in range(30):
            answer = visitor.post(server.url + "/asked", data=b"r" * number * 997).json()
            assert answer["length"] == number * 997 and answer["HTTPS"] == "on"
        assert visitor.get(server.url + "/static/big.bin").content == server.files["big.bin"]
        pieces = (b"%d," % number for number in range(1000))
        assert visitor.post(server.url + "/asked", data=pieces).json()["length"] == 3890


def test_urllib3_with_each_version_of_tls(server, authority):
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        with urllib3.PoolManager(ssl_context=trusting(authority, version=version)) as pool:
            for _ in range(5):
                answer = pool.request("GET", server.url + "/static/big.bin", headers={"Range": "bytes=7-1000006"})
                assert answer.status == 206 and answer.data == server.files["big.bin"][7:1000007]


def test_a_client_that_does_not_trust_the_authority_does_not_come_in(server):
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(server.url + "/", timeout=20, proxies={"https": ""})
