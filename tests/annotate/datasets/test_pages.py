"""Exports, lineage and comparison of versions, as pages, endpoints and commands."""

from __future__ import annotations

import io
import json
import re
import threading
import time
import zipfile

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.urls import reverse

from annotate.datasets.config import DatasetConfig
from annotate.datasets.models import DatasetRun, DatasetVersion
from annotate.datasets.selectors import version_split
from annotate.datasets.services import dataset_run_start
from annotate.formats.writing import FORMATS_OUT
from annotate.generation.models import Generator
from annotate.ranking.models import Judgement
from config.env import BASE_DIR
from runs.artifacts import address, artifact_path, describe
from runs.executor import run_execute
from tests.annotate.curl import Curl
from tests.annotate.worlds import judge, make_comparison, make_project, make_prompt

pytestmark = pytest.mark.django_db(transaction=True)
HOSTILE = "<script>alert('你好')</script> {{ 7|add:7 }}"


@pytest.fixture
def project(admin, annotator, other_annotator):
    project = make_project(admin)
    for number in range(5):
        prompt = make_prompt(project, f"Question {number} {HOSTILE}", ["a", f"b{number % 2}"])
        comparison = make_comparison(prompt, [HOSTILE, "c", "d e f"], overlap=2)
        judge(comparison, annotator, helpfulness=[1, 2, 3], harmlessness=[1, 1, 2])
        judge(comparison, other_annotator, helpfulness=[1, 3, 2])
    return project


def build(project, **config) -> DatasetVersion:
    run = dataset_run_start(project=project, config={"test_fraction": 0.4, **config})
    run_execute(run_id=run.pk, worker="test")
    run.refresh_from_db()
    assert run.state == "succeeded", f"{run.error}\n{run.error_detail}"
    return DatasetVersion.objects.get(run=run)


@pytest.fixture
def version(project, children_share_database):
    return build(project)


def body(response) -> bytes:
    return b"".join(response.streaming_content)


def test_every_format_is_downloaded_by_page_and_by_rest(version, as_admin):
    folder = artifact_path(version.artifact)
    for key, writer in FORMATS_OUT.items():
        page = as_admin.get(reverse("annotate:dataset-export", args=[version.pk]), {"as": key})
        rest = as_admin.get(f"/api/v1/dataset-versions/{version.pk}/export/", {"as": key})
        assert page.status_code == rest.status_code == 200, key
        content = body(page)
        assert content == body(rest) and content, key
        name = page["Content-Disposition"]
        assert f"{version.project.slug}-v1" in name and name.startswith("attachment")
        if len(writer.files) > 1:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                assert archive.testzip() is None
                assert len(archive.namelist()) == len(writer.files)
    pairs = body(as_admin.get(reverse("annotate:dataset-export", args=[version.pk]), {"as": "pairs"}))
    assert pairs == (folder / "pairs.jsonl").read_bytes()
    assert "你好" in pairs.decode()


def test_part_of_a_version_can_be_exported_and_a_broken_download_goes_on(version, as_admin):
    url = reverse("annotate:dataset-export", args=[version.pk])
    one = body(as_admin.get(url, {"as": "pairs", "dimension": "harmlessness", "split": "train"}))
    rows = [json.loads(line) for line in one.splitlines()]
    assert rows and {(row["dimension"], row["split"]) for row in rows} == {("harmlessness", "train")}
    whole = body(as_admin.get(url, {"as": "pairs"}))
    rest = as_admin.get(url, {"as": "pairs"}, headers={"Range": "bytes=50-"})
    assert rest.status_code == 206
    assert body(rest) == whole[50:]


def test_a_download_of_any_format_goes_on_after_a_break(version, as_admin):
    """A dimension is chosen, so that no format is a file on disk."""
    page, rest = reverse("annotate:dataset-export", args=[version.pk]), f"/api/v1/dataset-versions/{version.pk}/export/"
    for number, key in enumerate(FORMATS_OUT):
        url, asked = (page, rest)[number % 2], {"as": key, "dimension": "helpfulness"}
        whole = as_admin.get(url, asked)
        content, etag = body(whole), whole["ETag"]
        assert (whole.status_code, whole["Accept-Ranges"]) == (200, "bytes") and "Content-Range" not in whole
        had = len(content) // 2
        more = as_admin.get(url, asked, headers={"Range": f"bytes={had}-", "If-Range": etag})
        assert (more.status_code, more["ETag"]) == (206, etag), key
        assert more["Content-Range"] == f"bytes {had}-{len(content) - 1}/{len(content)}"
        for header in ("Content-Disposition", "Content-Type"):
            assert more[header] == whole[header]
        assert content[:had] + body(more) == content, key
        assert as_admin.get(url, asked, headers={"Range": f"bytes={len(content)}-"}).status_code == 416
        for wanted in ("bytes=0-", "bytes=", "bytes=0-99", "bytes=3-9", "bytes=-5", "bytes=1-2,5-6", "lines=2-"):
            again = as_admin.get(url, asked, headers={"Range": wanted})
            assert again.status_code == 200 and "Content-Range" not in again, wanted
            assert body(again) == content, "pieces would each be made anew"


def test_half_of_something_else_is_never_continued(version, as_admin):
    url = reverse("annotate:dataset-export", args=[version.pk])
    asked = [{"as": "trl"}, {"as": "trl", "split": "train"}, {"as": "trl-margin"}, {"as": "sft", "responses": "edited"}]
    etags = [as_admin.get(url, each)["ETag"] for each in asked]
    assert len(set(etags)) == len(etags)
    other = as_admin.get(url, asked[0], headers={"Range": "bytes=5-", "If-Range": etags[1]})
    assert other.status_code == 200 and body(other) == body(as_admin.get(url, asked[0]))


def test_an_export_that_cannot_be_is_refused_in_words(version, as_admin):
    for wrong in ({}, {"as": "pickle"}, {"as": "trl", "dimension": "<b>"}, {"as": "trl", "split": "all of it"}):
        page = as_admin.get(reverse("annotate:dataset-export", args=[version.pk]), wrong)
        assert page.status_code == 400
        assert "cannot be exported" in page.content.decode()
        assert "<b>" not in page.content.decode().split("</nav>")[-1]
        assert as_admin.get(f"/api/v1/dataset-versions/{version.pk}/export/", wrong).status_code == 400


def test_a_pair_leads_back_to_its_judgements(version, as_admin, annotator, other_annotator):
    url = reverse("annotate:dataset-lineage", args=[version.pk])
    page = as_admin.get(url, {"pair": "1"}).content.decode()
    assert annotator.username in page and other_annotator.username in page
    assert "<script>alert" not in page and "&lt;script&gt;" in page
    found = as_admin.get(f"/api/v1/dataset-versions/{version.pk}/lineage/", {"pair": 1}).json()
    [origin] = found["origins"]
    judgements = Judgement.objects.filter(comparison=int(origin["comparison"])).order_by("pk")
    assert [row["id"] for row in origin["judgements"]] == [each.pk for each in judgements]
    whole = as_admin.get(url, {"comparison": origin["comparison"]}).content.decode()
    assert "helpfulness" in whole and "harmlessness" in whole
    for nothing in ("0", "99999", "-1", "x", "9" * 40, "٣"):
        page = as_admin.get(url, {"pair": nothing})
        assert page.status_code == 200
        assert "no such pair" in page.content.decode(), nothing
    assert as_admin.get(f"/api/v1/dataset-versions/{version.pk}/lineage/", {"pair": 99999}).status_code == 404
    assert as_admin.get(f"/api/v1/dataset-versions/{version.pk}/lineage/", {"pair": "x"}).status_code == 400


def test_lineage_says_what_became_of_a_judgement(version, project, annotator, other_annotator, admin, as_admin):
    from annotate.review.withdrawals import work_withdraw

    work_withdraw(project=project, annotator=annotator, by=admin, reason="a robot")
    page = as_admin.get(reverse("annotate:dataset-lineage", args=[version.pk]), {"pair": "1"}).content.decode()
    assert "withdrawn" in page and "as it was" in page


def test_a_version_says_which_models_were_trained_on_it(version, admin, as_admin):
    from rewardmodel.models import RewardModel, RewardModelRun
    from runs.models import Artifact

    page = as_admin.get(reverse("annotate:dataset-lineage", args=[version.pk])).content.decode()
    assert "Nothing was trained on it yet" in page
    generator = Generator.objects.create(name="tiny", model="smollm2-135m-instruct")
    run = RewardModelRun.objects.create(
        kind="reward_model", title="Judge", dataset_version=version, generator=generator, config={}
    )
    artifact = Artifact.objects.create(
        run=run, kind="reward_model", name="reward_model/x", sha256="0" * 64, size=1, manifest={"files": []}
    )
    model = RewardModel.objects.create(
        run=run, artifact=artifact, name="Judge of kites", dimensions=["helpfulness"], base_model="tiny"
    )
    assert model.name in as_admin.get(reverse("annotate:dataset-lineage", args=[version.pk])).content.decode()
    [found] = as_admin.get(f"/api/v1/dataset-versions/{version.pk}/lineage/").json()["models"]
    assert found["name"] == "Judge of kites"


def test_two_versions_are_compared(version, project, annotator, as_admin):
    url = reverse("annotate:dataset-diff", args=[version.pk])
    assert "only version" in as_admin.get(url).content.decode()
    comparison = make_comparison(make_prompt(project, "New"), ["x", "y"])
    judge(comparison, annotator, helpfulness=[1, 2])
    later = build(project, keep_ties=True, tags=["a"])
    page = as_admin.get(reverse("annotate:dataset-diff", args=[later.pk])).content.decode()
    assert f"From {version} to {later}" in page
    assert "keep_ties" in page
    api = f"/api/v1/dataset-versions/{later.pk}"
    found = as_admin.get(f"{api}/diff/", {"with": version.pk}).json()
    assert found["pairs"]["added"] == 5 + 5, "every tie: of helpfulness, where they disagree, and of harmlessness"
    assert found["rankings"] == {"added": 0, "removed": 0, "changed": 10, "moved": 0}
    assert {row["setting"] for row in found["config"]} == {"keep_ties", "tags"}
    lines = [json.loads(line) for line in body(as_admin.get(f"{api}/changes/", {"with": version.pk})).splitlines()]
    assert len(lines) == 10
    for wrong in ("", "x", "99999"):
        assert as_admin.get(f"{api}/diff/", {"with": wrong}).status_code == 404
    assert as_admin.get(url, {"with": "99999"}).status_code == 404


def test_plots_are_pictures_and_nothing_else(version, as_admin):
    page = as_admin.get(version.get_absolute_url()).content.decode()
    url = reverse("annotate:dataset-plot", args=[version.pk, "agreement.svg"])
    assert f'src="{url}"' in page
    plot = as_admin.get(url)
    assert plot["Content-Type"] == "image/svg+xml"
    assert "script-src 'self'" in plot["Content-Security-Policy"]
    assert as_admin.get(reverse("annotate:dataset-plot", args=[version.pk, "nothing.svg"])).status_code == 404


def as_built_long_ago(version: DatasetVersion) -> None:
    """Make a version look like those that were built before there were lineage, plots and most settings."""
    folder, artifact = artifact_path(version.artifact), version.artifact
    for name in ("pairs.jsonl", "rankings.jsonl"):
        rows = [json.loads(line) for line in (folder / name).read_text("utf-8").splitlines()]
        spaced = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / name).unlink()  # it may be a link to the run's own
        (folder / name).write_text(spaced, encoding="utf-8")
    kept = ("README.md", "pairs.jsonl", "rankings.jsonl")
    artifact.manifest["files"] = [describe(folder, folder / name) for name in kept]
    artifact.sha256 = version.sha256 = artifact.manifest["sha256"] = address(artifact.manifest["files"])
    (folder / "lineage.jsonl").unlink()
    (folder / "manifest.json").write_text(json.dumps(artifact.manifest))
    artifact.save()
    known = ("comparisons", "judgements", "pairs", "ties", "longer_chosen", "agreement", "agreement_pairs")
    tallies = {name: {key: tally[key] for key in known} for name, tally in version.counts["dimensions"].items()}
    version.counts = {
        "format": "plumbline-dataset/1",
        "prompts": version.counts["prompts"],
        "dimensions": tallies,
        "sources": {},
    }
    version.save()
    version.run.config = {"test_fraction": 0.4, "dimensions": [], "sources": [], "keep_ties": False}
    version.run.save()


def test_versions_of_before_still_open_export_and_compare(version, project, as_admin, children_share_database):
    later = build(project)
    as_built_long_ago(version)
    page = as_admin.get(version.get_absolute_url())
    assert page.status_code == 200
    assert "dataset-plot" not in page.content.decode()
    lineage = as_admin.get(reverse("annotate:dataset-lineage", args=[version.pk]), {"pair": 3}).content.decode()
    assert "before judgements were recorded" in lineage
    for key in FORMATS_OUT:
        assert body(as_admin.get(reverse("annotate:dataset-export", args=[version.pk]), {"as": key})), key
    found = as_admin.get(f"/api/v1/dataset-versions/{later.pk}/diff/", {"with": version.pk}).json()
    assert found["rankings"] == {"added": 0, "removed": 0, "changed": 0, "moved": 0}
    assert found["config"] == []
    assert version_split(version)([{"role": "user", "content": "?"}]) in ("train", "test")


def test_all_of_it_is_for_admins(version, as_admin, as_annotator, as_outsider, as_nobody):
    pages = [
        reverse("annotate:dataset-export", args=[version.pk]) + "?as=trl",
        reverse("annotate:dataset-lineage", args=[version.pk]) + "?pair=1",
        reverse("annotate:dataset-diff", args=[version.pk]),
        reverse("annotate:dataset-plot", args=[version.pk, "agreement.svg"]),
    ]
    api = f"/api/v1/dataset-versions/{version.pk}"
    endpoints = [
        f"{api}/export/?as=trl",
        f"{api}/lineage/?pair=1",
        f"{api}/diff/?with={version.pk}",
        f"{api}/changes/?with={version.pk}",
    ]
    for path in pages:
        assert as_admin.get(path).status_code == 200, path
        assert as_annotator.get(path).status_code == as_outsider.get(path).status_code == 403, path
        assert as_nobody.get(path).status_code == 302, path
    for path in endpoints:
        assert as_admin.get(path).status_code == 200, path
        assert as_annotator.get(path).status_code == as_outsider.get(path).status_code == 403, path
        assert as_nobody.get(path).status_code == 401, path


def test_the_side_of_a_prompt_is_known_for_stratified_versions_too(version, project, children_share_database):
    stratified = build(project, stratify_by="tags", salt="s")
    folder = artifact_path(stratified.artifact)
    rows = [json.loads(line) for line in (folder / "rankings.jsonl").read_text("utf-8").splitlines()]
    for built, lines in ((stratified, rows), (version, None)):
        split = version_split(built)
        for row in lines or map(json.loads, (artifact_path(built.artifact) / "rankings.jsonl").open(encoding="utf-8")):
            assert split(row["prompt"]) == row["split"]
    assert {row["split"] for row in rows} == {"train", "test"}


def test_commands_build_count_and_export(project, tmp_path, children_share_database):
    def run(*words: object) -> str:
        out = io.StringIO()
        call_command(*map(str, words), stdout=out)
        return out.getvalue()

    slug, folder = project.slug, tmp_path / "out"
    assert json.loads(run("build_dataset", slug, "--count", "--json", "--tag", "b0"))["comparisons"] == 3
    assert run("build_dataset", slug, "--count", "--annotator", "ben").startswith("At most 5 judgements")
    options = ("--tag", "b0", "--pair-policy", "adjacent", "--pairs-per-prompt", 1, "--no-extra", "--round", 1)
    built = json.loads(run("build_dataset", slug, "--json", *options))
    version = DatasetVersion.objects.get(pk=built["version"])
    assert version.run.config["include_extra"] is False
    assert (version.run.config["rounds"], version.run.config["tags"]) == ([1], ["b0"])
    assert sum(version.pair_counts.values()) == 6
    for wrong, reason in (
        (("--test-fraction", 2), "test_fraction: "),
        (("--annotator", "nobody"), "nobody called nobody"),
        (("--since", "tomorrow"), "since: "),
        (("--tag", "none"), "No judgement matches"),
    ):
        with pytest.raises(CommandError, match=reason):
            run("build_dataset", slug, *wrong)
    found = json.loads(run("export_dataset", version.pk, folder, "--format", "llamafactory", "--json"))
    assert set(found["files"]) == {path.name for path in folder.iterdir()}
    assert all((folder / name).stat().st_size == size for name, size in found["files"].items())
    with pytest.raises(CommandError, match="exists already"):
        run("export_dataset", version.pk, folder, "--format", "llamafactory")
    with pytest.raises(CommandError, match="not one of the available choices"):
        run("export_dataset", version.pk, tmp_path / "new", "--format", "trl", "--dimension", "wit")
    with pytest.raises(CommandError, match="need a --format"):
        run("export_dataset", version.pk, tmp_path / "new", "--split", "train")


def test_the_documented_python_example_works_as_it_stands(project, admin, live_server, children_share_database, capsys):
    from knox.models import AuthToken

    page = (BASE_DIR / "docs/datasets.md").read_text("utf-8")
    [*_, example] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    worker = threading.Thread(target=work_on_the_first_run, daemon=True)
    worker.start()
    example = example.replace('"project": 1', f'"project": {project.pk}')
    names = {"api": f"{live_server.url}/api/v1", "token": AuthToken.objects.create(admin)[1]}
    exec(compile(example, "docs/datasets.md", "exec"), names)  # noqa: S102
    worker.join(timeout=30)
    assert DatasetVersion.objects.get().sha256 in capsys.readouterr().out


def test_the_documented_curl_examples_work_as_they_stand(
    project, admin, live_server, children_share_database, tmp_path
):
    project.prompts.update(language="zh")
    earlier, later = build(project), build(project, keep_ties=True)
    page = (BASE_DIR / "docs/datasets.md").read_text("utf-8").partition("## Over REST")[2]
    names = {"project": project.pk, "12": later.pk, "11": earlier.pk}
    curl = Curl(page, live_server.url, admin, tmp_path)
    curl.script = curl.script.replace('"project": 1', f'"project": {names["project"]}')
    curl.script = re.sub(r"(versions/|with=)(1[12])\b", lambda found: f"{found[1]}{names[found[2]]}", curl.script)
    *_, counted, queued, exported, again, lineage, diff = curl.lines()
    assert curl.run(counted)["prompts"] == 5 and curl.run(queued)["state"] == "queued"
    curl.run(exported, is_json=False)
    file = tmp_path / "pairs.jsonl"
    whole = file.read_bytes()
    assert b'"chosen"' in whole
    file.write_bytes(whole[: len(whole) // 3])
    assert " -C - " in again
    curl.run(again, is_json=False)
    assert file.read_bytes() == whole, "a download that broke goes on"
    assert curl.run(lineage)["origins"] and curl.run(diff)["pairs"]


def work_on_the_first_run() -> None:
    """What a worker does."""
    try:
        while not DatasetRun.objects.exists():
            time.sleep(0.05)
        run_execute(run_id=DatasetRun.objects.get().pk, worker="test")
    finally:
        connection.close()


def test_the_documented_settings_are_all_there_are():
    page = (BASE_DIR / "docs/datasets.md").read_text("utf-8")
    table = page.partition("| what | settings |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", table)) == set(DatasetConfig.model_fields)
