"""From a child's events.jsonl into the database, each line exactly once.

The number of bytes read is kept on the run and moves in the transaction that inserts the events, under the condition
that it is where we left it and the claim is ours.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from django.db import transaction
from django.db.models.functions import Now

from runs.models import Run, RunEvent
from runs.states import RunMoved

log = structlog.get_logger(__name__)

BATCH_BYTES = 4 * 2**20
STEPWISE = (RunEvent.Type.METRICS, RunEvent.Type.SAMPLE)


@dataclass
class Batch:
    """What some lines amount to."""

    events: list[RunEvent] = field(default_factory=list)
    keep_until: int | None = None  # drop what the database has of later steps
    progress: dict[str, Any] = field(default_factory=dict)


def events_ingest(*, run: Run, path: Path) -> bool:
    """Take over new complete lines of `path`; returns whether there were any. RunMoved if the claim is lost."""
    lines, offset = _read(path, run.events_offset)
    if not lines:
        return False
    batch = parse(run, lines)
    with transaction.atomic():
        held = Run.objects.filter(pk=run.pk, claim=run.claim, events_offset=run.events_offset)
        if held.update(events_offset=offset, heartbeat_at=Now(), **batch.progress) != 1:
            raise RunMoved(f"The events of run {run.pk} are read by another worker.")
        if batch.keep_until is not None:
            RunEvent.objects.filter(run_id=run.pk, type__in=STEPWISE, step__gt=batch.keep_until).delete()
        RunEvent.objects.bulk_create(batch.events, batch_size=500)
    run.events_offset = offset
    for name, value in batch.progress.items():
        setattr(run, name, value)
    return True


def events_restart(*, run: Run, path: Path) -> None:
    """Before an attempt that starts from nothing: forget metrics and samples of earlier attempts.

    A run directory that is new (another machine, a cleaned disk) is read from its beginning.
    """
    with transaction.atomic():
        size = path.stat().st_size if path.exists() else 0
        offset = min(run.events_offset, size)
        if Run.objects.filter(pk=run.pk, claim=run.claim).update(events_offset=offset) != 1:
            raise RunMoved(f"Run {run.pk} was given to another worker.")
        RunEvent.objects.filter(run_id=run.pk, type__in=STEPWISE).delete()
    run.events_offset = offset


def parse(run: Run, lines: list[bytes]) -> Batch:
    """Turn lines into events. A line that a crash tore is skipped, and so is what we do not know."""
    batch = Batch()
    for line in lines:
        try:
            entry = json.loads(line)
            kind, step, at = entry["type"], entry["step"], datetime.fromtimestamp(entry["at"], UTC)
            data = clean(entry["data"])
        except (ValueError, KeyError, TypeError, OverflowError, OSError):
            log.warning("run.event_skipped", run_id=run.pk, line=line[:200].decode("utf-8", "replace"))
            continue
        step = step if isinstance(step, int) and abs(step) < 2**63 else None
        if kind == "resumed" and step is not None:
            batch.keep_until = step if batch.keep_until is None else min(step, batch.keep_until)
            batch.events = [e for e in batch.events if e.type not in STEPWISE or e.step is None or e.step <= step]
            note = {"message": f"Continued from the checkpoint of step {step}."}
            batch.events.append(RunEvent(run_id=run.pk, type=RunEvent.Type.LOG, step=step, data=note, at=at))
            batch.progress["progress_from_at"] = None
        elif kind == "progress":
            batch.progress = _progress(run, batch.progress, data, at)
        elif kind in (*STEPWISE, RunEvent.Type.LOG) and isinstance(data, dict):
            batch.events.append(RunEvent(run_id=run.pk, type=kind, step=step, data=data, at=at))
    return batch


def clean(value: Any) -> Any:
    """The same value as PostgreSQL can keep it: no NUL, no half surrogate, no number that JSON does not have."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [clean(item) for item in value]
    if isinstance(value, dict):
        return {clean(str(key)): clean(item) for key, item in value.items()}
    return value


def _read(path: Path, offset: int) -> tuple[list[bytes], int]:
    """Complete lines from byte `offset` on, about BATCH_BYTES of them, and where the next one starts."""
    lines: list[bytes] = []
    start = offset
    try:
        with path.open("rb") as file:
            file.seek(offset)
            while offset - start < BATCH_BYTES:
                line = file.readline()
                if not line.endswith(b"\n"):
                    break
                lines.append(line)
                offset += len(line)
    except FileNotFoundError:
        pass
    return lines, offset


def _progress(run: Run, before: dict[str, Any], data: Any, at: datetime) -> dict[str, Any]:
    """The run's fields after a progress line. A new total or a step back begins a new stretch for the time left."""
    try:
        done, total = max(int(data["done"]), 0), max(int(data["total"]), 0)
    except (KeyError, TypeError, ValueError):
        return before
    last = {
        name: before.get(name, getattr(run, name)) for name in ("progress_done", "progress_total", "progress_from_at")
    }
    fields = {
        **before,
        "progress_done": done,
        "progress_total": total,
        "progress_note": str(data.get("note", ""))[:200],
    }
    if last["progress_from_at"] is None or total != last["progress_total"] or done < last["progress_done"]:
        fields |= {"progress_from": done, "progress_from_at": at}
    return fields
