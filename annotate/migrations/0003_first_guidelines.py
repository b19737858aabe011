"""Guidelines that were there before they had versions become version 1."""

from django.db import migrations


def first_versions(apps, schema_editor):
    Project = apps.get_model("annotate", "Project")
    Guidelines = apps.get_model("annotate", "Guidelines")
    rows = [
        Guidelines(project_id=pk, number=1, text=text)
        for pk, text in Project.objects.exclude(guidelines="").values_list("pk", "guidelines")
    ]
    Guidelines.objects.bulk_create(rows, ignore_conflicts=True)


class Migration(migrations.Migration):
    dependencies = [("annotate", "0002_workbench")]
    operations = [migrations.RunPython(first_versions, migrations.RunPython.noop)]
