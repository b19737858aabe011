"""The child's half of a run: a directory, a few files, and a contract with whoever started it.

A run's heavy work happens in a child process (`python -m rewardmodel.training RUN_DIR` and the like). The child is told
everything through `run.json` and answers through files, so it needs no database, no broker and no Django, and the same
command works by hand on a laptop. This module is pure: standard library only.

    run.json        what to do: {"run", "kind", "seed", "config", "inputs"}, written before the child starts
    events.jsonl    what happens: metrics, progress, samples, log lines, one JSON object a line, append only
    checkpoints/    step-00000040/, each complete or absent
    output/         what becomes the artifact
    tensorboard/    the same metrics and samples, for TensorBoard
    result.json     summary figures, written last
    error.json      why it failed and whose fault that was
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import math
import os
import resource
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from runs.tensorboard import Board

SPEC, EVENTS, RESULT, ERROR, LOG = "run.json", "events.jsonl", "result.json", "error.json", "log.txt"

# Exit codes, so that the parent knows whose fault a failure was even when error.json could not be written (disk full).
EXIT_OK, EXIT_OURS, EXIT_USER, EXIT_MACHINE, EXIT_STOPPED = 0, 1, 3, 4, 5


class UserError(Exception):
    """Bad input or configuration. The message says what is wrong, where, and what to change."""


class MachineError(Exception):
    """Out of memory, disk full, an endpoint that is down: the same run may succeed on another try."""


class Stopped(Exception):
    """The run was asked to stop and has saved what it wants to keep."""


def write_json(path: Path, value: object) -> None:
    """Write `value` so that a reader sees the old file or the new one, never half of it."""
    partial = path.with_name(path.name + ".partial")
    with open(partial, "w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False, indent=1, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def fsync_tree(directory: Path) -> None:
    """Flush every file and folder below `directory`, so that a rename after it never exposes an empty file."""
    for folder, _, files in os.walk(directory):
        for name in files:
            _fsync(os.path.join(folder, name))
        _fsync(folder)


def _fsync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class RunDir:
    """One run's directory as the child sees it.

    In a multi-process launch every rank holds a RunDir, and only the main one (RANK 0) writes.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).resolve()
        try:
            self.spec: dict[str, Any] = json.loads((self.path / SPEC).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{self.path} is not a run directory: it has no {SPEC}.") from None
        except json.JSONDecodeError as error:
            raise UserError(f"{self.path / SPEC} is not valid JSON: {error}.") from None
        self.config: dict[str, Any] = self.spec.get("config", {})
        self.inputs: dict[str, Any] = self.spec.get("inputs", {})
        self.seed: int = int(self.spec.get("seed", 0))
        self.output = self.path / "output"
        self.checkpoints = self.path / "checkpoints"
        self.is_main = int(os.environ.get("RANK", "0")) == 0
        self.stop_requested = False
        self._board = Board(self.path, self.path / EVENTS)

    # events ---------------------------------------------------------------------------------------------------------

    def metrics(self, step: int, **values: float) -> None:
        """Record figures of one step. A value that is not finite is kept as null, for JSON knows no NaN."""
        clean = {name: float(value) if math.isfinite(value) else None for name, value in values.items()}
        self._event("metrics", step, clean)

    def progress(self, done: int, total: int, note: str = "") -> None:
        self._event("progress", done, {"done": done, "total": total, "note": note})

    def sample(self, step: int, **fields: Any) -> None:
        self._event("sample", step, fields)

    def log(self, message: str, **fields: Any) -> None:
        self._event("log", None, {"message": message, **fields})

    def resumed(self, step: int) -> None:
        """Say that work continues from the checkpoint of `step`: readers drop later metrics of an earlier attempt."""
        self._event("resumed", step, {})

    def _event(self, kind: str, step: int | None, data: dict[str, Any]) -> None:
        if not self.is_main:
            return
        event = {"type": kind, "step": step, "at": round(time.time(), 3), "data": data}
        line = json.dumps(event, ensure_ascii=False)
        # One write of one whole line in append mode: a crash leaves at most one torn last line, which readers skip.
        descriptor = os.open(self.path / EVENTS, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            # A predecessor killed in mid-write may have left a line without its end.
            size = os.fstat(descriptor).st_size
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            os.write(descriptor, (("\n" if torn else "") + line + "\n").encode("utf-8"))
        finally:
            os.close(descriptor)
        self._board.add(event)

    # checkpoints and results ----------------------------------------------------------------------------------------

    def save_checkpoint(self, step: int, write: Callable[[Path], None], keep: int = 1) -> None:
        """Let `write` fill a directory, then make it the checkpoint of `step` in one rename; keep the newest `keep`."""
        if not self.is_main:
            return
        self.checkpoints.mkdir(exist_ok=True)
        final = self.checkpoints / f"step-{step:08d}"
        partial = self.checkpoints / f".partial-{step:08d}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        write(partial)
        fsync_tree(partial)
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        _fsync(str(self.checkpoints))
        for old in sorted(self.checkpoints.glob("step-*"))[:-keep]:
            shutil.rmtree(old, ignore_errors=True)

    def latest_checkpoint(self) -> tuple[int, Path] | None:
        found = sorted(self.checkpoints.glob("step-*"))
        return (int(found[-1].name.removeprefix("step-")), found[-1]) if found else None

    def result(self, **values: Any) -> None:
        """Write the summary figures, and with them this process's peak memory. Calling it again replaces them."""
        if self.is_main:
            write_json(self.path / RESULT, {**values, "peak_rss_bytes": _peak_memory()})

    def check_stop(self) -> None:
        """Raise `Stopped` if the run was asked to stop: for loops that have nothing to save."""
        if self.stop_requested:
            raise Stopped


def _peak_memory() -> int:
    """Peak resident bytes of this process.

    Not from getrusage where it can be helped: on Linux its peak survives exec and starts with that of our parent.
    """
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


# the process --------------------------------------------------------------------------------------------------------


def child_main(work: Callable[[RunDir], None], argv: list[str] | None = None) -> NoReturn:
    """Run `work` on the directory named on the command line and exit with a code that says how it ended."""
    argv = sys.argv[1:] if argv is None else argv
    if len(argv) != 1:
        print("usage: python -m MODULE RUN_DIR", file=sys.stderr)
        sys.exit(2)
    directory = Path(argv[0])
    try:
        run = RunDir(directory)
        with _lock(run):
            signal.signal(signal.SIGTERM, lambda *_: _request_stop(run))
            signal.signal(signal.SIGINT, lambda *_: _request_stop(run))
            _die_with_parent()
            if run.is_main:
                (run.path / ERROR).unlink(missing_ok=True)
                run.output.mkdir(exist_ok=True)
            work(run)
    except Stopped:
        sys.exit(EXIT_STOPPED)
    except Exception as error:  # the one place where every failure of a child is named
        fault, message, code = classify(error)
        traceback.print_exc()
        with contextlib.suppress(OSError):
            detail = traceback.format_exc()
            _say_why(directory, {"fault": fault, "message": message, "detail": detail[-20_000:]})
        sys.exit(code)
    sys.exit(EXIT_OK)


def _say_why(directory: Path, error: dict[str, str]) -> None:
    """Write error.json. Of several processes the first to fail says why: the others fail because it is gone."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        write_json(directory / ERROR, error)
        return
    own = directory / f"{ERROR}.{os.environ.get('RANK', '0')}"
    write_json(own, error)
    try:
        os.link(own, directory / ERROR)  # fails if it is there
    finally:
        own.unlink()


def classify(error: BaseException) -> tuple[str, str, int]:
    """Whose fault an exception is: (fault, message for people, exit code)."""
    if isinstance(error, UserError):
        return "user", str(error), EXIT_USER
    if isinstance(error, MachineError):
        return "machine", str(error), EXIT_MACHINE
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "machine", "The disk is full. Free some space and retry the run.", EXIT_MACHINE
    # torch says "out of memory" in classes of its own, and this module must not import torch to name them.
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower() or "can't allocate memory" in str(error):
        return (
            "machine",
            "The machine ran out of memory. Use a smaller batch or a shorter maximum length.",
            EXIT_MACHINE,
        )
    return "ours", f"{type(error).__name__}: {error}", EXIT_OURS


def _request_stop(run: RunDir) -> None:
    run.stop_requested = True


@contextlib.contextmanager
def _lock(run: RunDir, patience: float = 60.0):  # type: ignore[no-untyped-def]
    """Hold the run directory alone.

    After a lost worker the next attempt may start while the previous child is still dying; two writers in one
    directory would mix their checkpoints.
    """
    if not run.is_main:
        yield
        return
    with open(run.path / ".lock", "w") as file:
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise MachineError("Another process still works in this run's directory.") from None
                time.sleep(0.2)
        yield


def _die_with_parent() -> None:
    """Exit when the parent is gone. Its end of our standard input closes with it, however it died.

    Only when asked for: by hand, standard input may be a terminal or already closed.
    """
    if os.environ.get("PLUMBLINE_PARENT_PIPE") != "1":
        return

    def watch() -> None:
        with contextlib.suppress(OSError, ValueError):
            while os.read(0, 4096):
                pass
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
