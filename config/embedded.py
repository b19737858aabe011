"""PostgreSQL and Valkey under var/, for when no URL is set: where they are, and a share in keeping them up.

Nobody owns the servers. Every process that uses them holds a shared lock on `var/run/users.lock`; a small keeper
process (config/keeper.py) runs them and waits for the exclusive lock, which the kernel grants exactly when the last
user is gone, whether it ended or was killed. So `serve`, a migration, a shell and the tests may come and go in any
order: the first one starts the servers, the last one lets them stop, and none is left behind.

The addresses follow from var/ alone. Reading the settings therefore starts nothing and writes nothing; the first
database connection of a process (config/database/base.py), or the start of a Celery worker, does.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

DATABASE = USER = "plumbline"
STOP_SECONDS = 30.0  # longest wait for servers that are on their way down
_shares: dict[Path, int] = {}


class EmbeddedServerError(Exception):
    """The servers could not be started; the message says why and what to change."""


def socket_dir(var: Path) -> Path:
    """The private folder of both sockets: short whatever var/ is, for a socket's path may have 107 characters."""
    return Path("/tmp") / f"plumbline-{hashlib.sha256(bytes(var.resolve())).hexdigest()[:12]}"


def database_url(var: Path) -> str:
    return f"postgresql://{USER}@{quote(str(socket_dir(var)), safe='')}/{DATABASE}"


def redis_url(var: Path) -> str:
    """For redis-py and Django's cache; see `broker_url` for Celery."""
    return f"unix://{socket_dir(var)}/valkey.sock?db=0"


def broker_url(url: str) -> str:
    """The same server in the words of kombu, which names a Unix socket in its own way."""
    return url.replace("unix://", "redis+socket://").replace("?db=", "?virtual_host=")


def ensure(var: Path) -> None:
    """Hold a share in the servers of `var` until this process ends, and start them if they are not running."""
    var = var.resolve()
    (var / "run").mkdir(parents=True, exist_ok=True)
    if var not in _shares:
        _shares[var] = _take_share(var)
    with _locked(var / "run" / "start.lock"):
        if not running(var):
            _start_keeper(var)


def release(var: Path) -> None:
    """Give up this process's share. The servers stop if it was the last one."""
    share = _shares.pop(var.resolve(), None)
    if share is not None:
        os.close(share)


def wait_until_stopped(var: Path) -> bool:
    """After `release`: True when the servers are down, False if others use them."""
    deadline = time.monotonic() + STOP_SECONDS
    while running(var) and time.monotonic() < deadline:
        if _in_use(var):
            return False
        time.sleep(0.05)
    return not running(var)


def running(var: Path) -> bool:
    """Whether a keeper holds `var`."""
    return not _can_lock(var / "run" / "keeper.lock", fcntl.LOCK_SH)


def _in_use(var: Path) -> bool:
    """Whether anybody holds a share. A keeper that has seen the last one go holds the lock itself, exclusively."""
    path = var / "run" / "users.lock"
    return not _can_lock(path, fcntl.LOCK_EX) and _can_lock(path, fcntl.LOCK_SH)


def _can_lock(path: Path, how: int) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _take_share(var: Path) -> int:
    descriptor = os.open(var / "run" / "users.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_SH)  # waits while a keeper is stopping the servers
    return descriptor


def _start_keeper(var: Path) -> None:
    log = var / "log" / "servers.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as errors:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "config.keeper", str(var)],
            cwd=Path(__file__).resolve().parent.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
    assert keeper.stdout is not None
    with keeper.stdout as answers:
        answer = answers.readline()  # one line when the servers are ready, or why they are not
    keeper.wait()  # it has forked and gone its own way
    if not answer:
        raise EmbeddedServerError(f"The embedded servers could not be started; {log} says why.")
    if error := json.loads(answer)["error"]:
        raise EmbeddedServerError(error)
