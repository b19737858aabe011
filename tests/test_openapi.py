"""The API describes itself without a warning, and its documentation page needs nothing from elsewhere."""

import re

import pytest
from django.core.management import call_command


def test_the_schema_is_complete(tmp_path):
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "schema.yaml"))
    schema = (tmp_path / "schema.yaml").read_text()
    for resource in (
        "projects",
        "prompts",
        "generators",
        "generation-runs",
        "comparisons",
        "imports",
        "assignments",
        "dataset-versions",
        "reward-model-runs",
        "policy-runs",
        "evaluation-runs",
        "runs",
        "users",
        "tokens",
    ):
        assert f"/api/v1/{resource}/" in schema, resource


@pytest.mark.django_db
def test_the_documentation_page_is_served_locally_and_only_to_users(as_annotator, as_nobody):
    page = as_annotator.get("/api/v1/docs/")
    assert page.status_code == 200
    sources = re.findall(r"""(?:src|href)=["']([^"']+)""", page.content.decode())
    assert sources
    assert all(source.startswith(("/", "data:")) for source in sources), sources
    assert as_nobody.get("/api/v1/docs/").status_code in (401, 403)
