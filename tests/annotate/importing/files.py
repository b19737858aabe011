"""Files on their way into a project, for tests."""

from __future__ import annotations

import io
from typing import Any

from annotate.formats.jsonl import Findings
from annotate.importing.services import Source, file_import
from annotate.importing.settings import ImportSettings
from annotate.projects.models import Project
from tests.annotate.conftest import jsonl

ASK = "为什么天空是蓝色的？"
START = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: A joke?\n\nAssistant:"
PAIR = {"chosen": START + " Sure.", "rejected": START + " No."}


def take(project: Project, *rows: object, data: bytes = b"", **settings: Any) -> dict[str, Any]:
    """Import rows as JSON Lines, or bytes as they are; returns the report."""
    return take_with(project, Findings(), *rows, data=data, **settings)


def take_with(
    project: Project, findings: Findings, *rows: object, data: bytes = b"", name: str = "f.jsonl",
    companion: bytes | None = None, **settings: Any,
) -> dict[str, Any]:  # fmt: skip
    stream = io.BytesIO(data or jsonl(*rows))
    second = io.BytesIO(companion) if companion is not None else None
    source = Source(stream, name, second)
    return file_import(project=project, source=source, settings=ImportSettings(**settings), findings=findings)
