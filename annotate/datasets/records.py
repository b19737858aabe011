"""One comparison on its way into a dataset version. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

REVIEWER = "reviewer"  # the pseudonym of whoever decided
WRITTEN = ("ranks", "weight", "annotator", "strengths", "soft")  # of a ranking; the rest is for statistics and lineage

Ranking = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Record:
    """One comparison with everything judged of it.

    responses: [{"id", "text", "generator"}], an edited one also with "is_edit" and "edited_from" (an id).
    rankings: {dimension: [{"ranks", "weight", "annotator", "strengths"}]}, ranks aligned with the responses, None where
    unplaced; a ranking may know its "judgement" (an id), the "places" at which its judge saw the responses (1 is the
    first, 0 unknown), and "edit": true if it only says that an edit is better than its original.
    sources: of its judgements, one each. extra: how many of these came too late for a place. is_decided: the one
    ranking is a reviewer's, which is enough whatever the least is; decision is its id.
    flags: (flag, response id or "" for the prompt), whoever set them.
    """

    comparison: str
    prompt: list[dict[str, str]]
    responses: list[dict[str, Any]]
    rankings: dict[str, list[Ranking]]
    tags: list[str] = field(default_factory=list)
    sources: tuple[str, ...] = ()
    extra: int = 0
    is_decided: bool = False
    language: str = ""
    source: str = ""
    flags: tuple[tuple[str, str], ...] = ()
    decision: int | None = None


def places_two(ranks: list[int | None]) -> bool:
    return len(ranks) - ranks.count(None) >= 2


def as_written(ranking: Mapping[str, Any]) -> Ranking:
    """A ranking as rankings.jsonl has it."""
    return {key: ranking[key] for key in WRITTEN if key in ranking}
