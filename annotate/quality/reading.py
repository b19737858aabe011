"""From the database to the records of a quality report, a few thousand comparisons in memory at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from django.db.models import Count, F, FloatField, Func, Max, Q, QuerySet, TextField, Value
from django.db.models.functions import Cast, Length, Replace, TruncDate

from annotate.projects.models import Project
from annotate.quality.collected import ComparisonRecord, JudgementRecord
from annotate.ranking.models import Assignment, Comparison, ComparisonResponse, Judgement

CHUNK = 2000  # comparisons
Purpose = Comparison.Purpose


class Bytes(Func):
    function = "OCTET_LENGTH"
    output_field = FloatField()


def counted_judgements(project: Project) -> QuerySet[Judgement]:
    """The project's judgements that statistics are made of: current, not withdrawn, of work."""
    return Judgement.objects.filter(
        comparison__project=project, comparison__purpose=Purpose.WORK, is_current=True, withdrawal__isnull=True
    )


def quality_records(project: Project) -> Iterator[ComparisonRecord]:
    """Every comparison with a judgement that counts. Call it inside a transaction: it holds a cursor open."""
    rows = (
        counted_judgements(project)
        .annotate(day=TruncDate("created_at"), bad=~Q(all_bad=[]))
        .order_by("comparison_id", "pk")
        .values_list(
            "comparison_id", "annotator_id", "day", "source", "rankings", "strengths", "display_order",
            "seconds_active", "bad",
        )
        .iterator(chunk_size=CHUNK)
    )  # fmt: skip
    chunk: dict[int, list[tuple[Any, ...]]] = {}
    for comparison, given in groupby(rows, key=lambda row: row[0]):
        chunk[comparison] = list(given)
        if len(chunk) == CHUNK:
            yield from _records(chunk)
            chunk = {}
    yield from _records(chunk)


def gold_scores(project: Project) -> dict[int, list[float]]:
    """{annotator: scores on hidden gold comparisons}; of withdrawn work too, for they say how good it was."""
    found: dict[int, list[float]] = {}
    rows = Judgement.objects.filter(comparison__project=project, comparison__purpose=Purpose.GOLD)
    rows = rows.filter(Q(is_current=True) | Q(withdrawal__isnull=False)).exclude(gold_score=None)
    for annotator, score in rows.order_by("pk").values_list("annotator_id", "gold_score"):
        found.setdefault(annotator, []).append(score)
    return found


def skip_counts(project: Project) -> dict[int, dict[str, int]]:
    """{annotator: {reason: how often}}."""
    found: dict[int, Counter[str]] = {}
    rows = (
        Assignment.objects.filter(comparison__project=project, state=Assignment.State.SKIPPED)
        .order_by()
        .values("annotator_id", "skip_reason")
        .annotate(n=Count("pk"))
    )
    for row in rows:
        # What follows the colon is the annotator's own note.
        reason = row["skip_reason"].partition(":")[0] or "other"
        found.setdefault(row["annotator_id"], Counter())[reason] += row["n"]
    return {annotator: dict(counts) for annotator, counts in found.items()}


def _words(text: F | Cast) -> Any:
    """About how many words a text has, reckoned where it lies: spaces and line ends, and a word for each three-byte
    character, as Chinese has no spaces."""
    bare = Replace(Replace(text, Value(" "), Value("")), Value("\n"), Value(""))
    wide = (Bytes(text) - Cast(Length(text), FloatField())) / 2.0
    return Cast(Length(text) - Length(bare) + 1, FloatField()) + wide


def _records(chunk: dict[int, list[tuple[Any, ...]]]) -> Iterator[ComparisonRecord]:
    members: dict[int, list[tuple[str, int, float]]] = {}
    rows = (
        ComparisonResponse.objects.filter(comparison__in=list(chunk))
        .annotate(length=Length("response__text"), words=_words(F("response__text")))
        .order_by("comparison_id", "position")
        .values_list("comparison_id", "response_id", "length", "words")
    )
    for comparison, response, length, words in rows.iterator(chunk_size=CHUNK):
        members.setdefault(comparison, []).append((str(response), length, words))
    prompts = (
        Comparison.objects.filter(pk__in=list(chunk))
        .annotate(words=_words(Cast("prompt__messages", TextField())))
        .order_by("pk")
        .values_list("pk", "prompt_id", "prompt__tags", "words")
    )
    for comparison, prompt, tags, words in prompts:
        shown = members.get(comparison, [])
        keys = [key for key, _, _ in shown]
        yield ComparisonRecord(
            id=comparison,
            prompt=prompt,
            tags=tags,
            lengths=[length for _, length, _ in shown],
            words=words + sum(of for _, _, of in shown),
            judgements=[_judgement(row, keys) for row in chunk[comparison]],
        )


def _judgement(row: tuple[Any, ...], keys: list[str]) -> JudgementRecord:
    _, annotator, day, source, rankings, strengths, order, seconds, all_bad = row
    place = {str(response): number for number, response in enumerate(order or [], 1)}
    return JudgementRecord(
        annotator=annotator,
        day=day,
        source=source,
        rankings={key: [ranks.get(response, 0) for response in keys] for key, ranks in rankings.items()},
        strengths={key: [int(given.get(response) or 0) for response in keys] for key, given in strengths.items()},
        places=[place.get(response, 0) for response in keys],
        seconds=seconds,
        all_bad=all_bad,
    )


def last_judgements(**of: Any) -> dict[int, tuple[int, int]]:
    """{project: (highest id, number)} of all judgements that count for anything, gold included, as `of` filters
    them."""
    rows = (
        Judgement.objects.filter(is_current=True, withdrawal__isnull=True, **of)
        .order_by()
        .values("comparison__project")
        .annotate(last=Max("pk"), n=Count("pk"))
    )
    return {row["comparison__project"]: (row["last"], row["n"]) for row in rows}
