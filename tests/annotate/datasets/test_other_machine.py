"""The same judgements and settings give the same sha256 in another database, folder, time zone and language."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from config.env import BASE_DIR
from tests.annotate.conftest import jsonl
from tests.config.house import environment

BUILD = """
import json, sys
import django
django.setup()
from django.conf import settings
from config import embedded
embedded.ensure(settings.VAR)
from django.core.management import call_command
from django.db import connections
try:
    call_command("migrate", interactive=False, verbosity=0)
    from annotate.projects.services import project_create
    from annotate.datasets.models import DatasetVersion
    project = project_create(name="Kites", user=None)
    call_command("import_dataset", sys.argv[1], project=project.slug)
    for options in json.loads(sys.argv[2]):
        call_command("build_dataset", project.slug, *options)
    print("SHA", json.dumps(list(DatasetVersion.objects.order_by("pk").values_list("sha256", flat=True))))
finally:
    connections.close_all()
    embedded.release(settings.VAR)
    embedded.wait_until_stopped(settings.VAR)
"""
SETTINGS = [
    [],
    ["--aggregation", "consensus", "--weights", "reliability", "--keep-ties"],
    ["--stratify-by", "language", "--pairs-per-prompt", "2", "--pair-policy", "best-vs-rest", "--salt", "盐"],
]


def rows() -> bytes:
    judges = ["Åsa", "ben", "Çelik", "陈", "dora"]
    made = []
    for number in range(60):
        prompt = [{"role": "user", "content": f"第{number}个问题 — I ı İ ß {number / 7:.3f}"}]
        texts = [f"{'α' * (1 + (number + n) % 5)} antwoord {n}" for n in range(4)]
        responses = [{"id": f"{number}-{n}", "text": text, "generator": f"g{n}"} for n, text in enumerate(texts)]
        rankings = [
            {"ranks": [1 + (number * (n + 3) + k) % 4 for k in range(4)], "weight": 1.0, "annotator": judge,
             "strengths": None}
            for n, judge in enumerate(judges)
        ]  # fmt: skip
        made.append({"comparison": str(number), "dimension": "helpfulness", "split": "train", "prompt": prompt,
                     "responses": responses, "rankings": rankings, "tags": [f"标签{number % 3}"]})  # fmt: skip
    return jsonl(*made)


def built(folder: Path, file: Path, **differently: str) -> list[str]:
    var = folder / "var"
    var.mkdir(parents=True)
    run = subprocess.run(
        [sys.executable, "-c", BUILD, file, json.dumps(SETTINGS)],
        env={**environment(var), "DJANGO_SETTINGS_MODULE": "config.settings", **differently},
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
        timeout=300,
    )
    found = [line for line in run.stdout.splitlines() if line.startswith("SHA ")]
    assert found, run.stdout + run.stderr
    return json.loads(found[0].removeprefix("SHA "))


@pytest.mark.slow
def test_two_machines_build_the_same_bytes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("machines")
    folder.chmod(0o755)
    file = folder / "rankings.jsonl"
    file.write_bytes(rows())
    here = built(folder / "here", file, PYTHONHASHSEED="1", TZ="Pacific/Auckland", LC_ALL="C.UTF-8")
    there = built(
        folder / "there", file, PYTHONHASHSEED="4711", TZ="America/St_Johns", LC_ALL="tr_TR.UTF-8", LANG="de_DE.UTF-8",
        PLUMBLINE_TIME_ZONE="Asia/Kathmandu", OMP_NUM_THREADS="2",
    )  # fmt: skip
    assert len(set(here)) == len(SETTINGS) and here == there
