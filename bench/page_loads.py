"""How long a browser takes for a page: a headless Chromium of the test suite's, each load in a context without a past."""

import contextlib
import os
import shutil
import sys

from load import LoadError
from servers import ROOT

sys.path.insert(0, str(ROOT / "tests"))
import chromium  # noqa: E402  beside the suite


@contextlib.contextmanager
def pinned_browser(core, directory):
    """A browser on that core, the certificate's issuer unasked."""
    shutil.rmtree(directory, ignore_errors=True)
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        browser = chromium.Browser(directory, "--ignore-certificate-errors")
    finally:
        os.sched_setaffinity(0, before)
    try:
        yield browser
    finally:
        browser.close()


def load_ms(browser, url, files):
    """Milliseconds from the navigation's start to the page's load event; everything must have come, and by HTTP/2."""
    with browser.fresh_context():
        browser.load(url)
        took, count, other, failed = browser.evaluate(
            "(() => { const [page] = performance.getEntriesByType('navigation');"
            " const files = performance.getEntriesByType('resource');"
            " return [page.loadEventEnd, files.length, [page, ...files].map(e => e.nextHopProtocol).filter(p => p != 'h2').length,"
            " files.filter(e => e.responseStatus != 200).length] })()"
        )
    if count != files or other or failed or not took:
        raise LoadError(f"{count} files of {files}, {other} not by HTTP/2, {failed} failed")
    return took
