"""Complete or absent; the same content, the same address."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import pytest
from django.core.files.storage import InMemoryStorage, storages

from runs import artifacts
from runs.artifacts import artifact_open, artifact_path, artifact_publish, artifacts_sweep, incomplete
from runs.faults import MachineFault
from runs.models import Artifact

pytestmark = pytest.mark.django_db


@pytest.fixture
def made(tmp_path: Path) -> Path:
    folder = tmp_path / "output"
    (folder / "tokenizer").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights" * 100)
    (folder / "tokenizer" / "vocab.json").write_text("{}")
    return folder


class Bucket(InMemoryStorage):
    """A storage that is not a local folder, as S3 is not."""


@pytest.fixture
def remote(settings, tmp_path) -> None:
    settings.VAR = tmp_path / "var"
    settings.STORAGES = {**settings.STORAGES, "artifacts": {"BACKEND": "tests.runs.test_artifacts.Bucket"}}


def stored_files(settings) -> list[str]:
    return [path.name for path in settings.ARTIFACTS_DIR.rglob("*") if path.is_file()]


def test_the_manifest_says_what_it_is_and_where_it_came_from(make_run, made) -> None:
    run = make_run(steps=3)
    artifact = artifact_publish(run=run, source=made, kind="policy", lineage={"dataset": "abc"})
    manifest = json.loads((artifact_path(artifact) / "manifest.json").read_text())
    assert manifest == artifact.manifest
    assert [file["path"] for file in manifest["files"]] == ["model.safetensors", "tokenizer/vocab.json"]
    assert (manifest["size"], manifest["seed"], manifest["config"]) == (702, 7, {"steps": 3})
    assert manifest["lineage"] == {"dataset": "abc"} and manifest["versions"]["torch"] and manifest["run"] == run.pk
    assert artifact_open(artifact, "tokenizer/vocab.json").read() == b"{}"


def test_equal_content_has_an_equal_address_whoever_made_it(make_run, made) -> None:
    first = artifact_publish(run=make_run(), source=made, kind="policy")
    second = artifact_publish(run=make_run(), source=made, kind="policy")
    assert first.sha256 == second.sha256 and first.name != second.name
    (made / "tokenizer" / "vocab.json").rename(made / "tokenizer" / "words.json")
    assert artifact_publish(run=make_run(), source=made, kind="policy").sha256 != first.sha256


def test_the_fields_of_a_manifest_that_the_run_wrote_are_kept(make_run, made) -> None:
    (made / "manifest.json").write_text(
        json.dumps({"format": "dataset/1", "counts": {"pairs": 5}, "lineage": {"a": 1}})
    )
    artifact = artifact_publish(run=make_run(), source=made, kind="dataset", lineage={"b": 2})
    assert artifact.manifest["counts"] == {"pairs": 5} and artifact.manifest["format"] == "dataset/1"
    assert artifact.manifest["lineage"] == {"a": 1, "b": 2}
    assert "manifest.json" not in {file["path"] for file in artifact.manifest["files"]}


def test_what_is_published_is_no_longer_changed_by_the_run_directory(make_run, made) -> None:
    artifact = artifact_publish(run=make_run(), source=made, kind="policy")
    shutil.rmtree(made)
    assert incomplete(artifact_path(artifact), artifact.sha256, hashes=True) is None


def test_publishing_again_gives_the_same_artifact(make_run, made) -> None:
    run = make_run()
    assert artifact_publish(run=run, source=made, kind="a") == artifact_publish(run=run, source=made, kind="a")


@pytest.mark.parametrize("spoil", ["empty", "pickle", "link"])
def test_what_must_not_be_published_is_refused_and_leaves_nothing(make_run, made, settings, spoil) -> None:
    if spoil == "empty":
        shutil.rmtree(made)
    elif spoil == "pickle":
        (made / "training_args.bin").write_bytes(b"\x80")
    else:
        (made / "hosts").symlink_to("/etc/hosts")
    with pytest.raises(ValueError, match=r"nothing|unpickling|plain file"):
        artifact_publish(run=make_run(), source=made, kind="policy")
    assert not stored_files(settings) and not Artifact.objects.exists()


def test_a_disk_that_fills_up_leaves_nothing_that_looks_complete(make_run, made, settings, monkeypatch) -> None:
    copied = []

    def copy(source: Path, target: Path) -> None:
        if copied:
            raise OSError(errno.ENOSPC, "No space left on device")
        copied.append(shutil.copyfile(source, target))

    monkeypatch.setattr(artifacts, "_link_or_copy", copy)
    with pytest.raises(OSError, match="No space"):
        artifact_publish(run=make_run(), source=made, kind="policy")
    assert not stored_files(settings) and not Artifact.objects.exists()


@pytest.mark.parametrize("damage", ["no manifest", "lost file", "short file", "other manifest"])
def test_an_incomplete_artifact_is_never_used(make_run, made, damage) -> None:
    artifact = artifact_publish(run=make_run(), source=made, kind="policy")
    folder = artifact_path(artifact)
    if damage == "no manifest":
        (folder / "manifest.json").unlink()
    elif damage == "lost file":
        (folder / "model.safetensors").unlink()
    elif damage == "short file":
        (folder / "model.safetensors").write_bytes(b"w")
    else:
        (folder / "manifest.json").write_text(json.dumps({**artifact.manifest, "sha256": "0" * 64}))
    with pytest.raises(MachineFault, match="is not complete"):
        artifact_path(artifact)


def test_debris_without_a_manifest_is_replaced(make_run, made, settings) -> None:
    run = make_run()
    stored = artifacts.artifact_store(run=run, source=made, kind="policy")
    (settings.ARTIFACTS_DIR / stored["name"] / "manifest.json").unlink()
    (settings.ARTIFACTS_DIR / stored["name"] / "debris").write_text("x")
    artifact = artifact_publish(run=run, source=made, kind="policy")
    assert not (artifact_path(artifact) / "debris").exists()


def test_what_was_stored_but_never_recorded_is_swept_away(make_run, made, settings) -> None:
    run, other = make_run(), make_run()
    kept = artifact_publish(run=run, source=made, kind="policy")
    artifacts.artifact_store(run=run, source=made, kind="draft")
    artifacts.artifact_store(run=other, source=made, kind="draft")
    artifacts_sweep(run=run)
    left = sorted(
        path.parent.relative_to(settings.ARTIFACTS_DIR).as_posix()
        for path in settings.ARTIFACTS_DIR.rglob("manifest.json")
    )
    assert left == [f"draft/{other.pk}-{kept.sha256[:16]}", kept.name]


def test_artifacts_in_remote_storage_are_fetched_once_and_whole(make_run, made, remote) -> None:
    artifact = artifact_publish(run=make_run(), source=made, kind="policy")
    folder = artifact_path(artifact)
    assert (folder / "model.safetensors").read_bytes() == b"weights" * 100
    storages["artifacts"].delete(f"{artifact.name}/model.safetensors")
    assert artifact_path(artifact) == folder, "the second time it is here already"


def test_a_remote_artifact_that_does_not_arrive_whole_is_not_used(make_run, made, remote) -> None:
    artifact = artifact_publish(run=make_run(), source=made, kind="policy")
    with storages["artifacts"].open(f"{artifact.name}/model.safetensors", "wb") as file:
        file.write(b"WEIGHTS" * 100)
    with pytest.raises(MachineFault, match="did not arrive whole"):
        artifact_path(artifact)
    with pytest.raises(MachineFault):
        artifact_path(artifact)
