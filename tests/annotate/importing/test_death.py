"""An import whose process is killed leaves nothing behind, and the next one does all of it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from annotate.models import Comparison, Generator, Prompt, Response
from config.env import BASE_DIR
from tests.annotate.conftest import jsonl
from tests.annotate.importing.files import START, take

KILLED = """
import os, signal, sys, django
django.setup()
from annotate.importing.services import Source, file_import
from annotate.importing.settings import ImportSettings
from annotate.models import Project
seen = []
def watch(done):
    seen.append(done)
    if len(seen) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
with open(sys.argv[1], "rb") as file:
    file_import(project=Project.objects.get(), source=Source(file), settings=ImportSettings(), watch=watch)
"""


@pytest.mark.django_db(transaction=True)
def test_a_process_that_is_killed_in_the_middle_leaves_nothing(project, tmp_path, children_share_uploads):
    data = jsonl(*({"chosen": f"{START} {n}.", "rejected": f"{START} No."} for n in range(7000)))
    file = tmp_path / "pairs.jsonl"
    file.write_bytes(data)
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"}
    done = subprocess.run([sys.executable, "-c", KILLED, file], cwd=BASE_DIR, env=environment, capture_output=True)
    assert done.returncode == -9, done.stderr.decode()
    assert not any(model.objects.exists() for model in (Prompt, Response, Comparison, Generator))
    assert take(project, data=data)["new"]["comparisons"] == 7000
