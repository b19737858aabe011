"""Building a dataset version and exporting it: `python -m benchmarks.datasets [--comparisons N] [--var FOLDER]`.

A database with N comparisons of 4 responses, each judged twice, is built into a version (6 N pairs) by the same child
process that a worker starts, and written out in several formats. The peers are given the pairs of that version and do
what a user would do without us: read them and write them again as JSON Lines. Each step is a process of its own, so its
peak memory is known. The peers read and write whole rows; our TRL format leaves columns out, so our `pairs` format,
which keeps them all, is what is compared.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.common import Result, against_peer, report, within

SECONDS, MEMORY_MIB, FIRST_BYTE = 60.0, 500.0, 1.0
FORMATS = ("pairs", "trl", "kto", "parquet", "csv")
FINISH = """
import json, re, pathlib
peak = re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]
print(json.dumps({"mib": int(peak) / 1024, "seconds": time.perf_counter() - start, "first": first}))
"""
EXPORT = """
import pathlib, sys, time
start, first = time.perf_counter(), None
from annotate.formats.writing import export
for name, chunks in export(sys.argv[1], pathlib.Path(sys.argv[2])):
    with open(pathlib.Path(sys.argv[3]) / name, "wb") as file:
        for chunk in chunks:
            first = first or time.perf_counter() - start
            file.write(chunk)
"""
PANDAS = """
import pathlib, sys, time
start, first = time.perf_counter(), None
import pandas
rows = pandas.read_json(pathlib.Path(sys.argv[2]) / "pairs.jsonl", lines=True)
rows.to_json(pathlib.Path(sys.argv[3]) / "pandas.jsonl", orient="records", lines=True, force_ascii=False)
"""
DATASETS = """
import pathlib, sys, time
start, first = time.perf_counter(), None
import datasets
datasets.disable_progress_bars()
folder = pathlib.Path(sys.argv[3])
rows = datasets.load_dataset("json", data_files=f"{sys.argv[2]}/pairs.jsonl", split="train", cache_dir=str(folder))
rows.to_json(folder / "datasets.jsonl", force_ascii=False)
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.datasets")
    parser.add_argument("--comparisons", type=int, default=100_000)
    parser.add_argument("--quick", action="store_true", help="2,000 comparisons")
    parser.add_argument("--no-peers", action="store_true", help="ours alone")
    parser.add_argument("--var", type=Path, help="keep the database here; one that is there is used again")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    options = parser.parse_args()
    comparisons = 2_000 if options.quick else options.comparisons
    with tempfile.TemporaryDirectory() as folder:
        var = options.var or Path(folder) / "var"
        results = cases(var.resolve(), Path(folder), comparisons, peers=not options.no_peers)
    report("datasets", results, options.json)


def cases(var: Path, folder: Path, comparisons: int, *, peers: bool) -> list[Result]:
    os.environ["PLUMBLINE_VAR"] = str(var)
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    import django

    django.setup()
    from config import embedded

    embedded.ensure(var)
    try:
        version, seconds, peak = _build(comparisons)
        pairs = sum(version.pair_counts.values())
        results = [
            within(f"build, {comparisons:,} comparisons, {pairs:,} pairs", seconds, "s", SECONDS),
            within("build, peak memory", peak, "MiB", MEMORY_MIB),
        ]
        from runs.artifacts import artifact_path

        return results + _exports(artifact_path(version.artifact), folder, seconds, peers=peers)
    finally:
        from django.db import connections

        connections.close_all()
        embedded.release(var)
        embedded.wait_until_stopped(var)


def _build(comparisons: int) -> tuple[Any, float, float]:
    from django.core.management import call_command

    from annotate.datasets.models import DatasetVersion
    from annotate.datasets.services import dataset_run_start
    from annotate.projects.models import Project
    from benchmarks.million import load
    from runs.executor import run_execute

    call_command("migrate", interactive=False, verbosity=0)
    project = Project.objects.first()
    if project is None:
        slug = load(comparisons=comparisons, closed=comparisons, annotators=50, gold=0)
        project = Project.objects.get(slug=slug)
    start = time.perf_counter()
    run = dataset_run_start(project=project, config={"dimensions": ["helpfulness"], "keep_ties": True})
    run_execute(run_id=run.pk, worker="benchmark")
    seconds = time.perf_counter() - start
    run.refresh_from_db()
    if run.state != "succeeded":
        raise RuntimeError(f"{run.error}\n{run.error_detail}")
    result = json.loads((run.directory / "result.json").read_text())
    return DatasetVersion.objects.get(run=run), seconds, result["peak_rss_bytes"] / 2**20


def _exports(version: Path, folder: Path, build: float, *, peers: bool) -> list[Result]:
    ours = {key: _measured(EXPORT, key, version, folder) for key in FORMATS}
    results = []
    for key, found in ours.items():
        results.append(within(f"build and export as {key}", build + found["seconds"], "s", SECONDS))
        results.append(within(f"export as {key}, peak memory", found["mib"], "MiB", MEMORY_MIB))
        results.append(within(f"export as {key}, first bytes", found["first"], "s", FIRST_BYTE))
    for name, code in (("pandas.to_json", PANDAS), ("datasets.to_json", DATASETS)) if peers else ():
        peer = _measured(code, name, version, folder)
        for key, unit in (("seconds", "s"), ("mib", "MiB")):
            case = f"pairs against {name}, " + ("reading and writing" if key == "seconds" else "peak memory")
            results.append(against_peer(case, ours["pairs"][key], peer[key], unit, 1.0, more_is_better=False))
    return results


def _measured(code: str, *arguments: object) -> dict[str, float]:
    """Seconds from start to end, imports included, and peak memory of a process."""
    with tempfile.TemporaryDirectory(dir=arguments[-1]) as folder:
        *given, _ = map(str, arguments)
        done = subprocess.run(
            [sys.executable, "-c", code + FINISH, *given, folder], capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
