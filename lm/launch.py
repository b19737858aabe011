"""`python -m lm.launch N MODULE ARGUMENT...`: one module in N processes that take every step together.

What `torchrun` does on one machine, with three differences that a supervisor needs: the exit code is that of the
process which failed first, all processes stay in the launcher's process group, so that one signal reaches them all, and
standard input is passed on, whose end tells a child that its parent is gone. `torchrun` and `accelerate launch` work
with the same modules by hand and on several machines.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

# How a process of a run may end that leaves the others to finish: done, or stopped as all of them are (runs/child.py).
PEACEFUL = (0, 5)
# Seconds that the others have to notice a failure and say what they know before they are killed.
GRACE = 5.0
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def launch(count: int, command: Sequence[str]) -> int:
    """Run `command` in `count` processes, wait for all of them, and return an exit code for all of them.

    That is 0 if all succeeded, else that of the first which did not; 128 + n for one that signal n ended, as shells do.
    """
    port = str(_free_port())
    children = {}
    for rank in range(count):
        place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        child = subprocess.Popen(command, env={**os.environ, **_threads(count, os.environ), **place, **meeting})
        children[child.pid] = child

    def pass_on(signum: int, _: object) -> None:
        for pid in list(children):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signum)

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, pass_on)
    return _wait(children)


def _wait(children: dict[int, subprocess.Popen[bytes]]) -> int:
    verdict, deadline = 0, float("inf")
    while children:
        # Blocking, so that who ends first is seen first: the others fail only because it is gone.
        pid, status = os.waitpid(-1, os.WNOHANG if verdict not in PEACEFUL else 0)
        if pid == 0:
            if time.monotonic() > deadline:
                for each in children:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(each, signal.SIGKILL)
                deadline = float("inf")
            time.sleep(0.05)
            continue
        children.pop(pid).returncode = code = os.waitstatus_to_exitcode(status)
        if code < 0:
            code = 128 - code
        if verdict in PEACEFUL and code:
            verdict = code
            deadline = time.monotonic() + GRACE
    return verdict


def _threads(count: int, environment: Mapping[str, str]) -> dict[str, str]:
    """The machine's threads, or those that were asked for, shared out: twice as many as cores are slower than half."""
    found = {}
    for name in THREADS:
        asked = environment.get(name, "")
        whole = int(asked) if asked.isdecimal() else os.cpu_count() or 1
        found[name] = str(max(1, whole // count))
    return found


def _free_port() -> int:
    """A port that nobody listens on. Somebody may take it before we do; then the run fails and can be tried again."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    if len(sys.argv) < 3 or not sys.argv[1].isdecimal() or int(sys.argv[1]) < 1:
        print("usage: python -m lm.launch N MODULE ARGUMENT...", file=sys.stderr)
        sys.exit(2)
    sys.exit(launch(int(sys.argv[1]), [sys.executable, "-m", *sys.argv[2:]]))
