"""Makes the site's database, demo user and wares. May be run as often as one likes."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "forge.settings")

import django  # noqa: E402  the settings are named first

django.setup()

from forge import first_run  # noqa: E402  needs the applications loaded

if __name__ == "__main__":
    first_run.prepare()
    print(f"The site is ready. User {first_run.USER}, password {first_run.PASSWORD}.")
