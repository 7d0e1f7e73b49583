"""Certificates: errors in their files are reported at the start, and changed files are used without a reload."""

import os
import shutil
import signal
import ssl
import subprocess

import pytest

from certificates import Authority, new_key, openssl
from load import Load
from process import COMMAND
from secured import SecureWire, context
from wire import Wire, message, until

HELLO = """
    def application(environ, start_response):
        content = environ.get("SSL_TLS_SNI", "").encode() or b"hello"
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(content)))])
        return [content]
"""


@pytest.fixture(scope="module")
def certificate(authority):
    return authority.issue("localhost")


@pytest.fixture
def check(tmp_path):
    """`farrier --check-config`, and its output."""

    def check(*flags):
        (tmp_path / "app.py").write_text("def application(environ, start_response): pass\n")
        arguments = [*COMMAND, "--check-config", "app:application", *map(str, flags)]
        return subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, timeout=30)

    return check


def shown(address, name="localhost", versions=None, ciphers=None, algorithms=None):
    """The certificate that a client of this name gets, in DER."""
    terms = context(versions=versions)
    if ciphers:
        terms.set_ciphers(ciphers)
    with SecureWire(address, terms, name=name) as wire:
        assert wire.request(message()).status == 200
        return wire.socket.getpeercert(binary_form=True)


def der(pem):
    with open(pem) as file:
        return ssl.PEM_cert_to_DER_cert(
            file.read().partition("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"
        )


def encrypted(certificate, tmp_path, *form):
    path = str(tmp_path / "encrypted.key")
    openssl("pkey", "-in", certificate.key, "-aes256", "-passout", "pass:secret", *form, "-out", path)
    return path


def written(tmp_path, text):
    (tmp_path / "written.pem").write_text(text)
    return str(tmp_path / "written.pem")


def unreadable(certificate, tmp_path):
    path = tmp_path / "folder.pem"
    path.mkdir()
    return str(path)


BAD = {
    "no such certificate": lambda c, a, t: (["--certfile", "no.pem"], ["certfile", "no.pem", "No such file"]),
    "no such key": lambda c, a, t: (
        ["--certfile", c.pem, "--keyfile", "no.key"],
        ["keyfile", "no.key", "No such file"],
    ),
    "a folder": lambda c, a, t: (["--certfile", unreadable(c, t)], ["certfile", "folder.pem", "folder"]),
    "no certificate in it": lambda c, a, t: (
        ["--certfile", written(t, "hello\n"), "--keyfile", c.key],
        ["certfile", "no certificate in", "written.pem"],
    ),
    "no key in it": lambda c, a, t: (["--certfile", c.pem], ["certfile", "contains no private key", "keyfile"]),
    "no key in the key's file": lambda c, a, t: (
        ["--certfile", c.pem, "--keyfile", c.pem],
        ["keyfile", "contains no private key", c.pem],
    ),
    "a damaged certificate": lambda c, a, t: (
        ["--certfile", written(t, open(c.pem).read().replace("MII", "M!I")), "--keyfile", c.key],
        ["certfile", "written.pem", "damaged"],
    ),
    "another one's key": lambda c, a, t: (
        ["--certfile", c.pem, "--keyfile", new_key(t / "other.key")],
        ["keyfile", "other.key", "does not belong to", c.pem],
    ),
    "an encrypted key": lambda c, a, t: (
        ["--certfile", c.pem, "--keyfile", encrypted(c, t)],
        ["keyfile", "encrypted", "openssl pkey -in", "encrypted.key"],
    ),
    "an encrypted key of the old form": lambda c, a, t: (
        ["--certfile", c.pem, "--keyfile", encrypted(c, t, "-traditional")],
        ["keyfile", "encrypted", "openssl pkey -in"],
    ),
    "more keys than certificates": lambda c, a, t: (
        ["--certfile", c.pem, "--keyfile", c.key, "--keyfile", c.key],
        ["keyfile", "1 certificates and 2 keys"],
    ),
    "a key alone": lambda c, a, t: (["--keyfile", c.key], ["keyfile", "no certificate", "certfile"]),
    "https without a certificate": lambda c, a, t: (
        ["--bind", "https://127.0.0.1:0"],
        ["bind", "https://127.0.0.1:0", "certfile"],
    ),
    "client certificates without an authority": lambda c, a, t: (
        ["--certfile", c.both, "--cert-reqs", "2"],
        ["cert_reqs", "ca_certs"],
    ),
    "authorities that are not there": lambda c, a, t: (
        ["--certfile", c.both, "--cert-reqs", "1", "--ca-certs", "no.pem"],
        ["ca_certs", "no.pem"],
    ),
    "a weak suite": lambda c, a, t: (
        ["--certfile", c.both, "--ciphers", "AES128-SHA"],
        ["ciphers", "`AES128-SHA`", "ECDHE-"],
    ),
    "two sources of certificates": lambda c, a, t: (["--certfile", c.both, "--dev-tls"], ["dev_tls", "certfile"]),
    "preload without what it takes": lambda c, a, t: (
        ["--certfile", c.both, "--hsts", "1d", "--hsts-preload"],
        ["hsts_preload", "365d"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_unusable_certificates_are_reported_before_anything_is_bound(
    check, serve, certificate, authority, tmp_path, case
):
    flags, words = BAD[case](certificate, authority, tmp_path)
    result = check(*flags)
    assert result.returncode == 1, result.stderr
    for word in words:
        assert word in result.stderr, (word, result.stderr)
    if case in ("another one's key", "https without a certificate"):
        server = serve(HELLO, *flags, listening=False)
        assert server.wait_exit() == 1
        assert words[0] in server.log.text and "Listening" not in server.log.text


@pytest.mark.parametrize("days, words", [((-30, -1), "expired on"), ((2, 30), "not valid before")])
def test_a_certificate_at_the_wrong_time_is_served_with_a_warning(check, serve, authority, tmp_path, days, words):
    issued = authority.issue("late.test", days=days, into=tmp_path)
    result = check("--certfile", issued.both)
    assert result.returncode == 0 and words in result.stderr and "late.test" in result.stderr
    server = serve(HELLO, "--certfile", issued.both)
    assert server.log.find(r"\[WARNING\].*%s" % words)
    assert shown(server.address) == der(issued.pem)


@pytest.mark.parametrize("form", ["pkcs8", "pkcs1", "sec1", "both, key first", "der is refused with a hint"])
def test_keys_are_read_in_every_usual_form(check, serve, authority, tmp_path, form):
    kind = "RSA" if form == "pkcs1" else "P-256"
    issued = authority.issue("localhost", kind=kind, into=tmp_path)
    if form in ("pkcs1", "sec1"):
        openssl("pkey", "-in", issued.key, "-traditional", "-out", tmp_path / "old.key")
        words = {"pkcs1": "BEGIN RSA PRIVATE KEY", "sec1": "BEGIN EC PRIVATE KEY"}
        assert words[form] in (tmp_path / "old.key").read_text()
        flags = ["--certfile", issued.pem, "--keyfile", tmp_path / "old.key"]
    elif form.startswith("both"):
        flags = ["--certfile", issued.both]
    elif form.startswith("der"):
        openssl("x509", "-in", issued.pem, "-outform", "der", "-out", tmp_path / "leaf.der")
        result = check("--certfile", tmp_path / "leaf.der", "--keyfile", issued.key)
        assert result.returncode == 1 and "-inform der" in result.stderr
        return
    else:
        flags = ["--certfile", issued.pem, "--keyfile", issued.key]
    server = serve(HELLO, *flags)
    with SecureWire(server.address, context(authority.pem)) as wire:
        assert wire.request(message()).status == 200


def test_the_chain_is_sent_and_one_in_disorder_is_put_in_order(serve, authority, tmp_path):
    between = Authority(tmp_path / "between", "Authority between", issuer=authority)
    issued = between.issue("localhost")
    parts = [
        part + "-----END CERTIFICATE-----\n"
        for part in open(issued.pem).read().split("-----END CERTIFICATE-----\n")[:-1]
    ]
    assert len(parts) == 2
    disordered = written(tmp_path, "".join(reversed(parts)))
    for path, warned in ((issued.pem, False), (disordered, True)):
        server = serve(HELLO, "--certfile", path, "--keyfile", issued.key)
        with SecureWire(server.address, context(authority.pem)) as wire:
            assert wire.request(message()).status == 200
        assert bool(server.log.find("are not in order")) is warned


@pytest.fixture(scope="module")
def many(serve_module, authority):
    """A server with several certificates, and these by name."""
    names = ["first.test", "second.test", "*.wild.test"]
    issued = {name: authority.issue(name) for name in names}
    issued["two kinds"] = authority.issue("second.test", kind="RSA", into=serve_directory(authority))
    flags = []
    for each in issued.values():
        flags += ["--certfile", each.pem, "--keyfile", each.key]
    return serve_module(HELLO, *flags), issued


def serve_directory(authority):
    path = os.path.join(authority.directory, "second")
    os.makedirs(path, exist_ok=True)
    return path


@pytest.mark.parametrize(
    "asked, served",
    [
        ("first.test", "first.test"),
        ("second.test", "second.test"),
        ("SECOND.test", "second.test"),
        ("a.wild.test", "*.wild.test"),
        ("wild.test", "first.test"),
        ("a.b.wild.test", "first.test"),
        ("unknown.test", "first.test"),
        (None, "first.test"),
    ],
)
def test_the_certificate_follows_the_name(many, asked, served):
    server, issued = many
    assert shown(server.address, name=asked) == der(issued[served].pem)


def test_the_kind_of_the_key_follows_the_clients_capabilities(many):
    server, issued = many
    old = ssl.TLSVersion.TLSv1_2
    assert shown(server.address, "second.test", old, "ECDHE+ECDSA") == der(issued["second.test"].pem)
    assert shown(server.address, "second.test", old, "ECDHE+aRSA") == der(issued["two kinds"].pem)
    assert shown(server.address, "second.test") == der(issued["second.test"].pem)


def test_several_certificates_stand_in_one_flag_with_commas(serve, authority):
    one, two = authority.issue("one.test"), authority.issue("two.test")
    server = serve(HELLO, "--certfile", one.pem + "," + two.pem, "--keyfile", one.key + "," + two.key)
    assert shown(server.address, "one.test") == der(one.pem)
    assert shown(server.address, "two.test") == der(two.pem)


def test_the_least_version_is_kept(serve, certificate):
    server = serve(HELLO, "--certfile", certificate.both, "--tls-min-version", "1.3")
    with pytest.raises((ssl.SSLError, OSError)):
        shown(server.address, versions=ssl.TLSVersion.TLSv1_2)
    assert shown(server.address, versions=ssl.TLSVersion.TLSv1_3)


def test_only_the_named_suites_are_offered(serve, certificate):
    server = serve(
        HELLO, "--certfile", certificate.both, "--ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256:TLS_AES_128_GCM_SHA256"
    )
    old = ssl.TLSVersion.TLSv1_2
    assert shown(server.address, versions=old, ciphers="ECDHE-ECDSA-AES128-GCM-SHA256")
    with pytest.raises((ssl.SSLError, OSError)):
        shown(server.address, versions=old, ciphers="ECDHE-ECDSA-AES256-GCM-SHA384")
    with SecureWire(server.address) as wire:
        assert wire.socket.cipher()[0] == "TLS_AES_128_GCM_SHA256"


def test_a_certificate_that_changes_is_served_without_a_reload_and_without_a_failure(serve, authority, tmp_path):
    old, new = (authority.issue("localhost", into=folder(tmp_path, name)) for name in ("old", "new"))
    pem, key = str(tmp_path / "now.pem"), str(tmp_path / "now.key")
    shutil.copy(old.pem, pem), shutil.copy(old.key, key)
    server = serve(HELLO, "--certfile", pem, "--keyfile", key, "--workers", "2")
    kept = SecureWire(server.address, context(authority.pem))
    assert kept.request(message()).status == 200
    workers = sorted(server.workers())
    terms = context(authority.pem)
    with Load(server, clients=4, connect=lambda: SecureWire(server.address, terms)) as load:
        assert shown(server.address) == der(old.pem)
        until(lambda: load.answered > 20)
        # One after the other, as tools do.
        shutil.copy(new.pem, pem + ".new"), os.replace(pem + ".new", pem)
        shutil.copy(new.key, key + ".new"), os.replace(key + ".new", key)
        until(lambda: shown(server.address) == der(new.pem), what="the new certificate")
        server.log.wait("Certificates have changed and are in use")
        # Both workers, whichever accepts the connection.
        until(
            lambda: all(shown(server.address) == der(new.pem) for _ in range(8)), what="the new certificate everywhere"
        )
    assert load.failures == []
    assert sorted(server.workers()) == workers
    assert kept.request(message()).status == 200
    kept.close()


def folder(parent, name):
    os.makedirs(os.path.join(str(parent), name), exist_ok=True)
    return os.path.join(str(parent), name)


@pytest.mark.parametrize("reload", [False, True])
def test_a_broken_certificate_is_reported_and_the_old_one_stays(serve, authority, tmp_path, reload):
    old, new = (authority.issue("localhost", into=folder(tmp_path, name)) for name in ("old", "new"))
    path = str(tmp_path / "now.pem")
    shutil.copy(old.both, path)
    server = serve(HELLO, "--certfile", path)
    mark = server.log.mark()
    with open(path, "w") as out:
        out.write("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    if reload:
        server.kill(signal.SIGHUP)
        server.log.wait(r"Booting worker", since=mark)
    server.log.wait(r"\[ERROR\] certfile: .*now.pem.*the previous certificate stays in use", since=mark)
    assert shown(server.address) == der(old.pem)
    shutil.copy(new.both, path + ".new"), os.replace(path + ".new", path)
    until(lambda: shown(server.address) == der(new.pem), what="the next certificate")


def test_a_reload_serves_the_certificate_that_the_settings_name_now(serve, authority, tmp_path):
    old, new = (authority.issue("localhost", into=folder(tmp_path, name)) for name in ("old", "new"))
    settings = 'certfile = ["%s"]\n'
    server = serve(HELLO, settings=settings % old.both)
    assert shown(server.address) == der(old.pem)
    server.write("farrier.toml", settings % new.both)
    server.kill(signal.SIGHUP)
    until(lambda: shown(server.address) == der(new.pem), what="the certificate of the new settings")


@pytest.mark.root
def test_a_worker_that_may_not_read_the_key_serves_with_it(serve, certificate, tmp_path):
    key = tmp_path / "secret.key"
    shutil.copy(certificate.key, key)
    os.chmod(key, 0o600)
    server = serve(HELLO, "--certfile", certificate.pem, "--keyfile", key, "--user", "nobody", "--preload")
    assert shown(server.address) == der(certificate.pem)
    for worker in server.workers():
        with open("/proc/%d/status" % worker) as status:
            assert "Uid:\t0" not in status.read()


def test_workers_cannot_write_to_memory_with_keys(serve, certificate):
    server = serve(HELLO, "--certfile", certificate.both)
    assert shown(server.address)
    (worker,) = server.workers()
    rings = []
    for name in os.listdir("/proc/%d/fd" % worker):
        target = os.readlink("/proc/%d/fd/%s" % (worker, name))
        if "farrier-keyring" in target:
            with open("/proc/%d/fdinfo/%s" % (worker, name)) as info:
                rings.append(int(info.read().split("flags:\t")[1].split()[0], 8) & 3)
    assert rings == [os.O_RDONLY]


def test_the_scheme_of_an_address_decides_about_tls(serve, certificate):
    server = serve(HELLO, "--certfile", certificate.both, bind=["127.0.0.1:0", "http://127.0.0.1:0", "unix:x.sock"])
    assert server.log.find(r"Listening at: https://127.0.0.1:\d+,http://127.0.0.1:\d+,https\+unix:x.sock")
    with Wire(server.addresses[1]) as wire:
        assert wire.request(message()).body == b"hello"
    with SecureWire(server.addresses[2]) as wire:
        assert wire.request(message()).status == 200
