"""Dataset versions: what is written, that it never varies, who may see it, and that trainers read it."""

import json

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.urls import reverse

from annotate.datasets.build import Record, write_dataset
from annotate.datasets.config import DatasetConfig
from annotate.datasets.models import DatasetVersion
from annotate.datasets.services import dataset_run_start
from annotate.pairs import split_of
from runs.artifacts import artifact_path
from runs.executor import run_execute
from tests.annotate.worlds import judge, make_comparison, make_project, make_prompt

# the files, without a database ----------------------------------------------------------------------------------------


def record(number: int = 1, **rankings: list) -> Record:
    return Record(
        comparison=str(number),
        prompt=[{"role": "user", "content": f"为什么? {number}"}],
        responses=[{"id": f"r{i}", "text": "x" * (i + 1), "generator": "g"} for i in range(3)],
        rankings={
            dimension: [
                {"ranks": ranks, "weight": 1.0, "annotator": f"a{n}", "strengths": None}
                for n, ranks in enumerate(given, start=1)
            ]
            for dimension, given in rankings.items()
        },
        sources=("human",),
    )


def written(folder, records, **config):
    folder.mkdir(exist_ok=True)
    counts = write_dataset(folder, records, DatasetConfig(**config), name="Kites", dimensions=["helpfulness"])
    rows = {
        name: [json.loads(line) for line in (folder / f"{name}.jsonl").read_text("utf-8").splitlines()]
        for name in ("rankings", "pairs")
    }
    return counts, rows["rankings"], rows["pairs"]


def test_a_ranking_becomes_its_pairs(tmp_path):
    counts, rankings, pairs = written(tmp_path, [record(helpfulness=[[2, 1, None], [2, 1, 3]])], test_fraction=0)
    assert rankings[0]["rankings"][0]["ranks"] == [2, 1, None]
    assert [(p["chosen_response"], p["rejected_response"], p["weight"], p["preference"]) for p in pairs] == [
        ("r1", "r0", 2.0, 1.0),
        ("r0", "r2", 1.0, 1.0),
        ("r1", "r2", 1.0, 1.0),
    ]
    assert pairs[0]["prompt"] == [{"role": "user", "content": "为什么? 1"}]
    assert pairs[0]["chosen"] == [{"role": "assistant", "content": "xx"}]
    tally = counts["dimensions"]["helpfulness"]
    assert tally["pairs"] == {"train": 3, "test": 0}
    assert tally["agreement"] == 1.0
    assert tally["longer_chosen"] == pytest.approx(1 / 3)


def test_ties_stay_in_rankings_and_are_pairs_only_when_asked(tmp_path):
    tied = [record(helpfulness=[[1, 1, 2]])]
    assert len(written(tmp_path / "a", tied, test_fraction=0)[2]) == 2
    counts, _, pairs = written(tmp_path / "b", tied, test_fraction=0, keep_ties=True)
    assert [p["preference"] for p in pairs] == [0.5, 1.0, 1.0]
    assert counts["dimensions"]["helpfulness"]["ties"] == 1


def test_a_margin_points_to_the_chosen_response(tmp_path):
    strong = record(helpfulness=[[2, 1, None]])
    strong.rankings["helpfulness"][0]["strengths"] = [None, 3, None]
    _, _, pairs = written(tmp_path, [strong], test_fraction=0)
    assert (pairs[0]["chosen_response"], pairs[0]["margin"]) == ("r1", 3.0)


def test_no_prompt_is_in_both_splits_and_the_same_data_gives_the_same_bytes(tmp_path):
    records = [record(n % 40, helpfulness=[[1, 2, 3]]) for n in range(80)]
    _, _, pairs = written(tmp_path / "a", records, test_fraction=0.3)
    written(tmp_path / "b", iter(records), test_fraction=0.3)
    sides: dict[str, set] = {}
    for pair in pairs:
        sides.setdefault(json.dumps(pair["prompt"]), set()).add(pair["split"])
        assert pair["split"] == split_of(pair["prompt"], 0.3)
    assert {len(found) for found in sides.values()} == {1}
    for name in ("rankings.jsonl", "pairs.jsonl", "README.md"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_ranking_that_places_fewer_than_two_is_left_out(tmp_path):
    counts, rankings, pairs = written(tmp_path, [record(helpfulness=[[1, None, None]])])
    assert (rankings, pairs, counts["dimensions"]) == ([], [], {})


# the whole run --------------------------------------------------------------------------------------------------------


@pytest.fixture
def project(admin, annotator, other_annotator):
    project = make_project(admin)
    for number in range(6):
        comparison = make_comparison(make_prompt(project, f"Question {number}"), ["a b", "c", "d e f"], overlap=2)
        judge(comparison, annotator, helpfulness=[1, 2, 3], harmlessness=[1, 1, 2])
        judge(comparison, other_annotator, source="simulated", helpfulness=[1, 3, 2])
    return project


@pytest.fixture
def version(project, admin, children_share_database):
    run = dataset_run_start(project=project, config={"test_fraction": 0.3}, user=admin)
    run_execute(run_id=run.pk, worker="test")
    run.refresh_from_db()
    assert run.state == "succeeded", f"{run.error}\n{run.error_detail}"
    return DatasetVersion.objects.get(run=run)


@pytest.mark.django_db(transaction=True)
def test_a_run_freezes_the_judgements_into_a_version(version, project, annotator):
    folder = artifact_path(version.artifact)
    pairs = [json.loads(line) for line in (folder / "pairs.jsonl").read_text("utf-8").splitlines()]
    assert version.number == 1
    assert version.sha256 == version.artifact.sha256
    helpful = [pair for pair in pairs if pair["dimension"] == "helpfulness"]
    # Both put the first response first; on the other two they disagree, which is an even pair and no pair.
    assert len(helpful) == 12
    assert {pair["weight"] for pair in helpful} == {2.0}
    rankings = (folder / "rankings.jsonl").read_text("utf-8")
    assert annotator.username not in rankings
    assert '"annotator":"a1"' in rankings
    card = (folder / "README.md").read_text("utf-8")
    assert "Simulated annotators are not people" in card
    assert version.counts["sources"] == {"human": 6, "simulated": 6}


@pytest.mark.django_db(transaction=True)
def test_building_again_gives_the_same_sha256_and_the_next_number(version, project, children_share_database):
    call_command("build_dataset", project.slug, "--test-fraction", "0.3")
    again = DatasetVersion.objects.get(project=project, number=2)
    assert again.sha256 == version.sha256


@pytest.mark.django_db(transaction=True)
def test_filters_decide_whose_judgements_count(project, admin, children_share_database):
    call_command("build_dataset", project.slug, "--source", "human", "--dimension", "helpfulness")
    version = DatasetVersion.objects.get()
    assert version.counts["sources"] == {"human": 6}
    assert list(version.counts["dimensions"]) == ["helpfulness"]


@pytest.mark.django_db(transaction=True)
def test_the_libraries_it_is_for_read_it(version, tmp_path):
    from datasets import load_dataset

    folder = artifact_path(version.artifact)
    pairs = load_dataset("json", data_files=str(folder / "pairs.jsonl"), split="train", cache_dir=str(tmp_path))
    assert {"prompt", "chosen", "rejected", "dimension", "margin", "weight", "split"} <= set(pairs.column_names)
    assert len(pairs) == sum(version.pair_counts.values())


@pytest.mark.django_db(transaction=True)
def test_export_copies_the_files_and_overwrites_nothing(version, tmp_path):
    from django.core.management.base import CommandError

    call_command("export_dataset", str(version.pk), str(tmp_path / "out"))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "README.md",
        "lineage.jsonl",
        "manifest.json",
        "pairs.jsonl",
        "plots",
        "rankings.jsonl",
    }
    with pytest.raises(CommandError, match="exists already"):
        call_command("export_dataset", str(version.pk), str(tmp_path / "out"))


@pytest.mark.django_db(transaction=True)
def test_a_download_that_broke_continues(version, as_admin):
    url = reverse("annotate:dataset-file", args=[version.pk, "pairs.jsonl"])
    whole = b"".join(as_admin.get(url).streaming_content)
    rest = as_admin.get(url, headers={"Range": "bytes=100-"})
    assert rest.status_code == 206
    assert b"".join(rest.streaming_content) == whole[100:]
    assert as_admin.get(reverse("annotate:dataset-file", args=[version.pk, "../../secret_key"])).status_code == 404


@pytest.mark.django_db(transaction=True)
def test_the_pages_and_endpoints_are_for_admins(
    version, project, as_admin, as_annotator, as_outsider, as_nobody, django_assert_max_num_queries
):
    pages = [
        reverse("annotate:dataset-list"),
        reverse("annotate:dataset-start"),
        version.get_absolute_url(),
        reverse("annotate:dataset-file", args=[version.pk, "pairs.jsonl"]),
        reverse("annotate:dataset-archive", args=[version.pk]),
    ]
    endpoints = [
        "/api/v1/dataset-versions/",
        f"/api/v1/dataset-versions/{version.pk}/",
        f"/api/v1/dataset-versions/{version.pk}/files/pairs.jsonl/",
        f"/api/v1/dataset-versions/{version.pk}/archive/",
        "/api/v1/dataset-runs/",
        f"/api/v1/dataset-runs/{version.run_id}/",
    ]
    for path in pages:
        with django_assert_max_num_queries(12):
            assert as_admin.get(path).status_code == 200, path
        assert as_annotator.get(path).status_code == 403, path
        assert as_outsider.get(path).status_code == 403, path
        assert as_nobody.get(path).status_code == 302, path
    for path in endpoints:
        assert as_admin.get(path).status_code == 200, path
        assert as_annotator.get(path).status_code == 403, path
        assert as_nobody.get(path).status_code == 401, path
    assert as_annotator.post("/api/v1/dataset-runs/", {"project": project.pk}).status_code == 403


@pytest.mark.django_db
def test_what_cannot_work_is_refused_before_a_run_exists(project, admin, as_admin):
    for config, field in (({"test_fraction": 2}, "test_fraction"), ({"dimensions": ["wit"]}, "dimensions")):
        with pytest.raises(ValidationError) as refused:
            dataset_run_start(project=project, config=config, user=admin)
        assert field in refused.value.message_dict
    empty = make_project(admin, "Empty")
    response = as_admin.post("/api/v1/dataset-runs/", {"project": empty.pk}, content_type="application/json")
    assert response.status_code == 400
    assert "No judgement matches" in str(response.json())
    form = {"project": empty.pk, "test_fraction": "0.2", "minimum_judgements": "1"}
    page = as_admin.post(reverse("annotate:dataset-start"), form)
    assert page.status_code == 422
    assert "No judgement matches" in page.content.decode()
    assert not empty.dataset_runs.exists()


@pytest.mark.django_db
def test_counting_first_tells_what_the_filters_find(project, as_admin):
    form = {"project": project.pk, "test_fraction": "0.2", "minimum_judgements": "1", "count": "1"}
    page = as_admin.post(reverse("annotate:dataset-start"), form)
    assert "12 judgements by 2 annotators" in " ".join(page.content.decode().split())


@pytest.mark.django_db(transaction=True)
def test_a_version_leads_on_to_training(version, as_admin):
    page = as_admin.get(version.get_absolute_url()).content.decode()
    for path in (reverse("rewardmodel:start"), reverse("rl:policy-start", args=["dpo"])):
        assert f'href="{path}?dataset_version={version.pk}"' in page
        assert as_admin.get(path, {"dataset_version": version.pk}).status_code == 200


# what is in it and what is not ----------------------------------------------------------------------------------------


def built(project, **config) -> tuple[DatasetVersion, list[dict], list[dict]]:
    run = dataset_run_start(project=project, config={"test_fraction": 0, **config})
    run_execute(run_id=run.pk, worker="test")
    run.refresh_from_db()
    assert run.state == "succeeded", f"{run.error}\n{run.error_detail}"
    version = DatasetVersion.objects.get(run=run)
    folder = artifact_path(version.artifact)
    rows = [
        [json.loads(line) for line in (folder / f"{name}.jsonl").read_text("utf-8").splitlines()]
        for name in ("rankings", "pairs")
    ]
    return version, rows[0], rows[1]


@pytest.fixture
def decided(project, admin):
    """The first comparison, decided the other way round than both annotators say."""
    from annotate.ranking.models import Comparison
    from annotate.review.services import adjudicate

    comparison = project.comparisons.order_by("pk").first()
    Comparison.objects.filter(pk=comparison.pk).update(is_closed=True)
    keys = [str(pk) for pk in comparison.members.order_by("position").values_list("response_id", flat=True)]
    ranks = dict(zip(keys, (3, 2, 1), strict=True))
    adjudicate(comparison=comparison, reviewer=admin, rankings={"helpfulness": ranks, "harmlessness": ranks})
    return comparison


@pytest.mark.django_db(transaction=True)
def test_a_decision_stands_in_place_of_the_judgements(project, decided, admin, children_share_database):
    version, rankings, _ = built(project, minimum_judgements=2)
    [line] = [row for row in rankings if row["comparison"] == str(decided.pk) and row["dimension"] == "helpfulness"]
    assert line["rankings"] == [{"ranks": [3, 2, 1], "weight": 1.0, "annotator": "reviewer", "strengths": None}]
    assert version.counts["decided"] == 1
    assert version.counts["sources"] == {"human": 5, "reviewer": 1, "simulated": 5}
    card = (artifact_path(version.artifact) / "README.md").read_text("utf-8")
    assert "1 comparisons were decided by a reviewer" in card
    assert admin.username not in card + json.dumps(rankings)
    for config in ({"use_adjudications": False}, {"sources": ["simulated"]}):
        other, rankings, _ = built(project, **config)
        assert "reviewer" not in json.dumps(rankings)
        assert other.counts["decided"] == 0


@pytest.mark.django_db(transaction=True)
def test_a_project_of_decisions_alone_can_be_built(
    project, decided, annotator, other_annotator, admin, children_share_database
):
    from annotate.review.withdrawals import work_withdraw

    for person in (annotator, other_annotator):
        work_withdraw(project=project, annotator=person, by=admin, reason="robots")
    version, rankings, _ = built(project)
    assert {row["comparison"] for row in rankings} == {str(decided.pk)}
    assert version.annotators == []
    assert version.counts["annotators"] == 0


@pytest.mark.django_db(transaction=True)
def test_gold_and_withdrawn_judgements_are_left_out(
    project, annotator, other_annotator, admin, children_share_database
):
    from annotate.ranking.models import Comparison
    from annotate.review.withdrawals import work_restore, work_withdraw

    gold = make_comparison(make_prompt(project, "Gold?"), ["a b", "c", "d e f"])
    judge(gold, annotator, helpfulness=[1, 2, 3])
    Comparison.objects.filter(pk=gold.pk).update(purpose="gold", is_closed=True)
    before, _, _ = built(project)
    assert sorted(before.annotators) == sorted([annotator.pk, other_annotator.pk])
    assert before.counts["sources"] == {"human": 6, "simulated": 6}
    done = work_withdraw(project=project, annotator=annotator, by=admin, reason="a robot")
    version, _, _ = built(project)
    assert version.counts["sources"] == {"simulated": 6}
    assert version.annotators == [other_annotator.pk]
    assert version.stale_since is None
    before.refresh_from_db()
    assert before.stale_since is not None
    work_restore(withdrawal=done, by=admin)
    again, _, _ = built(project)
    assert again.sha256 == before.sha256, "the same data and filters give the same bytes"


@pytest.mark.django_db(transaction=True)
def test_extra_judgements_are_counted_and_can_be_left_out(project, annotator, children_share_database):
    from annotate.ranking.models import Assignment, Judgement

    given = Judgement.objects.filter(annotator=annotator).order_by("pk").first()
    given.assignment = Assignment.objects.create(
        comparison=given.comparison, annotator=annotator, state=Assignment.State.SUBMITTED, slot=None
    )
    given.save(update_fields=["assignment"])
    version, _, _ = built(project)
    assert version.counts["extra"] == 1
    assert "1 judgements came too late" in (artifact_path(version.artifact) / "README.md").read_text("utf-8")
    without, _, _ = built(project, include_extra=False)
    assert without.counts["extra"] == 0
    assert without.counts["sources"] == {"human": 5, "simulated": 6}


@pytest.mark.django_db(transaction=True)
def test_a_withdrawal_during_a_build_makes_the_version_stale_at_birth(
    project, annotator, admin, children_share_database
):
    from annotate.datasets import services
    from annotate.review.withdrawals import work_withdraw

    run = dataset_run_start(project=project, config={"test_fraction": 0})
    kept, record = [], services.dataset_version_create

    def withdraw_first(*, run, result):
        kept.append(work_withdraw(project=project, annotator=annotator, by=admin, reason="a robot"))
        return record(run=run, result=result)

    from annotate.datasets import kind

    original, kind.dataset_version_create = kind.dataset_version_create, withdraw_first
    try:
        run_execute(run_id=run.pk, worker="test")
    finally:
        kind.dataset_version_create = original
    version = DatasetVersion.objects.get(run=run)
    assert version.stale_since is not None
    assert "a robot" in version.stale_reason


@pytest.mark.django_db(transaction=True)
def test_a_stale_version_says_so_everywhere(version, project, annotator, admin, as_admin):
    from annotate.review.withdrawals import work_withdraw

    url = f"/api/v1/dataset-versions/{version.pk}/"
    assert as_admin.get(url).json()["stale_since"] is None
    work_withdraw(project=project, annotator=annotator, by=admin, reason="a robot")
    assert as_admin.get(url).json()["stale_reason"] == "Work of ben was withdrawn: a robot"
    assert "a robot" in as_admin.get(version.get_absolute_url()).content.decode()
    assert ">stale</span>" in as_admin.get(reverse("annotate:dataset-list")).content.decode()


@pytest.mark.django_db(transaction=True)
def test_reliable_annotators_weigh_more_and_the_weights_are_frozen(
    admin, annotator, other_annotator, outsider, children_share_database
):
    from annotate.quality.selectors import reliability_weights

    project = make_project(admin)
    shuffled = ([3, 1, 2], [2, 3, 1], [3, 2, 1])
    for number in range(24):
        comparison = make_comparison(make_prompt(project, f"Question {number}"), ["a b", "c", "d e f"], overlap=3)
        judge(comparison, annotator, helpfulness=[1, 2, 3])
        judge(comparison, other_annotator, helpfulness=[1, 2, 3])
        judge(comparison, outsider, helpfulness=shuffled[number % 3])
    first, rankings, _ = built(project, weights="reliability")
    weights = {row["annotator"]: row["weight"] for row in rankings[0]["rankings"]}
    estimated = reliability_weights(project)
    assert weights == {
        f"a{n}": round(estimated[person.pk], 4) for n, person in enumerate((annotator, other_annotator, outsider), 1)
    }
    assert weights["a1"] == pytest.approx(weights["a2"], abs=0.01)
    assert weights["a3"] < 0.5 * weights["a1"]
    again, _, _ = built(project, weights="reliability")
    assert again.sha256 == first.sha256
    card = (artifact_path(first.artifact) / "README.md").read_text("utf-8")
    assert "estimated reliability" in card
