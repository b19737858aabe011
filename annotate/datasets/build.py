"""Writing a dataset version: rankings.jsonl, pairs.jsonl, lineage.jsonl, a card and its plots. Pure: an iterator in, a
directory out.

Lines are written as records come, so memory does not grow with the dataset; and everything that is written follows from
the records and the configuration alone, so the same data and filters give the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import IO, Any

import orjson

from annotate.datasets.aggregate import aggregated
from annotate.datasets.card import card
from annotate.datasets.choosing import FoundPair, capped, pairs_chosen, rankings_chosen, record_chosen
from annotate.datasets.config import DatasetConfig
from annotate.datasets.plots import write_plots
from annotate.datasets.records import REVIEWER, Ranking, Record, as_written
from annotate.datasets.splits import Splitter
from annotate.datasets.statistics import Tally, Totals
from annotate.pairs import canonical, pairs, place_of

__all__ = ["FORMAT", "REVIEWER", "Record", "write_dataset"]

FORMAT = "plumbline-dataset/2"
RANKINGS, PAIRS, LINEAGE, SPLITS, CARD = "rankings.jsonl", "pairs.jsonl", "lineage.jsonl", "splits.jsonl", "README.md"


@dataclass(slots=True)
class Entry:
    """One dimension of one comparison, ready to be written. judged: the rankings that it comes from."""

    record: Record
    dimension: str
    rankings: list[Ranking]
    judged: list[Ranking]
    pairs: list[FoundPair]


def write_dataset(
    directory: Path,
    records: Iterable[Record],
    config: DatasetConfig,
    *,
    name: str,
    dimensions: list[str],
    used: set[str] | None = None,
    strata: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Write the dataset's files into `directory` and return its counts, as they stand in the card.

    records: those of one prompt one after the other, where a cap on its pairs is asked for. dimensions: in the order
    they are written. A comparison and dimension that places no two responses is left out. used: filled with the
    pseudonyms of those whose rankings are in it. strata: of annotate.datasets.splits.thresholds; ValueError if the
    configuration stratifies and they are not given.
    """
    used = set() if used is None else used
    splitter = Splitter(config, strata)
    tallies = {dimension: Tally() for dimension in dimensions}
    totals = Totals()
    with ExitStack() as stack:
        names = [RANKINGS, PAIRS, LINEAGE] + ([SPLITS] if splitter.strata is not None else [])
        files = [stack.enter_context(open(directory / each, "wb", buffering=2**20)) for each in names]
        writer = _Writer(*files)
        for text, group in groupby(records, key=lambda record: canonical(record.prompt)):
            split = ""
            held: list[Entry] = []
            for each in group:
                record = record_chosen(each, config)
                if record is None:
                    continue
                entries = list(_entries(record, dimensions, config, tallies, split or splitter.split(text, record)))
                if entries:
                    split = split or splitter.split(text, record)
                    totals.add(record, split, place := place_of(text, config.salt), splitter.stratum(record))
                    writer.prompt(text, place, split, splitter.stratum(record))
                    held += entries
            if held:
                _cap(held, config)
                prompt = orjson.dumps(held[0].record.prompt)
                for entry in held:
                    used.update(ranking["annotator"] for ranking in entry.judged)
                    lengths = [len(response["text"]) for response in entry.record.responses]
                    tallies[entry.dimension].add_pairs(entry.pairs, lengths, split)
                    writer.entry(entry, split, prompt, has_margin=config.margins != "none")
    counts = {
        "format": FORMAT,
        **totals.json(),
        "dimensions": {name: tally.json() for name, tally in tallies.items() if sum(tally.comparisons.values())},
        "annotators": len(used - {REVIEWER}),
    }
    if splitter.strata is not None:
        counts["strata"] = {
            stratum: {split: found[split] for split in ("train", "test")}
            for stratum, found in sorted(totals.strata.items())[:200]
        }
    pictures = write_plots(directory, counts)
    (directory / CARD).write_text(card(name, counts, config, pictures), encoding="utf-8", newline="\n")
    return counts


def _entries(
    record: Record, dimensions: Sequence[str], config: DatasetConfig, tallies: Mapping[str, Tally], split: str
) -> Iterator[Entry]:
    n = len(record.responses)
    for dimension in dimensions:
        judged = rankings_chosen(record, dimension, config)
        if not judged:
            continue
        tally = tallies[dimension]
        tally.add_rankings(judged, split)
        rankings = judged if record.is_decided else aggregated(judged, n, config)
        found = pairs(rankings, n, keep_ties=True)
        tally.ties += sum(edge.p == 0.5 for _, _, edge in found)
        if config.margins == "none":
            rankings = [{**ranking, "strengths": None} for ranking in rankings]
        yield Entry(record, dimension, rankings, judged, pairs_chosen(found, record.responses, config))


def _cap(held: Sequence[Entry], config: DatasetConfig) -> None:
    """Leave at most the configured number of pairs of one prompt on each dimension."""
    if not config.pairs_per_prompt:
        return
    by_dimension: dict[str, list[tuple[Entry, FoundPair]]] = {}
    for entry in held:
        by_dimension.setdefault(entry.dimension, []).extend((entry, pair) for pair in entry.pairs)
        entry.pairs = []
    for found in by_dimension.values():
        keys = [
            "\n".join([entry.record.comparison, *(entry.record.responses[at]["id"] for at in pair[:2])])
            for entry, pair in found
        ]
        for position in sorted(capped(keys, config.pairs_per_prompt, config.salt)):
            entry, pair = found[position]
            entry.pairs.append(pair)


class _Writer:
    """Writes lines, and remembers where they are."""

    def __init__(
        self, rankings: IO[bytes], pairs: IO[bytes], lineage: IO[bytes], splits: IO[bytes] | None = None
    ) -> None:
        self.rankings, self.pairs, self.lineage, self.splits = rankings, pairs, lineage, splits
        self.ranking_at = self.pairs_at = 0
        self.number = 1  # of the next pair, which is its line
        self.last_prompt = -1

    def prompt(self, text: str, place: int, split: str, stratum: str) -> None:
        """Where the side of a prompt cannot be told from its text alone, it is written down."""
        if self.splits is not None and place != self.last_prompt:
            prompt = hashlib.sha256(text.encode()).hexdigest()
            self.splits.write(_line({"prompt": prompt, "split": split, "stratum": stratum}))
        self.last_prompt = place

    def entry(self, entry: Entry, split: str, prompt: bytes, *, has_margin: bool) -> None:
        record = entry.record
        ranking = _line(
            {
                "comparison": record.comparison,
                "dimension": entry.dimension,
                "split": split,
                "prompt": orjson.Fragment(prompt),
                "responses": record.responses,
                "rankings": [as_written(each) for each in entry.rankings],
                "tags": record.tags,
            }
        )
        said = [
            orjson.Fragment(orjson.dumps([{"role": "assistant", "content": response["text"]}]))
            for response in record.responses
        ]
        lines, short = [], []
        for chosen, rejected, edge in entry.pairs:
            forward = chosen == edge.i
            ids = record.responses[chosen]["id"], record.responses[rejected]["id"]
            # An edge's margin points to its first response; a pair's to the chosen one.
            margin = 0.0 if not has_margin else edge.margin if forward else 0.0 - edge.margin
            preference = edge.p if forward else 1.0 - edge.p
            lines.append(
                _line(
                    {
                        "prompt": orjson.Fragment(prompt),
                        "chosen": said[chosen],
                        "rejected": said[rejected],
                        "dimension": entry.dimension,
                        "margin": margin,
                        "weight": edge.weight,
                        "preference": preference,
                        "split": split,
                        "comparison": record.comparison,
                        "chosen_response": ids[0],
                        "rejected_response": ids[1],
                    }
                )
            )
            short.append([*ids, preference, margin, edge.weight])
        written = b"".join(lines)
        self.lineage.write(
            _line(
                {
                    "comparison": record.comparison,
                    "dimension": entry.dimension,
                    "split": split,
                    "judgements": sorted({each["judgement"] for each in entry.judged if each.get("judgement")}),
                    "decision": record.decision,
                    "ranking_at": self.ranking_at,
                    "pairs_at": self.pairs_at,
                    "first_pair": self.number,
                    "pairs": short,
                    "digest": hashlib.sha256(ranking + written).hexdigest()[:16],
                }
            )
        )
        self.rankings.write(ranking)
        self.pairs.write(written)
        self.ranking_at += len(ranking)
        self.pairs_at += len(written)
        self.number += len(lines)


def _line(row: dict[str, Any]) -> bytes:
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
