"""Certificates from an ACME authority: ordered, kept and renewed. A failure never stops a site."""

import os
import re
import signal
import socket
import ssl
import stat
import subprocess
import time

import pytest

from authority import NAMES, PEBBLE, Authority
from capabilities import NOBODY, root_that_can_change_its_user
from process import children, is_alive, title_of
from wire import message, until

pytestmark = pytest.mark.skipif(not (PEBBLE and NAMES), reason="needs pebble and pebble-challtestsrv")

APPLICATION = """
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [("%s %s" % (environ["wsgi.url_scheme"], environ["PATH_INFO"])).encode()]
"""

NAME = "www.example.test"
OTHER = "shop.example.test"
BOTH = ("http://127.0.0.1:0", "https://127.0.0.1:0")
ISSUED = r"Certificate for [a-z., ]+: issued, valid until"
PLACEHOLDER = "temporary certificate of Farrier"


@pytest.fixture
def authority(tmp_path_factory):
    """Makes an authority that ends with the test."""
    made = []

    def make(**options):
        made.append(Authority(tmp_path_factory.mktemp("authority"), **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def site(serve, tmp_path):
    """Starts a server that orders from an authority, and forwards the authority's ports to it."""

    def start(authority, *flags, names=(NAME,), bind=BOTH, is_found=True, **options):
        given = ["--acme-directory", authority.url, "--acme-ca-certs", authority.trust]
        given += ["--acme-state-dir", str(tmp_path / "state"), "--acme-retry-delay", "1s"]
        for each in names:
            given += ["--acme", each]
        server = serve(APPLICATION, *given, *flags, bind=bind, **options)
        if is_found:
            lead(authority, server, bind)
        return server

    return start


def lead(authority, server, bind=BOTH):
    """The names' ports lead to the server from now on."""
    for address, shown in zip(server.addresses, bind):
        (authority.http if shown.startswith("http:") else authority.https).target = address


def presented(address, name=NAME):
    """The certificate that a client gets, in DER."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(address, timeout=20) as plain:
        with context.wrap_socket(plain, server_hostname=name) as secured:
            return secured.getpeercert(binary_form=True)


def kept(tmp_path, name=NAME):
    """The certificate in the state directory, in DER."""
    return ssl.PEM_cert_to_DER_cert(kept_text(tmp_path, name).partition("-----END CERTIFICATE-----")[0] + END)


END = "-----END CERTIFICATE-----\n"


def kept_text(tmp_path, name=NAME):
    """The file in the state directory."""
    return (tmp_path / "state/certificates" / (name + ".pem")).read_text()


def described(certificate):
    """Openssl's text about it."""
    command = ["openssl", "x509", "-inform", "DER", "-noout", "-subject", "-issuer", "-ext", "subjectAltName"]
    return subprocess.run(command, input=certificate, capture_output=True, check=True).stdout.decode()


def helper(server):
    """The process that orders; None if there is none."""
    found = [child for child in children(server.pid) if title_of(child) == "farrier: acme"]
    assert len(found) <= 1
    return found[0] if found else None


def wait_served(address, tmp_path, name=NAME, count=1):
    """Waits until this many connections in a row get the kept certificate."""
    until(
        lambda: all(presented(address, name) == kept(tmp_path, name) for _ in range(count)), 30, "the new certificate"
    )


def test_a_first_certificate_is_ordered_while_the_site_is_up(authority, site, tmp_path):
    ca = authority()
    server = site(ca, is_found=False)
    plain, secured = server.addresses
    assert server.get("/a").body == b"http /a"
    assert PLACEHOLDER in described(presented(secured))
    server.log.wait(r"There is no certificate for %s yet: a temporary self-signed one is served" % NAME)
    lead(ca, server)
    server.log.wait(ISSUED)
    wait_served(secured, tmp_path)
    text = described(presented(secured))
    assert "issuer=CN = Pebble Intermediate CA" in text and "DNS:" + NAME in text
    # The chain comes with it, and the key is what belongs to it.
    assert kept_text(tmp_path).count(END) == 2 and kept_text(tmp_path).count("BEGIN PRIVATE KEY") == 1


def test_keys_are_their_owner_s_alone(authority, site, tmp_path):
    server = site(authority())
    server.log.wait(ISSUED)
    for folder, _, files in os.walk(tmp_path / "state"):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
        assert all(stat.S_IMODE(os.stat(os.path.join(folder, file)).st_mode) == 0o600 for file in files)


def test_the_helper_is_a_process_of_its_own_that_holds_no_listener(authority, site):
    server = site(authority())
    server.log.wait(ISSUED)
    process = helper(server)
    links = [os.readlink("/proc/%d/fd/%s" % (process, fd)) for fd in os.listdir("/proc/%d/fd" % process)]
    listening = {os.readlink("/proc/%d/fd/%s" % (server.pid, fd)) for fd in os.listdir("/proc/%d/fd" % server.pid)}
    assert not {link for link in links if link.startswith("socket:")} & listening
    # And the arbiter has no additional thread.
    assert len(os.listdir("/proc/%d/task" % server.pid)) == 1


def test_a_restart_uses_the_certificate_that_is_kept(authority, site, tmp_path):
    ca = authority()
    first = site(ca)
    first.log.wait(ISSUED)
    first.stop()
    before = kept(tmp_path)
    server = site(ca)
    server.log.wait(r"Certificate for %s: valid until .* GMT, to be renewed in \d+ days" % NAME)
    assert presented(server.addresses[1]) == before
    assert (ca.orders, ca.accounts) == (1, 1)


def test_many_workers_are_one_order(authority, site, tmp_path):
    ca = authority()
    server = site(ca, "--workers", "4")
    server.log.wait(ISSUED)
    wait_served(server.addresses[1], tmp_path, count=12)
    assert (ca.orders, ca.accounts) == (1, 1)


def test_two_servers_with_one_state_directory_are_one_order(authority, site, tmp_path):
    ca = authority()
    first = site(ca, is_found=False)
    first.log.wait(r"ordering at 127\.0\.0\.1:\d+ by http-01 \(first order\)")
    second = site(ca, is_found=False, directory=tmp_path / "state")
    second.log.wait(r"another server with this state directory orders; its certificate is used")
    lead(ca, first)
    first.log.wait(ISSUED)
    wait_served(first.addresses[1], tmp_path)
    wait_served(second.addresses[1], tmp_path)
    first.stop()
    second.log.wait(r"the other server has gone; this one orders from now on")
    second.log.wait(r"valid until .*, to be renewed in")
    assert ca.accounts == 1


def test_a_certificate_is_renewed_at_a_third_of_its_life(authority, site, tmp_path):
    ca = authority(validity=15)
    server = site(ca, "--acme-retry-delay-max", "1s")
    server.log.wait(ISSUED)
    before = kept(tmp_path)
    server.log.wait(r"ordering at .* \(renewal\)", timeout=40)
    server.log.wait(ISSUED, count=2)
    until(lambda: presented(server.addresses[1]) not in (before, None), 30, "the renewed certificate")
    assert 8 < ca.ordered[1][0] - ca.ordered[0][0] < 15
    # Without a reload.
    assert not server.log.find("Handling signal|Hang up")


def test_a_certificate_is_renewed_at_the_time_of_the_setting(authority, site):
    server = site(authority(), "--acme-renew-before", "100d")
    # Pebble's are for five years.
    server.log.wait(r"valid until .*, to be renewed in 17(19|2\d) days")


def test_an_authority_that_is_down_at_the_start_is_asked_again(authority, site):
    ca = authority()
    ca.is_down = True
    server = site(ca)
    server.log.wait(
        r"not issued: failed while making an account: .*; the temporary self-signed one is served; next try in"
    )
    assert server.get().status == 200 and PLACEHOLDER in described(presented(server.addresses[1]))
    ca.is_down = False
    server.log.wait(ISSUED)


def test_an_authority_that_refuses_is_quoted_and_waited_for_as_it_asks(authority, site):
    ca = authority()
    ca.refuse("order-plz", "rateLimited", "too many new orders recently", status=429, fields=[("Retry-After", "4")])
    refused = time.time()
    server = site(ca)
    line = server.log.wait(
        r"not issued: the authority refused while ordering: (.*); the temporary .*; next try in"
    ).group(1)
    assert line == "too many new orders recently (rateLimited)"
    server.log.wait(ISSUED)
    assert ca.ordered[0][0] - refused >= 4


def test_a_validation_that_fails_is_explained_and_tried_again(authority, site):
    ca = authority()
    server = site(ca, "--acme-challenge", "http-01", is_found=False)
    line = server.log.wait(r"not issued: (.*)").group(1)
    assert re.match("the authority could not validate by http-01: %s: .+ \\(\\w+\\)" % NAME, line)
    assert "does port 80 of the name lead to a plain-HTTP address of this server?" in line
    assert server.get().status == 200
    lead(ca, server)
    server.log.wait(ISSUED)


def test_at_most_four_orders_fail_in_an_hour_even_after_restarts(authority, site):
    ca = authority()
    flags = ("--acme-challenge", "http-01", "--acme-retry-delay-max", "1s")
    server = site(ca, *flags, is_found=False)
    server.log.wait(r"not issued: .*; next try in (59|60) min", timeout=60)
    assert ca.orders == 4
    server.stop()
    server = site(ca, *flags)
    server.log.wait(r"too many orders have failed in the last hour; next try in (59|60) min")
    server.process.send_signal(signal.SIGHUP)
    server.log.wait(r"too many orders have failed in the last hour", count=2)
    assert ca.orders == 4


def test_an_account_that_the_authority_has_lost_is_created_again(authority, site, tmp_path):
    ca = authority()
    ca.refuse("order-plz", "accountDoesNotExist", "who are you?", status=400)
    server = site(ca)
    server.log.wait(r"the authority does not know the account any more: making a new one")
    server.log.wait(ISSUED)
    assert ca.accounts == 2


def test_another_authority_is_another_order_and_the_old_certificate_is_served_meanwhile(authority, site, tmp_path):
    first, second = authority(), authority()
    server = site(first)
    server.log.wait(ISSUED)
    server.stop()
    before = kept(tmp_path)
    server = site(second, is_found=False)
    server.log.wait(r"by http-01 \(another authority is set\)")
    assert presented(server.addresses[1]) == before
    lead(second, server)
    server.log.wait(ISSUED)
    wait_served(server.addresses[1], tmp_path)
    assert kept(tmp_path) != before


def test_an_authority_that_is_not_trusted_gets_no_order(authority, site):
    ca, stranger = authority(), authority()
    server = site(ca, "--acme-ca-certs", stranger.trust)
    server.log.wait(r"not issued: failed while making an account: .*invalid peer certificate.*; next try in")
    assert server.get().status == 200 and ca.orders == 0


def test_an_expired_certificate_is_served_rather_than_none(authority, site, tmp_path):
    ca = authority(validity=6)
    server = site(ca, "--acme-retry-delay-max", "1s")
    server.log.wait(ISSUED)
    wait_served(server.addresses[1], tmp_path)
    ca.is_down = True
    server.log.wait(r"not issued: .*; the one that is served EXPIRED \d+ s ago; next try in", timeout=60)
    assert presented(server.addresses[1]) == kept(tmp_path)


def test_the_authority_s_window_is_when_a_certificate_is_renewed(authority, site):
    ca = authority()
    ca.windows = [(3, 5), (10**6, 2 * 10**6)]
    server = site(ca, "--acme-retry-delay-max", "1s")
    server.log.wait(r"the authority suggests to renew between .* GMT and .* GMT \(see https://why\.test/\)")
    server.log.wait(ISSUED, count=2)
    replaced, (start, _) = next(iter(ca.suggested.items()))
    when, order = ca.ordered[1]
    assert when >= int(start) and order["replaces"] == replaced
    server.log.wait(r"valid until .*, to be renewed in [12]\d days")
    assert ca.orders == 2


def test_a_changed_window_is_read_when_the_authority_says(authority, site):
    ca = authority()
    ca.windows, ca.look_again = [(10**6, 2 * 10**6)], 1
    server = site(ca, "--acme-retry-delay-max", "1s")
    server.log.wait(r"valid until .*, to be renewed in [12]\d days")
    # All its certificates should be replaced at once.
    (certificate,) = ca.suggested
    ca.suggested[certificate] = (time.time() - 7200, time.time() - 3600)
    server.log.wait(ISSUED, count=2)
    assert ca.ordered[1][1]["replaces"] == certificate


def test_tls_alpn_01_needs_no_plain_http(authority, site, tmp_path):
    ca = authority()
    server = site(ca, "--acme-challenge", "tls-alpn-01", "--workers", "2")
    server.log.wait(ISSUED)
    wait_served(server.addresses[1], tmp_path)
    assert ca.http.connections == 0 and ca.https.connections > 0
    assert os.listdir(tmp_path / "state/challenges/tls-alpn-01") == []


def test_a_server_without_plain_http_begins_with_tls_alpn_01(authority, site):
    ca = authority()
    server = site(ca, bind=("127.0.0.1:0",))
    server.log.wait(r"ordering at .* by tls-alpn-01")
    server.log.wait(ISSUED)
    assert ca.orders == 1


def test_the_other_challenge_is_tried_after_one_that_fails(authority, site):
    ca = authority()
    server = site(ca, is_found=False)
    server.log.wait(r"could not validate by http-01")
    ca.https.target = server.addresses[1]
    server.log.wait(r"ordering at .* by tls-alpn-01")
    server.log.wait(ISSUED)


def test_several_certificates_are_chosen_by_name(authority, site, tmp_path):
    ca = authority()
    server = site(ca, names=(NAME + ",example.test", OTHER))
    server.log.wait(ISSUED, count=2)
    wait_served(server.addresses[1], tmp_path)
    wait_served(server.addresses[1], tmp_path, OTHER)
    assert presented(server.addresses[1], "example.test") == kept(tmp_path)
    assert ca.accounts == 1 and ca.orders == 2


def test_a_name_that_a_reload_adds_is_ordered(authority, site, tmp_path):
    ca = authority()
    server = site(ca, names=(), settings="acme = ['%s']\n" % NAME)
    server.log.wait(ISSUED)
    first, before = helper(server), kept(tmp_path)
    server.write("farrier.toml", "acme = ['%s,%s']\n" % (NAME, OTHER))
    server.process.send_signal(signal.SIGHUP)
    server.log.wait(r"the certificate is not for all of the names")
    assert presented(server.addresses[1]) in (before, kept(tmp_path))
    server.log.wait(ISSUED, count=2)
    wait_served(server.addresses[1], tmp_path)
    text = described(presented(server.addresses[1], OTHER))
    assert "DNS:" + NAME in text and "DNS:" + OTHER in text
    assert helper(server) not in (first, None) and not is_alive(first)


def test_a_reload_without_acme_ends_the_helper(authority, site, tmp_path):
    ca = authority()
    server = site(ca, names=(), settings="acme = ['%s']\n" % NAME)
    server.log.wait(ISSUED)
    server.write("farrier.toml", "certfile = ['%s/state/certificates/%s.pem']\n" % (tmp_path, NAME))
    server.process.send_signal(signal.SIGHUP)
    until(lambda: helper(server) is None, 20, "the end of the helper")
    assert server.get().status == 200


def test_a_helper_that_dies_is_restarted(authority, site):
    ca = authority()
    server = site(ca)
    server.log.wait(ISSUED)
    server.log.wait(r"valid until .*, to be renewed in")
    os.kill(helper(server), signal.SIGKILL)
    server.log.wait(r"The process for ACME \(pid:\d+\) ended with SIGKILL; it is started again in 1 s")
    server.log.wait(r"valid until .*, to be renewed in", count=2)
    assert server.get().status == 200 and ca.orders == 1


def test_a_helper_does_not_outlive_its_arbiter(authority, site):
    server = site(authority())
    server.log.wait(ISSUED)
    process = helper(server)
    server.process.kill()
    server.process.wait()
    until(lambda: not is_alive(process), 20, "the end of the helper")


def test_an_account_is_bound_to_one_at_the_authority(authority, site, tmp_path):
    ca = authority(binding=("kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"))
    refused = site(ca)
    refused.log.wait(r"the authority refused while making an account: .*\(externalAccountRequired\)")
    refused.stop()
    key = tmp_path / "hmac"
    key.write_text(ca.binding[1] + "\n")
    server = site(ca, "--acme-eab-kid", ca.binding[0], "--acme-eab-hmac-file", key)
    server.log.wait(ISSUED)


def test_paths_of_other_challenges_are_the_application_s(authority, site):
    ca = authority()
    ca.is_down = True
    server = site(ca)
    for target in ("nothing-here", "", "..", "..%2f..%2faccounts", "a" * 300, "a.b"):
        path = "/.well-known/acme-challenge/" + target
        answer = server.get(path)
        assert (answer.status, answer.body[:5]) == (200, b"http "), target


def test_an_answer_is_given_to_get_and_head_and_to_nothing_else(authority, site, tmp_path):
    ca = authority()
    ca.is_down = True
    server = site(ca)
    (tmp_path / "state/challenges/http-01/to-ken_1").write_text("to-ken_1.digest")
    path = "/.well-known/acme-challenge/to-ken_1"
    answer = server.get(path)
    assert (answer.status, answer.body) == (200, b"to-ken_1.digest")
    assert answer.value("Content-Type") == "application/octet-stream"
    answer = server.exchange(message("HEAD", path), head_only=True)
    assert (answer.status, answer.value("Content-Length")) == (200, "15")
    assert server.exchange(message("POST", path, b"x")).body.startswith(b"http ")
    assert server.get(path + "/").body.startswith(b"http ")


def test_the_authority_is_answered_before_it_is_redirected(authority, site):
    ca = authority()
    server = site(ca, "--https-redirect", "--acme-challenge", "http-01")
    server.log.wait(ISSUED)
    assert server.get("/").status in (301, 308) and ca.https.connections == 0


@pytest.mark.root
def test_the_helper_runs_as_the_workers_user(authority, site, tmp_path):
    server = site(authority(), "--user", "nobody", "--workers", "2", preexec=root_that_can_change_its_user)
    server.log.wait(ISSUED)
    wait_served(server.addresses[1], tmp_path, count=4)
    with open("/proc/%d/status" % helper(server)) as status:
        assert "Uid:\t%d\t%d" % (NOBODY.pw_uid, NOBODY.pw_uid) in status.read()
    for folder, _, files in os.walk(tmp_path / "state"):
        assert {os.stat(os.path.join(folder, each)).st_uid for each in ["", *files]} == {NOBODY.pw_uid}
    # After a change of the user, files of root belong to the new user, and an added name needs a new file.
    server.stop()
    server = site(
        authority(), "--user", "nobody", names=(NAME, OTHER), preexec=root_that_can_change_its_user, is_found=False
    )
    assert os.stat(tmp_path / "state/certificates" / (OTHER + ".pem")).st_uid == NOBODY.pw_uid


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_state_directory_that_cannot_be_made_is_an_error_at_the_start(serve, tmp_path, place):
    (tmp_path / "file").write_text("")
    flags = ["--acme", NAME, "--acme-directory", "staging", "--acme-state-dir", tmp_path / place]
    server = serve(APPLICATION, *flags, bind=("https://127.0.0.1:0",), listening=False)
    server.log.wait(
        r"acme: cannot (make|use) /.*file.*: (Not a directory|File exists) .*; make a folder that is writable .* acme_state_dir"
    )
    assert server.process.wait(20) == 1


@pytest.mark.parametrize(
    ("flags", "bind", "words"),
    [
        (["--acme", NAME], "http://127.0.0.1:0", "acme: no address speaks TLS"),
        (["--acme", NAME], "uwsgi://127.0.0.1:0", "acme: no address speaks TLS"),
        (["--acme", "*.example.test"], "127.0.0.1:0", "is a wildcard, which authorities prove by DNS alone"),
        (["--acme", "192.0.2.1"], "127.0.0.1:0", "is an address; a certificate by ACME is for names"),
        (["--acme", "a_b.test"], "127.0.0.1:0", "expected names of hosts such as"),
        (["--acme", NAME, "--acme", "a.test," + NAME], "127.0.0.1:0", NAME + " is in two certificates"),
        (["--acme", NAME, "--acme-email", "nobody"], "127.0.0.1:0", "expected an e-mail address"),
        (["--acme", NAME, "--acme-directory", "http://ca.test/"], "127.0.0.1:0", "is not encrypted"),
        (["--acme", NAME, "--acme-eab-kid", "x"], "127.0.0.1:0", "acme_eab_kid and acme_eab_hmac_file belong together"),
        (["--acme", NAME, "--acme-ca-certs", "/nowhere"], "127.0.0.1:0", "acme_ca_certs: /nowhere: No such file"),
        (
            ["--acme", NAME, "--acme-ca-certs", "/dev/null"],
            "127.0.0.1:0",
            "acme_ca_certs: there is no certificate in it",
        ),
        (
            ["--acme", NAME, "--acme-eab-kid", "x", "--acme-eab-hmac-file", "/dev/null"],
            "127.0.0.1:0",
            "acme_eab_hmac_file: there is no key in it",
        ),
    ],
)
def test_settings_that_cannot_work_are_errors_before_the_start(serve, flags, bind, words):
    server = serve(APPLICATION, "--check-config", *flags, bind=(bind,), listening=False)
    assert server.process.wait(20) in (1, 2)
    assert words in server.log.text


def test_a_challenge_that_no_address_allows_is_warned_of_before_the_start(serve):
    flags = ["--check-config", "--acme", NAME, "--acme-challenge", "http-01"]
    server = serve(APPLICATION, *flags, bind=("127.0.0.1:8443",), listening=False)
    assert server.process.wait(20) == 0
    assert "the authority asks over plain HTTP, which no address of this server speaks" in server.log.text
    assert "the authority comes to port 80 for http-01; no address has it: forward it to one" in server.log.text
