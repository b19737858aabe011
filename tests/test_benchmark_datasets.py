"""The datasets benchmark, small: that it runs and measures; its times depend on the machine."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from config.env import BASE_DIR
from tests.config.house import environment


@pytest.mark.slow
def test_a_version_is_built_and_exported_within_its_memory(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    folder.chmod(0o755)
    figures = folder / "figures.json"
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.datasets", "--comparisons", "300", "--no-peers", "--json", figures],
        env=environment(folder / "var"),
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
        timeout=480,
    )
    assert figures.exists(), run.stdout + run.stderr
    results = json.loads(figures.read_text())["results"]
    assert results[0]["case"] == "build, 300 comparisons, 1,800 pairs"
    memory = {row["case"]: row["met"] for row in results if row["unit"] == "MiB"}
    assert len(memory) > 4
    assert {row["case"].partition(",")[0] for row in results} >= {
        "download as trl",
        "read pairs",
        "import pairs",
    }
    assert all(memory.values()), results
