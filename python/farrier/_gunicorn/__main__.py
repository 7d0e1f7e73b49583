"""``python -m gunicorn`` runs Farrier."""

from farrier._embedding import run

if __name__ == "__main__":
    run()
