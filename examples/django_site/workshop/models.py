"""What the workshop keeps in its database."""

from django.db import models


class Ware(models.Model):
    """Something that can be put into the basket."""

    name = models.CharField(max_length=80, unique=True)
    description = models.CharField(max_length=200)
    price_cents = models.PositiveIntegerField()

    class Meta:
        ordering = ["price_cents"]

    def __str__(self):
        return self.name

    @property
    def price(self):
        return money(self.price_cents)


class Drawing(models.Model):
    """A file that a visitor left for the smith."""

    title = models.CharField(max_length=120)
    file = models.FileField(upload_to="drawings/")
    name = models.CharField(max_length=255)
    size_bytes = models.PositiveBigIntegerField()
    uploaded_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-uploaded_at"]

    def __str__(self):
        return self.title


def money(cents):
    return f"{cents // 100}.{cents % 100:02} €"
