"""docker-compose.yml is right: it is well formed, wants its secrets, and the command of every service works."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from config import embedded, processes
from config.env import BASE_DIR
from tests.config.house import answers, environment, free_port, gone, living, manage

SECRETS = {
    "POSTGRES_PASSWORD": "of-postgres",
    "REDIS_PASSWORD": "of-redis",
    "PLUMBLINE_SECRET_KEY": "forty-or-so-characters-that-nobody-could-guess",
}
OURS = ("migrate", "web", "worker", "gpu-worker", "beat")


def compose(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("docker-compose is not installed")
    env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **variables}
    return subprocess.run([program, *arguments], cwd=BASE_DIR, env=env, capture_output=True, text=True)


@pytest.mark.parametrize(
    "files", [[], ["-f", "docker-compose.yml", "-f", "docker-compose.gpu.yml"]], ids=["cpu", "gpu"]
)
def test_the_files_are_well_formed(files: list[str]) -> None:
    done = compose(*files, "config", **SECRETS)
    assert done.returncode == 0, done.stderr
    assert set(yaml.safe_load(done.stdout)["services"]) == {"postgres", "redis", *OURS}


@pytest.mark.parametrize("secret", SECRETS)
def test_nothing_starts_without_its_secrets(secret: str) -> None:
    done = compose("config", **{name: value for name, value in SECRETS.items() if name != secret})
    assert done.returncode != 0
    assert f"set {secret}" in done.stderr


def test_every_service_says_whether_it_is_well_and_none_of_ours_is_root() -> None:
    services = yaml.safe_load((BASE_DIR / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    assert {name for name, service in services.items() if "healthcheck" not in service} == {"migrate"}
    assert all(services[name]["cap_drop"] == ["ALL"] for name in OURS)
    assert "USER plumbline" in (BASE_DIR / "Dockerfile").read_text(encoding="utf-8")


def services(var: Path, port: int) -> dict[str, tuple[list[str], dict[str, str]]]:
    """The command and environment of each of our services, with servers and folders of this machine."""
    text = (BASE_DIR / "docker-compose.yml").read_text(encoding="utf-8")
    for name, value in SECRETS.items():
        text = text.replace("${" + name + ":?" + text.split("${" + name + ":?")[1].split("}")[0] + "}", value)
    elsewhere = {
        "DATABASE_URL": embedded.database_url(var),
        "REDIS_URL": embedded.redis_url(var),
        "PORT": str(port),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }

    def plain(value: Any) -> str:
        """`${NAME:-default}` is its default."""
        value = str(value)
        return value.split(":-")[1].rstrip("}") if value.startswith("${") else value

    found = {}
    for name, service in yaml.safe_load(text)["services"].items():
        if name in OURS:
            own = {key: plain(value) for key, value in service["environment"].items()}
            found[name] = (service["command"], environment(var, **{**own, **elsewhere}))
    return found


@pytest.fixture
def var(tmp_path: Path) -> Iterator[Path]:
    """The servers, as compose would have started them."""
    folder = tmp_path / "var"
    embedded.ensure(folder)
    yield folder
    embedded.release(folder)
    left = not gone(folder)
    if (folder / "servers").is_symlink():
        shutil.rmtree((folder / "servers").resolve())
    shutil.rmtree(embedded.socket_dir(folder))
    assert not left, living(folder)


SMALL_RUNS = """
from django.db import transaction
from accounts.models import User
from annotate.datasets.models import DatasetRun
from annotate.datasets.services import dataset_run_start
from annotate.generation.models import Generator, Response
from annotate.projects.models import Prompt
from annotate.projects.services import project_create
from annotate.ranking.models import Comparison, ComparisonResponse, Judgement
from runs.services import run_enqueue

ada = User.objects.create_superuser("ada")
project = project_create(name="Small", user=ada, k=2, overlap=1)
messages = [{"role": "user", "content": "What is a plumb line?"}]
prompt = Prompt.objects.create(project=project, messages=messages, content_hash="0" * 64)
writer = Generator.objects.create(name="writer", kind="import", created_by=ada)
answers = [
    Response.objects.create(prompt=prompt, generator=writer, text=text, content_hash=text * 64, sample_index=index)
    for index, text in enumerate("ab")
]
comparison = Comparison.objects.create(project=project, prompt=prompt, overlap=1)
for position, answer in enumerate(answers):
    ComparisonResponse.objects.create(comparison=comparison, response=answer, position=position)
ranks = {str(answer.pk): position + 1 for position, answer in enumerate(answers)}
Judgement.objects.create(comparison=comparison, annotator=ada, rankings={"helpfulness": ranks}, source="human")

dataset_run_start(project=project, user=ada)
with transaction.atomic():  # the same small work for the other worker
    run_enqueue(run=DatasetRun(kind="dataset", title="on gpu", queue="gpu", config={}, created_by=ada, project=project))
"""
STATES = "from runs.models import Run; print(*sorted(f'{run.queue}={run.state}' for run in Run.objects.all()))"


def test_the_command_of_every_service_works_and_together_they_do_a_run(var: Path, tmp_path: Path) -> None:
    port = free_port()
    house = services(var, port)
    command, env = house.pop("migrate")
    subprocess.run(command, env=env, cwd=BASE_DIR, check=True, timeout=120)
    servers = {name: env[name] for name in ("DATABASE_URL", "REDIS_URL")}
    running = {
        name: processes.spawn(command, log=tmp_path / f"{name}.log", cwd=BASE_DIR, env=env)
        for name, (command, env) in house.items()
    }
    try:
        assert processes.wait_until(lambda: answers(f"http://127.0.0.1:{port}/readyz"), 60), processes.tail(
            tmp_path / "web.log"
        )
        made = manage(var, "shell", "-c", SMALL_RUNS, **servers)
        assert made.returncode == 0, made.stderr

        def states() -> str:
            return manage(var, "shell", "-v", "0", "-c", STATES, **servers).stdout.strip()

        finished = "default=succeeded gpu=succeeded"
        assert processes.wait_until(lambda: states() == finished, 90, 1), (
            states(),
            processes.tail(tmp_path / "worker.log"),
            processes.tail(tmp_path / "gpu-worker.log"),
        )
        for worker in ("default", "gpu"):
            ping = f"celery -A config inspect ping -t 10 -d {worker}@{os.uname().nodename}"
            done = subprocess.run(
                shlex.split(ping), env=house["worker"][1], cwd=BASE_DIR, capture_output=True, timeout=60
            )
            assert done.returncode == 0, done.stdout
        assert list((var / "run").glob("beat-schedule*")), processes.tail(tmp_path / "beat.log")
        assert all(process.poll() is None for process in running.values())
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            processes.wait(process, 20)
            processes.stop(process)
