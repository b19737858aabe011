"""The annotators' benchmark, small: what it counts has to be zero; what it times depends on the machine."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from config.env import BASE_DIR
from tests.config.house import environment


@pytest.mark.slow
def test_nothing_is_lost_doubled_or_surplus_with_many_clients_at_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    folder.chmod(0o755)
    figures = folder / "figures.json"
    sizes = ["--quick", "--comparisons", "300", "--seconds", "4", "--no-browser"]
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.annotators", *sizes, "--var", folder / "var", "--json", figures],
        env=environment(folder / "var"),
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert figures.exists(), run.stdout + run.stderr
    results = json.loads(figures.read_text())["results"]
    zeros = {row["case"]: row["ours"] for row in results if row["target"] == 0}
    assert len(zeros) > 10
    assert not any(zeros.values()), {case: found for case, found in zeros.items() if found}
    assert any(row["ours"] > 100 for row in results if row["case"].endswith("submissions acknowledged"))
