"""A look at a file before it is imported: what it is, what its first records become, what is wrong with it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from typing import IO, Any

from django.core.exceptions import ValidationError
from django.core.files.storage import storages

from annotate.formats.jsonl import Findings, Refused
from annotate.formats.readers.chat import llamafactory_entry
from annotate.formats.reading import FORMATS_IN, Look, look
from annotate.importing.complaints import problems
from annotate.importing.models import Import
from annotate.importing.plan import Dimensions, Planned
from annotate.importing.reading import Counted, Seen, dataset_info, format_of, plans
from annotate.importing.settings import ImportSettings
from annotate.importing.store import Store
from runs.schema import config_validated

RECORDS = 1_000
CHARACTERS = 4_000_000
COMPLAINTS = 1_000
PATIENCE = 10.0  # seconds for a look, however the file is made
SAMPLES = 5
TURNS, LONG_TURN, LONG_RESPONSE = 4, 600, 400


class Enough(Exception):
    """As much of a file was read as a look may take."""


class _Few(Findings):
    def error(self, line: int, reason: str) -> None:
        super().error(line, reason)
        self._check()

    def skip(self, line: int, reason: str) -> None:
        super().skip(line, reason)
        self._check()

    def _check(self) -> None:
        if self.error_count + self.skipped_count >= COMPLAINTS:
            raise Enough


@contextmanager
def _opened(upload: Import) -> Iterator[tuple[IO[bytes], IO[bytes] | None]]:
    """The files of an import, for as long as patience lasts."""
    storage = storages["uploads"]
    if not upload.upload:
        raise ValidationError("The file is no longer here. Upload it again.")
    deadline = time.monotonic() + PATIENCE

    def told(total: int) -> None:
        if time.monotonic() > deadline:
            raise Enough

    try:
        file = storage.open(upload.upload, "rb")
        second = storage.open(upload.companion, "rb") if upload.companion else None
    except FileNotFoundError:
        raise ValidationError("The file is no longer here. Upload it again.") from None
    try:
        yield Counted(file, told), second  # type: ignore[misc]
    finally:
        file.close()
        if second:
            second.close()


def settings_proposed(upload: Import, settings: ImportSettings) -> ImportSettings:
    """The settings with what the file itself says: its format, and LLaMA-Factory's columns. ValidationError if it is no
    file that can be read."""
    with _opened(upload) as (stream, companion):
        info = dataset_info(companion) if companion else {}
        if info and not settings.format:
            return _from_info(upload, settings, info)
        try:
            found = look(stream, mapping=settings.mapping)
        except Refused as error:
            raise ValidationError({"file": str(error)}) from None
        except Enough:
            raise ValidationError({"file": "It takes too long to look at this file. Unpack it first."}) from None
    if settings.format or not found.formats:
        return settings
    return settings.model_copy(update={"format": found.formats[0].format})


def _from_info(upload: Import, settings: ImportSettings, info: Mapping[str, Any]) -> ImportSettings:
    names = [name for name, entry in info.items() if entry.get("file_name") == upload.filename]
    if not names and len(info) == 1:
        names = list(info)
    if not names:
        listed = ", ".join(str(entry.get("file_name"))[:40] for entry in list(info.values())[:8])
        said = f"It says nothing of “{upload.filename}”. Its files are: {listed}. Or choose the format by hand."
        raise ValidationError({"companion": said})
    return settings_of_entry(settings, info, names[0])


def settings_of_entry(settings: ImportSettings, info: Mapping[str, Any], entry: str) -> ImportSettings:
    """The settings with what dataset_info.json says of one entry. Raises ValidationError."""
    try:
        key, mapping, roles = llamafactory_entry(info, entry)
    except Refused as error:
        raise ValidationError({"companion": str(error)}) from None
    mapping = {name: column for name, column in mapping.items() if name != column}
    return config_validated(
        ImportSettings, {**settings.model_dump(), "format": key, "mapping": mapping, "roles": roles}
    )


# what is seen ---------------------------------------------------------------------------------------------------------


def import_seen(upload: Import) -> dict[str, Any]:
    """What a file is and what would come of its first records, as JSON; nothing is written.

    whole: whether that was all of it, so that the counts are exact.
    """
    settings = ImportSettings.model_validate(upload.settings)
    with _opened(upload) as (stream, companion):
        try:
            found = look(stream, mapping=settings.mapping)
        except (Refused, Enough) as error:
            reason = str(error) or "It takes too long to look at this file."
            return {"container": "", "columns": [], "formats": [], "format": "", **_nothing(reason)}
        stream.seek(0)
        seen = {
            "container": found.container,
            "columns": columns_of(found),
            "formats": [
                {**asdict(one), "label": FORMATS_IN[one.format].label, "kind": FORMATS_IN[one.format].kind}
                for one in found.formats
            ],
        }
        try:
            format = format_of(stream, settings)
        except Refused as error:
            return {**seen, "format": "", **_nothing(str(error))}
        stream.seek(0)
        return {**seen, "format": format, **_tried(upload, settings, format, stream, companion)}


def columns_checked(upload: Import, settings: ImportSettings) -> None:
    """Raise ValidationError where columns are mapped that the file does not have."""
    if not settings.mapping:
        return
    with _opened(upload) as (stream, _):
        try:
            there = columns_of(look(stream))
        except (Refused, Enough) as error:
            raise ValidationError({"file": str(error) or "It takes too long to look at this file."}) from None
    absent = [f"“{name[:40]}”" for name in settings.mapping.values() if name and name not in there]
    if absent:
        raise ValidationError(
            {"mapping": f"The file has no column {', '.join(absent[:8])}. It has: {', '.join(there)[:300]}."}
        )


def _nothing(reason: str) -> dict[str, Any]:
    findings = Findings()
    findings.error(1, reason)
    return {"records": 0, "whole": True, "samples": [], "dimensions": [], "complaint": "", **problems(findings)}


def columns_of(found: Look) -> list[str]:
    """The columns of a file, with those inside of objects: meta, meta.question."""
    names: dict[str, None] = {}
    for row in found.rows:
        for key, value in row.items():
            names[key] = None
            if isinstance(value, dict):
                names.update({f"{key}.{inner}": None for inner in value})
    return list(names)[:200]


def _tried(
    upload: Import, settings: ImportSettings, format: str, stream: IO[bytes], companion: IO[bytes] | None
) -> dict[str, Any]:
    project = upload.project
    keys = list(project.dimensions.values_list("key", flat=True))
    dimensions, counted, findings = Dimensions(keys, settings.dimensions), Seen(), _Few()
    records = plans(
        stream, findings, settings, dimensions, counted, format=format, filename=upload.filename, companion=companion,
    )  # fmt: skip
    batch: list[Planned] = []
    held, whole = 0, False
    try:
        for plan in records:
            batch.append(plan)
            held += plan.size
            if counted.records >= RECORDS or held >= CHARACTERS:
                break
        else:
            whole = True
    except Enough:
        pass
    store = Store(project, format, source=upload.filename[:120], queue=settings.queue, write=False)
    store.add(batch)
    usual = settings.dimension or FORMATS_IN[format].dimension
    labelled = counted.kinds["unpaired"]
    met = dimensions.met or ({usual: labelled} if labelled else {})
    if whole and not counted.records and not findings.error_count:
        findings.errors.clear()
        Findings.error(findings, 1, "Nothing usable was found in it." if findings.skipped_count else "It is empty.")
    return {
        "whole": whole,
        **counted.summary(),
        "new": {name: store.counts[name] for name in ("prompts", "responses", "comparisons", "judgements", "queued")},
        "known": {
            name: store.counts[f"known_{name}"] for name in ("prompts", "responses", "comparisons", "judgements")
        },
        "dimensions": [{"name": name, "count": n, "to": dimensions.known(name)} for name, n in met.items()],
        "complaint": dimensions.complaint(),
        "samples": _samples(batch),
        "unit": findings.unit,
        **problems(findings),
    }


def _samples(plans: Sequence[Planned]) -> list[dict[str, Any]]:
    """The first records. One that becomes several comparisons, as a cycle does, is shown by its first one."""
    numbers = Counter(plan.line for plan in plans)
    first: dict[int, Planned] = {}
    for plan in plans:
        first.setdefault(plan.line, plan)
    return [_sample(plan, numbers[line]) for line, plan in islice(first.items(), SAMPLES)]


def _sample(plan: Planned, comparisons: int) -> dict[str, Any]:
    """A record as it will be stored, its texts cut. comparisons: how many it becomes."""
    return {
        "line": plan.line,
        "comparisons": comparisons,
        "messages": [{**turn, "content": _cut(turn["content"], LONG_TURN)} for turn in plan.messages[-TURNS:]],
        "earlier": max(len(plan.messages) - TURNS, 0),
        "tags": [*plan.tags, *plan.own_tags],
        "responses": [
            {
                "text": _cut(each.text, LONG_RESPONSE),
                "generator": each.generator,
                "label": each.label,
                "ranks": [
                    {"dimension": one.dimension, "rank": one.ranks[position]}
                    for one in plan.judged[:6]
                    if one.ranks[position] is not None
                ],
            }
            for position, each in enumerate(plan.responses[:16])
        ],
        "judgements": len(plan.judged),
    }


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most] + "…"
