"""Plans into the database, a batch at a time: what is there is found by its hashes, what is new is copied in.

Ids are drawn first and rows copied with them, so nothing is written twice and a judgement can name its responses. One
import at a time writes into a project (`hold`); whoever else adds the same prompt meanwhile waits for the unique
constraint, and the import says so if it comes second.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from django.db import connection
from django.utils import timezone

from annotate.formats.limits import MAX_RESPONSES
from annotate.generation.models import Generator, Response
from annotate.importing.copying import NULL, array, copy_rows, json, new_ids, text
from annotate.importing.judges import judge_name, judges_ready
from annotate.importing.plan import Judged, Planned, Text
from annotate.importing.sheets import Judgements, Ranks, Sheet
from annotate.projects.models import Project, Prompt
from annotate.quality.agreement import disagreement
from annotate.ranking.models import Comparison, Judgement

IMPORTED_ROUND = 0  # imported rankings were made before the first turn of the loop
CHUNK = 2_000
LOCK = 0x1A9042  # first half of the advisory lock's key; the second is the project

PROMPT = "id, project_id, messages, content_hash, tags, language, source, metadata, created_at"
RESPONSE = (
    "id, prompt_id, generator_id, text, content_hash, sample_index, sampling, finish_reason, metadata, created_at"
)
COMPARISON = (
    "id, project_id, prompt_id, round, priority, overlap, is_closed, purpose, disagreement, dedup_key, tags, created_at"
)
MEMBER = "comparison_id, response_id, position"
JUDGEMENT = (
    "id, comparison_id, annotator_id, rankings, strengths, ratings, flags, rationale, all_bad, display_order,"
    " is_current, supersedes_id, source, created_at"
)


@dataclass(slots=True)
class Entry:
    """A comparison of the batch. responses: ids by position."""

    id: int
    prompt: int
    key: str
    responses: list[int]
    tags: list[str]
    is_new: bool
    judgements: Judgements
    is_open: bool = False


@dataclass
class Batch:
    prompts: list[str] = field(default_factory=list)
    responses: list[str] = field(default_factory=list)
    comparisons: list[str] = field(default_factory=list)
    members: list[str] = field(default_factory=list)
    judgements: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)


class Store:
    """Stores plans of one file. With write=False it only counts what would be new, for a single batch.

    counts: prompts, responses, comparisons, queued, judgements: new ones; and known_prompts, known_responses,
    known_comparisons, known_judgements: those of the file that were there already.
    """

    def __init__(
        self, project: Project, format: str, *, source: str, dimension: str = "", queue: bool = False, round: int = 1,
        write: bool = True,
    ) -> None:  # fmt: skip
        self.project, self.format, self.source, self.write = project, format, source, write
        self.dimension, self.queue, self.round = dimension, queue, round
        self.counts: Counter[str] = Counter()
        self.generators: dict[str, int] = {}
        self.names: dict[tuple[str, int], str] = {}
        self.judges: dict[str, int] = {}
        self.now = timezone.now().isoformat()
        self.has_answers = False
        self.first: dict[str, int] = {}
        self.fake = 0

    def add(self, plans: Sequence[Planned]) -> None:
        """Store one batch. Its texts are in memory, those of earlier ones are not."""
        batch = Batch()
        prompts, known = self._prompts(plans, batch)
        responses = self._responses(plans, prompts, known, batch)
        entries = self._entries(plans, prompts, known, responses, batch)
        if self.write:
            self._write(batch, entries)

    # prompts ----------------------------------------------------------------------------------------------------------

    def _prompts(self, plans: Sequence[Planned], batch: Batch) -> tuple[dict[str, int], set[int]]:
        """Ids by content hash, and which of them were there before this batch."""
        unique: dict[str, Planned] = {}
        for plan in plans:
            unique.setdefault(plan.key, plan)
        rows = Prompt.objects.filter(project=self.project, content_hash__in=list(unique)).order_by()
        found = dict(rows.values_list("content_hash", "pk"))
        known = set(found.values())
        new = [plan for key, plan in unique.items() if key not in found]
        for plan, pk in zip(new, self._ids("annotate_prompt", len(new)), strict=True):
            found[plan.key] = pk
            if self.write:
                batch.prompts.append(
                    f"{pk}\t{self.project.pk}\t{json(plan.messages)}\t{plan.key}\t{array(plan.tags)}\t"
                    f"{text(plan.language)}\t{text(plan.source or self.source)}\t{json(plan.metadata)}\t{self.now}"
                )
        self.counts["prompts"] += len(new)
        self.counts["known_prompts"] += sum(self._is_old("annotate_prompt", pk) for pk in known)
        return found, known

    # responses --------------------------------------------------------------------------------------------------------

    def _responses(
        self, plans: Sequence[Planned], prompts: dict[str, int], known: set[int], batch: Batch
    ) -> dict[tuple[int, int, str], int]:
        """Ids by (prompt, generator, text hash)."""
        found: dict[tuple[int, int, str], int] = {}
        self._name_generators(plans)
        old = [prompts[plan.key] for plan in plans if plan.responses and prompts[plan.key] in known]
        if old:
            rows = Response.objects.filter(
                prompt__in=set(old), generator__in=self.generators.values(), run=None, edited_from=None
            ).order_by()
            for pk, prompt, generator, key in rows.values_list("pk", "prompt_id", "generator_id", "content_hash"):
                found[prompt, generator, key] = pk
        there = set(found)
        new: dict[tuple[int, int, str], tuple[Text, int]] = {}
        met: set[tuple[int, int, str]] = set()
        for plan in plans:
            prompt = prompts[plan.key]
            for index, each in enumerate(plan.responses):
                identity = (prompt, self.generators[each.generator], each.key)
                if identity in there:
                    if self._is_old("annotate_response", found[identity]):
                        met.add(identity)
                else:
                    new.setdefault(identity, (each, index))
        for (identity, (each, index)), pk in zip(new.items(), self._ids("annotate_response", len(new)), strict=True):
            found[identity] = pk
            if self.write:
                prompt, generator, key = identity
                metadata = each.metadata if each.label is None else {**each.metadata, "label": each.label}
                batch.responses.append(
                    f"{pk}\t{prompt}\t{generator}\t{text(each.text)}\t{key}\t{index}\t{{}}\t\t{json(metadata)}\t{self.now}"
                )
        self.counts["responses"] += len(new)
        self.counts["known_responses"] += len(met)
        return found

    def _name_generators(self, plans: Sequence[Planned]) -> None:
        names = {each.generator for plan in plans for each in plan.responses} - self.generators.keys()
        if not names:
            return
        if self.write:
            about = "Imported with its responses."
            Generator.objects.bulk_create(
                [Generator(name=name, kind=Generator.Kind.IMPORT, description=about) for name in sorted(names)],
                ignore_conflicts=True,
            )
        self.generators |= dict(Generator.objects.filter(name__in=names).values_list("name", "pk"))
        for name in sorted(names - self.generators.keys()):
            self.generators[name] = self._ids("annotate_generator", 1)[0]

    # comparisons ------------------------------------------------------------------------------------------------------

    def _entries(
        self,
        plans: Sequence[Planned],
        prompts: dict[str, int],
        known: set[int],
        responses: dict[tuple[int, int, str], int],
        batch: Batch,
    ) -> list[Entry]:
        wanted: list[tuple[Planned, int, str, list[int]]] = []
        for plan in plans:
            prompt = prompts[plan.key]
            ids = [responses[prompt, self.generators[each.generator], each.key] for each in plan.responses]
            if plan.judged:
                wanted.append((plan, prompt, _key("import", ids), ids))
            elif self.queue and len({each.key for each in plan.responses}) >= 2:
                ids = self._few(plan, ids)
                wanted.append((plan, prompt, _key("queue", ids), ids))
            elif ids and (self.queue or plan.responses[0].label is not None):
                label = {True: "t", False: "f", None: NULL}
                batch.answers += [
                    f"{prompt}\t{pk}\t{label[each.label]}" for each, pk in zip(plan.responses, ids, strict=True)
                ]
        return self._take_up(wanted, known)

    def _take_up(self, wanted: Sequence[tuple[Planned, int, str, list[int]]], known: set[int]) -> list[Entry]:
        entries = self._existing({key for _, prompt, key, _ in wanted if prompt in known})
        new: list[Entry] = []
        met: set[str] = set()
        for plan, prompt, key, ids in wanted:
            entry = entries.get(key)
            if entry is None:
                entry = Entry(0, prompt, key, ids, plan.own_tags, True, Judgements(self._judge), not plan.judged)
                entries[key] = entry
                new.append(entry)
            elif not entry.is_new and key not in met:
                met.add(key)
                self.counts["known_comparisons"] += self._is_old("annotate_comparison", entry.id)
            self._judged(entry, plan, ids)
        for entry, pk in zip(new, self._ids("annotate_comparison", len(new)), strict=True):
            entry.id = pk
            self.counts["queued" if entry.is_open else "comparisons"] += 1
        return list(entries.values())

    def _existing(self, keys: set[str]) -> dict[str, Entry]:
        if not keys:
            return {}
        rows = Comparison.objects.filter(project=self.project, dedup_key__in=keys).order_by()
        found = {
            key: Entry(pk, prompt, key, [], [], False, Judgements(self._judge))
            for pk, prompt, key in rows.values_list("pk", "prompt_id", "dedup_key")
        }
        by_id = {entry.id: entry for entry in found.values()}
        sheets = Judgement.objects.filter(comparison__in=by_id).order_by("pk")
        fields = ("comparison_id", "pk", "annotator__username", "rankings", "strengths", "ratings", "rationale")
        for comparison, pk, judge, rankings, strengths, ratings, rationale, is_current in sheets.values_list(
            *fields, "is_current"
        ):
            sheet = Sheet(judge, rankings, strengths, ratings, rationale, pk, True, is_current)
            by_id[comparison].judgements.sheets.append(sheet)
        return found

    def _judged(self, entry: Entry, plan: Planned, ids: Sequence[int]) -> None:
        names = [str(pk) for pk in ids]
        times: Counter[tuple[str, tuple[int | None, ...]]] = Counter()
        points = {(one.annotator, one.dimension): one.scores for one in plan.scored}
        for one in plan.judged:
            ranks: Ranks = {pk: rank for pk, rank in zip(names, one.ranks, strict=True) if rank is not None}
            if not one.annotator:
                times[one.dimension, one.ranks] += 1
            said = entry.judgements.add(
                one.annotator,
                one.dimension,
                ranks,
                time=times[one.dimension, one.ranks],
                strengths=_given(names, one.strengths),
                ratings=_given(names, points.get((one.annotator, one.dimension))),
                rationale=one.rationale,
            )
            self.counts["judgements" if said else "known_judgements"] += 1

    def _judge(self, annotator: str, place: int) -> str:
        key = (annotator, place)
        if key not in self.names:
            self.names[key] = judge_name(self.project, self.format, annotator, place)
        return self.names[key]

    def _few(self, plan: Planned, ids: Sequence[int]) -> list[int]:
        """Responses with different texts, as many as the project compares."""
        first: dict[str, int] = {}
        for each, pk in zip(plan.responses, ids, strict=True):
            if each.text.strip():
                first.setdefault(each.key, pk)
        return list(first.values())[: self.project.k]

    # writing ----------------------------------------------------------------------------------------------------------

    def _write(self, batch: Batch, entries: Sequence[Entry]) -> None:
        changed = [entry for entry in entries if entry.is_new or entry.judgements.changed]
        self._rows(batch, changed)
        copy_rows("annotate_prompt", PROMPT, batch.prompts)
        copy_rows("annotate_response", RESPONSE, batch.responses)
        copy_rows("annotate_comparison", COMPARISON, batch.comparisons)
        copy_rows("annotate_comparisonresponse", MEMBER, batch.members)
        self._supersede(changed)
        copy_rows("annotate_judgement", JUDGEMENT, batch.judgements)
        if batch.answers:
            self._keep_answers(batch.answers)

    def _rows(self, batch: Batch, entries: Sequence[Entry]) -> None:
        sheets = [(entry, sheet) for entry in entries for sheet in entry.judgements.sheets if not sheet.saved]
        for (_, sheet), pk in zip(sheets, self._ids("annotate_judgement", len(sheets)), strict=True):
            sheet.id = pk
        absent = [sheet.judge for _, sheet in sheets if sheet.judge not in self.judges]
        if absent:
            self.judges |= judges_ready(absent)
        for entry in entries:
            if not entry.is_new:
                continue
            overlap = self.project.overlap if entry.is_open else max(1, len(entry.judgements.current))
            round, closed = (self.round, "f") if entry.is_open else (IMPORTED_ROUND, "t")
            share = _disagreement(entry)
            batch.comparisons.append(
                f"{entry.id}\t{self.project.pk}\t{entry.prompt}\t{round}\t0\t{overlap}\t{closed}\twork\t"
                f"{NULL if share is None else share}\t{entry.key}\t{array(entry.tags)}\t{self.now}"
            )
            batch.members += [f"{entry.id}\t{pk}\t{position}" for position, pk in enumerate(entry.responses)]
        for entry, sheet in sheets:
            order = json([int(pk) for pk in self._shown(entry, sheet)])
            before = sheet.supersedes.id if sheet.supersedes else NULL
            batch.judgements.append(
                f"{sheet.id}\t{entry.id}\t{self.judges[sheet.judge]}\t{json(sheet.rankings)}\t{json(sheet.strengths)}\t"
                f"{json(sheet.ratings)}\t[]\t{text(sheet.rationale)}\t[]\t{order}\t{'t' if sheet.is_current else 'f'}\t"
                f"{before}\timport\t{self.now}"
            )

    def _shown(self, entry: Entry, sheet: Sheet) -> Sequence[Any]:
        return entry.responses or list(next(iter(sheet.rankings.values())))

    def _supersede(self, entries: Sequence[Entry]) -> None:
        """Make room for what stands in place of a saved judgement, and measure anew what was there."""
        old = [
            sheet.id for entry in entries for sheet in entry.judgements.sheets if sheet.saved and not sheet.is_current
        ]
        if old:
            Judgement.objects.filter(pk__in=old, is_current=True).update(is_current=False)
        there = [entry for entry in entries if not entry.is_new and not entry.is_open]
        if there:
            rows = Comparison.objects.in_bulk([entry.id for entry in there])
            for entry in there:
                row = rows[entry.id]
                row.overlap = max(row.overlap, len(entry.judgements.current))
                row.disagreement = _disagreement(entry)
            Comparison.objects.bulk_update(rows.values(), ["overlap", "disagreement"])

    def _is_old(self, table: str, pk: int) -> bool:
        """Whether a row was there before this import."""
        return table not in self.first or pk < self.first[table]

    def _ids(self, table: str, count: int) -> list[int]:
        if self.write:
            ids = new_ids(table, count)
            if ids:
                self.first.setdefault(table, ids[0])
            return ids
        self.fake -= count
        return list(range(self.fake, self.fake + count))

    # what only the whole file tells -----------------------------------------------------------------------------------

    def _keep_answers(self, lines: list[str]) -> None:
        if not self.has_answers:
            with connection.cursor() as cursor:
                cursor.execute("DROP TABLE IF EXISTS importing_answer")
                cursor.execute(
                    "CREATE TEMPORARY TABLE importing_answer"
                    " (number bigserial, prompt_id bigint, response_id bigint, label boolean) ON COMMIT DROP"
                )
            self.has_answers = True
        copy_rows("importing_answer", "prompt_id, response_id, label", lines)

    def finish(self) -> None:
        """Compare responses that came in rows of their own: what is desirable with what is not, and what has no
        judgement where it is to be annotated."""
        if not self.has_answers:
            return
        for chunk in _chunks(self._answered()):
            batch = Batch()
            wanted, known = [], set()
            for prompt, key, ids, labels in chunk:
                plan = self._compared(key, ids, labels)
                if plan is not None:
                    known.add(prompt)
                    chosen, whole = plan
                    wanted.append((whole, prompt, _key(_purpose(whole), chosen), chosen))
            self._write(batch, self._take_up(wanted, known))

    def _answered(self) -> Iterator[tuple[int, str, list[int], list[bool | None]]]:
        """(prompt, its hash, responses, labels) of each prompt that has several; a response with two labels is out."""
        with connection.chunked_cursor() as cursor:
            cursor.execute(
                "SELECT a.prompt_id, p.content_hash, array_agg(response_id ORDER BY number),"
                " array_agg(label ORDER BY number) FROM (SELECT prompt_id, response_id, min(number) AS number,"
                " bool_or(label) AS label FROM importing_answer GROUP BY prompt_id, response_id"
                " HAVING bool_or(label) IS NOT DISTINCT FROM bool_and(label)) a"
                " JOIN annotate_prompt p ON p.id = a.prompt_id GROUP BY a.prompt_id, p.content_hash HAVING count(*) > 1"
                " ORDER BY a.prompt_id"
            )
            while rows := cursor.fetchmany(CHUNK):
                yield from rows

    def _compared(self, key: str, ids: list[int], labels: list[bool | None]) -> tuple[list[int], Planned] | None:
        plan = Planned(0, [], key, [], [], "", "", {})
        if labels[0] is None:
            rows = Response.objects.filter(pk__in=ids).values_list("pk", "content_hash")
            first: dict[str, int] = {}
            for pk, digest in sorted(rows):
                first.setdefault(digest, pk)
            chosen = list(first.values())[: self.project.k]
            return (chosen, plan) if len(chosen) >= 2 else None
        if not self.dimension or len(set(labels)) < 2:
            return None
        given = sorted(zip(ids, labels, strict=True), key=lambda each: not each[1])
        good = [pk for pk, label in given if label][: MAX_RESPONSES // 2]
        bad = [pk for pk, label in given if not label][: MAX_RESPONSES // 2]
        chosen = good + bad
        plan.judged = [Judged(self.dimension, "", (1,) * len(good) + (2,) * len(bad))]
        return chosen, plan


def hold(project: Project, *, wait: bool = True) -> bool:
    """Keep other imports out of a project until the transaction ends; whether it is held. wait=False gives up."""
    with connection.cursor() as cursor:
        if wait:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [LOCK, project.pk])
            return True
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [LOCK, project.pk])
        return bool(cursor.fetchone()[0])


def _key(purpose: str, responses: Sequence[int]) -> str:
    """What makes a comparison the same: its responses, in whatever order; they know their prompt."""
    return hashlib.sha256(f"{purpose} {sorted(responses)}".encode()).hexdigest()


def _purpose(plan: Planned) -> str:
    return "import" if plan.judged else "queue"


def _given(names: Sequence[str], values: Sequence[float | None] | None) -> dict[str, float]:
    if not values:
        return {}
    return {name: value for name, value in zip(names, values, strict=True) if value is not None}


def _disagreement(entry: Entry) -> float | None:
    current = entry.judgements.current
    if entry.is_open or len(current) < 2:
        return None
    return disagreement([(sheet.rankings, []) for sheet in current])


def _chunks(rows: Iterator[Any]) -> Iterator[list[Any]]:
    while chunk := list(islice(rows, CHUNK)):
        yield chunk
