"""A view that sleeps and one that does not, to see whether the first holds up the second."""

import time

from django.http import HttpResponse
from django.shortcuts import render

NAP_SECONDS = 2


def waiting(request):
    return render(request, "workshop/waiting.html", {"nap_seconds": NAP_SECONDS})


def nap(request):
    started = time.perf_counter()
    time.sleep(NAP_SECONDS)
    return HttpResponse(f"slept {time.perf_counter() - started:.2f} s\n", content_type="text/plain")


def quick(request):
    return HttpResponse("quick\n", content_type="text/plain")
