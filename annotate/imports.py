"""Files on their way in: previewed first, then applied as a whole or not at all.

Prompts become prompts. Published rankings (HH, Open-Assistant) become prompts, responses, comparisons and judgements,
each made once however often the file is imported.
"""

from __future__ import annotations

import gzip
import hashlib
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from itertools import islice
from typing import IO, Any

import structlog
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from accounts.audit import audit_record
from accounts.models import User
from annotate.batches import batched
from annotate.formats.jsonl import Findings
from annotate.formats.prompts import PromptRecord, read_prompts
from annotate.formats.rankings import FORMATS, RankingRecord
from annotate.generation.models import Generator, Response
from annotate.generation.outcome import text_hash
from annotate.pairs import content_hash
from annotate.projects.models import Project, Prompt, PromptImport
from annotate.projects.services import BATCH, prompts_import, prompts_store, refuse
from annotate.ranking.models import Comparison, ComparisonResponse, Judgement

log = structlog.get_logger(__name__)

LARGEST = 64 * 2**20  # bytes of an upload; larger files go through the commands, which stream
SAMPLES = 5
IMPORTED_ROUND = 0  # imported rankings were made before the first turn of the loop


# preview and confirmation -------------------------------------------------------------------------------------------


def import_preview(
    *, project: Project, data: bytes, filename: str, user: User, format: str = "prompts", dimension: str = ""
) -> PromptImport:
    """Read a file, keep it, and say what would come of it. Nothing is imported yet."""
    if len(data) > LARGEST:
        raise ValidationError(
            {"file": f"The file is larger than {LARGEST // 2**20} MiB. Import it with manage.py import_prompts."}
        )
    if format not in PromptImport.Format.values:
        raise ValidationError({"format": f"“{format}” is not a known format."})
    if format != PromptImport.Format.PROMPTS:
        dimension = chosen_dimension(project, format, dimension)
    report = _look(project, data, format) | {"dimension": dimension}
    day_ago = timezone.now() - timedelta(days=1)
    PromptImport.objects.filter(state=PromptImport.State.PREVIEW, created_at__lt=day_ago).delete()
    return PromptImport.objects.create(
        project=project,
        format=format,
        filename=filename[:200],
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        content=None if report["error_count"] else gzip.compress(data, 1),
        report=report,
        created_by=user,
    )


def import_apply(*, preview: PromptImport, user: User) -> PromptImport:
    """Import a previewed file. Confirming twice imports once."""
    with transaction.atomic():
        preview = PromptImport.objects.select_for_update().get(pk=preview.pk)
        if preview.state == PromptImport.State.DONE:
            return preview
        if preview.content is None:
            raise ValidationError({"file": "This file has errors. Correct them and upload it again."})
        data = gzip.decompress(bytes(preview.content))
        report: dict[str, Any]
        if preview.format == PromptImport.Format.PROMPTS:
            report = asdict(prompts_import(project=preview.project, data=data, filename=preview.filename, user=user))
        else:
            dimension = preview.report["dimension"]
            report = asdict(
                rankings_import(
                    project=preview.project,
                    data=data,
                    format=preview.format,
                    dimension=dimension,
                    filename=preview.filename,
                    user=user,
                )
            )
        preview.report = preview.report | {"imported": report}
        preview.state, preview.content = PromptImport.State.DONE, None
        preview.save(update_fields=["report", "state", "content"])
    return preview


def _look(project: Project, data: bytes, format: str) -> dict[str, Any]:
    """What a file holds, as JSON for the preview."""
    findings = Findings()
    stream = io.BytesIO(data)
    records: Any = read_prompts(stream, findings) if format == "prompts" else FORMATS[format].read(stream, findings)
    samples: list[dict[str, Any]] = []
    tags: Counter[str] = Counter()
    languages: Counter[str] = Counter()
    turns: Counter[int] = Counter()
    sizes: Counter[int] = Counter()
    known = total = 0
    for batch in batched(records, BATCH):
        hashes = {content_hash(record.messages) for record in batch}
        known += Prompt.objects.filter(project=project, content_hash__in=hashes).count()
        for record in batch:
            total += 1
            languages[record.language] += 1
            turns[len(record.messages)] += 1
            if isinstance(record, PromptRecord):
                tags.update(record.tags)
            else:
                sizes[len(record.responses)] += 1
            if len(samples) < SAMPLES:
                samples.append(_sample(record))
    if not total and not findings.error_count:
        findings.error(1, "Nothing usable was found in it." if findings.skipped_count else "The file is empty.")
    return {
        "records": total,
        "known": known,
        "samples": samples,
        "tags": tags.most_common(20),
        "languages": [(language, n) for language, n in languages.most_common(10) if language],
        "turns": sorted(turns.items()),
        "sizes": sorted(sizes.items()),
        "errors": [asdict(problem) for problem in findings.errors],
        "error_count": findings.error_count,
        "skipped": [asdict(problem) for problem in findings.skipped],
        "skipped_count": findings.skipped_count,
    }


def _sample(record: PromptRecord | RankingRecord) -> dict[str, Any]:
    sample: dict[str, Any] = {
        "line": record.line,
        "messages": [{**turn, "content": turn["content"][:600]} for turn in record.messages[-4:]],
        "earlier": max(len(record.messages) - 4, 0),
    }
    if isinstance(record, RankingRecord):
        sample["responses"] = [{"rank": r.rank, "text": r.text[:400]} for r in record.responses]
    else:
        sample["tags"] = record.tags
    return sample


# rankings -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RankingsImported:
    """New rows by kind. existing: comparisons the project had already. skipped: lines without a usable comparison."""

    comparisons: int
    existing: int
    prompts: int
    responses: int
    judgements: int
    skipped: int


def chosen_dimension(project: Project, format: str, key: str = "") -> str:
    """The dimension that an import ranks by: the one named, or the format's usual one. ValidationError if not there."""
    keys = list(project.dimensions.values_list("key", flat=True))
    wanted = key or FORMATS[format].dimension
    if wanted not in keys:
        raise ValidationError(
            {"dimension": f"This project has no dimension “{wanted}”. Choose one of: {', '.join(keys)}."}
        )
    return wanted


def rankings_import(
    *,
    project: Project,
    data: bytes | IO[bytes],
    format: str,
    dimension: str = "",
    limit: int | None = None,
    filename: str = "",
    user: User | None = None,
) -> RankingsImported:
    """Import published rankings, all of the file (or its first `limit` comparisons) or nothing.

    Their judge is a user of kind `import`, named after the format; `user` is who imports them. Raises ValidationError
    by line.
    """
    dimension = chosen_dimension(project, format, dimension)
    findings = Findings()
    stream = io.BytesIO(data) if isinstance(data, bytes) else data
    with transaction.atomic():
        writer = _RankingsWriter(project, format, dimension, _judge(format), filename)
        records = FORMATS[format].read(stream, findings)
        for batch in batched(islice(records, limit), BATCH):
            writer.write(batch)
        if not findings.error_count and not writer.seen:
            findings.error(1, "No usable comparison was found in it.")
        refuse(findings)
        report = RankingsImported(
            comparisons=writer.counts["comparisons"],
            existing=writer.seen - writer.counts["comparisons"],
            prompts=writer.counts["prompts"],
            responses=writer.counts["responses"],
            judgements=writer.counts["comparisons"],
            skipped=findings.skipped_count,
        )
        audit_record(
            actor=user,
            action="rankings.imported",
            subject=filename or f"{FORMATS[format].label} for {project}",
            scope=f"project:{project.pk}",
            format=format,
            **asdict(report),
        )
    log.info("rankings.imported", project=project.pk, format=format, filename=filename, **asdict(report))
    return report


def _judge(format: str) -> User:
    judge, _ = User.objects.get_or_create(
        username=f"import-{format}", defaults={"kind": User.Kind.IMPORT, "is_active": False, "password": "!"}
    )
    if judge.kind != User.Kind.IMPORT:
        raise ValidationError(f"The name “{judge.username}” belongs to a person. Rename that account first.")
    return judge


class _RankingsWriter:
    """Writes batches of ranking records with a handful of statements each."""

    def __init__(self, project: Project, format: str, dimension: str, judge: User, filename: str) -> None:
        self.project, self.format, self.dimension, self.judge = project, format, dimension, judge
        self.source = (filename or format)[:120]
        self.generators: dict[str, Generator] = {}
        self.counts: Counter[str] = Counter()
        self.seen = 0

    def write(self, records: Sequence[RankingRecord]) -> None:
        self.seen += len(records)
        keyed = {self._key(record): record for record in records}
        known = Comparison.objects.filter(project=self.project, dedup_key__in=keyed.keys())
        for key in known.values_list("dedup_key", flat=True):
            del keyed[key]
        if not keyed:
            return
        prompts = self._prompts(list(keyed.values()))
        responses = self._responses(list(keyed.values()), prompts)
        comparisons = Comparison.objects.bulk_create(
            Comparison(
                project=self.project,
                prompt_id=prompts[content_hash(record.messages)],
                round=IMPORTED_ROUND,
                overlap=1,
                is_closed=True,
                dedup_key=key,
            )
            for key, record in keyed.items()
        )
        members, judgements = [], []
        for comparison, record in zip(comparisons, keyed.values(), strict=True):
            ids = [responses[comparison.prompt_id, self._generator(r).pk, text_hash(r.text)] for r in record.responses]
            members += [
                ComparisonResponse(comparison=comparison, response_id=pk, position=position)
                for position, pk in enumerate(ids)
            ]
            ranks = {str(pk): r.rank for pk, r in zip(ids, record.responses, strict=True) if r.rank is not None}
            judgements.append(
                Judgement(
                    comparison=comparison,
                    annotator=self.judge,
                    rankings={self.dimension: ranks},
                    display_order=ids,
                    source=Judgement.Source.IMPORT,
                )
            )
        ComparisonResponse.objects.bulk_create(members)
        Judgement.objects.bulk_create(judgements)
        self.counts["comparisons"] += len(comparisons)

    def _key(self, record: RankingRecord) -> str:
        ranked = sorted(f"{text_hash(r.text)}:{r.rank}" for r in record.responses)
        parts = ["import", self.format, self.dimension, content_hash(record.messages), *ranked]
        return hashlib.sha256("|".join(parts).encode()).hexdigest()

    def _prompts(self, records: Sequence[RankingRecord]) -> dict[str, int]:
        """Prompt ids by content hash, after inserting the missing ones."""
        unique = {content_hash(record.messages): record for record in records}
        rows = [
            PromptRecord(record.line, record.messages, key, language=record.language, metadata=record.metadata)
            for key, record in unique.items()
        ]
        self.counts["prompts"] += prompts_store(project=self.project, records=rows, source=self.source)
        found = Prompt.objects.filter(project=self.project, content_hash__in=unique.keys())
        return dict(found.values_list("content_hash", "pk"))

    def _responses(self, records: Sequence[RankingRecord], prompts: dict[str, int]) -> dict[tuple[int, int, str], int]:
        """Response ids by (prompt, generator, text hash), after inserting the missing ones."""
        rows = {}
        for record in records:
            prompt = prompts[content_hash(record.messages)]
            for index, ranked in enumerate(record.responses):
                generator = self._generator(ranked)
                digest = text_hash(ranked.text)
                rows[prompt, generator.pk, digest] = Response(
                    prompt_id=prompt,
                    generator=generator,
                    text=ranked.text,
                    content_hash=digest,
                    sample_index=index,
                )
        before = self._imported(prompts.values())
        Response.objects.bulk_create([row for key, row in rows.items() if key not in before], ignore_conflicts=True)
        after = self._imported(prompts.values())
        self.counts["responses"] += len(after) - len(before)
        return after

    def _imported(self, prompts: Any) -> dict[tuple[int, int, str], int]:
        generators = [generator.pk for generator in self.generators.values()]
        rows = Response.objects.filter(prompt_id__in=list(prompts), generator_id__in=generators, run=None)
        return {(p, g, h): pk for pk, p, g, h in rows.values_list("pk", "prompt_id", "generator_id", "content_hash")}

    def _generator(self, ranked: Any) -> Generator:
        """Whoever wrote the response: the format's humans, or the model that the file names."""
        name = f"{FORMATS[self.format].label}: {ranked.generator}" if ranked.generator else FORMATS[self.format].label
        if name not in self.generators:
            self.generators[name], _ = Generator.objects.get_or_create(
                name=name[:120], defaults={"kind": Generator.Kind.IMPORT, "description": "Imported with its rankings."}
            )
        return self.generators[name]
