"""The form that takes a drawing."""

from django import forms

SIZE_MAX_BYTES = 20 * 1024 * 1024


class DrawingForm(forms.Form):
    title = forms.CharField(max_length=120, widget=forms.TextInput(attrs={"placeholder": "A gate with leaves"}))
    file = forms.FileField(label="File, up to 20 MB", max_length=255)

    def clean_file(self):
        file = self.cleaned_data["file"]
        if file.size > SIZE_MAX_BYTES:
            raise forms.ValidationError("The file is larger than 20 MB.")
        return file
