"""Building, exporting and importing: `python -m benchmarks.datasets [--part PART] [--comparisons N] [--var FOLDER]`.

- **build**: a database with N comparisons of 4 responses, each judged twice, is built into a version (6 N pairs) by the
  same child process that a worker starts, and written out in several formats. gunicorn, as in production, sends those
  formats over REST; the time is to the first byte of the body. The peers are given the pairs of that version and do
  what a user would do without us: read them and write them again as JSON Lines. They read and write whole rows, so our
  `pairs` format, which keeps them all, is what is compared.
- **import**: files of 200 MB, first only read (recognised, checked, every text hashed, planned), as a check of a file
  does; then imported into a database, with everything that is stored of them, in one transaction. What the database
  does is by the row, so rows are of two usual sizes: 2 KB (pairs, and rankings of four short responses), and 16 KB as
  in UltraFeedback (four responses of 1,800 characters, with ratings and reasons on four aspects, of which the project
  asks for one).

Each step is a process of its own, so its peak memory is known; that of PostgreSQL is not in it.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from benchmarks.common import Result, against_peer, report, within
from benchmarks.formats import WORDS, at_least

SECONDS, MEMORY_MIB, FIRST_BYTE, RATE = 60.0, 500.0, 1.0, 20.0
FILE_BYTES = 200 * 10**6
PARTS = ("build", "import")
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
READ = """
import json, pathlib, sys, time
start, first = time.perf_counter(), None
from annotate.formats.jsonl import Findings
from annotate.importing.plan import Dimensions
from annotate.importing.reading import Seen, format_of, plans
from annotate.importing.settings import ImportSettings
findings, settings, found = Findings(), ImportSettings(), 0
with open(sys.argv[1], "rb") as file:
    format = format_of(file, settings)
    for plan in plans(file, findings, settings, Dimensions(["helpfulness"], {}), Seen(), format=format):
        first, found = first or time.perf_counter() - start, found + 1
assert found and not findings.error_count, findings.errors
"""
IMPORT = """
import json, pathlib, sys, time
import django
django.setup()
from annotate.importing.services import Source, file_import
from annotate.importing.settings import ImportSettings
from annotate.projects.services import project_create
project = project_create(name=f"Import of {pathlib.Path(sys.argv[1]).name}", user=None)
start, first = time.perf_counter(), None
with open(sys.argv[1], "rb") as file:
    new = file_import(project=project, source=Source(file), settings=ImportSettings())["new"]
first = new["prompts"] + new["responses"] + new["comparisons"] + new["judgements"]
assert new["judgements"], new
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.datasets")
    parser.add_argument("--comparisons", type=int, default=100_000)
    parser.add_argument("--quick", action="store_true", help="2,000 comparisons")
    parser.add_argument("--part", choices=PARTS, help="one of the two; both by default")
    parser.add_argument("--no-peers", action="store_true", help="ours alone")
    parser.add_argument("--var", type=Path, help="keep the database here; one that is there is used again")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    options = parser.parse_args()
    comparisons = 2_000 if options.quick else options.comparisons
    with tempfile.TemporaryDirectory() as folder:
        var = options.var or Path(folder) / "var"
        parts = [options.part] if options.part else PARTS
        results = cases(var.resolve(), Path(folder), comparisons, parts, peers=not options.no_peers)
    report("datasets", results, options.json)


def cases(var: Path, folder: Path, comparisons: int, parts: Sequence[str], *, peers: bool) -> list[Result]:
    os.environ["PLUMBLINE_VAR"] = str(var)
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    import django

    django.setup()
    from config import embedded

    embedded.ensure(var)
    try:
        from django.core.management import call_command

        call_command("migrate", interactive=False, verbosity=0)
        made = _built(folder, comparisons, peers=peers) if "build" in parts else []
        return made + (_imports(folder, FILE_BYTES * comparisons // 100_000) if "import" in parts else [])
    finally:
        from django.db import connections

        connections.close_all()
        embedded.release(var)
        embedded.wait_until_stopped(var)


def _built(folder: Path, comparisons: int, *, peers: bool) -> list[Result]:
    version, seconds, peak = _build(comparisons)
    pairs = sum(version.pair_counts.values())
    from runs.artifacts import artifact_path

    return [
        within(f"build, {comparisons:,} comparisons, {pairs:,} pairs", seconds, "s", SECONDS),
        within("build, peak memory", peak, "MiB", MEMORY_MIB),
        *_exports(artifact_path(version.artifact), folder, seconds, peers=peers),
        *_downloads(version),
    ]


def _build(comparisons: int) -> tuple[Any, float, float]:
    from annotate.datasets.models import DatasetVersion
    from annotate.datasets.services import dataset_run_start
    from annotate.projects.models import Project
    from benchmarks.million import load
    from runs.executor import run_execute

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
    print("build", seconds, "s", result["peak_rss_bytes"], "bytes", file=sys.stderr, flush=True)
    return DatasetVersion.objects.get(run=run), seconds, result["peak_rss_bytes"] / 2**20


def _exports(version: Path, folder: Path, build: float, *, peers: bool) -> list[Result]:
    ours = {key: _measured(EXPORT, key, version, folder) for key in FORMATS}
    results = []
    for key, found in ours.items():
        results.append(within(f"build and export as {key}", build + found["seconds"], "s", SECONDS))
        results.append(within(f"export as {key}, peak memory", found["mib"], "MiB", MEMORY_MIB))
    for name, code in (("pandas.to_json", PANDAS), ("datasets.to_json", DATASETS)) if peers else ():
        peer = _measured(code, name, version, folder)
        for key, unit in (("seconds", "s"), ("mib", "MiB")):
            case = f"pairs against {name}, " + ("reading and writing" if key == "seconds" else "peak memory")
            results.append(against_peer(case, ours["pairs"][key], peer[key], unit, 1.0, more_is_better=False))
    return results


def _downloads(version: Any) -> list[Result]:
    """Seconds from a request to the first byte of its body: the slower of two, as the first one loads libraries."""
    from django.contrib.auth import get_user_model
    from knox.models import AuthToken

    admin, _ = get_user_model().objects.get_or_create(username="benchmark-admin", defaults={"is_staff": True})
    token = AuthToken.objects.create(admin)[1]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "-c", "python:config.gunicorn", "config.wsgi"]
    server = subprocess.Popen([*command, "--bind", f"127.0.0.1:{port}", "--workers", "1"], stderr=subprocess.DEVNULL)
    try:
        for _ in range(120):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.5)
        seconds = {key: max(_first_byte(port, version.pk, key, token) for _ in range(2)) for key in FORMATS}
    finally:
        server.terminate()
        server.wait()
    return [within(f"download as {key}, first byte", value, "s", FIRST_BYTE) for key, value in seconds.items()]


def _first_byte(port: int, version: int, key: str, token: str) -> float:
    address = f"http://127.0.0.1:{port}/api/v1/dataset-versions/{version}/export/?as={key}"
    start = time.perf_counter()
    asked = urllib.request.Request(address, headers={"Authorization": f"Token {token}"})
    with urllib.request.urlopen(asked) as response:
        response.read(1)
        return time.perf_counter() - start


# importing ----------------------------------------------------------------------------------------------------------


def _imports(folder: Path, size: int) -> list[Result]:
    results = []
    for name, path in _files(folder, size):
        megabytes = path.stat().st_size / 1e6
        for what, code in (("read", READ), ("import", IMPORT)):
            found = _measured(code, path, folder)
            results.append(at_least(f"{what} {name}, {megabytes:,.0f} MB", megabytes / found["seconds"], "MB/s", RATE))
            if what == "import":
                results.append(at_least(f"import {name}, rows stored", found["first"] / found["seconds"], "rows/s"))
            results.append(within(f"{what} {name}, peak memory", found["mib"], "MiB", MEMORY_MIB))
        path.unlink()
    return results


def _files(folder: Path, size: int) -> Iterator[tuple[str, Path]]:
    """(name, path) of files of about `size` bytes, none of which shares a prompt with another."""
    for name, rows in (
        ("pairs, rows of 2 KB", _pairs("p", Words(130, 210))),
        ("rankings, rows of 2 KB", _rankings("r", Words(50, 110))),
        ("UltraFeedback, rows of 16 KB", _ultrafeedback("u", Words(300, 420))),
    ):
        path, held = folder / f"{name}.jsonl", 0
        with path.open("wb") as file:
            while held < size:
                held += file.write(orjson.dumps(next(rows)) + b"\n")
        yield name, path


class Words:
    """Texts of `least` to `most` words, in an order of their own."""

    def __init__(self, least: int, most: int) -> None:
        self.chance, self.least, self.most = random.Random(0), least, most  # noqa: S311

    def __call__(self) -> str:
        return " ".join(self.chance.choices(WORDS, k=self.chance.randint(self.least, self.most)))


def _rankings(salt: str, words: Words) -> Iterator[dict[str, Any]]:
    for number in itertools.count():
        texts = [words() for _ in range(4)]
        ranks = words.chance.sample([1, 2, 3, 4], 4)
        yield {"prompt": f"{salt}{number}: {texts[0][:200]}", "responses": texts, "ranks": ranks}


def _pairs(salt: str, words: Words) -> Iterator[dict[str, Any]]:
    for row in _rankings(salt, words):
        turns = [[{"role": "assistant", "content": text}] for text in row["responses"]]
        prompt = [{"role": "user", "content": row["prompt"]}]
        for i, j in itertools.combinations(range(4), 2):
            yield {"prompt": prompt, "chosen": turns[i], "rejected": turns[j]}


def _ultrafeedback(salt: str, words: Words) -> Iterator[dict[str, Any]]:
    """Four responses of about 1,800 characters, each with a rating and a reason for it on four aspects."""
    aspects = ("helpfulness", "honesty", "instruction_following", "truthfulness")
    for row in _rankings(salt, words):
        completions = [
            {
                "model": f"model-{number}",
                "response": text,
                "overall_score": words.chance.randint(1, 10),
                "annotations": {
                    aspect: {"Rating": str(words.chance.randint(1, 5)), "Rationale": words()[:450]}
                    for aspect in aspects
                },
            }
            for number, text in enumerate(row["responses"])
        ]
        models = [each["model"] for each in completions]
        yield {"source": "made", "instruction": row["prompt"], "models": models, "completions": completions}


def _measured(code: str, *arguments: object) -> dict[str, float]:
    """Seconds from start to end and peak memory of a process; what `first` is, the code says."""
    with tempfile.TemporaryDirectory(dir=arguments[-1]) as folder:
        *given, _ = map(str, arguments)
        done = subprocess.run(
            [sys.executable, "-c", code + FINISH, *given, folder], capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found = json.loads(done.stdout.splitlines()[-1])
    print(*arguments[:-1], found, file=sys.stderr, flush=True)  # a long run that is stopped has said something
    return found


if __name__ == "__main__":
    main()
