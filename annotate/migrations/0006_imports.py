import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def forget_previews(apps, schema_editor):
    """Files that wait in the database itself have no place any more; they are uploaded again."""
    apps.get_model("annotate", "PromptImport").objects.filter(state="preview").delete()


class Migration(migrations.Migration):
    dependencies = [
        ("annotate", "0005_edits_of_each_response"),
        ("runs", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="comparison",
            name="tags",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=60),
                blank=True,
                db_default=[],
                default=list,
                help_text="Of its own, beside those of its prompt.",
                size=None,
            ),
        ),
        migrations.AddField(
            model_name="response",
            name="metadata",
            field=models.JSONField(
                blank=True,
                db_default={},
                default=dict,
                help_text="What an import said of it: a label, an id, scores, ...",
            ),
        ),
        migrations.RunPython(forget_previews, migrations.RunPython.noop),
        migrations.RenameModel("PromptImport", "Import"),
        migrations.RemoveField("import", "content"),
        migrations.AlterField(
            "import",
            "state",
            models.CharField(
                choices=[
                    ("preview", "waiting for confirmation"),
                    ("started", "being imported"),
                    ("done", "imported"),
                    ("refused", "not imported"),
                ],
                default="preview",
                max_length=10,
            ),
        ),
        migrations.AlterField(
            "import",
            "format",
            models.CharField(blank=True, help_text="What it was recognised as, or was said to be.", max_length=40),
        ),
        migrations.AlterField("import", "sha256", models.CharField(blank=True, max_length=64)),
        migrations.AlterField(
            "import", "report", models.JSONField(blank=True, default=dict, help_text="What came of it.")
        ),
        migrations.AddField(
            "import",
            "upload",
            models.CharField(
                blank=True, default="", help_text="The file in the upload storage, until imported.", max_length=200
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            "import",
            "companion_filename",
            models.CharField(blank=True, default="", max_length=200),
            preserve_default=False,
        ),
        migrations.AddField(
            "import",
            "companion",
            models.CharField(
                blank=True, default="", help_text="The second file in the upload storage.", max_length=200
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            "import",
            "settings",
            models.JSONField(blank=True, default=dict, help_text="annotate.importing.settings.ImportSettings"),
        ),
        migrations.AddField(
            "import",
            "complaints",
            models.CharField(
                blank=True, default="", help_text="All complaints as CSV, in the upload storage.", max_length=200
            ),
            preserve_default=False,
        ),
        migrations.AddField("import", "imported_at", models.DateTimeField(blank=True, null=True)),
        migrations.CreateModel(
            name="ImportRun",
            fields=[
                (
                    "run_ptr",
                    models.OneToOneField(
                        auto_created=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        parent_link=True,
                        primary_key=True,
                        serialize=False,
                        to="runs.run",
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="import_runs", to="annotate.project"
                    ),
                ),
                (
                    "source",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="runs", to="annotate.import"
                    ),
                ),
            ],
            bases=("runs.run",),
        ),
    ]
