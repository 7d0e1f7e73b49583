"""Answers that begin before they are finished."""

import datetime
import time

from django.http import StreamingHttpResponse
from django.template.loader import render_to_string

TICKS = 12
TICK_SECONDS = 0.5
LEDGER_ROWS = 50_000


def ticks(request):
    """A page that grows by a line every half second; each line must arrive when it is made."""
    # The frame is rendered at once and cut where the lines belong.
    head, _, foot = render_to_string("workshop/stream.html", {"ticks": TICKS}, request).partition("<!--lines-->")

    def lines():
        yield head
        for number in range(1, TICKS + 1):
            now = datetime.datetime.now(datetime.timezone.utc)
            yield f"<li><b>{number:02}</b> {now:%H:%M:%S}.{now.microsecond // 1000:03} UTC: the hammer falls.</li>\n"
            if number < TICKS:
                time.sleep(TICK_SECONDS)
        yield foot

    response = StreamingHttpResponse(lines())
    response["Cache-Control"] = "no-store"
    return response


def ledger(request):
    """A long file without a length that is never whole in memory."""

    def rows():
        yield "entry,ware,pieces\n"
        for start in range(1, LEDGER_ROWS + 1, 500):
            yield "".join(f"{entry},horseshoe,{entry % 4 + 1}\n" for entry in range(start, start + 500))

    response = StreamingHttpResponse(rows(), content_type="text/csv")
    response["Content-Disposition"] = 'attachment; filename="ledger.csv"'
    return response
