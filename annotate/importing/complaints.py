"""Everything that is wrong with a file, as CSV: the page shows the first hundred, the file has them all. Pure."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass, field
from typing import IO, Any

from annotate.formats.formulas import safe_cell
from annotate.formats.jsonl import Findings

MOST = 1_000_000
HEADER = ("what", "number", "verdict", "reason")


@dataclass
class Complaints(Findings):
    """Findings that are also written down, up to a million of them. sink: a binary file, or None to keep the first."""

    sink: IO[bytes] | None = None
    written: int = field(default=0, init=False)

    def error(self, line: int, reason: str) -> None:
        super().error(line, reason)
        self._write(line, "error", reason)

    def skip(self, line: int, reason: str) -> None:
        super().skip(line, reason)
        self._write(line, "passed over", reason)

    def _write(self, line: int, verdict: str, reason: str) -> None:
        if self.sink is None or self.written >= MOST:
            return
        text = io.StringIO()
        rows = [HEADER] if not self.written else []
        csv.writer(text).writerows([*rows, (self.unit.lower(), line, verdict, safe_cell(reason))])
        self.sink.write(text.getvalue().encode("utf-8", "replace"))
        self.written += 1


def problems(findings: Findings) -> dict[str, Any]:
    """Complaints as JSON: the first hundred of each kind, and how many there are."""
    return {
        "errors": [asdict(problem) for problem in findings.errors],
        "error_count": findings.error_count,
        "skipped": [asdict(problem) for problem in findings.skipped],
        "skipped_count": findings.skipped_count,
    }
