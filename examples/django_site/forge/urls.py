"""The site's addresses."""

from django.contrib import admin
from django.contrib.staticfiles.views import serve
from django.urls import path

from workshop.views import baskets, diagnostics, drawings, home, streams, waiting

urlpatterns = [
    path("", home.home, name="home"),
    path("basket/", baskets.basket, name="basket"),
    path("basket/<int:ware_id>/<str:change>/", baskets.change, name="basket-change"),
    path("drawings/", drawings.drawings, name="drawings"),
    path("drawings/<int:drawing_id>/download/", drawings.download, name="drawing-download"),
    path("drawings/<int:drawing_id>/delete/", drawings.delete, name="drawing-delete"),
    path("stream/", streams.ticks, name="stream"),
    path("download/ledger.csv", streams.ledger, name="ledger"),
    path("waiting/", waiting.waiting, name="waiting"),
    path("waiting/nap/", waiting.nap, name="nap"),
    path("waiting/quick/", waiting.quick, name="quick"),
    path("environ/", diagnostics.environ, name="environ"),
    path("broken/", diagnostics.broken, name="broken"),
    path("admin/", admin.site.urls),
    # Found by the framework, so that the site needs no other server and no build step; a real site lets the
    # server in front answer for its files.
    path("static/<path:path>", serve, {"insecure": True}, name="static"),
]
