"""Files that visitors upload, list, download and delete."""

from pathlib import PurePath

from django.contrib import messages
from django.http import FileResponse, Http404
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from workshop.forms import DrawingForm
from workshop.models import Drawing


def drawings(request):
    form = DrawingForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        file = form.cleaned_data["file"]
        Drawing.objects.create(
            title=form.cleaned_data["title"], file=file, name=PurePath(file.name).name, size_bytes=file.size
        )
        messages.success(request, f"“{form.cleaned_data['title']}” has arrived, {file.size:,} bytes.")
        # Redirect after POST, so that a reload does not send the file again.
        return redirect("drawings")
    status = 422 if form.is_bound else 200
    return render(
        request, "workshop/drawings.html", {"form": form, "drawings": Drawing.objects.all()[:50]}, status=status
    )


@require_safe
def download(request, drawing_id):
    """Hands the file to the server through wsgi.file_wrapper."""
    drawing = get_object_or_404(Drawing, pk=drawing_id)
    try:
        file = drawing.file.open("rb")
    except FileNotFoundError:
        raise Http404("The file is gone.") from None
    # Always as an attachment: what a stranger uploaded must not become a page of this site.
    return FileResponse(file, as_attachment=True, filename=drawing.name)


@require_POST
def delete(request, drawing_id):
    drawing = get_object_or_404(Drawing, pk=drawing_id)
    drawing.file.delete(save=False)
    drawing.delete()
    messages.success(request, f"“{drawing.title}” is gone.")
    return redirect("drawings")
