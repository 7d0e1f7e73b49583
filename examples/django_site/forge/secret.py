"""The secret key: made on the first run, kept in a file, the same for all workers."""

import os
import secrets


def secret_key(path):
    """Reads the key, or makes one. Of several processes that start at once, one makes it and all read it."""
    try:
        return path.read_text()
    except FileNotFoundError:
        pass
    candidate = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(candidate, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(50))
    try:
        # link() fails when another process was first, and never shows a file that is half written.
        os.link(candidate, path)
    except FileExistsError:
        pass
    finally:
        candidate.unlink()
    return path.read_text()
