"""What a reward model is tested on: comparisons of a dataset version, or of a file of any format with preferences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from annotate.formats.jsonl import Findings
from annotate.formats.reading import read_records
from annotate.formats.records import Pair, Record
from annotate.pairs import edges
from rewardmodel.training.data import Comparison, read_comparisons
from runs.child import UserError

COMPLAINTS = 5
MOST_COMPARISONS, MOST_CHARACTERS = 200_000, 512 * 2**20  # of a file


@dataclass(frozen=True)
class TestSet:
    """Comparisons with judgements. name: for people. passed_over: records without a preference of use, and why."""

    __test__ = False  # pytest: not a test

    name: str
    comparisons: list[Comparison]
    passed_over: int = 0
    reasons: tuple[str, ...] = ()

    @property
    def dimensions(self) -> tuple[str, ...]:
        """What its judgements are about, in order."""
        return tuple(dict.fromkeys(name for each in self.comparisons for name in each.edges))


def dataset_test_set(directory: str | Path, split: Literal["test", "all"], name: str = "") -> TestSet:
    """The comparisons of a dataset version's test split, or all. Raises UserError if there is none."""
    every = read_comparisons(directory)
    chosen = [each for each in every if split == "all" or each.split == "test"]
    name = name or Path(directory).name
    if not chosen:
        raise UserError(
            f"{name} has no held-out comparison: all {len(every)} are in its train split. Build a version with a test "
            "fraction above 0, choose another, or set split to all for one that the model was not trained on."
            if every
            else f"{name} has no comparison that orders anything. Collect judgements and build it again."
        )
    return TestSet(name, chosen)


def file_test_set(path: str | Path, *, format: str = "", filename: str = "") -> TestSet:
    """The comparisons of a file, used whole. Raises UserError that names the lines that are wrong.

    A record without preferences between two responses is passed over and counted. All of it is held in memory, so a
    packed file that grows beyond reason is refused on the way.
    """
    path, findings = Path(path), Findings()
    name = filename or path.name
    comparisons: list[Comparison] = []
    without = characters = 0
    seen: dict[str, int] = {}
    with open(path, "rb") as file:
        for record in read_records(file, findings, format=format, keep_empty=True, filename=name):
            number = seen[str(record.line)] = seen.get(str(record.line), 0) + 1
            label = f"line {record.line}" if number == 1 else f"line {record.line}, {number}"
            comparison = comparison_of(record, label)
            characters += sum(len(text) for text in comparison.responses)
            if len(comparisons) >= MOST_COMPARISONS or characters > MOST_CHARACTERS:
                raise UserError(
                    f"{name} has more than {MOST_COMPARISONS:,} comparisons, or responses of more than "
                    f"{MOST_CHARACTERS // 2**20} million characters, by {label}. Evaluate on a part of it."
                )
            if comparison.edges:
                comparisons.append(comparison)
            else:
                without += 1
    if findings.error_count:
        said = " ".join(str(problem) for problem in findings.errors[:COMPLAINTS])
        more = findings.error_count - min(len(findings.errors), COMPLAINTS)
        raise UserError(f"{name} cannot be used. {said}{f' And {more} more.' if more else ''}")
    reasons = [str(problem) for problem in findings.skipped[:COMPLAINTS]]
    if without:
        reasons.append(f"{without} records have no preference between two responses.")
    if not comparisons:
        raise UserError(
            f"{name} has no preference to test with. {' '.join(reasons) or 'Nothing is in it.'} "
            "Give a file of pairs or rankings."
        )
    return TestSet(name, comparisons, findings.skipped_count + without, tuple(reasons))


def comparison_of(record: Record, label: str) -> Comparison:
    """A record's judgements as a comparison; each pair is a ranking that places two responses."""
    n = len(record.responses)
    rankings: dict[str, list[dict[str, Any]]] = {}
    for dimension, ranking in _rankings(record, n):
        rankings.setdefault(dimension, []).append(ranking)
    found = {dimension: edges(each, n) for dimension, each in rankings.items()}
    return Comparison(
        id=label,
        split="test",
        prompt=[dict(turn) for turn in record.prompt],
        responses=[response.text for response in record.responses],
        rankings={dimension: each for dimension, each in rankings.items() if found[dimension]},
        edges={dimension: each for dimension, each in found.items() if each},
        response_ids=tuple(response.id for response in record.responses),
        tags=tuple(dict.fromkeys((*record.tags, *record.own_tags))),
        language=record.language,
    )


def matched(test: TestSet, dimensions: Sequence[str], asked: str) -> TestSet:
    """The test set with only what is held against one of the model's `dimensions`, under the name of that score.

    Names decide, unless `asked` says that judgements of another name are to be held against one score: two things may
    be called alike or not, and only a person knows. Raises UserError where nothing remains.
    """
    known = test.dimensions
    names = names_matched(known, dimensions, asked, test.name)
    kept = [
        replace(each, rankings=_renamed(each.rankings, names), edges=_renamed(each.edges, names))
        for each in test.comparisons
    ]
    kept = [each for each in kept if each.edges]
    if not any(edge.p != 0.5 for each in kept for found in each.edges.values() for edge in found):
        raise UserError(f"{test.name} has no preference in {', '.join(names)}: all that it says are ties.")
    others = len(test.comparisons) - len(kept)
    reasons = (*test.reasons, f"{others} are about something else.") if others else test.reasons
    return replace(test, comparisons=kept, passed_over=test.passed_over + others, reasons=reasons)


def names_matched(known: Sequence[str], dimensions: Sequence[str], asked: str, name: str) -> dict[str, str]:
    """{what judgements are about: the model's score that they are held against}. Raises UserError if there is none."""
    scores, about = ", ".join(dimensions), ", ".join(known) or "nothing in particular"
    if asked and asked not in dimensions:
        raise UserError(f"The reward model has no dimension {asked}. It scores {scores}.")
    if asked:
        if asked in known:
            return {asked: asked}
        if len(known) == 1:
            return {known[0]: asked}
        raise UserError(f"{name} says nothing of {asked}. Its judgements are about {about}.")
    same = {dimension: dimension for dimension in dimensions if dimension in known}
    if not same:
        raise UserError(
            f"The judgements of {name} are about {about}, and the reward model scores {scores}. If they may be held "
            "against each other, say by `dimension` which of the scores it is."
        )
    return same


def _renamed(by_dimension: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names[dimension]: each for dimension, each in by_dimension.items() if dimension in names}


def _rankings(record: Record, n: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """(dimension, ranking as rankings.jsonl has it) of each judgement of a record."""
    more = record.metadata.get("rankings") or ()  # what a line of rankings.jsonl says besides: soft labels
    for number, ranking in enumerate(record.rankings):
        extra = more[number] if number < len(more) else {}
        yield (
            ranking.dimension,
            {
                "ranks": list(ranking.ranks),
                "weight": ranking.weight,
                "annotator": ranking.annotator,
                "strengths": None if ranking.strengths is None else list(ranking.strengths),
                "soft": extra.get("soft") if isinstance(extra, dict) else None,
            },
        )
    for pair in record.pairs:
        yield pair.dimension, _ranking_of(pair, n)


def _ranking_of(pair: Pair, n: int) -> dict[str, Any]:
    """A preference between two of n responses, its share kept as a soft label."""
    ranks: list[int | None] = [None] * n
    strengths: list[float | None] = [None] * n
    better, worse = (pair.chosen, pair.rejected) if pair.preference >= 0.5 else (pair.rejected, pair.chosen)
    ranks[better], ranks[worse] = 1, 1 if pair.preference == 0.5 else 2
    strengths[better] = abs(pair.margin) or None
    i, j = sorted((pair.chosen, pair.rejected))
    share = pair.preference if pair.chosen == i else 1 - pair.preference
    return {
        "ranks": ranks,
        "weight": pair.weight,
        "annotator": pair.annotator,
        "strengths": strengths if pair.margin and pair.preference != 0.5 else None,
        "soft": [[i, j, share]],
    }
