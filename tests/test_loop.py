"""Once around the loop with `manage.py demo`: real servers, real workers, real training, a tiny model."""

import json
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import embedded
from config.env import BASE_DIR
from tests.config.house import environment
from tests.tiny import tiny_model

SIZE = {"prompts": 12, "k": 3, "max-tokens": 12, "reward-epochs": 1, "dpo-epochs": 1, "ppo-steps": 1, "ppo-prompts": 4}


@pytest.fixture
def var() -> Iterator[Path]:
    """A folder that the database's own user can reach."""
    above = Path(tempfile.mkdtemp())
    above.chmod(0o755)
    yield above / "var"
    embedded.wait_until_stopped(above / "var")
    shutil.rmtree(above)


@pytest.mark.slow
def test_the_demo_goes_all_the_way_around(tmp_path, var):
    model = tiny_model(tmp_path / "model")
    figures = tmp_path / "figures.json"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "manage.py", "demo", "--no-serve", "--port", str(port), "--json", str(figures)]
    command += ["--model", str(model)]
    for name, value in SIZE.items():
        command += [f"--{name}", str(value)]
    done = subprocess.run(
        command, cwd=BASE_DIR, env=environment(var), capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "Before and after" in done.stdout
    assert "simulated" in done.stdout

    found = json.loads(figures.read_text())
    policies = list(found["comparison"])
    assert len(policies) == 3
    for name, measures in found["comparison"].items():
        for measure, values in measures.items():
            estimate = values["estimate"]
            assert estimate["low"] <= estimate["value"] <= estimate["high"], (name, measure)
    assert found["comparison"][policies[0]]["kl"]["estimate"]["value"] == 0
    assert {"Responses", "Rankings", "Dataset", "Reward model", "DPO", "PPO"} <= found["seconds"].keys()

    [line] = [line for line in done.stdout.splitlines() if line.startswith("Rankings exported to")]
    pairs = [json.loads(row) for row in Path(line.split("to", 1)[1].strip()).read_text("utf-8").splitlines()]
    assert pairs
    assert {"prompt", "chosen", "rejected", "dimension", "margin", "weight", "split"} <= pairs[0].keys()
    sides = {(json.dumps(pair["prompt"]), pair["split"]) for pair in pairs}
    assert len(sides) == len({prompt for prompt, _ in sides})
