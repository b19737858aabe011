"""What can be done with files on their way in."""

from __future__ import annotations

import hashlib
import io
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePosixPath
from typing import IO, Any, cast
from uuid import uuid4

import structlog
from django.core.exceptions import ValidationError
from django.core.files.base import File
from django.core.files.storage import storages
from django.db import IntegrityError, OperationalError, connection, transaction
from django.utils import timezone

from accounts.audit import audit_record
from accounts.models import User
from annotate.formats.jsonl import Findings, Refused
from annotate.formats.limits import MAX_COMPANION, size
from annotate.formats.reading import FORMATS_IN
from annotate.importing.complaints import Complaints, problems
from annotate.importing.models import Import, ImportRun
from annotate.importing.plan import Dimensions
from annotate.importing.preview import columns_checked, settings_proposed
from annotate.importing.reading import Counted, Seen, ahead, batches, dataset_info, format_of, plans
from annotate.importing.settings import ImportSettings
from annotate.importing.store import Store, hold
from annotate.projects.models import Project
from runs.models import Run
from runs.schema import config_validated
from runs.services import run_enqueue

log = structlog.get_logger(__name__)

KIND = "import"
LARGEST = 2**30  # bytes of an upload; larger files go through manage.py import_dataset, which streams from disk
KEPT_FOR = timedelta(days=2)  # that a file waits for its confirmation
SHOWN = 20  # complaints that fit into one message
FOLDER = "imports"
BUSY = "Somebody else added the same prompt or response at the same moment. Import the file again."


class NotImported(ValidationError):
    """A file was refused, and nothing of it was stored. report: what was found in it."""

    def __init__(self, message: Any, report: dict[str, Any]) -> None:
        super().__init__(message)
        self.report = report


# a file, into a project -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Source:
    """A file that can be read and sought, with the file of texts that it refers to, if it does."""

    stream: IO[bytes]
    name: str = ""
    companion: IO[bytes] | None = None


def file_import(
    *,
    project: Project,
    source: Source,
    settings: ImportSettings,
    user: User | None = None,
    findings: Findings | None = None,
    watch: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Import a file: in one transaction, all of it, or with `good_rows` what is right of it. Returns a report.

    What is there already is left as it is, so importing twice adds nothing. watch: called with the bytes read so far,
    after each batch; what it raises stops the import. Raises NotImported where there is nothing to store or a row is
    wrong; nothing is stored then.
    """
    findings = Findings() if findings is None else findings
    began = time.monotonic()
    try:
        format = format_of(source.stream, settings)
        _check_companion(format, source)
    except Refused as error:
        findings.error(1, str(error))
        raise _refused(findings, {"records": 0}) from None
    keys = list(project.dimensions.values_list("key", flat=True))
    usual = settings.dimension or FORMATS_IN[format].dimension
    if settings.dimension and settings.dimension not in keys and settings.dimension not in settings.dimensions:
        raise ValidationError({"dimension": f"{_no_dimension(settings.dimension)} {_choose(keys)}"})
    dimensions, seen = Dimensions(keys, settings.dimensions), Seen()
    read = Counted(source.stream, lambda total: None)
    found = plans(
        read,  # type: ignore[arg-type]
        findings,
        settings,
        dimensions,
        seen,
        format=format,
        filename=source.name,
        companion=source.companion,
    )
    try:
        with transaction.atomic(), ahead(batches(found)) as ready:
            hold(project)
            with connection.cursor() as cursor:
                # Checked batch by batch: the rows are still in memory, and there is no long wait at the end.
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            store = Store(
                project,
                format,
                source=source.name[:120],
                dimension=dimensions.known(usual),
                queue=settings.queue,
                round=settings.round,
            )
            for batch in ready:
                if settings.good_rows or not findings.error_count:
                    store.add(batch)
                if watch:
                    watch(read.total)
            store.finish()
            report = _report(format, settings, seen, dimensions, store, findings)
            _check(findings, settings, seen, dimensions, report)
            report["seconds"] = round(time.monotonic() - began, 2)
            report["bytes"] = read.total
            _note(project, source, user, report)
            with connection.cursor() as cursor:
                cursor.execute("SET CONSTRAINTS ALL DEFERRED")
    except IntegrityError as error:
        log.warning("import.collided", project=project.pk, error=str(error))
        raise NotImported({"file": BUSY}, {"records": 0}) from error
    log.info("file.imported", project=project.pk, file=source.name, format=format, **report["new"])
    return report


@dataclass(frozen=True, slots=True)
class PromptsImported:
    """created: new prompts. existing: prompts the project had already. repeated: lines that repeat an earlier line."""

    created: int
    existing: int
    repeated: int


def prompts_import(
    *, project: Project, data: bytes | IO[bytes], filename: str = "", user: User | None = None
) -> PromptsImported:
    """Import prompts from a file of any container, all of it or nothing. Raises ValidationError by line."""
    stream = io.BytesIO(data) if isinstance(data, bytes) else data
    settings = ImportSettings(format="prompts")
    report = file_import(project=project, source=Source(stream, filename), settings=settings, user=user)
    created, existing = report["new"]["prompts"], report["known"]["prompts"]
    return PromptsImported(created, existing, report["records"] - created - existing)


def _no_dimension(name: str) -> str:
    return f"This project has no dimension “{name[:40]}”."


def _choose(keys: list[str]) -> str:
    return f"Choose one of: {', '.join(keys)}." if keys else "Add one to the project first."


def _check_companion(format: str, source: Source) -> None:
    if source.companion is not None and FORMATS_IN[format].companion is None and not dataset_info(source.companion):
        raise Refused(f"The format {FORMATS_IN[format].label} has no second file. Import the two one after the other.")


def _check(
    findings: Findings, settings: ImportSettings, seen: Seen, dimensions: Dimensions, report: dict[str, Any]
) -> None:
    if complaint := dimensions.complaint():
        raise NotImported({"dimension": complaint}, {**report, "dimension_complaint": complaint})
    if not seen.records and not findings.error_count:
        findings.error(1, "Nothing usable was found in it." if findings.skipped_count else "The file is empty.")
    if findings.error_count and not (settings.good_rows and seen.records):
        raise _refused(findings, report)


def _refused(findings: Findings, report: dict[str, Any]) -> NotImported:
    messages = [str(problem) for problem in findings.errors[:SHOWN]]
    if findings.error_count > SHOWN:
        messages.append(f"And {findings.error_count - SHOWN:,} more. Nothing was imported.")
    return NotImported({"file": messages}, {**report, **problems(findings)})


def _report(
    format: str, settings: ImportSettings, seen: Seen, dimensions: Dimensions, store: Store, findings: Findings
) -> dict[str, Any]:
    counts = store.counts
    names = ("prompts", "responses", "comparisons", "judgements", "queued")
    return {
        "format": format,
        **seen.summary(),
        "new": {name: counts[name] for name in names},
        "known": {name: counts[f"known_{name}"] for name in names if name != "queued"},
        "dimensions": {name: dimensions.known(name) for name in dimensions.met},
        "left_out": dimensions.left_out,
        **problems(findings),
    }


def _note(project: Project, source: Source, user: User | None, report: dict[str, Any]) -> None:
    audit_record(
        actor=user,
        action="file.imported",
        subject=source.name or f"a file for {project}",
        scope=f"project:{project.pk}",
        format=report["format"],
        records=report["records"],
        new=report["new"],
        errors=report["error_count"],
        passed_over=report["skipped_count"],
    )


# uploads --------------------------------------------------------------------------------------------------------------


def import_upload(
    *,
    project: Project,
    file: File,
    filename: str,
    user: User | None,
    companion: File | None = None,
    companion_filename: str = "",
    settings: Mapping[str, Any] | None = None,
) -> Import:
    """Keep a file for a look at it. Nothing is imported yet. Raises ValidationError with a sentence."""
    checked = config_validated(ImportSettings, settings or {})
    _check_size(file, "file", LARGEST)
    if companion is not None:
        _check_size(companion, "companion", MAX_COMPANION)
    import_sweep()
    upload = Import(
        project=project,
        filename=clean_name(filename),
        size=file.size or 0,
        companion_filename=clean_name(companion_filename) if companion is not None else "",
        created_by=user,
    )
    storage = storages["uploads"]
    try:
        upload.sha256 = _sha256(file)
        upload.upload = storage.save(f"{FOLDER}/{uuid4().hex}", file)
        if companion is not None:
            upload.companion = storage.save(f"{FOLDER}/{uuid4().hex}", companion)
        proposed = settings_proposed(upload, checked)
        upload.settings, upload.format = proposed.model_dump(mode="json"), proposed.format
        upload.save()
    except BaseException:
        for name in filter(None, (upload.upload, upload.companion)):
            storage.delete(name)
        raise
    return upload


def _check_size(file: File, field: str, most: int) -> None:
    if not file.size:
        raise ValidationError({field: "The file is empty."})
    if file.size > most:
        way = "" if field == "companion" else " Import it with manage.py import_dataset, which reads it where it lies."
        raise ValidationError({field: f"The file is larger than {size(most)}.{way}"})


def _sha256(file: File) -> str:
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    file.seek(0)
    return digest.hexdigest()


def clean_name(filename: str) -> str:
    """A file's own name: no folders, nothing that cannot be shown. It is never a path here, only words."""
    last = PurePosixPath(filename.replace("\\", "/")).name
    return "".join(char for char in last if char.isprintable())[:200] or "file"


def import_configure(*, upload: Import, settings: Mapping[str, Any]) -> Import:
    """Choose how a file is read. Raises ValidationError with field errors; nothing changes then."""
    checked = config_validated(ImportSettings, settings)
    with transaction.atomic():
        upload = _waiting(upload)
        columns_checked(upload, checked)
        upload.settings, upload.format = checked.model_dump(mode="json"), checked.format or upload.format
        upload.save(update_fields=["settings", "format"])
    return upload


def _locked(upload: Import) -> Import:
    """The import's row. Whoever imports it keeps the row until the end, and nobody waits for that."""
    try:
        with transaction.atomic():
            return Import.objects.select_for_update(no_key=True, nowait=True).get(pk=upload.pk)
    except OperationalError:
        raise ValidationError("This file is being imported.", code="started") from None


def _waiting(upload: Import) -> Import:
    """The import, locked, if it can still be changed or started. Raises ValidationError."""
    upload = _locked(upload)
    if upload.state == Import.State.DONE:
        raise ValidationError("This file was imported already.", code="done")
    if upload.state == Import.State.STARTED and upload.runs.filter(state__in=Run.State.values).exclude(
        state__in=(Run.State.FAILED, Run.State.CANCELLED)
    ):
        raise ValidationError("This file is being imported.", code="started")
    if not upload.upload:
        raise ValidationError("The file is no longer here. Upload it again.", code="gone")
    return upload


def import_start(*, upload: Import, user: User | None, at_once: bool = False) -> Import:
    """Import an uploaded file: here and now, or by a run. Starting twice imports once. Raises ValidationError.

    at_once: for files so small that a page can wait.
    """
    try:
        with transaction.atomic():
            upload = _waiting(upload)
            upload.state = Import.State.STARTED
            upload.save(update_fields=["state"])
            if not at_once:
                title = f"Import of {upload.filename}"[:200]
                run = ImportRun(
                    kind=KIND, title=title, created_by=user, project=upload.project, source=upload,
                    config=upload.settings,
                )  # fmt: skip
                run_enqueue(run=run)
    except ValidationError as error:
        if getattr(error, "code", "") in ("done", "started"):
            return Import.objects.get(pk=upload.pk)
        raise
    return import_perform(upload=upload, user=user) if at_once else upload


def import_perform(*, upload: Import, user: User | None, watch: Callable[[int], None] | None = None) -> Import:
    """Read an uploaded file into its project. A second call finds it done.

    The rows, the report and the state are of one transaction. Raises NotImported when the file is refused: that, too,
    is kept, with all complaints.
    """
    storage = storages["uploads"]
    upload = Import.objects.select_related("project").get(pk=upload.pk)
    if upload.state == Import.State.DONE:
        return upload
    settings = ImportSettings.model_validate(upload.settings)
    sink = cast(IO[bytes], tempfile.TemporaryFile())  # noqa: SIM115 - closed below
    findings = Complaints(sink=sink)
    files = [storage.open(name, "rb") for name in (upload.upload, upload.companion) if name]
    try:
        source = Source(files[0], upload.filename, files[1] if len(files) > 1 else None)
        with transaction.atomic():
            if _locked(upload).state == Import.State.DONE:
                return upload
            report = file_import(
                project=upload.project, source=source, settings=settings, user=user, findings=findings, watch=watch
            )
            _settle(upload, Import.State.DONE, report, sink, findings)
    except ValidationError as error:
        report = getattr(error, "report", {})
        said = [message for messages in error.message_dict.values() for message in messages]
        _settle(upload, Import.State.REFUSED, {**report, "complaint": said}, sink, findings)
        raise
    except BaseException:
        Import.objects.filter(pk=upload.pk, state=Import.State.STARTED).update(state=Import.State.PREVIEW)
        raise
    finally:
        for file in (*files, sink):
            file.close()
    for name in (upload.upload, upload.companion):
        if name:
            storage.delete(name)
    Import.objects.filter(pk=upload.pk).update(upload="", companion="")
    upload.upload = upload.companion = ""
    return upload


def _settle(upload: Import, state: str, report: dict[str, Any], sink: IO[bytes], findings: Complaints) -> None:
    storage = storages["uploads"]
    if upload.complaints:
        storage.delete(upload.complaints)
        upload.complaints = ""
    if findings.written:
        sink.seek(0)
        upload.complaints = storage.save(f"{FOLDER}/{uuid4().hex}.csv", File(sink))
    upload.state, upload.report = state, report
    upload.format = report.get("format", upload.format)
    upload.imported_at = timezone.now() if state == Import.State.DONE else None
    upload.save(update_fields=["state", "report", "format", "complaints", "imported_at"])


def import_discard(*, upload: Import) -> bool:
    """Forget a file that was not imported; whether there was something to forget."""
    with transaction.atomic():
        try:
            upload = _waiting(upload)
        except ValidationError as error:
            if getattr(error, "code", "") != "gone":
                return False
        if upload.state == Import.State.DONE:
            return False
        if upload.runs.exists():
            Import.objects.filter(pk=upload.pk).update(upload="", companion="", state=Import.State.REFUSED)
        else:
            Import.objects.filter(pk=upload.pk).delete()
    _forget_files(upload)
    return True


def _forget_files(upload: Import) -> None:
    for name in (upload.upload, upload.companion, *([upload.complaints] if not upload.runs.exists() else [])):
        if name:
            storages["uploads"].delete(name)


def import_sweep() -> int:
    """Forget files that nobody confirmed, and what a broken upload left behind. Returns how many files."""
    storage, before = storages["uploads"], timezone.now() - KEPT_FOR
    swept = 0
    waiting = (Import.State.PREVIEW, Import.State.REFUSED)
    for upload in Import.objects.filter(state__in=waiting, created_at__lt=before).exclude(upload=""):
        swept += import_discard(upload=upload)
    try:
        _, names = storage.listdir(FOLDER)
    except FileNotFoundError:
        return swept
    kept: set[str] = set()
    for names_of in Import.objects.values_list("upload", "companion", "complaints"):
        kept.update(filter(None, names_of))
    for name in names:
        path = f"{FOLDER}/{name}"
        if path not in kept and storage.get_modified_time(path) < before:
            storage.delete(path)
            swept += 1
    return swept
