"""The curl examples of a page, run as they stand."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from knox.models import AuthToken

from accounts.models import User


class Curl:
    """The first block of shell on a page that sets `api=`; its address and token are those of a test."""

    def __init__(self, page: str, server: str, user: User, folder: Path) -> None:
        if not shutil.which("curl"):
            pytest.skip("curl is not installed")
        blocks = [block for block in re.findall(r"```bash\n(.*?)```", page, re.DOTALL) if block.startswith("api=")]
        self.script = blocks[0].replace("http://127.0.0.1:8000", server)
        self.folder, self.token = folder, AuthToken.objects.create(user)[1]

    def lines(self) -> list[str]:
        return self.script.splitlines()

    def run(self, line: str, *, is_json: bool = True) -> Any:
        """What one line prints, after the variables that the block sets before it."""
        before = [each for each in self.lines() if re.match(r"\w+=", each)]
        done = subprocess.run(
            ["bash", "-ec", "\n".join([*before, line.replace("curl -s", "curl -sSf")])],
            env={"PATH": "/usr/bin:/bin:/usr/local/bin", "TOKEN": self.token},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}{done.stdout}"
        return json.loads(done.stdout) if is_json else done.stdout
