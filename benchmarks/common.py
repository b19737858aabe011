"""What every benchmark shares: its command line, its JSON and its table.

    python -m benchmarks.NAME [--quick] [--json FILE]

The JSON is {"machine": {...}, "results": [{"case", "ours", "peer", "ratio", "unit", "target", "met"}]}. `ratio` says
how many times better ours is than the peer, whichever direction better is; `target` is a ratio where there is a peer
and a figure in `unit` where there is none.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Result:
    case: str
    ours: float
    unit: str
    peer: float | None = None
    ratio: float | None = None
    target: float | None = None
    met: bool | None = None


def against_peer(case: str, ours: float, peer: float, unit: str, target: float, *, more_is_better: bool) -> Result:
    """A side-by-side figure: the ratio is above 1 where ours is better."""
    ratio = ours / peer if more_is_better else peer / ours
    return Result(case, ours, unit, peer, ratio, target, ratio >= target)


def within(case: str, ours: float, unit: str, limit: float) -> Result:
    """A figure that must not exceed `limit`."""
    return Result(case, ours, unit, target=limit, met=ours <= limit)


def machine() -> dict[str, object]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30, 1),
    }


def percentile(values: Sequence[float], q: int) -> float:
    """q-th percentile, q in 1..99."""
    return statistics.quantiles(values, n=100, method="inclusive")[q - 1] if len(values) > 1 else values[0]


def main(name: str, cases: Callable[[bool], list[Result]]) -> None:
    """Run `cases(quick)`, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions and smaller sizes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    options = parser.parse_args()
    report(name, cases(options.quick), options.json)


def report(name: str, results: Sequence[Result], json_file: Path | None = None) -> None:
    """Print the table; write the JSON."""
    table = Table("case", "ours", "peer", "ratio", "unit", "target", "met", title=name)
    for result in results:
        figures = [_figure(value) for value in (result.ours, result.peer, result.ratio)]
        met = {True: "yes", False: "no", None: ""}[result.met]
        table.add_row(result.case, *figures, result.unit, _figure(result.target), met)
    Console().print(table)
    if json_file:
        content = {"machine": machine(), "results": [asdict(result) for result in results]}
        json_file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:,.4g}"
