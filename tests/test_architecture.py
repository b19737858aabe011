"""The house stands as docs/design.md draws it: imports go one way, and no web or worker process ever loads torch."""

from __future__ import annotations

import fnmatch
import subprocess
import sys
import tomllib

import grimp
import pytest

from config.env import BASE_DIR
from tests.config.house import environment

CONFIG = tomllib.loads((BASE_DIR / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
CONTRACTS = {contract["id"]: contract for contract in CONFIG["contracts"]}


@pytest.fixture(scope="module")
def modules() -> set[str]:
    return grimp.build_graph(*CONFIG["root_packages"], include_external_packages=False, cache_dir=None).modules


def covers(pattern: str, module: str, *, packages: bool) -> bool:
    if packages:
        return module == pattern or module.startswith(pattern + ".")
    wild = pattern.replace("**", "\0").replace("*", "[!.]*").replace("\0", "*")
    depth = "**" in pattern or pattern.count(".") == module.count(".")
    return depth and fnmatch.fnmatchcase(module, wild)


def test_imports_go_one_way() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-logo"],
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_module_is_either_pure_or_kept_from_torch(modules: set[str]) -> None:
    """A folder that no contract names could import anything: whoever adds one says which kind it is."""
    pure, django = CONTRACTS["pure"]["source_modules"], CONTRACTS["no-torch"]["source_modules"]
    unnamed = [
        module
        for module in sorted(modules)
        if not any(covers(name, module, packages=True) for name in pure)
        and not any(covers(pattern, module, packages=False) for pattern in django)
    ]
    assert unnamed == []


def test_a_web_or_worker_process_has_no_torch_in_memory(tmp_path) -> None:
    """Static analysis cannot see what a library imports, so everything that such a process loads is loaded."""
    code = """
import sys, django
django.setup()
from django.contrib import admin
from django.core.management import get_commands, load_command_class
from django.urls import get_resolver
import config.wsgi, config.celery
get_resolver().reverse_dict
config.celery.app.loader.import_default_modules()
admin.autodiscover()
ours = {"config", "accounts", "runs", "annotate", "rewardmodel", "rl"}
for name, app in get_commands().items():
    if app in ours:
        load_command_class(app, name)
assert "runs.tasks.execute" in config.celery.app.tasks
print(*sorted({"torch", "transformers", "peft", "accelerate", "datasets", "trl"} & sys.modules.keys()))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(tmp_path, DJANGO_SETTINGS_MODULE="config.settings"),
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


def test_reading_the_settings_writes_nothing(tmp_path) -> None:
    code = "import django; django.setup()"
    env = environment(tmp_path / "var", DJANGO_SETTINGS_MODULE="config.settings")
    subprocess.run([sys.executable, "-c", code], env=env, cwd=BASE_DIR, check=True)
    assert not (tmp_path / "var").exists()


def test_init_files_are_empty() -> None:
    """What a package offers is in its modules; nothing happens because it is imported."""
    roots = [BASE_DIR / package for package in CONFIG["root_packages"]]
    full = [
        str(path) for root in roots for path in root.rglob("__init__.py") if path.read_text(encoding="utf-8").strip()
    ]
    assert full == []
