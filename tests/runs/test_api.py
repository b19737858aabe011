"""Runs and artifacts over REST."""

from __future__ import annotations

import hashlib
import io
import tarfile

import pytest
from django.core.files.storage import storages

from runs.artifacts import artifact_publish
from runs.models import RunEvent

pytestmark = pytest.mark.django_db
CONTENT = bytes(range(256)) * 4000


@pytest.fixture
def artifact(make_run, tmp_path):
    made = tmp_path / "made"
    (made / "tokenizer").mkdir(parents=True)
    (made / "model.safetensors").write_bytes(CONTENT)
    (made / "tokenizer" / "vocab.json").write_text("{}")
    return artifact_publish(run=make_run(), source=made, kind="policy", lineage={"dataset": "abc"})


def body(response) -> bytes:
    return b"".join(response.streaming_content)


def test_a_run_is_read_with_its_settings_result_and_artifacts(artifact, as_admin) -> None:
    run = as_admin.get(f"/api/v1/runs/{artifact.run_id}/").json()
    assert (run["state"], run["kind"], run["created_by"], run["seconds_left"]) == ("queued", "counting", "ada", None)
    assert run["artifacts"][0]["sha256"] == artifact.sha256
    listed = as_admin.get("/api/v1/runs/", {"kind": "counting", "state": "active"}).json()
    assert listed["count"] == 1 and "config" not in listed["results"][0]
    assert as_admin.get("/api/v1/runs/", {"state": "failed"}).json()["count"] == 0


def test_events_are_read_on_from_the_last_one_seen(make_run, as_admin) -> None:
    run = make_run()
    for step in range(5):
        RunEvent.objects.create(run=run, type="metrics", step=step, data={"loss": step})
    RunEvent.objects.create(run=run, type="log", data={"message": "hello"})
    first = as_admin.get(f"/api/v1/runs/{run.pk}/events/", {"limit": 2}).json()
    assert [event["step"] for event in first] == [0, 1]
    rest = as_admin.get(f"/api/v1/runs/{run.pk}/events/", {"since": first[-1]["id"], "type": "metrics"}).json()
    assert [event["step"] for event in rest] == [2, 3, 4]
    assert as_admin.get(f"/api/v1/runs/{run.pk}/events/", {"since": "x"}).status_code == 400


def test_cancel_and_retry_answer_with_the_run_or_with_the_reason(make_run, as_admin) -> None:
    run = make_run()
    assert as_admin.post(f"/api/v1/runs/{run.pk}/cancel/").json()["state"] == "cancelled"
    refused = as_admin.post(f"/api/v1/runs/{run.pk}/cancel/")
    assert refused.status_code == 400 and "already ended" in str(refused.json())
    assert as_admin.post(f"/api/v1/runs/{run.pk}/retry/").json()["state"] == "queued"
    assert as_admin.post("/api/v1/runs/999/cancel/").status_code == 404


def test_a_file_comes_whole_or_in_ranges(artifact, as_admin) -> None:
    address = f"/api/v1/artifacts/{artifact.pk}/files/model.safetensors"
    whole = as_admin.get(address)
    assert body(whole) == CONTENT and whole["Content-Length"] == str(len(CONTENT))
    assert whole["Content-Disposition"] == 'attachment; filename="model.safetensors"'
    assert whole["ETag"] == f'"{hashlib.sha256(CONTENT).hexdigest()}"'
    size = len(CONTENT)
    for wanted, expected in {
        "bytes=0-9": CONTENT[:10],
        f"bytes={size - 5}-": CONTENT[-5:],
        "bytes=-7": CONTENT[-7:],
        f"bytes=1000-{size + 50}": CONTENT[1000:],
    }.items():
        part = as_admin.get(address, headers={"Range": wanted})
        assert (part.status_code, body(part)) == (206, expected), wanted
    assert as_admin.get(address, headers={"Range": f"bytes={size}-"}).status_code == 416
    changed = as_admin.get(address, headers={"Range": "bytes=0-9", "If-Range": '"another"'})
    assert changed.status_code == 200 and body(changed) == CONTENT


@pytest.mark.parametrize(
    "path", ["../../../etc/passwd", "nothing.json", "%2e%2e/secret", "tokenizer", "tokenizer/../model.x"]
)
def test_only_files_of_the_manifest_are_given_out(artifact, as_admin, path) -> None:
    assert as_admin.get(f"/api/v1/artifacts/{artifact.pk}/files/{path}").status_code == 404


def test_the_archive_is_a_tar_of_all_files_with_the_manifest(artifact, as_admin) -> None:
    sent = io.BytesIO(body(as_admin.get(f"/api/v1/artifacts/{artifact.pk}/archive")))
    folder = artifact.name.replace("/", "-")
    with tarfile.open(fileobj=sent) as archive:
        assert set(archive.getnames()) == {
            f"{folder}/model.safetensors",
            f"{folder}/tokenizer/vocab.json",
            f"{folder}/manifest.json",
        }
        assert archive.extractfile(f"{folder}/model.safetensors").read() == CONTENT


def test_a_file_that_storage_has_lost_is_a_plain_404(artifact, as_admin) -> None:
    storages["artifacts"].delete(f"{artifact.name}/model.safetensors")
    assert as_admin.get(f"/api/v1/artifacts/{artifact.pk}/files/model.safetensors").status_code == 404


def test_the_schema_describes_runs_and_artifacts(as_admin) -> None:
    schema = as_admin.get("/api/v1/schema/", headers={"Accept": "application/json"}, query_params={"format": "json"})
    assert schema.status_code == 200
    for path in ("/api/v1/runs/{id}/events/", "/api/v1/artifacts/{id}/", "/api/v1/artifacts/{id}/files/{path}"):
        assert path in schema.content.decode(), path
