"""From a record of a file to what is stored of it. Pure.

| kind of record | becomes |
|---|---|
| prompt | a prompt |
| responses, demonstration | a prompt and its responses |
| unpaired | a prompt and its response, which keeps its label; where a prompt has both labels, a judgement too |
| ranking | a prompt, its responses, and a closed comparison with a judgement of each judge |
| pair | the same, a comparison for every two responses that were compared |

A response is known by its prompt, its generator and its text: one that comes twice in a record is one response.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from annotate.formats.conversations import Message
from annotate.formats.jsonl import Unusable
from annotate.formats.reading import FORMATS_IN
from annotate.formats.records import Pair, Record, comparisons, dense
from annotate.pairs import content_hash, text_hash

OWN = frozenset({"prompts", "responses", "rankings", "pairs"})
MOST_JUDGES = 50  # that one line of pairs.jsonl may stand for
SHORT, TAG = 120, 60


@dataclass(slots=True)
class Text:
    """A response. generator: its full name in Plumbline."""

    text: str
    key: str
    generator: str
    metadata: dict[str, Any]
    label: bool | None = None


@dataclass(slots=True)
class Judged:
    """One judge's ranking on one dimension. annotator: as the file names them, "" for nobody."""

    dimension: str
    annotator: str
    ranks: tuple[int | None, ...]
    strengths: tuple[float | None, ...] | None = None
    rationale: str = ""


@dataclass(slots=True)
class Scored:
    """Points that a judge gave, aligned with the responses."""

    dimension: str
    annotator: str
    scores: tuple[float | None, ...]


@dataclass(slots=True)
class Planned:
    """One prompt and what is stored with it. size: characters of its texts."""

    line: int
    messages: list[Message]
    key: str
    tags: list[str]
    own_tags: list[str]
    language: str
    source: str
    metadata: dict[str, Any]
    responses: list[Text] = field(default_factory=list)
    judged: list[Judged] = field(default_factory=list)
    scored: list[Scored] = field(default_factory=list)

    @property
    def size(self) -> int:
        return sum(len(turn["content"]) for turn in self.messages) + sum(len(each.text) for each in self.responses)


def generator_name(format: str, name: str) -> str:
    """What a file's generator is called here: as in Plumbline's own files, beside the format's name in all others."""
    label = FORMATS_IN[format].label
    if format in OWN:
        return (name or f"Import: {label}")[:SHORT]
    return (f"{label}: {name}" if name else label)[:SHORT]


def planned(record: Record, format: str, dimensions: Dimensions) -> Iterator[Planned]:
    """What is stored of a record, comparison by comparison. Raises Unusable."""
    if record.kind not in ("ranking", "pair"):
        yield _bare(record, format)
        return
    if format == "pairs":
        record = replace(record, pairs=tuple(_voices(record.pairs)))
    for one in comparisons(record):
        plan = _bare(one, format)
        kept = [(ranking, name) for ranking in one.rankings if (name := dimensions.of(ranking.dimension))]
        plan.judged = [
            Judged(name, ranking.annotator, dense(ranking.ranks), ranking.strengths, ranking.rationale)
            for ranking, name in kept
            if sum(rank is not None for rank in ranking.ranks) >= 2
        ]
        plan.scored = [
            Scored(name, rating.annotator, rating.scores)
            for rating in one.ratings
            if (name := dimensions.known(rating.dimension))
        ]
        if one.rankings and not kept:
            continue  # all it says is of dimensions that are left out
        if not plan.judged:
            raise Unusable("None of its rankings places two responses.")
        _fold(plan, judged=True)
        yield plan


def _bare(record: Record, format: str) -> Planned:
    plan = Planned(
        record.line,
        record.prompt,
        content_hash(record.prompt),
        [tag[:TAG] for tag in record.tags],
        [tag[:TAG] for tag in record.own_tags],
        record.language[:16],
        record.source[:SHORT],
        _metadata(record),
        [
            Text(
                each.text,
                text_hash(each.text),
                generator_name(format, each.generator),
                {**each.metadata, "is_edit": True} if each.is_edit else dict(each.metadata),
                each.label,
            )
            for each in record.responses
        ],
    )
    if record.kind not in ("ranking", "pair"):
        _fold(plan, judged=False)
    return plan


def _metadata(record: Record) -> dict[str, Any]:
    more = {name: value for name, value in (("id", record.source_id), ("split", record.split)) if value}
    return {**more, **record.metadata} if more else dict(record.metadata)


def _fold(plan: Planned, *, judged: bool) -> None:
    """Make one of responses that are the same. Raises Unusable where a judge ranks them apart."""
    first: dict[tuple[str, str], int] = {}
    same = [first.setdefault((each.generator, each.key), n) for n, each in enumerate(plan.responses)]
    if len(first) < len(same):
        for one in plan.judged:
            apart = next((n for n, k in enumerate(same) if one.ranks[n] != one.ranks[k]), None)
            if apart is not None and len(first) > 1:
                raise Unusable(f"Responses {same[apart] + 1} and {apart + 1} are the same, but ranked differently.")
        kept = sorted(first.values())
        plan.responses = [plan.responses[n] for n in kept]
        for one in plan.judged:
            one.ranks = dense([one.ranks[n] for n in kept])
            one.strengths = tuple(one.strengths[n] for n in kept) if one.strengths else None
        for scored in plan.scored:
            scored.scores = tuple(scored.scores[n] for n in kept)
    if judged and len(plan.responses) < 2:
        raise Unusable("Its responses are all the same.")


def _voices(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """A line of pairs.jsonl as the judgements that it sums up: weight 4 and preference 0.75 are three for and one
    against. Weights that are no whole numbers, such as reliabilities, stay one judgement in the sense of the most."""
    for pair in pairs:
        count = round(pair.weight)
        chosen = pair.preference * count
        if (
            abs(pair.weight - count) > 1e-9
            or not 1 <= count <= MOST_JUDGES
            or abs(2 * chosen - round(2 * chosen)) > 1e-6
        ):
            yield replace(pair, weight=1.0)
            continue
        tied = round(2 * chosen) % 2
        voices = [1.0] * int(chosen + 1e-6) + [0.5] * tied
        voices += [0.0] * (count - len(voices))
        # The margin is the mean of the signed strengths.
        lead = sum(2 * voice - 1 for voice in voices)
        strength = pair.margin * count / lead if lead else 0.0
        for number, voice in enumerate(voices, 1):
            yield replace(
                pair, weight=1.0, preference=voice, margin=strength, annotator=f"{number}" if count > 1 else ""
            )


# dimensions -----------------------------------------------------------------------------------------------------------


class Dimensions:
    """From the names in a file to the keys of a project; counts what was met, and what had no place."""

    def __init__(self, project: Sequence[str], chosen: Mapping[str, str]) -> None:
        self.project, self.chosen = list(project), dict(chosen)
        self.met: dict[str, int] = {}

    def known(self, name: str) -> str:
        wanted = self.chosen.get(name, name)
        return wanted if wanted in self.project else ""

    def of(self, name: str) -> str:
        """The project's key for a judgement that is imported, or "" to leave it out."""
        self.met[name] = self.met.get(name, 0) + 1
        return self.known(name)

    @property
    def left_out(self) -> dict[str, int]:
        return {name: count for name, count in self.met.items() if not self.known(name)}

    def complaint(self) -> str:
        """Why no judgement of a file can be imported, or ""."""
        if not self.met or any(self.known(name) for name in self.met):
            return ""
        names = ", ".join(f"“{name[:40]}”" for name in list(self.met)[:8])
        keys = ", ".join(self.project)
        return f"It ranks by {names}, which this project does not ask for. Choose what is meant, one of: {keys}."
