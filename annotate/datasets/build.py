"""Writing a dataset version: rankings.jsonl, pairs.jsonl and a card. Pure: an iterator in, a directory out.

Lines are written as records come, so memory does not grow with the dataset; and everything that is written follows from
the records and the configuration alone, so the same data and filters give the same bytes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from annotate.datasets.card import card
from annotate.datasets.config import DatasetConfig
from annotate.pairs import pairs, split_of
from annotate.quality.agreement import pair_counts

FORMAT = "plumbline-dataset/1"
REVIEWER = "reviewer"  # the pseudonym of whoever decided


@dataclass(frozen=True, slots=True)
class Record:
    """One comparison with everything judged of it.

    responses: [{"id", "text", "generator"}]. rankings: {dimension: [{"ranks", "weight", "annotator", "strengths"}]},
    ranks aligned with the responses, None where unplaced. sources: of its judgements, one each. extra: how many of
    these came too late for a place. is_decided: the one ranking is a reviewer's, which is enough whatever the least is.
    """

    comparison: str
    prompt: list[dict[str, str]]
    responses: list[dict[str, str]]
    rankings: dict[str, list[dict[str, Any]]]
    tags: list[str] = field(default_factory=list)
    sources: tuple[str, ...] = ()
    extra: int = 0
    is_decided: bool = False


@dataclass
class Tally:
    """What a card says of one dimension."""

    comparisons: Counter[str] = field(default_factory=Counter)
    judgements: int = 0
    pairs: Counter[str] = field(default_factory=Counter)
    ties: int = 0
    longer_chosen: int = 0
    lengths_differ: int = 0
    agree: int = 0
    agree_of: int = 0

    def json(self) -> dict[str, Any]:
        return {
            "comparisons": {"train": self.comparisons["train"], "test": self.comparisons["test"]},
            "judgements": self.judgements,
            "pairs": {"train": self.pairs["train"], "test": self.pairs["test"]},
            "ties": self.ties,
            "longer_chosen": self.longer_chosen / self.lengths_differ if self.lengths_differ else None,
            "agreement": self.agree / self.agree_of if self.agree_of else None,
            "agreement_pairs": self.agree_of,
        }


def write_dataset(
    directory: Path,
    records: Iterable[Record],
    config: DatasetConfig,
    *,
    name: str,
    dimensions: list[str],
    used: set[str] | None = None,
) -> dict[str, Any]:
    """Write the dataset's files into `directory` and return its counts, as they stand in the card.

    dimensions: in the order they are written. A comparison and dimension that places no two responses is left out.
    used: filled with the pseudonyms of those whose rankings are in it.
    """
    used = set() if used is None else used
    tallies = {dimension: Tally() for dimension in dimensions}
    prompts: dict[str, set[str]] = {"train": set(), "test": set()}
    sources: Counter[str] = Counter()
    extra = decided = 0
    with (
        open(directory / "rankings.jsonl", "w", encoding="utf-8", newline="\n") as rankings_file,
        open(directory / "pairs.jsonl", "w", encoding="utf-8", newline="\n") as pairs_file,
    ):
        for record in records:
            split = split_of(record.prompt, config.test_fraction)
            is_used = False
            for dimension in dimensions:
                rankings = [r for r in record.rankings.get(dimension, []) if _places_two(r["ranks"])]
                if len(rankings) < (1 if record.is_decided else config.minimum_judgements):
                    continue
                is_used = True
                used.update(ranking["annotator"] for ranking in rankings)
                tally = tallies[dimension]
                rankings_file.write(_line(_ranking_line(record, dimension, split, rankings)))
                tally.comparisons[split] += 1
                tally.judgements += len(rankings)
                agreeing, ordered = pair_counts([ranking["ranks"] for ranking in rankings])
                tally.agree += agreeing
                tally.agree_of += ordered
                for chosen, rejected, edge in pairs(rankings, len(record.responses), keep_ties=True):
                    if edge.p == 0.5:
                        tally.ties += 1
                        if not config.keep_ties:
                            continue
                    row = _pair_line(record, dimension, split, chosen, rejected, edge)
                    pairs_file.write(_line(row))
                    tally.pairs[split] += 1
                    lengths = [len(record.responses[i]["text"]) for i in (chosen, rejected)]
                    if lengths[0] != lengths[1] and edge.p != 0.5:
                        tally.lengths_differ += 1
                        tally.longer_chosen += lengths[0] > lengths[1]
            if is_used:
                prompts[split].add(json.dumps(record.prompt, sort_keys=True))
                sources.update(record.sources)
                extra += record.extra
                decided += record.is_decided
    counts = {
        "format": FORMAT,
        "prompts": {side: len(seen) for side, seen in prompts.items()},
        "dimensions": {name: tally.json() for name, tally in tallies.items() if tally.judgements},
        "sources": dict(sorted(sources.items())),
        "annotators": len(used - {REVIEWER}),
        "extra": extra,
        "decided": decided,
    }
    (directory / "README.md").write_text(card(name, counts, config), encoding="utf-8", newline="\n")
    return counts


def _ranking_line(record: Record, dimension: str, split: str, rankings: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "comparison": record.comparison,
        "dimension": dimension,
        "split": split,
        "prompt": record.prompt,
        "responses": record.responses,
        "rankings": rankings,
        "tags": record.tags,
    }


def _pair_line(record: Record, dimension: str, split: str, chosen: int, rejected: int, edge: Any) -> dict[str, Any]:
    forward = chosen == edge.i
    return {
        "prompt": record.prompt,
        "chosen": [{"role": "assistant", "content": record.responses[chosen]["text"]}],
        "rejected": [{"role": "assistant", "content": record.responses[rejected]["text"]}],
        "dimension": dimension,
        # An edge's margin points to its first response; a pair's to the chosen one.
        "margin": edge.margin if forward else 0.0 - edge.margin,
        "weight": edge.weight,
        "preference": edge.p if forward else 1.0 - edge.p,
        "split": split,
        "comparison": record.comparison,
        "chosen_response": record.responses[chosen]["id"],
        "rejected_response": record.responses[rejected]["id"],
    }


def _places_two(ranks: list[int | None]) -> bool:
    return sum(rank is not None for rank in ranks) >= 2


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, separators=(", ", ": ")) + "\n"
