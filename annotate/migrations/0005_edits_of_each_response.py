"""The same text may be made of two responses; what an edit was made from is half of what it says."""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("annotate", "0004_assignment_number")]
    operations = [
        migrations.RemoveConstraint(model_name="response", name="response_imported_once"),
        migrations.AddConstraint(
            model_name="response",
            constraint=models.UniqueConstraint(
                fields=["prompt", "generator", "content_hash"],
                condition=Q(run__isnull=True, edited_from__isnull=True),
                name="response_imported_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="response",
            constraint=models.UniqueConstraint(
                fields=["edited_from", "generator", "content_hash"],
                condition=Q(run__isnull=True, edited_from__isnull=False),
                name="response_edited_once",
            ),
        ),
    ]
