"""Directories that runs produced: stored so that each is complete or absent, and read only when complete.

`manifest.json` is written last; a directory without it is debris. It lists every file with its sha256. The address of
an artifact, its `sha256`, is taken over the sorted file hashes, so equal content has an equal address wherever and
whenever it was made.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import IO, Any

import structlog
from django.conf import settings
from django.core.files import File
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, Storage, storages

from runs.child import fsync_tree, write_json
from runs.faults import MachineFault
from runs.models import Artifact, Run

log = structlog.get_logger(__name__)

FORMAT = "plumbline-artifact/1"
MANIFEST = "manifest.json"
LIBRARIES = (
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "peft",
    "accelerate",
    "numpy",
)
# Formats that are loaded by unpickling can run code; weights here are safetensors only.
REFUSED = frozenset({".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth"})


def artifact_publish(*, run: Run, source: Path, kind: str, lineage: dict[str, Any] | None = None) -> Artifact:
    """Store the directory `source` and record it as an artifact of `run`.

    `source` is left as it is. Raises ValueError for a directory that must not be published and OSError when it
    cannot be stored; nothing is recorded then.
    """
    made = Artifact.objects.filter(run_id=run.pk, kind=kind).first()
    return made or artifact_record(
        run=run,
        kind=kind,
        **artifact_store(run=run, source=source, kind=kind, lineage=lineage),
    )


def artifact_record(*, run: Run, kind: str, name: str, manifest: dict[str, Any]) -> Artifact:
    """Make the database row of what `artifact_store` has stored."""
    parent = Run(pk=run.pk) if type(run) is not Run else run
    return Artifact.objects.create(
        run=parent,
        kind=kind,
        name=name,
        sha256=manifest["sha256"],
        size=manifest["size"],
        manifest=manifest,
    )


def artifact_store(*, run: Run, source: Path, kind: str, lineage: dict[str, Any] | None = None) -> dict[str, Any]:
    """Store the files of `source`, manifest last; returns {"name", "manifest"}. May take long: no database is used."""
    files = [describe(source, path) for path in _files(source)]
    if not files:
        raise ValueError(f"The run left nothing in {source.name}/ to publish.")
    theirs = json.loads((source / MANIFEST).read_text("utf-8")) if (source / MANIFEST).is_file() else {}
    manifest = {
        **theirs,
        "format": theirs.get("format", FORMAT),
        "kind": kind,
        "files": files,
        "sha256": address(files),
        "size": sum(file["size"] for file in files),
        "run": run.pk,
        "seed": run.seed,
        "config": run.config,
        "lineage": {**theirs.get("lineage", {}), **(lineage or {})},
        "versions": _versions(),
    }
    name = f"{kind}/{run.pk}-{manifest['sha256'][:16]}"
    storage = storages["artifacts"]
    if _stored_manifest(storage, name) is None:
        if isinstance(storage, FileSystemStorage):
            _store_local(Path(storage.path(name)), source, files, manifest)
        else:
            _store_remote(storage, name, source, files, manifest)
    log.info("artifact.stored", run_id=run.pk, name=name, size=manifest["size"])
    return {"name": name, "manifest": manifest}


def artifact_discard(*, name: str) -> None:
    """Remove stored files that no row speaks of, manifest first."""
    if Artifact.objects.filter(name=name).exists():
        raise ValueError(f"{name} is in use.")
    storage = storages["artifacts"]
    manifest = _stored_manifest(storage, name) or {"files": []}
    storage.delete(f"{name}/{MANIFEST}")
    if isinstance(storage, FileSystemStorage):
        shutil.rmtree(storage.path(name), ignore_errors=True)
    else:
        for file in manifest["files"]:
            storage.delete(f"{name}/{file['path']}")


def artifacts_sweep(*, run: Run) -> None:
    """Remove what was stored for `run` but never recorded, because the transaction around it was rolled back."""
    storage = storages["artifacts"]
    kept = set(Artifact.objects.filter(run_id=run.pk).values_list("name", flat=True))
    try:
        stored = [f"{kind}/{name}" for kind in storage.listdir("")[0] for name in storage.listdir(kind)[0]]
    except FileNotFoundError:
        return
    for name in stored:
        if name.split("/")[1].startswith(f"{run.pk}-") and name not in kept:
            artifact_discard(name=name)


def artifact_path(artifact: Artifact) -> Path:
    """A local directory with the complete artifact; fetched from remote storage once and kept.

    Raises MachineFault if it is not complete.
    """
    storage = storages["artifacts"]
    if isinstance(storage, FileSystemStorage):
        path = Path(storage.path(artifact.name))
    else:
        path = settings.VAR / "cache" / "artifacts" / artifact.name
        if not (path / MANIFEST).is_file():
            _fetch(storage, artifact, path)
    complaint = incomplete(path, artifact.sha256)
    if complaint:
        raise MachineFault(
            f"The artifact {artifact.name} is not complete: {complaint}. Restore it or repeat run {artifact.run_id}."
        )
    return path


def artifact_open(artifact: Artifact, path: str) -> IO[bytes]:
    """One file of an artifact for reading. FileNotFoundError for a name that is not in its manifest."""
    if path != MANIFEST and path not in {file["path"] for file in artifact.manifest["files"]}:
        raise FileNotFoundError(path)
    return storages["artifacts"].open(f"{artifact.name}/{path}", "rb")


def incomplete(path: Path, sha256: str, *, hashes: bool = False) -> str | None:
    """Why the directory is not the complete artifact of that address, or None. `hashes=True` reads every byte."""
    try:
        manifest = json.loads((path / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError):
        return "it has no readable manifest"
    if manifest.get("sha256") != sha256 or address(manifest["files"]) != sha256:
        return "its manifest is of another content"
    for file in manifest["files"]:
        if not (path / file["path"]).is_file() or (path / file["path"]).stat().st_size != file["size"]:
            return f"{file['path']} is missing or has another size"
        if hashes and describe(path, path / file["path"])["sha256"] != file["sha256"]:
            return f"{file['path']} has another content"
    return None


def describe(root: Path, path: Path) -> dict[str, Any]:
    """A file's entry in the manifest."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "path": path.relative_to(root).as_posix(),
        "sha256": digest,
        "size": path.stat().st_size,
    }


def address(files: Iterable[dict[str, Any]]) -> str:
    """The content address of a set of described files: sha256 over the lines `<sha256>  <path>`, sorted by path."""
    lines = [f"{file['sha256']}  {file['path']}\n" for file in sorted(files, key=lambda file: file["path"])]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _files(source: Path) -> list[Path]:
    found = sorted(path for path in source.rglob("*") if not path.is_dir() or path.is_symlink())
    for path in found:
        if path.is_symlink() or not path.is_file():
            raise ValueError(f"{path.name} is not a plain file, so it cannot be part of an artifact.")
        if path.suffix in REFUSED:
            raise ValueError(f"{path.name} would be loaded by unpickling. Write safetensors or JSON.")
    return [path for path in found if path != source / MANIFEST]


def _store_local(final: Path, source: Path, files: list[dict[str, Any]], manifest: dict[str, Any]) -> None:
    partial = final.parent / f".partial-{uuid.uuid4().hex}"
    try:
        for file in files:
            target = partial / file["path"]
            target.parent.mkdir(parents=True, exist_ok=True)
            _link_or_copy(source / file["path"], target)
        write_json(partial / MANIFEST, manifest)
        fsync_tree(partial)
        shutil.rmtree(final, ignore_errors=True)  # debris: it has no manifest
        partial.rename(final)
        _fsync_folder(final.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)  # a checkpoint of gigabytes costs nothing on the same disk
    except OSError:
        shutil.copyfile(source, target)


def _fsync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _store_remote(
    storage: Storage,
    name: str,
    source: Path,
    files: list[dict[str, Any]],
    manifest: dict[str, Any],
) -> None:
    for file in files:
        target = f"{name}/{file['path']}"
        storage.delete(target)  # or the storage would choose another name
        with (source / file["path"]).open("rb") as stream:
            _save(storage, target, File(stream))
    _save(
        storage,
        f"{name}/{MANIFEST}",
        ContentFile(json.dumps(manifest, indent=1, sort_keys=True).encode()),
    )


def _save(storage: Storage, target: str, content: File) -> None:
    if storage.save(target, content) != target:
        raise OSError(f"The storage did not keep the name {target}.")


def _fetch(storage: Storage, artifact: Artifact, path: Path) -> None:
    partial = path.parent / f".partial-{uuid.uuid4().hex}"
    try:
        for file in artifact.manifest["files"]:
            target = partial / file["path"]
            target.parent.mkdir(parents=True, exist_ok=True)
            with (
                storage.open(f"{artifact.name}/{file['path']}", "rb") as remote,
                target.open("wb") as local,
            ):
                shutil.copyfileobj(remote, local, 2**20)
        manifest = _stored_manifest(storage, artifact.name)
        if manifest is None:
            raise MachineFault(f"The artifact {artifact.name} has no manifest in the storage.")
        write_json(partial / MANIFEST, manifest)
        complaint = incomplete(partial, artifact.sha256, hashes=True)
        if complaint:
            raise MachineFault(f"The artifact {artifact.name} did not arrive whole: {complaint}.")
        fsync_tree(partial)
        try:
            partial.rename(path)
        except OSError:  # another process fetched it at the same time
            if incomplete(path, artifact.sha256):
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _stored_manifest(storage: Storage, name: str) -> dict[str, Any] | None:
    try:
        with storage.open(f"{name}/{MANIFEST}", "rb") as file:
            return json.loads(file.read())
    except (FileNotFoundError, ValueError):
        return None


def _versions() -> dict[str, str]:
    """Versions from package metadata: importing torch here would cost every worker its memory."""
    versions = {}
    for library in LIBRARIES:
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return versions
