"""The WSGI application: `forge.wsgi:application`. Makes the database when it is missing."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "forge.settings")
application = get_wsgi_application()

from forge import first_run  # noqa: E402  needs the applications loaded

first_run.ensure_prepared()
