"""Take a policy out of the platform as a directory: its adapter, or one model of adapter and base. Needs no worker."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from config.env import BASE_DIR
from rl.kind import PolicyKind
from rl.models import PolicyRun
from rl.services import MERGE, POLICY
from rl.training.config import MergeConfig
from runs import child
from runs.artifacts import artifact_path


class Command(BaseCommand):
    help = "Write a policy to a directory that plain transformers, or PEFT, loads."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("policy", help="its generator's name, or the id of its run")
        parser.add_argument("--out", type=Path, required=True, help="a directory that does not exist yet")
        parser.add_argument("--merged", action="store_true", help="fold the adapter into its base")
        parser.add_argument("--dtype", choices=["base", "float32", "bfloat16"], default="base", help="of --merged")

    def handle(self, *args: Any, **options: Any) -> None:
        run, out = _policy(options["policy"]), options["out"].resolve()
        if out.exists():
            raise CommandError(f"{out} exists already. Choose another with --out.")
        if not out.parent.is_dir():
            raise CommandError(f"There is no directory {out.parent}.")
        source = artifact_path(run.artifacts.get(kind=POLICY))
        whole = run.config["method"] == "full"
        if options["merged"] and whole:
            self.stderr.write("All of its weights were trained, so there is no adapter: it is copied as it is.")
        with tempfile.TemporaryDirectory(prefix=".policy-", dir=out.parent) as folder:
            made = Path(folder) / "output"
            if options["merged"] and not whole:
                _merge(Path(folder), run, source, options["dtype"])
            else:
                shutil.copytree(source, made)
            child.fsync_tree(made)
            made.chmod(0o755)
            os.replace(made, out)
        self.stdout.write(f"{run.policy or run.title} is in {out}")


def _policy(name: str) -> PolicyRun:
    runs = PolicyRun.objects.filter(artifacts__kind=POLICY)
    found = runs.filter(policy__name=name).first()
    if found is None and name.isdecimal() and len(name) < 19:
        found = runs.filter(pk=name).first()
    if found is None:
        raise CommandError(f"There is no policy {name!r}.")
    return found


def _merge(folder: Path, run: PolicyRun, adapter: Path, dtype: str) -> None:
    inputs = {
        "model": run.generator.model,
        "adapter": str(adapter),
        "models_dir": str(settings.MODELS_DIR),
        "title": run.title,
        "lineage": PolicyKind().lineage(run),
        "result": run.result,
    }
    config = MergeConfig(dtype=dtype).model_dump(mode="json")  # type: ignore[arg-type]
    child.write_json(folder / child.SPEC, {"run": 0, "kind": MERGE, "config": config, "inputs": inputs})
    command = [sys.executable, "-m", "rl.training", str(folder)]
    done = subprocess.run(command, cwd=BASE_DIR, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        error = folder / child.ERROR
        said = json.loads(error.read_text("utf-8"))["message"] if error.is_file() else done.stderr[-500:]
        raise CommandError(f"Merging failed. {said}")
