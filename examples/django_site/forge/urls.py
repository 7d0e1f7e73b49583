"""The site's addresses."""

from django.conf import settings
from django.contrib import admin
from django.urls import path
from django.views.static import serve

from workshop.views import baskets, diagnostics, drawings, gallery, home, streams, waiting

urlpatterns = [
    path("", home.home, name="home"),
    path("favicon.ico", home.icon, name="icon"),
    path("basket/", baskets.basket, name="basket"),
    path("basket/<int:ware_id>/<str:change>/", baskets.change, name="basket-change"),
    path("drawings/", drawings.drawings, name="drawings"),
    path("drawings/<int:drawing_id>/download/", drawings.download, name="drawing-download"),
    path("drawings/<int:drawing_id>/delete/", drawings.delete, name="drawing-delete"),
    path("gallery/", gallery.gallery, name="gallery"),
    path("stream/", streams.ticks, name="stream"),
    path("download/ledger.csv", streams.ledger, name="ledger"),
    path("waiting/", waiting.waiting, name="waiting"),
    path("waiting/nap/", waiting.nap, name="nap"),
    path("waiting/quick/", waiting.quick, name="quick"),
    path("environ/", diagnostics.environ, name="environ"),
    path("broken/", diagnostics.broken, name="broken"),
    path("admin/", admin.site.urls),
    # For servers that are not told of the files: with `farrier --static auto` no such request comes here.
    path("static/<path:path>", serve, {"document_root": settings.STATIC_ROOT}, name="static"),
]
