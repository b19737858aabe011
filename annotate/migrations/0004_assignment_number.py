"""What an annotator was handed stands in a row: so the last one is found at once, and gold is mixed in by place."""

from django.db import migrations, models

NUMBER = """
UPDATE annotate_assignment a SET number = numbered.number
FROM (SELECT id, row_number() OVER (PARTITION BY annotator_id ORDER BY id) AS number FROM annotate_assignment) numbered
WHERE a.id = numbered.id
"""


class Migration(migrations.Migration):
    dependencies = [("annotate", "0003_first_guidelines")]
    operations = [
        migrations.AddField(
            model_name="assignment",
            name="number",
            field=models.PositiveIntegerField(
                default=0,
                editable=False,
                help_text="Its place in the row of all that its annotator was handed, 1 is the first.",
            ),
        ),
        migrations.RunSQL(NUMBER, migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name="assignment",
            index=models.Index(fields=["annotator", "-number"], name="assignment_in_row"),
        ),
    ]
