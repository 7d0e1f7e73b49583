"""The page that leads to all others."""

from django.shortcuts import render


def home(request):
    return render(request, "workshop/home.html", {"server": request.environ.get("SERVER_SOFTWARE", "")})
