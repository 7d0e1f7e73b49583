"""The basket, kept in the session, and how often this visitor has looked into it."""

from django.http import HttpResponseBadRequest
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from workshop.models import Ware, money

QUANTITY_MAX = 99


def basket(request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    quantities = request.session.get("basket", {})
    rows = [
        {
            "ware": ware,
            "quantity": quantities.get(str(ware.id), 0),
            "sum": money(ware.price_cents * quantities.get(str(ware.id), 0)),
        }
        for ware in Ware.objects.all()
    ]
    total = money(sum(row["ware"].price_cents * row["quantity"] for row in rows))
    return render(request, "workshop/basket.html", {"rows": rows, "total": total, "visits": request.session["visits"]})


@require_POST
def change(request, ware_id, change):
    """Puts one more in, or takes one out."""
    if change not in ("more", "less"):
        return HttpResponseBadRequest("more or less?")
    get_object_or_404(Ware, pk=ware_id)
    quantities = request.session.setdefault("basket", {})
    quantity = quantities.get(str(ware_id), 0) + (1 if change == "more" else -1)
    # The session's keys pass through JSON, so they are strings.
    quantities[str(ware_id)] = min(max(quantity, 0), QUANTITY_MAX)
    request.session.modified = True
    return redirect("basket")
