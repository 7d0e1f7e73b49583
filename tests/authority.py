"""A certificate authority on this machine. It has Pebble behind a proxy that counts and can refuse requests, the names'
address records, and the ports at which the authority validates.

Pebble (Let's Encrypt's server for testing clients) verifies signatures and nonces, refuses one good nonce in twenty,
and really fetches challenges. The proxy adds what Pebble 2.4 does not have: renewal information, and refusals on
demand.
"""

import base64
import http.client
import http.server
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time

from wire import until

PEBBLE = shutil.which("pebble")
NAMES = shutil.which("pebble-challtestsrv")


def payload(request):
    """The signed payload of a request (RFC 7515)."""
    text = json.loads(request)["payload"]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


class Forwarder:
    """The name's port 80 or 443: forwards to a server once its address is known."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.target = None
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            self.connections += 1
            if self.target is None:
                client.close()
                continue
            server = socket.create_connection(self.target, timeout=20)
            client.settimeout(20)
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    @staticmethod
    def _copy(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        """Stops forwarding."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Front(http.server.BaseHTTPRequestHandler):
    """Passes requests to Pebble and returns its answers, unless a test has set something else."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        """Logs nothing."""

    def _serve(self):
        authority = self.server.authority
        if authority.is_down:
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer = authority.answer(self.command, self.path) or self._forwarded(body)
        authority.note(self.command, self.path, body, answer[0])
        status, fields, content = answer
        self.send_response_only(status)
        for name, value in fields:
            if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                self.send_header(name, value)
        self.send_header("Connection", "close")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.close_connection = True
        if self.command != "HEAD":
            self.wfile.write(content)

    def _forwarded(self, body):
        authority = self.server.authority
        connection = http.client.HTTPSConnection(
            "127.0.0.1", authority.pebble_port, context=authority.trusting, timeout=20
        )
        try:
            fields = {"Host": self.headers["Host"], "Content-Type": self.headers.get("Content-Type", "")}
            connection.request(self.command, self.path, body or None, fields)
            response = connection.getresponse()
            content = response.read()
            return response.status, response.getheaders(), authority.improved(self.path, body, content, response.status)
        finally:
            connection.close()

    do_GET = do_HEAD = do_POST = _serve


class Authority:
    """The whole authority; `url` is the address of its directory and `trust` the file with its CA certificate."""

    def __init__(self, directory, validity=None, environment=None, binding=None):
        self.directory = str(directory)
        self.http, self.https = Forwarder(), Forwarder()
        self.validity, self.binding = validity, binding
        self.environment = environment or {}
        self.requests = []
        self.refusals = []
        self.is_down = False
        #: The orders, and their times.
        self.ordered = []
        #: Suggested renewal windows, in seconds from the first request: one for each certificate, the last for all
        #: further ones. Without any the authority has no renewal information.
        self.windows = []
        #: The interval of requests for the window, in seconds.
        self.look_again = 3600
        self.suggested = {}
        self.processes = []
        self._make_certificates()
        self._start_names()
        self._start_pebble()
        self.front = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Front)
        self.front.authority = self
        self.front.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._path("front.pem"), self._path("front.key"))
        self.front.socket = context.wrap_socket(self.front.socket, server_side=True)
        threading.Thread(target=self.front.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.port = self.front.server_address[1]
        self.url = "https://127.0.0.1:%d/dir" % self.port

    def _path(self, name):
        return os.path.join(self.directory, name)

    def _make_certificates(self):
        def openssl(*arguments):
            new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
            command = ["openssl", "req", "-x509", *new, *arguments]
            subprocess.run(command, check=True, capture_output=True, cwd=self.directory)

        openssl("-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Authority of the tests")
        name = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
        openssl(
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-keyout",
            "front.key",
            "-out",
            "front.pem",
            "-subj",
            "/CN=front",
            *name,
        )
        self.trust = self._path("ca.pem")
        self.trusting = ssl.create_default_context(cafile=self.trust)

    def _start_names(self):
        # Every name has only the address 127.0.0.1.
        flags = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""]
        self.names_port = self._started(
            lambda ports: [
                NAMES,
                *flags,
                "-dns01",
                "127.0.0.1:%d" % ports[0],
                "-management",
                "127.0.0.1:%d" % ports[1],
            ],
            "names.log",
        )

    def _start_pebble(self):
        def command(ports):
            config = {
                "listenAddress": "127.0.0.1:%d" % ports[0],
                "managementListenAddress": "127.0.0.1:%d" % ports[1],
                "certificate": self._path("front.pem"),
                "privateKey": self._path("front.key"),
                "httpPort": self.http.port,
                "tlsPort": self.https.port,
                "externalAccountBindingRequired": self.binding is not None,
            }
            if self.binding:
                config["externalAccountMACKeys"] = {self.binding[0]: self.binding[1]}
            if self.validity:
                config["certificateValidityPeriod"] = self.validity
            with open(self._path("pebble.json"), "w") as out:
                json.dump({"pebble": config}, out)
            names = "127.0.0.1:%d" % self.names_port
            return [PEBBLE, "-config", self._path("pebble.json"), "-dnsserver", names, "-strict", "false"]

        self.pebble_port = self._started(command, "pebble.log", check=self._answers)

    def _answers(self, port):
        try:
            connection = http.client.HTTPSConnection("127.0.0.1", port, context=self.trusting, timeout=5)
            connection.request("GET", "/dir")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def _started(self, command, log, check=None):
        """Starts a program on free ports; another program may take one meanwhile, so it is tried again."""
        variables = dict(os.environ, PEBBLE_VA_NOSLEEP="1", PEBBLE_AUTHZREUSE="0", **self.environment)
        for _ in range(5):
            sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
            ports = [each.getsockname()[1] for each in sockets]
            for each in sockets:
                each.close()
            with open(self._path(log), "ab") as out:
                process = subprocess.Popen(command(ports), stdout=out, stderr=out, env=variables)
            deadline = time.monotonic() + 15
            while process.poll() is None and time.monotonic() < deadline:
                if (check or self._accepts)(ports[0]):
                    self.processes.append(process)
                    return ports[0]
                time.sleep(0.05)
            process.kill()
            process.wait()
        with open(self._path(log)) as text:
            raise AssertionError("%s does not start:\n%s" % (log, text.read()[-2000:]))

    @staticmethod
    def _accepts(port):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        except OSError:
            return False

    def answer(self, method, path):
        """The proxy's own answer; None if Pebble answers."""
        if path.startswith("/renewal-information/") and method == "GET":
            start, end = self.suggestion(path.rpartition("/")[2])
            text = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)) for at in (start, end)]
            window = {"suggestedWindow": dict(zip(("start", "end"), text)), "explanationURL": "https://why.test/"}
            fields = [("Content-Type", "application/json"), ("Retry-After", str(self.look_again))]
            return 200, fields, json.dumps(window).encode()
        for index, (pattern, count, status, kind, detail, fields) in enumerate(self.refusals):
            if count and method == "POST" and re.search(pattern, path):
                self.refusals[index] = (pattern, count - 1, status, kind, detail, fields)
                problem = {"type": "urn:ietf:params:acme:error:" + kind, "detail": detail, "status": status}
                given = [("Content-Type", "application/problem+json"), ("Replay-Nonce", "none"), *fields]
                return status, given, json.dumps(problem).encode()
        return None

    def suggestion(self, certificate):
        """The window for a certificate, which does not change."""
        if certificate not in self.suggested:
            start, end = self.windows[min(len(self.suggested), len(self.windows) - 1)]
            self.suggested[certificate] = (time.time() + start, time.time() + end)
        return self.suggested[certificate]

    def note(self, method, path, body, status):
        """Remembers a request and its answer."""
        self.requests.append((method, path, status))
        if (method, path, status) == ("POST", "/order-plz", 201):
            self.ordered.append((time.time(), payload(body)))

    def refuse(self, pattern, kind, detail, count=1, status=403, fields=()):
        """Refuses the next POSTs to paths like this."""
        self.refusals.append((pattern, count, status, kind, detail, list(fields)))

    def improved(self, path, request, content, status):
        """Pebble's answer with the additions of the proxy."""
        if path == "/order-plz" and status == 201:
            # The answer repeats the replaced certificate (RFC 9773 section 5).
            replaces = payload(request).get("replaces")
            return json.dumps(dict(json.loads(content), replaces=replaces)).encode() if replaces else content
        if path == "/dir" and self.windows:
            directory = json.loads(content)
            directory["renewalInfo"] = "https://127.0.0.1:%d/renewal-information" % self.port
            return json.dumps(directory).encode()
        return content

    @property
    def orders(self):
        """The number of orders."""
        return len(self.ordered)

    @property
    def accounts(self):
        """How many were made."""
        return sum(1 for request in self.requests if request == ("POST", "/sign-me-up", 201))

    def log(self):
        """The output of Pebble."""
        with open(self._path("pebble.log")) as text:
            return text.read()

    def wait_orders(self, count, timeout=30):
        """Waits for this number of orders."""
        until(lambda: self.orders >= count, timeout, "%d orders" % count)

    def close(self):
        """Ends all processes."""
        for process in self.processes:
            process.kill()
            process.wait()
        self.front.shutdown()
        self.front.server_close()
        self.http.close()
        self.https.close()
