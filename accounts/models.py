"""Who uses Plumbline."""

from django.contrib.auth.models import AbstractUser
from django.db import models


class User(AbstractUser):
    """A person, or something that stands in for one.

    The admin role is Django's `is_staff`; everybody else is an annotator.
    """

    class Kind(models.TextChoices):
        HUMAN = "human", "person"
        SIMULATED = "simulated", "simulated annotator"
        IMPORT = "import", "imported judgements"

    kind = models.CharField(
        max_length=10,
        choices=Kind,
        default=Kind.HUMAN,
        help_text="Simulated annotators and imports are labelled as such wherever their work appears.",
    )

    @property
    def role(self) -> str:
        return "admin" if self.is_staff else "annotator"
