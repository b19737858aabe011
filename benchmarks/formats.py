"""Reading and writing preference data: `python -m benchmarks.formats`.

A dataset version of 100,000 comparisons of K = 4 (600,000 pairs; with --quick 5,000) is written in every format, and
read in the usual ones; beside it `pandas.to_json` and `datasets.to_json` write the same rows, which they have loaded
before, while ours come from disk. Every case runs in a process of its own, which reports its peak memory. Rates are per
second of processor time, children included, so other work on the machine does not count; times are by the clock.
"""

from __future__ import annotations

import gzip
import multiprocessing
import os
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import orjson

from benchmarks.common import Result, against_peer, main, within

MEMORY = 500.0
SIDE_BY_SIDE = 60_000  # rows; pandas and datasets need memory for all of theirs
READ_BYTES = 200 * 10**6
WORDS = "the quick brown fox jumps over a lazy dog; 数据 很 重要 “and” then it rests, again and again".split()  # noqa: SIM905


def cases(quick: bool) -> list[Result]:
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        comparisons = 5_000 if quick else 100_000
        make_version(directory, comparisons)
        return [
            *_writing(directory, comparisons * 6),
            *_side_by_side(directory, SIDE_BY_SIDE // (10 if quick else 1)),
            *_reading(directory, READ_BYTES // (10 if quick else 1)),
        ]


def _writing(directory: Path, pairs: int) -> Iterator[Result]:
    from annotate.formats.writing import FORMATS_OUT

    for key in FORMATS_OUT:
        cost = measured(write, directory, key)
        yield within(f"write {key}, {pairs:,} pairs", cost["clock"], "s", 60.0)
        yield within(f"write {key}, first byte", cost["first"], "s", 1.0)
        yield at_least(f"write {key}, rate", cost["bytes"] / cost["processor"] / 1e6, "MB/s")
        yield within(f"write {key}, peak memory", cost["memory"], "MB", MEMORY)


def _side_by_side(directory: Path, rows: int) -> Iterator[Result]:
    """The same rows and columns, as JSON Lines."""
    few = directory / "few"
    few.mkdir()
    with (directory / "pairs.jsonl").open("rb") as source, (few / "pairs.jsonl").open("wb") as target:
        target.writelines(line for line, _ in zip(source, range(rows), strict=False))
    ours = measured(write, few, "pairs")
    for name, peer in (("pandas.to_json", pandas_to_json), ("datasets.to_json", datasets_to_json)):
        theirs = measured(peer, few)
        rates = [cost["bytes"] / cost["processor"] / 1e6 for cost in (ours, theirs)]
        yield against_peer(f"write pairs, {rows:,} rows, beside {name}", *rates, "MB/s", 1.0, more_is_better=True)
        memory = ours["memory"], theirs["memory"]
        yield against_peer(f"peak memory, {rows:,} rows, beside {name}", *memory, "MB", 1.0, more_is_better=False)


def _reading(directory: Path, size: int) -> Iterator[Result]:
    for name, path, format in make_files(directory, size):
        cost = measured(read, path, format)
        plain = cost["records"] * cost["record_bytes"]
        yield at_least(f"read {name}, {plain / 1e6:,.0f} MB", plain / cost["processor"] / 1e6, "MB/s", 20.0)
        yield within(f"read {name}, peak memory", cost["memory"], "MB", MEMORY)


def at_least(case: str, ours: float, unit: str, target: float | None = None) -> Result:
    """A figure that must reach `target`, if there is one."""
    return Result(case, ours, unit, target=target, met=None if target is None else ours >= target)


# what is measured ---------------------------------------------------------------------------------------------------


def measured(work: Callable[..., dict[str, float]], *arguments: Any) -> dict[str, float]:
    """What `work` returns, with processor seconds and peak megabytes, from a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_run, (work, arguments))


def _run(work: Callable[..., dict[str, float]], arguments: tuple[Any, ...]) -> dict[str, float]:
    clock = time.perf_counter()
    found = work(*arguments)
    return {"clock": time.perf_counter() - clock, "memory": _peak()} | found


def _peak() -> float:
    """Most memory held at once, in MB: VmHWM, since ru_maxrss begins with that of the parent."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("no VmHWM")


def _processor() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def write(directory: Path, key: str) -> dict[str, float]:
    from annotate.formats.writing import export

    clock, start = time.perf_counter(), _processor()
    size = 0
    first = 0.0
    for _, chunks in export(key, directory):
        for chunk in chunks:
            first = first or time.perf_counter() - clock
            size += len(chunk)
    return {"bytes": size, "first": first, "processor": _processor() - start}


def pandas_to_json(directory: Path) -> dict[str, float]:
    import pandas

    frame = pandas.DataFrame(map(orjson.loads, (directory / "pairs.jsonl").open("rb")))
    target = directory / "pandas.jsonl"
    start = _processor()
    frame.to_json(target, orient="records", lines=True, force_ascii=False)
    return {"processor": _processor() - start, "bytes": target.stat().st_size}


def datasets_to_json(directory: Path) -> dict[str, float]:
    from datasets import load_dataset

    loaded = load_dataset(
        "json", data_files=str(directory / "pairs.jsonl"), split="train", cache_dir=str(directory / "cache")
    )
    target = directory / "datasets.jsonl"
    start = _processor()
    loaded.to_json(target, force_ascii=False)
    return {"processor": _processor() - start, "bytes": target.stat().st_size}


def read(path: Path, format: str) -> dict[str, float]:
    from annotate.formats.jsonl import Findings
    from annotate.formats.reading import read_records

    start = _processor()
    findings = Findings()
    with path.open("rb") as stream:
        records = sum(1 for _ in read_records(stream, findings, format=format))
    processor = _processor() - start
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6
    if findings.error_count:
        raise RuntimeError(findings.errors[0])
    each = float(path.with_suffix(".bytes").read_text())
    return {"records": records, "processor": processor, "record_bytes": each, "memory": _peak() + children}


# data ---------------------------------------------------------------------------------------------------------------


def make_version(directory: Path, comparisons: int) -> None:
    """rankings.jsonl and pairs.jsonl as a build writes them: about 1.2 KB a pair."""
    chance = random.Random(0)  # noqa: S311
    texts = [" ".join(chance.choices(WORDS, k=chance.randint(40, 110))) for _ in range(2_000)]
    with (directory / "rankings.jsonl").open("wb") as rankings, (directory / "pairs.jsonl").open("wb") as pairs:
        for number in range(comparisons):
            prompt = [{"role": "user", "content": f"{number}: {chance.choice(texts)[:200]}"}]
            responses = [{"id": f"{number}-{i}", "text": chance.choice(texts), "generator": f"g{i}"} for i in range(4)]
            ranks = chance.sample([1, 2, 3, 4], 4)
            common = {"dimension": "helpfulness", "split": "train", "comparison": str(number)}
            judged = {"ranks": ranks, "weight": 1.0, "annotator": "a1", "strengths": None}
            row = {**common, "prompt": prompt, "responses": responses, "rankings": [judged], "tags": []}
            rankings.write(orjson.dumps(row) + b"\n")
            for i, j in combinations(range(4), 2):
                chosen, rejected = (responses[k] for k in sorted((i, j), key=ranks.__getitem__))
                pair = {
                    "prompt": prompt,
                    "chosen": [{"role": "assistant", "content": chosen["text"]}],
                    "rejected": [{"role": "assistant", "content": rejected["text"]}],
                    **common,
                    "margin": 0.0,
                    "weight": 1.0,
                    "preference": 1.0,
                    "chosen_response": chosen["id"],
                    "rejected_response": rejected["id"],
                }
                pairs.write(orjson.dumps(pair) + b"\n")


def make_files(directory: Path, size: int) -> Iterator[tuple[str, Path, str]]:
    """(name, path, format) of files of about `size` plain bytes; beside each, the bytes of a record as JSON Lines."""
    import zstandard

    lines: list[bytes] = []
    held = 0
    with (directory / "pairs.jsonl").open("rb") as source:
        for line in source:
            lines.append(line)
            held += len(line)
            if held >= size:
                break
    each = str(held / len(lines))
    plain = b"".join(lines)
    contents = {
        "pairs as JSON Lines": ("a.jsonl", plain, "pairs"),
        "pairs as JSON Lines, gzipped": ("b.gz", gzip.compress(plain, 1), "pairs"),
        "pairs as JSON Lines, Zstandard": ("c.zst", zstandard.compress(plain, 1), "pairs"),
        "pairs as a JSON list": ("d.json", b"[" + b",\n".join(line.rstrip() for line in lines) + b"]", "pairs"),
        "TRL preference": ("e.jsonl", _exported(lines, "trl"), "trl-preference"),
        "HH": ("f.jsonl", _exported(lines, "hh"), "hh"),
        "LLaMA-Factory DPO": ("g.jsonl", _exported(lines, "llamafactory"), "sharegpt-preference"),
        "pairs as CSV": ("h.csv", _exported(lines, "csv"), "pairs"),
        "pairs as Parquet": ("i.parquet", _exported(lines, "parquet"), "pairs"),
    }
    for name, (file, content, format) in contents.items():
        path = directory / file
        path.write_bytes(content)
        own = len(content) / len(lines) if file.endswith((".jsonl", ".json", ".csv")) else float(each)
        path.with_suffix(".bytes").write_text(str(own))
        yield name, path, format
        path.unlink()


def _exported(lines: list[bytes], key: str) -> bytes:
    from collections import Counter

    from annotate.formats.writers.base import Options
    from annotate.formats.writing import FORMATS_OUT

    return b"".join(FORMATS_OUT[key].files[0].write(map(orjson.loads, lines), Options(), Counter()))


if __name__ == "__main__":
    main("formats", cases)
