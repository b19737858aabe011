"""A reward server in a process of its own, and a client that behaves as OpenRLHF's trainer does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Served:
    """A running server."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process, self.url = process, url

    def ask(self, path: str, body: Any = None, *, raw: bytes | None = None, **headers: str) -> tuple[int, dict]:
        """(status, answer) of a GET, or of a POST where there is a body."""
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json", **headers})
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


@contextmanager
def reward_server(directory: Path, *options: str) -> Iterator[Served]:
    """`python -m rewardmodel.serve` on a free port; it must end well when it is told to stop."""
    process = subprocess.Popen(
        [sys.executable, "-m", "rewardmodel.serve", str(directory), "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        assert process.stdout
        said = process.stdout.readline()
        assert " at http://" in said, said
        yield Served(process, said.rpartition(" at ")[2].strip())
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def remote_rewards(url: str, queries: list[str], prompts: list[str] | None, tries: int = 5) -> dict:
    """What OpenRLHF does with a remote reward model: post, and try again a few times before giving up.

    Its older versions send `query` alone and read `rewards`; the newer ones send prompts and labels too and also read
    `scores` and `extra_logs`.
    """
    body: dict[str, Any] = {"query": queries}
    if prompts is not None:
        body |= {"prompts": prompts, "labels": [None] * len(queries)}
    for _ in range(tries):
        request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=180) as answer:
                found = json.load(answer)
        except OSError:
            continue
        assert "rewards" in found
        return found
    raise AssertionError(f"{url} gave no rewards in {tries} tries")
