"""A Bottle workbench: count words, get a file's fingerprint, watch a countdown. `app:application`

Keeps nothing, so it needs no database and runs on as many workers as one likes.
"""

import hashlib
import json
import time

from bottle import Bottle, HTTPError, request, response, template

TEXT_BYTES_MAX = 100_000
COUNTDOWN_MAX = 30

application = app = Bottle()

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Workbench</title>
<style>
body { font: 17px/1.5 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem; color: #26221f; background: #f6f3ef; }
form, pre { background: #fff; border: 1px solid #e3dbd2; border-radius: 6px; padding: .8rem 1rem; overflow-x: auto; }
textarea { font: inherit; width: 100%; } a { color: #b94a17; }
</style></head><body>
<h1>Workbench</h1>
% if result:
<pre>{{result}}</pre>
% end
<form method="post" action="/words" accept-charset="utf-8"><h2>Words</h2>
<textarea name="text" rows="4" required></textarea><br><button>Count</button></form>
<form method="post" action="/fingerprint" enctype="multipart/form-data"><h2>Fingerprint</h2>
<input type="file" name="file" required> <button>Compute</button></form>
<p><a href="/countdown/5">Count down from five</a></p>
</body></html>"""


@app.get("/")
def bench():
    return template(PAGE, result=None)


@app.post("/words")
def words():
    return template(PAGE, result=json.dumps(counted(request.forms.getunicode("text") or ""), indent=1))


@app.post("/api/words")
def words_as_json():
    """Takes {"text": "…"} and answers with the counts."""
    fields = request.json
    if not isinstance(fields, dict) or not isinstance(fields.get("text"), str):
        raise HTTPError(400, 'an object {"text": "…"} is expected')
    return counted(fields["text"])


@app.post("/fingerprint")
def fingerprint():
    upload = request.files.get("file")
    if upload is None:
        raise HTTPError(400, "a file is expected")
    digest, size = hashlib.sha256(), 0
    while chunk := upload.file.read(65536):
        digest.update(chunk)
        size += len(chunk)
    return template(PAGE, result=f"{upload.filename}\n{size:,} bytes\nSHA-256 {digest.hexdigest()}")


@app.get("/countdown/<start:int>")
def countdown(start):
    """A line of text each second."""
    if not 0 <= start <= COUNTDOWN_MAX:
        raise HTTPError(400, f"from 0 to {COUNTDOWN_MAX}")
    response.content_type = "text/plain; charset=UTF-8"
    response.set_header("Cache-Control", "no-store")

    def lines():
        for number in range(start, 0, -1):
            yield f"{number} …\n"
            time.sleep(1)
        yield "Strike!\n"

    return lines()


def counted(text):
    if len(text.encode()) > TEXT_BYTES_MAX:
        raise HTTPError(413, "that is too much text")
    return {"characters": len(text), "words": len(text.split()), "lines": len(text.splitlines())}
