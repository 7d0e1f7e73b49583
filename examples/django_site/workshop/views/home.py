"""The page that leads to all others."""

from django.shortcuts import redirect, render
from django.templatetags.static import static


def home(request):
    return render(request, "workshop/home.html", {"server": request.environ.get("SERVER_SOFTWARE", "")})


def icon(request):
    """Browsers ask for it on pages that name no icon, which are the admin's here."""
    return redirect(static("workshop/logo.svg"))
