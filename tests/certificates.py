"""Authorities and certificates for tests, made by the openssl command."""

import base64
import datetime
import hashlib
import os
import subprocess

CONFIGURATION = """
[ca]
default_ca = here
[here]
database = {0}/index.txt
new_certs_dir = {0}
serial = {0}/serial
default_md = sha256
policy = any
unique_subject = no
email_in_dn = no
[any]
commonName = supplied
organizationName = optional
[req]
distinguished_name = name
[name]
"""

LEAF = "basicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth,clientAuth\n"
ISSUER = "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign,cRLSign\n"
KEYS = {
    "P-256": ("EC", "ec_paramgen_curve:P-256"),
    "P-384": ("EC", "ec_paramgen_curve:P-384"),
    "RSA": ("RSA", "rsa_keygen_bits:2048"),
}


def openssl(*arguments, **options):
    """Runs the command and returns its output."""
    result = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, timeout=60, **options)
    assert result.returncode == 0, (arguments, result.stderr.decode())
    return result.stdout


def new_key(path, kind="P-256"):
    """Writes a private key in PKCS#8."""
    algorithm, option = KEYS[kind]
    openssl("genpkey", "-algorithm", algorithm, "-pkeyopt", option, "-out", path)
    return str(path)


class Certificate:
    """A certificate's files: `pem` with the chain, `key`, and `both` with key and chain."""

    def __init__(self, pem, key, both):
        self.pem, self.key, self.both = pem, key, both


class Authority:
    """An authority in a directory of its own. `pem` is its certificate; one that another authority has issued has a
    chain."""

    def __init__(self, directory, name="Authority of the tests", issuer=None):
        self.directory = str(directory)
        os.makedirs(self.directory, exist_ok=True)
        self.configuration = os.path.join(self.directory, "ca.cnf")
        self._write("ca.cnf", CONFIGURATION.format(self.directory))
        self._write("index.txt", "")
        self._write("serial", "1000\n")
        self.key = new_key(os.path.join(self.directory, "ca.key"))
        self.pem = os.path.join(self.directory, "ca.pem")
        self.chain = []
        signer = issuer or self
        signer._sign(self.key, self.pem, "/CN=" + name, ISSUER, self_signed=issuer is None)
        if issuer:
            self.chain = [self.pem] + issuer.chain

    def _write(self, name, text):
        with open(os.path.join(self.directory, name), "w") as out:
            out.write(text)
        return os.path.join(self.directory, name)

    def _sign(self, key, pem, subject, extensions, self_signed=False, days=(-1, 90)):
        request = pem + ".csr"
        openssl("req", "-new", "-key", key, "-subj", subject, "-config", self.configuration, "-out", request)
        now = datetime.datetime.now(datetime.timezone.utc)
        start, end = ((now + datetime.timedelta(days=day)).strftime("%Y%m%d%H%M%SZ") for day in days)
        arguments = ["-keyfile", self.key, "-in", request, "-out", pem, "-startdate", start, "-enddate", end]
        arguments += ["-extfile", self._write("extensions.cnf", extensions), "-batch", "-notext", "-preserveDN"]
        arguments += ["-selfsign"] if self_signed else ["-cert", self.pem]
        openssl("ca", "-config", self.configuration, *arguments)

    def issue(self, name, *names, kind="P-256", days=(-1, 90), subject=None, into=None):
        """A certificate for names; the first is the file's name as well."""
        base = os.path.join(str(into or self.directory), name.replace("*", "any"))
        key = new_key(base + ".key", kind)
        alternatives = ",".join("DNS:" + each for each in (name,) + names) + ",IP:127.0.0.1"
        self._sign(key, base + ".pem", subject or "/CN=" + name, LEAF + "subjectAltName=" + alternatives, days=days)
        with open(base + ".pem", "a") as out:
            for link in self.chain:
                with open(link) as file:
                    out.write(file.read())
        with open(base + ".both", "w") as out:
            for part in (base + ".key", base + ".pem"):
                with open(part) as file:
                    out.write(file.read())
        return Certificate(base + ".pem", key, base + ".both")


def key_digest(pem):
    """The digest of a certificate's public key, in the form of browsers' command lines (RFC 7469 §2.4)."""
    public = openssl("x509", "-in", pem, "-noout", "-pubkey")
    return base64.b64encode(
        hashlib.sha256(openssl("pkey", "-pubin", "-outform", "der", input=public)).digest()
    ).decode()
