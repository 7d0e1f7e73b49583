"""What the site needs before its first request: tables, a demo user, something to sell, and its files in one folder."""

import fcntl
import sys

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection, connections

USER = "demo"
PASSWORD = "demo"

WARES = (
    ("Horseshoe", "Hand-forged, eight nail holes, fits most unicorns.", 1800),
    ("Pritchel", "Punches the nail holes through hot iron.", 2400),
    ("Clinch cutter", "Raises the old nails before a shoe comes off.", 3100),
    ("Rasp", "The last word about any hoof.", 2250),
    ("Box of nails", "Two hundred and fifty; nobody has ever counted.", 950),
    ("Anvil, small", "Forty kilograms. Please bring a friend.", 42000),
)


def ensure_prepared():
    """Prepares the site unless that was done; with several workers one does it and the others wait for it."""
    if _is_prepared():
        return
    with open(settings.DATA_DIR / "prepare.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_prepared():
            _prepare()
            print(f"forge: made the database; user {USER}, password {PASSWORD}", file=sys.stderr)


def prepare():
    """Prepares the site, also when parts of it are there already."""
    with open(settings.DATA_DIR / "prepare.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _prepare()


def _prepare():
    from workshop.models import Ware  # only loaded applications have models

    call_command("migrate", verbosity=0, interactive=False)
    with connection.cursor() as cursor:
        # Readers and a writer at the same time; SQLite remembers it in the file.
        cursor.execute("PRAGMA journal_mode=WAL")
    if not get_user_model().objects.filter(username=USER).exists():
        get_user_model().objects.create_superuser(USER, password=PASSWORD)
    for name, description, cents in WARES:
        Ware.objects.get_or_create(name=name, defaults={"description": description, "price_cents": cents})
    call_command("collectstatic", verbosity=0, interactive=False)
    # A server that loads the application before it forks must not hand an open connection to its workers.
    connections.close_all()
    _done_mark().touch()


def _is_prepared():
    manifest = settings.STATIC_ROOT / "staticfiles.json"
    return _done_mark().exists() and manifest.exists() and settings.DATABASES["default"]["NAME"].exists()


def _done_mark():
    """A file beside the database: the database itself exists as soon as its making begins."""
    return settings.DATA_DIR / "prepared"
