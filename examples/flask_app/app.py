"""A Flask guest book: a form, a JSON interface, a stream of new entries, and pictures. `app:application`

Entries live in SQLite, so several workers show the same book. GUESTBOOK_DATA names the directory.
"""

import json
import os
import sqlite3
import time
from pathlib import Path

from flask import Flask, abort, g, jsonify, redirect, render_template_string, request, send_from_directory, url_for
from werkzeug.utils import secure_filename

DATA_DIR = Path(os.environ.get("GUESTBOOK_DATA") or Path(__file__).resolve().parent / "data")
NAME_CHARACTERS_MAX = 60
TEXT_CHARACTERS_MAX = 500
STREAM_SECONDS = 20
PICTURES = {".png", ".jpg", ".jpeg", ".gif", ".webp"}

application = app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 8 * 1024 * 1024

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Guest book</title>
<style>
body { font: 17px/1.5 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem; color: #26221f; background: #f6f3ef; }
form, li { background: #fff; border: 1px solid #e3dbd2; border-radius: 6px; padding: .8rem 1rem; margin: .6rem 0; }
ul { list-style: none; padding: 0; } img { max-width: 100%; } input, textarea { font: inherit; width: 100%; margin: .2rem 0 .6rem; }
a, b { color: #b94a17; }
</style></head><body>
<h1>Guest book</h1>
<form method="post" action="{{ url_for('write') }}" enctype="multipart/form-data">
<label>Name <input name="name" required maxlength="60"></label>
<label>What you want to say <textarea name="text" required maxlength="500"></textarea></label>
<label>A picture, if you like <input type="file" name="picture" accept="image/*"></label>
<button>Write</button>
</form>
<p><a href="{{ url_for('entries') }}">as JSON</a> · <a href="{{ url_for('stream') }}">as a stream of {{ seconds }} seconds</a></p>
<ul>{% for entry in entries %}
<li><b>{{ entry.name }}</b>: {{ entry.text }}
{% if entry.picture %}<br><img src="{{ url_for('picture', name=entry.picture) }}" alt="">{% endif %}</li>
{% else %}<li>Nobody has written yet.</li>{% endfor %}</ul>
</body></html>"""


@app.get("/")
def book():
    return render_template_string(PAGE, entries=latest(), seconds=STREAM_SECONDS)


@app.post("/")
def write():
    picture = request.files.get("picture")
    insert(request.form, save(picture) if picture and picture.filename else None)
    return redirect(url_for("book"), 303)


@app.get("/entries")
def entries():
    return jsonify([dict(entry) for entry in latest()])


@app.post("/entries")
def add_entry():
    fields = request.get_json()
    if not isinstance(fields, dict):
        abort(400, "an object with name and text is expected")
    return jsonify(id=insert(fields, None)), 201


@app.get("/pictures/<name>")
def picture(name):
    return send_from_directory(DATA_DIR / "pictures", name)


@app.get("/stream")
def stream():
    """Entries as lines of JSON, the new ones as they are written."""

    def lines():
        seen = 0
        ends = time.monotonic() + STREAM_SECONDS
        while time.monotonic() < ends:
            # A connection for each look: the request's own is closed when the view returns.
            book = connect()
            rows = book.execute("SELECT * FROM entry WHERE id > ? ORDER BY id", (seen,)).fetchall()
            book.close()
            for row in rows:
                seen = row["id"]
                yield json.dumps(dict(row)) + "\n"
            time.sleep(0.5)

    return lines(), {"Content-Type": "application/x-ndjson", "Cache-Control": "no-store"}


def latest():
    return database().execute("SELECT * FROM entry ORDER BY id DESC LIMIT 50").fetchall()


def insert(fields, picture_name):
    """Writes an entry from untrusted fields and returns its number."""
    name, text = fields.get("name"), fields.get("text")
    if not (isinstance(name, str) and 0 < len(name.strip()) <= NAME_CHARACTERS_MAX):
        abort(400, f"a name of at most {NAME_CHARACTERS_MAX} characters is expected")
    if not (isinstance(text, str) and 0 < len(text.strip()) <= TEXT_CHARACTERS_MAX):
        abort(400, f"a text of at most {TEXT_CHARACTERS_MAX} characters is expected")
    with database() as transaction:
        return transaction.execute(
            "INSERT INTO entry (name, text, picture) VALUES (?, ?, ?)", (name.strip(), text.strip(), picture_name)
        ).lastrowid


def save(picture):
    """Keeps a picture under a name of its own. Nothing but pictures, for they are shown in the page."""
    suffix = Path(secure_filename(picture.filename)).suffix.lower()
    if suffix not in PICTURES:
        abort(400, "a picture is expected: " + ", ".join(sorted(PICTURES)))
    name = f"{time.time_ns()}-{os.getpid()}{suffix}"
    (DATA_DIR / "pictures").mkdir(exist_ok=True)
    picture.save(DATA_DIR / "pictures" / name)
    return name


def database():
    """The request's connection."""
    if "database" not in g:
        g.database = connect()
    return g.database


@app.teardown_appcontext
def close_database(_error):
    if "database" in g:
        g.pop("database").close()


def connect():
    connection = sqlite3.connect(DATA_DIR / "guestbook.sqlite3", timeout=20)
    connection.row_factory = sqlite3.Row
    return connection


def prepare():
    """Makes the table. Every worker may do so: the statement does nothing where it was done."""
    DATA_DIR.mkdir(parents=True, exist_ok=True)
    connection = connect()
    connection.execute(
        "CREATE TABLE IF NOT EXISTS entry "
        "(id INTEGER PRIMARY KEY, name TEXT NOT NULL, text TEXT NOT NULL, picture TEXT)"
    )
    connection.close()


prepare()
