"""Certificates for tests: an authority of one's own, made with openssl's command, that issues what a test asks for."""

import base64
import hashlib
import ssl
import subprocess


class Authority:
    """`authority.path` is its certificate; `issue` makes others."""

    def __init__(self, directory, name="Farrier's test authority"):
        self.directory, self.number = directory, 0
        self.path, self.key = directory / "ca.pem", directory / "ca.key"
        _openssl(
            *("req", "-x509", *_key("p256"), "-days", "10", "-subj", "/CN=" + name),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", self.key, "-out", self.path),
        )

    def issue(self, name="localhost", names=("DNS:localhost", "IP:127.0.0.1"), key="p256", usage="serverAuth", days=5):
        """(certificate, key): two paths. `key` is p256, p384 or rsa."""
        self.number += 1
        stem = self.directory / ("%d-%s" % (self.number, name))
        request, extensions = stem.with_suffix(".csr"), stem.with_suffix(".ext")
        certificate, private = stem.with_suffix(".pem"), stem.with_suffix(".key")
        _openssl("req", "-new", *_key(key), "-subj", "/CN=" + name, "-keyout", private, "-out", request)
        extensions.write_text(
            "basicConstraints=CA:FALSE\nextendedKeyUsage=%s\n%s"
            % (usage, "subjectAltName=%s\n" % ",".join(names) if names else "")
        )
        _openssl(
            *("x509", "-req", "-in", request, "-CA", self.path, "-CAkey", self.key, "-CAcreateserial"),
            *("-days", days, "-extfile", extensions, "-out", certificate),
        )
        return certificate, private

    def context(self, *alpn, client=None, version=None):
        """A client's context that trusts this authority alone; `client` is a (certificate, key) of its own."""
        context = ssl.create_default_context(cafile=str(self.path))
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if client:
            context.load_cert_chain(*map(str, client))
        if version:
            context.minimum_version = context.maximum_version = version
        return context


def key_digest(certificate):
    """The digest of a certificate's public key, as browsers take it on their command line (RFC 7469 §2.4)."""
    public = subprocess.run(
        ["openssl", "x509", "-in", str(certificate), "-noout", "-pubkey"], capture_output=True, check=True
    )
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-outform", "der"], input=public.stdout, capture_output=True, check=True
    )
    return base64.b64encode(hashlib.sha256(der.stdout).digest()).decode()


def _key(kind):
    return ["-nodes", "-newkey"] + (
        ["rsa:2048"] if kind == "rsa" else ["ec", "-pkeyopt", "ec_paramgen_curve:P-%s" % kind[1:]]
    )


def _openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
