"""From the database to the records of a dataset version: plain values, some hundred comparisons in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from django.db.models import BooleanField, Case, Value, When

from annotate.datasets.config import DatasetConfig
from annotate.datasets.records import REVIEWER, Ranking, Record
from annotate.datasets.selectors import EXTRA, comparisons_for, dataset_pseudonyms, decisions_for, judgements_for
from annotate.datasets.splits import stratum_of, thresholds
from annotate.projects.models import Project, Prompt
from annotate.quality.reliability import PRIOR, weight_of
from annotate.quality.selectors import reliability_weights
from annotate.ranking.models import ComparisonResponse, Judgement

CHUNK = 500
Weigh = Callable[[int], float]
Row = tuple[Any, ...]
Rows = dict[int, list[Row]]


def dataset_records(
    project: Project, config: DatasetConfig, *, pseudonyms: Mapping[int, str] | None = None
) -> Iterator[Record]:
    """Every comparison to be taken, those of one prompt together, in order of their ids."""
    pseudonyms = dataset_pseudonyms(project, config) if pseudonyms is None else pseudonyms
    first = next(iter(project.dimensions.values_list("key", flat=True)), "")
    reader = _Reader(pseudonyms, _weighing(project, config), config, first)
    rows = (
        comparisons_for(project, config)
        .order_by("prompt_id", "pk")
        .values_list("pk", "prompt__messages", "prompt__tags", "prompt__language", "prompt__source", "tags")
        .iterator(chunk_size=CHUNK)
    )
    while chunk := list(islice(rows, CHUNK)):
        ids = [row[0] for row in chunk]
        members, judged = _members(ids), _judged(project, config, ids)
        decisions = decisions_for(project, config, within=ids)
        decided = {row[0]: row[1:] for row in decisions.values_list("comparison_id", "pk", "rankings")}
        flags = _flags(ids) if config.exclude_flags else {}
        for row in chunk:
            pk = row[0]
            yield reader.record(row, members[pk], judged.get(pk, []), decided.get(pk), flags.get(pk, ()))


def dataset_strata(project: Project, config: DatasetConfig) -> dict[str, int] | None:
    """Where the line between the sides is drawn in each group of prompts; None if there are no groups."""
    if config.stratify_by == "nothing":
        return None
    rows = (
        Prompt.objects.filter(pk__in=comparisons_for(project, config).values("prompt"))
        .order_by("pk")
        .values_list("messages", "tags", "language", "source")
        .iterator(chunk_size=2000)
    )
    prompts = (
        (messages, stratum_of(config.stratify_by, tags=tags, language=language, source=source))
        for messages, tags, language, source in rows
    )
    return thresholds(prompts, config.test_fraction, config.salt)


def _weighing(project: Project, config: DatasetConfig) -> Weigh:
    """The weight of an annotator, by id; who is too new to be estimated has the prior's.

    Rounded, for the last digits of an estimate mean nothing and need not be the same on two machines.
    """
    if config.weights == "equal":
        return lambda annotator: 1.0
    estimated = reliability_weights(project)
    prior = weight_of(PRIOR.value)
    return lambda annotator: round(float(estimated.get(annotator, prior)), 4)


def _grouped(rows: Iterable[Row]) -> Rows:
    """Rows by what comes first in them."""
    found: Rows = {}
    for row in rows:
        found.setdefault(row[0], []).append(row)
    return found


def _members(ids: list[int]) -> Rows:
    rows = ComparisonResponse.objects.filter(comparison__in=ids).order_by("comparison_id", "position")
    fields = ("comparison_id", "response_id", "response__text", "response__generator__name")
    return _grouped(rows.values_list(*fields).iterator(chunk_size=2000))


def _judged(project: Project, config: DatasetConfig, ids: list[int]) -> Rows:
    is_extra = Case(When(EXTRA, then=Value(True)), default=Value(False), output_field=BooleanField())
    fields = ["comparison_id", "pk", "annotator_id", "rankings", "strengths", "source", "display_order", "extra"]
    if config.edits != "leave-out":
        fields += ["edit_id", "edit__text", "edit__generator__name", "edit__edited_from_id"]
    rows = judgements_for(project, config, within=ids).annotate(extra=is_extra).order_by("pk")
    return _grouped(rows.values_list(*fields).iterator(chunk_size=2000))


def _flags(ids: list[int]) -> dict[int, tuple[tuple[str, str], ...]]:
    rows = Judgement.objects.filter(comparison__in=ids, is_current=True).exclude(flags=[]).order_by("pk")
    return {
        comparison: tuple((flag["flag"], str(flag.get("response") or "")) for row in found for flag in row[1])
        for comparison, found in _grouped(rows.values_list("comparison_id", "flags")).items()
    }


class _Reader:
    """Makes a record of the rows of one comparison."""

    def __init__(self, pseudonyms: Mapping[int, str], weigh: Weigh, config: DatasetConfig, first: str) -> None:
        self.pseudonyms, self.weigh, self.config, self.first = pseudonyms, weigh, config, first

    def record(
        self,
        row: Row,
        members: list[Row],
        judged: list[Row],
        decision: Row | None,
        flags: tuple[tuple[str, str], ...],
    ) -> Record:
        pk, messages, tags, language, source, own_tags = row
        responses: list[dict[str, Any]] = [
            {"id": str(key), "text": text, "generator": generator} for _, key, text, generator in members
        ]
        if self.config.edits != "leave-out":
            self._add_edits(responses, judged)
        keys = [response["id"] for response in responses]
        return Record(
            comparison=str(pk),
            prompt=[{"role": turn["role"], "content": turn["content"]} for turn in messages],
            responses=responses,
            rankings=self._decided(decision[1], keys) if decision else self._rankings(judged, keys),
            tags=sorted({*tags, *own_tags}),
            sources=(REVIEWER,) if decision else tuple(each[5] for each in judged),
            extra=sum(each[7] for each in judged),
            is_decided=bool(decision),
            language=language,
            source=source,
            flags=flags,
            decision=decision[0] if decision else None,
        )

    def _add_edits(self, responses: list[dict[str, Any]], judged: list[Row]) -> None:
        known = {response["id"] for response in responses}
        for edit, text, generator, origin in sorted({each[8:12] for each in judged if each[8] is not None}):
            if str(origin) in known and str(edit) not in known:
                made = {"id": str(edit), "text": text, "generator": generator}
                responses.append({**made, "is_edit": True, "edited_from": str(origin)})

    def _decided(self, rankings: dict[str, dict[str, int]], keys: list[str]) -> dict[str, list[Ranking]]:
        return {
            dimension: [
                {"ranks": [ranks.get(key) for key in keys], "weight": 1.0, "annotator": REVIEWER, "strengths": None}
            ]
            for dimension, ranks in rankings.items()
        }

    def _rankings(self, judged: list[Row], keys: list[str]) -> dict[str, list[Ranking]]:
        found: dict[str, list[Ranking]] = {}
        for each in judged:
            _, pk, annotator, rankings, strengths, _, order, *_ = each
            who = {"weight": self.weigh(annotator), "annotator": self.pseudonyms[annotator], "judgement": pk}
            place = {str(response): number for number, response in enumerate(order or (), 1)}
            for dimension, ranks in rankings.items():
                given = strengths.get(dimension)
                ranking = {
                    "ranks": [ranks.get(key) for key in keys],
                    **who,
                    "strengths": [given.get(key) for key in keys] if given else None,
                }
                if place:
                    ranking["places"] = [place.get(key, 0) for key in keys]
                found.setdefault(dimension, []).append(ranking)
            self._add_edit(found, each, keys, who)
        return found

    def _add_edit(self, found: dict[str, list[Ranking]], row: Row, keys: list[str], who: dict[str, Any]) -> None:
        """Whoever edits a response says that the edit is better."""
        dimensions = {"first-dimension": [self.first], "all-dimensions": sorted(row[3])}.get(self.config.edits)
        if not dimensions or row[8] is None or str(row[8]) not in keys:
            return
        better = {str(row[8]): 1, str(row[11]): 2}
        for dimension in dimensions:
            ranks = [better.get(key) for key in keys]
            ranking = {"ranks": ranks, **who, "strengths": None, "edit": True}
            found.setdefault(dimension, []).append(ranking)
