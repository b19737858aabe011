"""Web processes and workers die at random while people submit; what was acknowledged is in the database."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from config.env import BASE_DIR
from tests.config.house import environment


@pytest.mark.slow
def test_every_acknowledged_submission_survives_the_death_of_what_took_it(tmp_path_factory):
    """300 submissions; `python -m benchmarks.annotators --chaos 2000` is the long version."""
    folder = tmp_path_factory.mktemp("chaos")
    folder.chmod(0o755)
    figures = folder / "figures.json"
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.annotators", "--chaos", "300", "--var", folder / "var", "--json", figures],
        env=environment(folder / "var"),
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    results = {row["case"]: row for row in json.loads(Path(figures).read_text())["results"]}
    assert results["chaos: submissions acknowledged"]["ours"] >= 300
    assert results["chaos: acknowledged but lost"]["ours"] == 0
    assert sum(row["ours"] for case, row in results.items() if case.startswith("chaos: killed")) >= 3
    assert all(row["met"] is not False for row in results.values()), results
