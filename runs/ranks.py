"""Several processes for one run: `python -m runs.ranks N MODULE RUN_DIR` starts `python -m MODULE RUN_DIR` N times.

Each gets the variables by which torch's processes find one another, as `torchrun` and `accelerate launch` set them, and
both of those start the same modules by hand. This starter ends with the exit code that the executor understands, that
of the process that failed, so that a stop stays a stop and a user's mistake a user's mistake. Standard library only.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

# Whoever is left alone by a process that failed gives up by itself once it notices; this long it may take.
PATIENCE = 10.0
TICK = 0.1


def child_command(module: str, run_dir: Path, processes: int = 1) -> list[str]:
    """The command line of a run's child, or of `processes` children that share its work."""
    if processes == 1:
        return [sys.executable, "-m", module, str(run_dir)]
    return [sys.executable, "-m", "runs.ranks", str(processes), module, str(run_dir)]


def launch(count: int, command: Sequence[str]) -> int:
    """Run `command` `count` times at once; the exit code of the first that failed, 0 if none did.

    SIGTERM and SIGINT are passed on. When one fails, the others get `PATIENCE` seconds: they cannot go on without it.
    """
    shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    # Each process would take all cores for itself.
    threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // count))}
    ranks = [
        subprocess.Popen(command, env=threads | os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(count)
    ]

    def pass_on(signum: int, frame: FrameType | None) -> None:
        for rank in ranks:
            if rank.poll() is None:
                rank.send_signal(signum)

    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGINT, pass_on)
    failed, deadline = 0, float("inf")
    while True:
        codes = [rank.poll() for rank in ranks]
        if not failed and any(codes):
            failed = next(code for code in codes if code)
            deadline = time.monotonic() + PATIENCE
        if None not in codes:
            return failed
        if time.monotonic() > deadline:
            for rank in ranks:
                rank.kill()
        time.sleep(TICK)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main(argv: Sequence[str]) -> int:
    if len(argv) != 3 or not argv[0].isdigit() or int(argv[0]) < 1:
        print("usage: python -m runs.ranks N MODULE RUN_DIR", file=sys.stderr)
        return 2
    code = launch(int(argv[0]), [sys.executable, "-m", *argv[1:]])
    return code if code >= 0 else 128 - code  # by a signal, as a shell says it


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
