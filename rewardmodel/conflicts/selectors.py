"""Pairs where a reward model is sure and people are not with it, and what became of those that were judged again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from annotate.quality.bootstrap import share
from annotate.ranking.models import Judgement
from rewardmodel.conflicts.measures import expected_information, side_share, tally, verdict
from rewardmodel.evaluation.selectors import ITEMS, evaluation_index
from rewardmodel.models import Relabelling, RewardEvaluation
from rewardmodel.selectors import dataset_dimensions
from runs.artifacts import artifact_open
from runs.models import Artifact

SURE, AGREEING = 0.8, 0.5  # unless said otherwise
ROUNDING = 1e-6  # of the index, whose certainties have six places


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which pairs are conflicts: the model at least so sure, by dimension, and at most `agreeing` of the people on its
    side. Shares from 0 to 1; a dimension that `sure` does not have is left out."""

    sure: Mapping[str, float] = field(default_factory=dict)
    agreeing: float = AGREEING


@dataclass(frozen=True, slots=True)
class Conflict:
    """One pair of a comparison: where its line is, and what model and people say of it."""

    comparison: int
    dimension: str
    first: int  # ids of the responses i and j
    second: int
    probability: float
    p: float
    information: float
    place: tuple[int, int]

    @property
    def model_choice(self) -> int:
        return self.first if self.probability >= 0.5 else self.second

    @property
    def other_choice(self) -> int:
        return self.second if self.probability >= 0.5 else self.first


def judged_name(evaluation: RewardEvaluation, dimension: str) -> str:
    """The question of the project that was held against the score `dimension`: of the same name, unless told else."""
    assert evaluation.dataset_version is not None
    known = dataset_dimensions(evaluation.dataset_version)
    return known[0] if dimension not in known and len(known) == 1 else dimension


def conflict_dimensions(artifact: Artifact) -> list[str]:
    """The scores that an evaluation measured."""
    return evaluation_index(artifact)["dimensions"]


def conflicts(artifact: Artifact, wanted: Wanted) -> list[Conflict]:
    """Of each comparison the pair that tells most, the most telling first.

    Pairs that do not come from a comparison of this platform, such as those of a dataset made elsewhere, are not among
    them: nobody here can be asked again.
    """
    index = evaluation_index(artifact)
    least = [wanted.sure.get(name, 2.0) - ROUNDING for name in index["dimensions"]]
    places = [(row[0], row[1]) for row in index["rows"] if row[4] >= least[row[2]]]
    best: dict[int, Conflict] = {}
    for place, line in zip(places, _lines(artifact, places), strict=True):
        found = _conflict(line, wanted, place)
        if found and (found.comparison not in best or found.information > best[found.comparison].information):
            best[found.comparison] = found
    return sorted(best.values(), key=lambda each: (-each.information, each.comparison))


def conflict_lines(artifact: Artifact, chosen: Sequence[Conflict]) -> list[dict[str, Any]]:
    """Their lines of items.jsonl."""
    return list(_lines(artifact, [each.place for each in chosen]))


def _lines(artifact: Artifact, places: Sequence[tuple[int, int]]) -> Iterable[dict[str, Any]]:
    with artifact_open(artifact, ITEMS) as file:
        for offset, length in places:
            file.seek(offset)
            yield json.loads(file.read(length))


def _conflict(line: dict[str, Any], wanted: Wanted, place: tuple[int, int]) -> Conflict | None:
    probability, p = line["probability"], line["p"]
    sure = wanted.sure.get(line["dimension"])
    if sure is None or max(probability, 1 - probability) < sure or side_share(probability, p) > wanted.agreeing:
        return None
    ids = [str(line["comparison"]), *(str(each["id"]) for each in line["responses"])]
    if not all(each.isascii() and each.isdecimal() and len(each) < 19 for each in ids):
        return None
    comparison, first, second = map(int, ids)
    # Where judgements were put together, their weight is the best that is known of how many there were.
    judgements = line["weight"] if line["judgements"] is None else line["judgements"]
    information = expected_information(probability, p, float(judgements))
    return Conflict(comparison, line["dimension"], first, second, probability, p, information, place)


# what became of them -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of comparisons that were sent, by what people had said before: counts of {verdict: comparisons} of the new
    judgements, how sure the model was on average, and the share that sided with it, of those that took a side."""

    before: str
    sent: int
    counts: dict[str, int]
    sure: float
    model: Any  # Estimate | None


BEFORE = {"other": "preferred the other", "tie": "were divided", "model": "preferred the model's choice"}


def relabellings(evaluation: RewardEvaluation) -> list[Relabelling]:
    """What was sent from an evaluation, the newest first."""
    return list(evaluation.relabellings.select_related("comparison", "sent_by").order_by("-pk"))


def relabelling_verdicts(sent: Sequence[Relabelling]) -> list[dict[str, int]]:
    """Of each, what people said who had not judged it before: {"model", "other", "tie": judgements}."""
    new: dict[int, list[tuple[int, Any]]] = {}
    rows = Judgement.objects.filter(comparison__in=[each.comparison_id for each in sent], is_current=True)
    for comparison, annotator, rankings in rows.values_list("comparison", "annotator", "rankings"):
        new.setdefault(comparison, []).append((annotator, rankings))
    return [
        pair_tally(
            [rankings for person, rankings in new.get(each.comparison_id, ()) if person not in each.annotators_before],
            each.dimension,
            each.model_choice_id,
            each.other_choice_id,
        )
        for each in sent
    ]


def pair_tally(rankings: Iterable[Any], dimension: str, model_choice: int, other_choice: int) -> dict[str, int]:
    """{"model", "other", "tie": judgements} of a pair, of judgements' rankings."""
    rows = [each.get(dimension) or {} for each in rankings]
    return tally((row.get(str(model_choice)), row.get(str(other_choice))) for row in rows)


def relabelling_outcome(sent: Sequence[Relabelling], verdicts: Sequence[dict[str, int]]) -> list[Outcome]:
    """A row for each thing that people had said before, and one for all of them where there are several."""
    kinds: dict[str, list[tuple[float, str]]] = {}
    for each, new in zip(sent, verdicts, strict=True):
        kinds.setdefault(verdict(each.before), []).append((each.probability, verdict(new)))
    rows = [_outcome(words, kinds[kind]) for kind, words in BEFORE.items() if kind in kinds]
    return rows if len(rows) < 2 else [*rows, _outcome("all", [each for kind in kinds.values() for each in kind])]


def _outcome(before: str, found: Sequence[tuple[float, str]]) -> Outcome:
    said = [each for _, each in found]
    counts = {kind: said.count(kind) for kind in ("model", "other", "tie", "open")}
    model = share(counts["model"], counts["model"] + counts["other"])
    return Outcome(before, len(found), counts, fmean(probability for probability, _ in found), model)
