"""A Django page with thirty static files, as a browser loads it; `python gallery.py DIRECTORY` writes the files.

The environment's GALLERY_FILES names that directory; who serves it below /static/ is the benchmark's matter.
"""

import os
import random
import struct
import sys
import zlib

STYLES, SCRIPTS, PICTURES = 4, 6, 20


def write_files(directory):
    """Writes 30 files of 4 to 70 KB, always the same ones."""
    chance = random.Random(20)
    os.makedirs(directory, exist_ok=True)
    for number in range(STYLES):
        rules = [f".style-{number}-{rule} {{ color: #{chance.getrandbits(24):06x} }}" for rule in range(300)]
        _write(directory, f"style-{number}.css", "\n".join(rules).encode())
    for number in range(SCRIPTS):
        lines = [f"window.value_{number}_{line} = {chance.getrandbits(60)};" for line in range(500)]
        _write(directory, f"script-{number}.js", "\n".join(lines).encode())
    for number in range(PICTURES):
        _write(directory, f"picture-{number}.png", _noise(chance, 40 + 5 * number))


def page():
    """The page's HTML."""
    parts = ["<!doctype html><html><head><title>Gallery</title>"]
    parts += [f'<link rel="stylesheet" href="/static/style-{number}.css">' for number in range(STYLES)]
    parts += [f'<script src="/static/script-{number}.js" defer></script>' for number in range(SCRIPTS)]
    parts += ['<link rel="icon" href="data:,"></head><body><h1>Gallery</h1>']
    parts += [f'<img src="/static/picture-{number}.png" alt="{number}">' for number in range(PICTURES)]
    return "".join(parts) + "</body></html>"


def _write(directory, name, content):
    with open(os.path.join(directory, name), "wb") as out:
        out.write(content)


def _noise(chance, side):
    """A picture of random pixels, which no coding makes smaller."""
    rows = b"".join(b"\0" + chance.randbytes(3 * side) for _ in range(side))

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 0)) + chunk(b"IEND", b"")


def _django():
    import django
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.template import engines
    from django.urls import path

    settings.configure(
        SECRET_KEY="only for the benchmark",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
        STATIC_URL="/static/",
        STATIC_ROOT=os.environ.get("GALLERY_FILES"),
        MIDDLEWARE=[
            "django.middleware.security.SecurityMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.clickjacking.XFrameOptionsMiddleware",
        ],
    )
    django.setup()
    template = engines["django"].from_string(page())

    def gallery(request):
        from django.http import HttpResponse

        return HttpResponse(template.render({}, request))

    return WSGIHandler(), [path("", gallery)]


if __name__ == "__main__":
    write_files(sys.argv[1])
else:
    application, urlpatterns = _django()
