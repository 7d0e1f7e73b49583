"""The form that takes a drawing."""

from django import forms

# Below what servers take by default, so that the answer to a larger file is the form's and not the server's.
SIZE_MAX_BYTES = 8 * 1024 * 1024


class DrawingForm(forms.Form):
    title = forms.CharField(max_length=120, widget=forms.TextInput(attrs={"placeholder": "A gate with leaves"}))
    file = forms.FileField(label="File, up to 8 MB", max_length=255)

    def clean_file(self):
        file = self.cleaned_data["file"]
        if file.size > SIZE_MAX_BYTES:
            raise forms.ValidationError("The file is larger than 8 MB.")
        return file
