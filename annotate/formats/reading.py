"""Opening a file of any known format: what it is, and its records. Pure.

with open("data.json.gz", "rb") as file:
    found = look(file)                                  # container, columns, first rows, formats by confidence
findings = Findings()
with open("data.json.gz", "rb") as file:
    for record in read_records(file, findings, format=found.formats[0].format):
        ...
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import IO, Any

from annotate.formats.containers import open_rows
from annotate.formats.jsonl import Findings, Refused, Unusable
from annotate.formats.limits import MAX_COMPANION, MAX_GROUP, size
from annotate.formats.readers import chat, evaluations, own, platforms, published, trl, votes
from annotate.formats.readers.base import Context, Format, Row, name
from annotate.formats.records import Record

FORMATS_IN: dict[str, Format] = {
    format.key: format for room in (own, trl, chat, published, votes, evaluations, platforms) for format in room.FORMATS
}

SAMPLES = 20
DOUBT = 0.3


@dataclass(frozen=True, slots=True)
class Recognition:
    """A format that the sample may be of. confidence: 0 to 1. why: for people, completes `because ...`."""

    format: str
    confidence: float
    why: str


@dataclass(frozen=True, slots=True)
class Look:
    """What a file is, from its beginning. findings: complaints of the rows that were looked at."""

    container: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    formats: tuple[Recognition, ...]
    findings: Findings = field(default_factory=Findings)


def look(stream: IO[bytes], *, mapping: Mapping[str, str] | None = None) -> Look:
    """Read the beginning of a file. Raises Refused with a sentence where it is of no known container."""
    findings = Findings()
    opened = open_rows(stream, findings)
    try:
        rows = tuple(row for _, row in islice(opened.rows, SAMPLES))
    finally:
        opened.rows.close()  # type: ignore[attr-defined]
    columns = tuple(dict.fromkeys(key for row in rows for key in row))
    return Look(opened.name, columns, rows, tuple(recognise([mapped(row, mapping or {}) for row in rows])), findings)


def recognise(sample: Sequence[Row]) -> list[Recognition]:
    """The formats that rows may be of, the likeliest first; none where nothing fits."""
    found: list[Recognition] = []
    for form in FORMATS_IN.values():
        reasons = [why for why in map(form.fits, sample) if why]
        if reasons:
            confidence = form.sure * len(reasons) / len(sample)
            if confidence >= DOUBT:
                found.append(Recognition(form.key, round(confidence, 3), reasons[0]))
    return sorted(found, key=lambda item: -item.confidence)


def read_records(
    stream: IO[bytes],
    findings: Findings,
    *,
    format: str = "",
    mapping: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
    dimension: str = "",
    keep_empty: bool = False,
    filename: str = "",
    companion: IO[bytes] | None = None,
) -> Iterator[Record]:
    """Records of a file, one after another; every complaint goes to `findings` with the number of its row.

    format: a key of FORMATS_IN; "" recognises it. mapping: {the format's column: the file's}; a dot reaches into an
    object. tags: LLaMA-Factory's role tags. dimension: what the judgements are about where the file does not say; ""
    leaves the format's usual one. keep_empty: empty responses are kept, not passed over. filename: only for names in
    it. companion: the file of texts that a file of votes refers to.
    """
    try:
        opened = open_rows(stream, findings)
    except Refused as error:
        findings.error(1, str(error))
        return
    rows = ((line, mapped(row, mapping)) for line, row in opened.rows) if mapping else opened.rows
    try:
        form, rows = _chosen(format, rows)
    except Refused as error:
        if not findings.error_count:
            findings.error(1, str(error))
        return
    context = Context(dimension or form.dimension, keep_empty, _safe(filename), {}, tags or {})
    if companion is not None:
        if form.companion is None:
            findings.error(1, f"The format {form.label} has no companion file.")
            return
        context = replace(context, texts=_texts(companion, findings, form))
    yield from _records(rows, findings, form, context)


def mapped(row: Row, mapping: Mapping[str, str] | None) -> Row:
    """A row with the columns that a format knows. A column that is mapped is no longer there under its own name."""
    if not mapping:
        return row
    used = {source for wanted, source in mapping.items() if source and source != wanted}
    result = {key: value for key, value in row.items() if key not in used}
    for wanted, source in mapping.items():
        value = _reach(row, source)
        if value is not None:
            result[wanted] = value
    return result


def _reach(row: Row, path: str) -> Any:
    if path in row:
        return row[path]
    value: Any = row
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _chosen(key: str, rows: Iterator[tuple[int, Row]]) -> tuple[Format, Iterator[tuple[int, Row]]]:
    if key:
        if key not in FORMATS_IN:
            raise Refused(f"“{key[:40]}” is not a known format.")
        return FORMATS_IN[key], rows
    head = list(islice(rows, SAMPLES))
    found = recognise([row for _, row in head])
    if not found:
        keys = ", ".join(f"“{key[:40]}”" for key in list(head[0][1])[:8]) if head else ""
        raise Refused(
            f"No known format has its keys: {keys}. Choose a format and map its columns."
            if head
            else "Nothing is in it."
        )
    return FORMATS_IN[found[0].format], _chain(head, rows)


def _chain(head: Iterable[tuple[int, Row]], rows: Iterator[tuple[int, Row]]) -> Iterator[tuple[int, Row]]:
    yield from head
    yield from rows


def _records(rows: Iterator[tuple[int, Row]], findings: Findings, form: Format, context: Context) -> Iterator[Record]:
    for group in _groups(rows, form):
        try:
            yield from form.read(group, context)
        except Unusable as error:
            for line, _ in group:
                findings.skip(line, str(error))
        except Refused as error:
            findings.error(error.line or group[0][0], str(error))
        except RecursionError:
            findings.error(group[0][0], "The value is nested too deeply.")


def _groups(rows: Iterator[tuple[int, Row]], form: Format) -> Iterator[list[tuple[int, Row]]]:
    """Neighbouring rows that belong together; each row by itself where the format has no groups."""
    if form.group is None:
        for numbered in rows:
            yield [numbered]
        return
    group: list[tuple[int, Row]] = []
    last: Hashable = None
    for line, row in rows:
        key = form.group(row)
        key = key if isinstance(key, Hashable) else str(key)
        if group and (key != last or len(group) >= MAX_GROUP):
            yield group
            group = []
        group.append((line, row))
        last = key
    if group:
        yield group


def _texts(stream: IO[bytes], findings: Findings, form: Format) -> dict[str, Row]:
    """The rows of a companion file by their key, within a limit of memory."""
    assert form.companion
    own = Findings()
    texts: dict[str, Row] = {}
    held = 0
    try:
        for line, row in open_rows(stream, own).rows:
            key = name(form.companion.key(row))
            if not key:
                own.error(line, "The row has no id.")
                continue
            held += sum(len(value) for value in row.values() if isinstance(value, str)) + 200
            if held > MAX_COMPANION:
                own.error(line, f"The companion file is larger than {size(MAX_COMPANION)}.")
                break
            texts[key] = row
    except Refused as error:
        own.error(1, str(error))
    for problem in own.errors:
        findings.error(problem.line, f"(companion file) {problem.reason}")
    findings.error_count += own.error_count - len(own.errors)
    return texts


def _safe(filename: str) -> str:
    """A file's own name, without folders and without characters that cannot be shown."""
    last = re.split(r"[\\/]", filename)[-1]
    return "".join(char for char in last if char.isprintable())[:200]
