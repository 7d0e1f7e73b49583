"""A headless Chromium, driven over its DevTools pipe: no driver, no library, no port.

The browser reads commands as JSON from descriptor 3 and writes answers and events to descriptor 4, each ended by NUL.
"""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import threading

from wire import until

BINARY = shutil.which("chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
]


class Browser:
    """One browser with one page."""

    def __init__(self, directory, *flags):
        commands_read, self.commands = os.pipe()
        self.answers, answers_write = os.pipe()
        # Above 4, so that the two moves below cannot overwrite each other.
        commands_read, answers_write = _above(commands_read, 10), _above(answers_write, 10)

        def arrange():
            os.dup2(commands_read, 3)
            os.dup2(answers_write, 4)

        self.process = subprocess.Popen(
            [BINARY, *FLAGS, *flags, "--user-data-dir=%s" % directory, "about:blank"],
            preexec_fn=arrange,
            pass_fds=(3, 4, commands_read, answers_write),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(commands_read)
        os.close(answers_write)
        self.number = 0
        self.results, self.events = {}, []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        target = until(lambda: [t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page"], 30)[0]
        self._attach(target["targetId"])

    def _attach(self, target):
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(domain + ".enable")

    @contextlib.contextmanager
    def fresh_context(self):
        """A context in which the page has no earlier connections, cache or cookies."""
        before, self.session = self.session, None
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        try:
            self._attach(target)
            yield
        finally:
            self.session = None
            self.call("Target.disposeBrowserContext", browserContextId=context)
            self.session = before

    def _read(self):
        pending = b""
        while True:
            data = os.read(self.answers, 262144)
            if not data:
                return
            *messages, pending = (pending + data).split(b"\0")
            for message in map(json.loads, messages):
                if "id" in message:
                    self.results[message["id"]] = message
                else:
                    self.events.append(message)

    def call(self, method, **parameters):
        """One command and its result."""
        self.number += 1
        number = self.number
        command = {"id": number, "method": method, "params": parameters}
        if getattr(self, "session", None):
            command["sessionId"] = self.session
        os.write(self.commands, json.dumps(command).encode() + b"\0")
        result = until(lambda: self.results.pop(number, None), 30, method)
        assert "error" not in result, result
        return result["result"]

    def evaluate(self, expression):
        """The value of a JavaScript expression."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def open(self, url):
        """Goes to an address and waits until everything on the page is loaded."""
        self.call("Page.navigate", url=url)
        self.loaded(url)

    def load(self, url):
        """Goes to an address and waits, without asking the page, for its load event."""
        since = len(self.events)
        self.call("Page.navigate", url=url)
        until(
            lambda: any(event["method"] == "Page.loadEventFired" for event in self.events[since:]),
            30,
            "the load of " + url,
        )

    def complaints(self):
        """Errors of the console: uncaught exceptions, and files that could not be loaded."""
        return [
            event["params"]
            for event in list(self.events)
            if event["method"] == "Runtime.exceptionThrown"
            or (event["method"] == "Log.entryAdded" and event["params"]["entry"]["level"] == "error")
            or (event["method"] == "Runtime.consoleAPICalled" and event["params"]["type"] == "error")
        ]

    def screenshot(self, path):
        """A screenshot of the page as PNG."""
        with open(path, "wb") as out:
            out.write(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def loaded(self, url):
        """Waits until the page at this address is complete."""
        until(
            lambda: self.evaluate("document.readyState == 'complete' && location.href") == url,
            30,
            "%s in the browser, not %s" % (url, self.evaluate("location.href")),
        )

    def statuses(self):
        """(address, status) of every response so far."""
        return [
            (event["params"]["response"]["url"], event["params"]["response"]["status"])
            for event in list(self.events)
            if event["method"] == "Network.responseReceived"
        ]

    def failures(self):
        """Requests that got no response."""
        return [event["params"] for event in list(self.events) if event["method"] == "Network.loadingFailed"]

    def close(self):
        """Ends the browser."""
        try:
            self.session = None
            self.call("Browser.close")
            self.process.wait(20)
        finally:
            self.process.kill()
            self.process.wait()
            self.reader.join(5)
            os.close(self.commands)
            os.close(self.answers)


def _above(descriptor, least):
    import fcntl

    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD, least)
    os.close(descriptor)
    return moved
