"""The workshop in Django's admin."""

from django.contrib import admin

from workshop.models import Drawing, Ware


@admin.register(Ware)
class WareAdmin(admin.ModelAdmin):
    list_display = ["name", "description", "price"]
    search_fields = ["name", "description"]


@admin.register(Drawing)
class DrawingAdmin(admin.ModelAdmin):
    list_display = ["title", "name", "size_bytes", "uploaded_at"]
    search_fields = ["title", "name"]
