"""A run's metrics and samples as an event file that TensorBoard opens. Standard library only.

The format is a sequence of records, each an `Event` in protobuf's encoding between its length and checksums
(tensorflow/core/lib/io/record_writer.h, tensorflow/core/util/event.proto). Of protobuf it needs four kinds of field, so
it is written here and a training needs no TensorBoard: only who looks does.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FOLDER = "tensorboard"
TEXTS = "text"  # the plugin that shows samples

Event = dict[str, Any]


class Board:
    """The event file of one run, in a folder of its own; it follows events.jsonl line by line.

    An attempt writes a file anew, with the steps before it that still hold, so that no step is there twice: a file that
    is appended to would keep what an attempt did after its last checkpoint.
    """

    def __init__(self, run_dir: Path, events: Path) -> None:
        self.folder, self.events = run_dir / FOLDER, events
        resumable = any(run_dir.glob("checkpoints/step-*"))
        # Lines of an attempt that left nothing to continue from count no more.
        self._begin = 0 if resumable or not events.exists() else events.stat().st_size
        self._file: Path | None = None

    def add(self, event: Event) -> None:
        """Take in an event that is in events.jsonl already."""
        if event["type"] == "resumed" or (self._file is None and event["type"] == "metrics"):
            self._rewrite()
        elif self._file is not None and event["type"] in ("metrics", "sample"):
            with self._file.open("ab") as file:
                file.write(b"".join(map(record, summaries(event))))

    def _rewrite(self) -> None:
        self.folder.mkdir(exist_ok=True)
        kept = still_true(_lines(self.events, self._begin))
        old = sorted(self.folder.glob("events.out.tfevents.*"))
        number = int(old[-1].name.rpartition(".")[2]) + 1 if old else 1
        began = kept[0]["at"] if kept else 0.0
        target = self.folder / f"events.out.tfevents.{int(began)}.plumbline.{number}"
        partial = self.folder / ".partial"
        with partial.open("wb") as file:
            file.write(record(_double(1, began) + _text(3, "brain.Event:2")))
            for event in kept:
                file.write(b"".join(map(record, summaries(event))))
        os.replace(partial, target)
        for path in old:
            if path != target:
                path.unlink()
        self._file = target


def still_true(events: Iterable[Event]) -> list[Event]:
    """Metrics and samples as readers of events.jsonl see them: without what a resumed attempt took back.

    Of a figure that was said twice of a step the last one stays.
    """
    kept: list[Event] = []
    for event in events:
        if event["type"] == "resumed":
            kept = [each for each in kept if each["step"] is None or each["step"] <= event["step"]]
        elif event["type"] in ("metrics", "sample"):
            kept.append(event)
    last = {(event["step"], name): place for place, event in enumerate(kept) for name in _names(event)}
    return [
        {**event, "data": {n: v for n, v in event["data"].items() if last[event["step"], n] == place}}
        if event["type"] == "metrics"
        else event
        for place, event in enumerate(kept)
        if event["type"] == "metrics" or last[event["step"], next(iter(_names(event)))] == place
    ]


def summaries(event: Event) -> list[bytes]:
    """The `Event` messages of one line: the figures of a step, or a sample's text."""
    if event["type"] == "sample":
        data = event["data"]
        more = [f"{name} {data[name]:g}" for name in ("reward",) if isinstance(data.get(name), int | float)]
        text = f"{_quoted(data.get('prompt', ''))}\n\n{_quoted(data.get('response', ''))}\n\n{', '.join(more)}"
        values = [_text_value(_sample_name(event), text)]
    else:
        # A figure that was not finite is null in the file, and TensorBoard has a way to show that.
        values = [
            _field(1, _text(1, name) + _float(2, math.nan if value is None else float(value)))
            for name, value in event["data"].items()
        ]
    if not values:
        return []
    return [_double(1, event["at"]) + _number(2, event["step"] or 0) + _field(5, b"".join(values))]


def record(message: bytes) -> bytes:
    """A message as TensorBoard's files frame it."""
    length = struct.pack("<Q", len(message))
    return length + _checksum(length) + message + _checksum(message)


def _names(event: Event) -> list[str]:
    if event["type"] == "metrics":
        return list(event["data"])
    return [f"{_sample_name(event)}\n{event['data'].get('response')}"]  # a prompt may have several responses


def _sample_name(event: Event) -> str:
    data = event["data"]
    return f"samples/{data.get('prompt_id') or data.get('prompt', '')}"[:200]


def _lines(path: Path, begin: int) -> list[Event]:
    """Whole events from byte `begin` on; a line that a crash tore is passed over."""
    found = []
    with path.open("rb") as file:
        file.seek(begin)
        for line in file:
            try:
                event = json.loads(line)
                if event["type"] in ("metrics", "sample", "resumed") and isinstance(event["data"], dict):
                    found.append(event)
            except (ValueError, KeyError, TypeError):
                continue
    return found


def _quoted(text: Any) -> str:
    """Text as Markdown that shows it as it is: TensorBoard renders texts, and these are a model's."""
    lines = str(text).replace("\r", "").split("\n")
    return "\n".join("    " + line for line in lines)


# protobuf -----------------------------------------------------------------------------------------------------------


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _number(place: int, value: int) -> bytes:
    return _varint(place << 3) + _varint(value)


def _double(place: int, value: float) -> bytes:
    return _varint(place << 3 | 1) + struct.pack("<d", value)


def _float(place: int, value: float) -> bytes:
    try:
        return _varint(place << 3 | 5) + struct.pack("<f", value)
    except OverflowError:
        return _varint(place << 3 | 5) + struct.pack("<f", math.copysign(math.inf, value))


def _field(place: int, value: bytes) -> bytes:
    return _varint(place << 3 | 2) + _varint(len(value)) + value


def _text(place: int, value: str) -> bytes:
    return _field(place, value.encode("utf-8", "replace"))


def _text_value(name: str, text: str) -> bytes:
    """A `Summary.Value` with a string tensor of one element (dtype 7, shape [1])."""
    tensor = _number(1, 7) + _field(2, _field(2, _number(1, 1))) + _text(8, text)
    metadata = _field(1, _text(1, TEXTS))
    return _field(1, _text(1, name) + _field(8, tensor) + _field(9, metadata))


# checksums ----------------------------------------------------------------------------------------------------------


def _table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_CRC = _table()


def _checksum(data: bytes) -> bytes:
    """CRC-32C (Castagnoli), rotated and shifted as the format wants it."""
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ _CRC[(value ^ byte) & 0xFF]
    value ^= 0xFFFFFFFF
    return struct.pack("<I", ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF)
