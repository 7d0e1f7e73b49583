"""A page with many pictures: what a browser loads beside the page is the server's work alone."""

from django.shortcuts import render

TOOLS = (
    "anvil",
    "awl",
    "bellows",
    "bolt",
    "brazier",
    "chain",
    "chisel",
    "clamp",
    "coil",
    "die",
    "file",
    "fuller",
    "gate",
    "hammer",
    "hinge",
    "hook",
    "horseshoe",
    "key",
    "latch",
    "nail",
    "plane",
    "punch",
    "rasp",
    "ring",
)


def gallery(request):
    return render(
        request, "workshop/gallery.html", {"pictures": [(tool, f"workshop/gallery/{tool}.svg") for tool in TOOLS]}
    )
