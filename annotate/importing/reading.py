"""From a file to batches of plans, read ahead while the last batch is being stored. Pure."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from queue import Queue
from typing import IO, Any, TypeVar, cast

from annotate.formats.jsonl import Findings, Refused, Unusable
from annotate.formats.reading import FORMATS_IN, look, read_records
from annotate.formats.records import Record
from annotate.importing.plan import Dimensions, Planned, planned
from annotate.importing.settings import ImportSettings

T = TypeVar("T")

BATCH = 2_000  # plans that are stored together, unless their texts are long
BATCH_CHARACTERS = 4_000_000
AHEAD = 2  # batches
INFO_BYTES = 2**20


@dataclass
class Seen:
    """What was met in a file: records by kind, and of their prompts, responses and comparisons how much of what."""

    records: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    tags: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    generators: Counter[str] = field(default_factory=Counter)
    sizes: Counter[int] = field(default_factory=Counter)
    turns: Counter[int] = field(default_factory=Counter)

    def take(self, record: Record) -> None:
        self.records += 1
        self.kinds[record.kind] += 1
        self.tags.update((*record.tags, *record.own_tags))
        if record.language:
            self.languages[record.language] += 1
        if record.responses:
            self.sizes[len(record.responses)] += 1
            self.generators.update(each.generator for each in record.responses)
        self.turns[len(record.prompt)] += 1

    def summary(self) -> dict[str, Any]:
        """The most frequent of each, for a report."""
        most = {
            name: [list(item) for item in getattr(self, name).most_common(20)]
            for name in ("kinds", "tags", "languages", "generators", "sizes", "turns")
        }
        return {"records": self.records, **most}


def format_of(stream: IO[bytes], settings: ImportSettings) -> str:
    """The chosen format, or the one that the beginning of the file is recognised as. Raises Refused with a sentence.

    The stream must be able to seek, and is left at its beginning.
    """
    if settings.format:
        return settings.format
    found = look(stream, mapping=settings.mapping)
    stream.seek(0)
    if not found.formats:
        if found.findings.errors and not found.rows:
            raise Refused(found.findings.errors[0].reason)
        keys = ", ".join(f"“{key[:40]}”" for key in found.columns[:8])
        raise Refused(
            f"No known format has its keys: {keys}. Choose a format and map its columns."
            if keys
            else "Nothing is in it."
        )
    return found.formats[0].format


def dataset_info(stream: IO[bytes]) -> dict[str, Any]:
    """LLaMA-Factory's dataset_info.json, if a file is one; the stream is at its beginning again."""
    raw = stream.read(INFO_BYTES + 1)
    stream.seek(0)
    if len(raw) > INFO_BYTES or not raw.lstrip().startswith(b"{"):
        return {}
    try:
        value = json.loads(raw)
    except ValueError:
        return {}
    entries = value.values() if isinstance(value, dict) else ()
    known = {"file_name", "columns", "formatting", "ranking", "tags"}
    return value if entries and all(isinstance(one, dict) and known & one.keys() for one in entries) else {}


def plans(
    stream: IO[bytes],
    findings: Findings,
    settings: ImportSettings,
    dimensions: Dimensions,
    seen: Seen,
    *,
    format: str,
    filename: str = "",
    companion: IO[bytes] | None = None,
    limit: int | None = None,
) -> Iterator[Planned]:
    """Plans of a file's records, in their order; what cannot be stored goes to `findings` with its line."""
    needs = FORMATS_IN[format].companion
    records = read_records(
        stream,
        findings,
        format=format,
        mapping=settings.mapping,
        tags=settings.roles,
        dimension=settings.dimension,
        keep_empty=settings.keep_empty,
        filename=filename,
        companion=companion if needs else None,
    )
    for record in islice(records, limit if limit is not None else settings.limit):
        try:
            found = list(planned(record, format, dimensions))
        except Unusable as error:
            findings.skip(record.line, str(error))
            continue
        seen.take(record)
        yield from found


def batches(items: Iterable[Planned]) -> Iterator[list[Planned]]:
    """Plans to be stored together: not too many, and not too much text."""
    batch: list[Planned] = []
    held = 0
    for plan in items:
        batch.append(plan)
        held += plan.size
        if len(batch) >= BATCH or held >= BATCH_CHARACTERS:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


@contextmanager
def ahead(items: Iterable[T]) -> Iterator[Iterator[T]]:
    """`items`, made on a thread of their own while the last one is in use. What it raises is raised here.

    Leaving the block ends the thread, so the file below may be closed.
    """
    queue: Queue[tuple[str, Any]] = Queue(AHEAD)
    stop = threading.Event()

    def work() -> None:
        try:
            for item in items:
                queue.put(("item", item))
                if stop.is_set():
                    return
            queue.put(("end", None))
        except BaseException as error:  # carried over to whoever waits for the next item
            queue.put(("error", error))

    def drain() -> Iterator[T]:
        while True:
            kind, value = queue.get()
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield cast(T, value)

    thread = threading.Thread(target=work, name="import-reader", daemon=True)
    thread.start()
    try:
        yield drain()
    finally:
        stop.set()
        while thread.is_alive():
            while not queue.empty():
                queue.get_nowait()
            thread.join(0.05)


class Counted:
    """A stream that tells how much of it was read. Only what readers of formats use."""

    def __init__(self, stream: IO[bytes], told: Callable[[int], None]) -> None:
        self.stream, self.told, self.total = stream, told, 0

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(size)
        self.total += len(data)
        self.told(self.total)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.stream.seek(offset, whence)
