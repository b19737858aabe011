"""The data folder, imported whole: the counts of its README, and what of it becomes comparisons and judgements.

What the README counts and what is stored differ where rows are no usable comparison, where a text comes twice, and, for
Open-Assistant, by the replies that a model wrote. Each difference is named here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import File
from django.urls import reverse

from accounts.models import User
from annotate.datasets.config import DatasetConfig
from annotate.datasets.reading import dataset_records
from annotate.datasets.selectors import dataset_preview
from annotate.formats.jsonl import Findings
from annotate.formats.reading import read_records
from annotate.formats.writing import FORMATS_OUT, Options, export
from annotate.importing.preview import import_seen
from annotate.importing.services import Source, file_import, import_upload
from annotate.importing.settings import ImportSettings
from annotate.models import Comparison, Generator, Judgement, Prompt, Response
from tests.annotate.importing.test_identity import version_of


@pytest.fixture
def take(project, data_folder):
    """`take("hh/test.jsonl.gz", companion="...", **settings)` imports a file of the data folder; returns its report."""

    def bring(name: str, companion: str = "", **settings: Any) -> dict[str, Any]:
        second = (data_folder / companion).open("rb") if companion else None
        with (data_folder / name).open("rb") as file:
            source = Source(file, Path(name).name, second)
            report = file_import(project=project, source=source, settings=ImportSettings(**settings))
        if second:
            second.close()
        return report

    return bring


def new(report: dict[str, Any]) -> tuple[int, ...]:
    return tuple(report["new"][name] for name in ("prompts", "responses", "comparisons", "judgements"))


def pairs_of(project, **config: Any) -> tuple[int, int]:
    """(ranked groups, pairs) of a dataset with these settings, ties among them."""
    groups = pairs = 0
    for record in dataset_records(project, DatasetConfig(**config)):
        kept = _chosen(record, DatasetConfig(**config))
        for rankings in kept.rankings.values() if kept else ():
            for ranking in rankings:
                placed = sum(rank is not None for rank in ranking["ranks"])
                groups += placed >= 2
                pairs += placed * (placed - 1) // 2
    return groups, pairs


def _chosen(record: Any, config: DatasetConfig) -> Any:
    from annotate.datasets.choosing import record_chosen

    return record_chosen(record, config)


def test_open_assistant_is_212_groups_of_which_207_are_of_people(take, project):
    """README: 207 ranked groups, 732 pairs. That is without replies marked synthetic; with them it is 212 and 754."""
    assert new(take("oasst_en100/en_100_tree.jsonl")) == (212, 642, 212, 212)
    assert pairs_of(project) == (212, 754)
    assert pairs_of(project, generators=["Open-Assistant trees"]) == (207, 732)
    assert Generator.objects.exclude(name="Open-Assistant trees").exists(), "who wrote the synthetic ones is kept"
    assert not any(new(take("oasst_en100/en_100_message.jsonl"))), "the same trees, written otherwise"


def test_finegrained_is_478_rankings_and_22_cycles_kept_as_132_pairs(take, project):
    report = take("finegrained_rlhf_qa/dev_feedback.json")
    assert report["kinds"] == [["ranking", 478], ["pair", 22]]
    assert new(report) == (500, 2000, 478 + 22 * 6, 478 + 22 * 6)
    assert pairs_of(project)[1] == 3000


def test_a_cycle_is_shown_once_before_it_is_imported(project, admin, data_folder):
    """The first prompt of this file is a cycle, so it becomes six comparisons of two."""
    with (data_folder / "finegrained_rlhf_qa/dev_feedback.json").open("rb") as file:
        upload = import_upload(project=project, file=File(file), filename="dev_feedback.json", user=admin)
    samples = import_seen(upload)["samples"]
    assert [sample["line"] for sample in samples] == [1, 2, 3, 4, 5]
    assert samples[0]["comparisons"] == 6 and sum(sample["comparisons"] for sample in samples[1:]) >= 4


def test_hh_is_2312_pairs_of_which_9_are_none(take):
    report = take("hh_rlhf_harmless_test/test.jsonl.gz")
    assert report["records"] + report["skipped_count"] == 2312
    assert (report["skipped_count"], report["new"]["comparisons"]) == (9, 2303)


def test_mt_bench_is_1751_votes_of_65_judges_on_80_questions(take):
    votes = ("mt_bench_human/judgments.jsonl", "mt_bench_human/conversations.jsonl")
    report = take(*votes, keep_empty=True)
    assert report["new"]["prompts"] == 80 and Judgement.objects.filter(is_current=True).exists()
    assert report["new"]["judgements"] + report["known"]["judgements"] == 1751
    assert User.objects.filter(kind="import").count() == 65
    second = Comparison.objects.filter(tags=["turn-2"]).count()
    assert second and Comparison.objects.filter(tags=["turn-1"]).count() + second == Comparison.objects.count()
    assert not Prompt.objects.filter(tags__overlap=["turn-1", "turn-2"]).exists()
    assert new(take("mt_bench_human/question.jsonl")) == (0, 0, 0, 0), "the questions are there"


def test_llmfao_is_8931_votes_of_124_workers_on_2139_pairs(take):
    report = take("llmfao/crowd-comparisons.csv", "llmfao/pairs-crowd.jsonl", keep_empty=True)
    assert report["new"]["comparisons"] == 2139
    assert report["new"]["judgements"] == 8931
    assert User.objects.filter(kind="import").count() == 124
    assert Generator.objects.filter(name__startswith="LLMFAO").count() == 59
    assert not sum(take("llmfao/crowd-comparisons.csv", "llmfao/pairs-crowd.jsonl", keep_empty=True)["new"].values())


def test_ukpconvarg_is_its_votes_on_8_topics(take, project):
    votes = ("ukpconvarg1/judgments_0.jsonl", "ukpconvarg1/arguments.jsonl")
    report = take(*votes, dimensions={"convincingness": "helpfulness"})
    assert report["new"]["prompts"] == 8 and project.prompts.count() == 8
    said = report["new"]["judgements"] + report["known"]["judgements"]
    assert said == 21_092, "21,122 votes, less those on six pairs whose two arguments are the same text"
    assert {problem["reason"] for problem in report["skipped"]} == {"Its responses are all the same."}


def test_pandalm_is_999_by_three_and_tulu_1150_votes_on_996_pairs(take):
    assert new(take("pandalm_testset/testset-v1.json", keep_empty=True))[2:] == (999, 2997)
    report = take("tulu_human_eval/eval_annotations_tulu_1.xlsx", keep_empty=True)
    assert (report["records"], report["skipped_count"], report["new"]["comparisons"]) == (1150, 152, 996)
    assert report["new"]["judgements"] + report["known"]["judgements"] == 1150
    assert User.objects.filter(username__startswith="import-tulu").count() == 16


def test_self_instruct_is_252_prompts_with_8_answers_that_wait_to_be_annotated(take, project, data_folder):
    for path in sorted((data_folder / "self_instruct_252/predictions").iterdir()):
        take(f"self_instruct_252/predictions/{path.name}", keep_empty=True)
    assert (project.prompts.count(), Response.objects.count()) == (252, 252 * 8)
    report = take("tulu_human_eval/eval_instances_tulu_1.jsonl", queue=True)
    open_ = Comparison.objects.filter(is_closed=False)
    assert report["records"] == 996 and open_.count() == report["new"]["queued"] > 900


@pytest.mark.parametrize(
    ("name", "records", "kind"),
    [
        ("dpo_en", 300, "pair"),
        ("dpo_zh", 300, "pair"),
        ("kto_en", 300, "unpaired"),
        ("alpaca_en", 999, "demonstration"),
        ("alpaca_zh", 1000, "demonstration"),
    ],
)
def test_llamafactory_files_have_their_rows(take, name, records, kind):
    report = take(f"llamafactory/{name}_demo.json")
    assert report["kinds"] == [[kind, records]] and not report["error_count"]
    if kind == "pair":
        assert report["new"]["judgements"] + report["known"]["judgements"] == records


# Chinese, the whole way ---------------------------------------------------------------------------------------------


def test_chinese_survives_file_import_page_version_and_every_export(take, project, as_admin, tmp_path):
    take("llamafactory/dpo_zh_demo.json")
    asked = {prompt.question.strip() for prompt in project.prompts.all()}
    texts = set(Response.objects.values_list("text", flat=True))
    assert sum("\u4e00" <= char <= "\u9fff" for text in texts for char in text) > 50_000
    prompt = project.prompts.order_by("pk").first()
    page = as_admin.get(reverse("annotate:prompt-detail", args=[project.slug, prompt.pk]))
    assert prompt.question[:8] in page.content.decode()
    assert dataset_preview(project, DatasetConfig())["judgements"] == Judgement.objects.count()
    folder = version_of(project, tmp_path)
    stripped = {text.strip() for text in texts}
    for key in FORMATS_OUT:
        for name, chunks in export(key, folder, Options()):
            content = tmp_path / "export"
            content.write_bytes(b"".join(chunks))
            if name == "dataset_info.json":
                continue
            findings = Findings()
            with content.open("rb") as stream:
                records = list(read_records(stream, findings))
            assert records and not findings.error_count, (key, findings.errors)
            found = {each.text.strip() for record in records for each in record.responses}
            assert found <= stripped, key
            if key not in ("trl-standard", "hh"):  # they write a conversation in one text
                assert {record.prompt[-1]["content"].strip() for record in records} <= asked, key
            if key in ("rankings", "pairs", "parquet", "csv", "csv-excel", "trl"):
                assert found == stripped, key
