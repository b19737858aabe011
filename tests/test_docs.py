"""What the README and docs promise is there: their links lead somewhere, their commands exist."""

import re
import subprocess
from pathlib import Path

import pytest
from django.core.management import get_commands

from config.env import BASE_DIR

PAGES = [BASE_DIR / "README.md", *sorted((BASE_DIR / "docs").glob("*.md"))]


@pytest.mark.parametrize("document", PAGES, ids=lambda document: document.name)
def test_links_lead_to_files_that_exist(document: Path):
    for target in re.findall(r"\]\(([^)#]+)", document.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", PAGES, ids=lambda document: document.name)
def test_commands_exist(document: Path):
    text = document.read_text(encoding="utf-8")
    makefile = (BASE_DIR / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(
        r"\bmake ([a-z]+)\b(?=[`\s#]|$)", "\n".join(re.findall(r"`[^`]+`|```.*?```", text, re.DOTALL))
    ):
        assert re.search(rf"^{target}\b.*:", makefile, re.MULTILINE), f"make {target}"
    for command in re.findall(r"manage\.py ([a-z_]+)", text):
        assert command in get_commands(), command
    for module in re.findall(r"python -m ([a-z_.]+)", text):
        assert (BASE_DIR / module.replace(".", "/")).with_suffix(".py").exists() or (
            BASE_DIR / module.replace(".", "/") / "__main__.py"
        ).exists(), module


def committed_texts() -> dict[str, str]:
    """The project's own texts by path."""
    files = subprocess.run(["git", "ls-files"], cwd=BASE_DIR, capture_output=True, text=True, check=False)
    if files.returncode:
        pytest.skip("not a git checkout")
    kinds = {".py", ".md", ".html", ".js", ".css", ".toml", ".yml", ".po", ".json"}
    paths = [Path(name) for name in files.stdout.split()]
    return {str(path): (BASE_DIR / path).read_text(encoding="utf-8") for path in paths if path.suffix in kinds}


def test_nothing_committed_names_the_machine_it_was_written_on():
    own = str(Path(__file__).relative_to(BASE_DIR))
    for name, text in committed_texts().items():
        assert name == own or not re.search(r"/(work|opt|root)/[a-z]", text), name


def test_no_merge_was_left_half_done():
    for name, text in committed_texts().items():
        assert not re.search(r"^(<{7}|>{7})( |$)", text, re.MULTILINE), name
