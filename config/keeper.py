"""`python -m config.keeper VAR`: run the embedded servers of VAR for as long as anybody uses them.

Started by `config.embedded.ensure`; its docstring tells how users and keeper find each other. Whatever happens to the
keeper, its servers go down with it, and a server that dies while it is needed is started again.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path

from config import embedded, processes
from config.servers import Postgres, Server, Unprivileged, Valkey, prepare_socket_dir

POLL_SECONDS = 0.25


class Stop(Exception):
    """A signal asks the keeper to end although there may be users: the machine is shutting down."""


def main(var: Path) -> None:
    lock = os.open(var / "run" / "keeper.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if not processes.wait_until(lambda: _try_exclusive(lock), 5):
        _answer("Another keeper holds these servers.")
        return
    (var / "run" / "keeper.pid").write_text(str(os.getpid()))
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, _raise_stop)
    servers: list[Server] = []
    try:
        account = Unprivileged.find(var)
        prepare_socket_dir(embedded.socket_dir(var), account)
        wanted = {"DATABASE_URL": Postgres, "REDIS_URL": Valkey}
        servers = [server(var, account) for url, server in wanted.items() if not os.environ.get(url)]
        for server in servers:
            server.start()
        for server in servers:
            server.await_ready()
        _answer(None)
        _keep(servers, var)
    except embedded.EmbeddedServerError as error:
        _answer(str(error))
    except Stop:
        pass
    finally:
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(signum, signal.SIG_IGN)
        for server in reversed(servers):
            server.stop()
        (var / "run" / "keeper.pid").unlink(missing_ok=True)


def _keep(servers: list[Server], var: Path) -> None:
    """Return, holding the users' lock, when there is no user any more: new ones then wait until this keeper is gone."""
    users = os.open(var / "run" / "users.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    while not _try_exclusive(users):
        for server in servers:
            server.revive()
        time.sleep(POLL_SECONDS)


def _try_exclusive(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _raise_stop(signum: int, frame: object) -> None:
    raise Stop


def _answer(error: str | None) -> None:
    """Tell the process that waits for the start, and let go of its pipe."""
    try:
        os.write(1, json.dumps({"error": error}).encode() + b"\n")
    except BrokenPipeError:
        pass  # it was killed while it waited
    os.dup2(2, 1)


def _detach() -> None:
    """Become nobody's child, so that no user of the servers has to wait for the keeper's end."""
    if os.fork():
        os._exit(0)


if __name__ == "__main__":
    _detach()
    main(Path(sys.argv[1]))
