"""Time and memory of the whole loop with the real 135M model: `python -m benchmarks.loop`.

Runs the demo on an empty var/ of its own (models are taken from the platform's, so that nothing is downloaded or
de-quantised again) and reports each phase, and the peak resident memory of each phase's child process.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.common import Result, main, within
from config.env import BASE_DIR

MINUTES, MEMORY_GIB = 10.0, 3.0
QUICK = ["--prompts", "12", "--max-tokens", "16", "--ppo-steps", "1", "--dpo-epochs", "1", "--reward-epochs", "1"]


def cases(quick: bool) -> list[Result]:
    with tempfile.TemporaryDirectory(prefix="plumbline-loop-") as folder:
        var = Path(folder)
        figures = var / "figures.json"
        models = os.environ.get("PLUMBLINE_MODELS_DIR", str(BASE_DIR / "var" / "models"))
        environment = {**os.environ, "PLUMBLINE_VAR": str(var / "var"), "PLUMBLINE_MODELS_DIR": models}
        command = [sys.executable, "manage.py", "demo", "--no-serve", "--port", str(_free_port())]
        command += ["--json", str(figures), *(QUICK if quick else [])]
        subprocess.run(command, cwd=BASE_DIR, env=environment, check=True)
        found = json.loads(figures.read_text(encoding="utf-8"))
    seconds = found["seconds"]
    results = [Result(f"{phase}, time", value, "s") for phase, value in seconds.items()]
    results.append(within("whole loop, time", sum(seconds.values()) / 60, "min", MINUTES))
    for phase, peak in found["peak_rss_bytes"].items():
        results.append(within(f"{phase}, peak memory", peak / 2**30, "GiB", MEMORY_GIB))
    return results


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main("loop", cases)
