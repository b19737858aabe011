"""The data folder, read whole, with the counts of its README.

An empty response is passed over unless it is asked for: the counts are those of everything, kept or not.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path

import pytest

from annotate.formats.jsonl import Findings
from annotate.formats.reading import look, read_records
from annotate.formats.records import Record, comparisons
from annotate.formats.writers.base import Options
from annotate.formats.writing import FORMATS_OUT, export

COMPANIONS = {
    "llmfao/crowd-comparisons.csv": "llmfao/pairs-crowd.jsonl",
    "mt_bench_human/judgments.jsonl": "mt_bench_human/conversations.jsonl",
    "ukpconvarg1/judgments_0.jsonl": "ukpconvarg1/arguments.jsonl",
}


def read(folder: Path, name: str, **options: object) -> tuple[list[Record], Findings]:
    """The records of a file whose format is recognised, nothing chosen by hand."""
    path = folder / name
    findings = Findings()
    with path.open("rb") as stream:
        if name not in COMPANIONS:
            return list(read_records(stream, findings, filename=name, **options)), findings  # type: ignore[arg-type]
        with (folder / COMPANIONS[name]).open("rb") as companion:
            records = read_records(stream, findings, filename=name, companion=companion, **options)  # type: ignore[arg-type]
            return list(records), findings


def whole(folder: Path, name: str) -> list[Record]:
    """All of it, empty responses included; nothing may be passed over."""
    records, findings = read(folder, name, keep_empty=True)
    assert (findings.error_count, findings.skipped_count) == (0, 0), (findings.errors, findings.skipped)
    return records


RECOGNISED = {
    "finegrained_rlhf_qa/dev_feedback.json": ("JSON", "finegrained"),
    "hh_rlhf_harmless_test/test.jsonl.gz": ("JSON Lines, gzipped", "hh"),
    "llamafactory/alpaca_en_demo.json": ("JSON", "alpaca"),
    "llamafactory/alpaca_zh_demo.json": ("JSON", "alpaca"),
    "llamafactory/dpo_en_demo.json": ("JSON", "sharegpt-preference"),
    "llamafactory/dpo_zh_demo.json": ("JSON", "sharegpt-preference"),
    "llamafactory/kto_en_demo.json": ("JSON", "openai"),
    "llmfao/crowd-comparisons.csv": ("CSV", "llmfao"),
    "llmfao/pairs-crowd.jsonl": ("JSON Lines", "llmfao-pairs"),
    "mt_bench_human/judgments.jsonl": ("JSON Lines", "mt-bench"),
    "mt_bench_human/question.jsonl": ("JSON Lines", "mt-bench-questions"),
    "oasst_en100/en_100_message.jsonl": ("JSON Lines", "oasst"),
    "oasst_en100/en_100_tree.jsonl": ("JSON Lines", "oasst"),
    "pandalm_testset/testset-v1.json": ("JSON", "pandalm"),
    "self_instruct_252/user_oriented_instructions.jsonl": ("JSON Lines", "self-instruct"),
    "self_instruct_252/predictions/davinci_predictions.jsonl": ("JSON Lines", "self-instruct-predictions"),
    "tulu_human_eval/eval_annotations_tulu_1.xlsx": ("spreadsheet (xlsx)", "tulu"),
    "tulu_human_eval/eval_instances_tulu_1.jsonl": ("JSON Lines", "tulu-instances"),
    "ukpconvarg1/arguments.jsonl": ("JSON Lines", "ukp-arguments"),
    "ukpconvarg1/judgments_0.jsonl": ("JSON Lines", "ukp"),
}


@pytest.mark.parametrize("name", RECOGNISED)
def test_each_file_is_recognised(data_folder, name):
    with (data_folder / name).open("rb") as stream:
        found = look(stream)
    assert (found.container, found.formats[0].format) == RECOGNISED[name]


def test_open_assistant_has_207_groups_of_people_and_5_of_a_model(data_folder):
    """The README counts replies that people wrote: 207 groups, 732 pairs. All ranked replies make 212 and 754."""
    for name in ("en_100_tree", "en_100_message"):
        records, findings = read(data_folder, f"oasst_en100/{name}.jsonl")
        assert (len(records), findings.error_count) == (212, 0)
        assert {len(record.responses) for record in records} == {2, 3, 4, 5, 6, 8, 9}
        placed = [
            [
                response
                for response, rank in zip(record.responses, record.rankings[0].ranks, strict=True)
                if rank is not None
            ]
            for record in records
        ]
        assert sum(len(found) * (len(found) - 1) // 2 for found in placed) == 754
        human = [k for k in (sum(not response.generator for response in found) for found in placed) if k >= 2]
        assert (len(human), sum(k * (k - 1) // 2 for k in human)) == (207, 732)


def test_finegrained_has_22_cyclic_prompts_kept_as_pairs(data_folder):
    records = whole(data_folder, "finegrained_rlhf_qa/dev_feedback.json")
    assert Counter(record.kind for record in records) == {"ranking": 478, "pair": 22}
    assert {len(record.responses) for record in records} == {4}
    assert sum(len(record.pairs) or 6 for record in records) == 3000
    assert len(list(comparisons(next(record for record in records if record.pairs)))) == 6


def test_hh_has_2312_pairs_of_which_9_are_none(data_folder):
    records, findings = read(data_folder, "hh_rlhf_harmless_test/test.jsonl.gz")
    assert (len(records), findings.skipped_count, findings.error_count) == (2303, 9, 0)
    reasons = Counter(problem.reason.split(",")[0] for problem in findings.skipped)
    assert reasons == {"The two transcripts differ before the last reply": 5, "A reply is empty.": 4}


def test_mt_bench_has_1751_votes_of_65_judges_on_80_questions(data_folder):
    records = whole(data_folder, "mt_bench_human/judgments.jsonl")
    votes = [pair for record in records for pair in record.pairs]
    assert (len(votes), len({vote.annotator for vote in votes})) == (1751, 65)
    assert len({record.source_id for record in records}) == 80
    assert Counter(vote.preference for vote in votes) == {1.0: 1334, 0.5: 417}
    assert len(whole(data_folder, "mt_bench_human/question.jsonl")) == 80


def test_llmfao_has_8931_votes_of_124_workers_on_2139_pairs(data_folder):
    records = whole(data_folder, "llmfao/crowd-comparisons.csv")
    votes = [pair for record in records for pair in record.pairs]
    assert (len(records), len(votes), len({vote.annotator for vote in votes})) == (2139, 8931, 124)
    assert len({response.generator for record in records for response in record.responses}) == 59
    some, findings = read(data_folder, "llmfao/crowd-comparisons.csv")
    assert (len(some), sum(len(record.pairs) for record in some) + findings.skipped_count) == (1850, 8931)
    assert len(whole(data_folder, "llmfao/pairs-crowd.jsonl")) == 2139


def test_ukpconvarg_has_its_votes_on_8_topics(data_folder):
    records = whole(data_folder, "ukpconvarg1/judgments_0.jsonl")
    assert (len(records), sum(len(record.pairs) for record in records)) == (4232, 21122)
    assert len({record.prompt[0]["content"] for record in records}) == 8
    assert len(whole(data_folder, "ukpconvarg1/arguments.jsonl")) == 1052


def test_pandalm_has_999_judged_by_three_with_the_kappas_of_its_readme(data_folder):
    records = whole(data_folder, "pandalm_testset/testset-v1.json")
    assert (len(records), {len(record.pairs) for record in records}) == (999, {3})
    assert sum(response.text in ("True", "False") for record in records for response in record.responses) >= 6
    labels = [
        [0 if p.preference == 0.5 else 1 + p.chosen for p in record.pairs]  # as annotator1, 2, 3 wrote it
        for record in records
    ]
    kappas = sorted(_kappa([row[i] for row in labels], [row[j] for row in labels]) for i, j in ((0, 1), (0, 2), (1, 2)))
    assert [round(kappa, 3) for kappa in kappas] == [0.852, 0.862, 0.879]


def _kappa(a: list[int], b: list[int]) -> float:
    n = len(a)
    agree = sum(x == y for x, y in zip(a, b, strict=True)) / n
    chance = sum(a.count(k) * b.count(k) for k in set(a + b)) / n**2
    return (agree - chance) / (1 - chance)


def test_tulu_has_1150_votes_of_16_on_996_pairs_and_152_empty_rows(data_folder):
    records, findings = read(data_folder, "tulu_human_eval/eval_annotations_tulu_1.xlsx", keep_empty=True)
    assert (len(records), findings.skipped_count, findings.error_count) == (1150, 152, 0)
    assert len({pair.annotator for record in records for pair in record.pairs}) == 16
    assert Counter(pair.margin for record in records for pair in record.pairs) == {0: 376, 1: 426, 2: 348}
    assert len(whole(data_folder, "tulu_human_eval/eval_instances_tulu_1.jsonl")) == 996


def test_self_instruct_has_252_prompts_and_8_models(data_folder):
    assert len(whole(data_folder, "self_instruct_252/user_oriented_instructions.jsonl")) == 252
    files = sorted((data_folder / "self_instruct_252/predictions").iterdir())
    answers = [whole(data_folder, f"self_instruct_252/predictions/{path.name}") for path in files]
    assert ([len(records) for records in answers]) == [252] * 8
    assert len({records[0].responses[0].generator for records in answers}) == 8
    assert len({str([record.prompt for record in records]) for records in answers}) == 1


@pytest.mark.parametrize(
    ("name", "count", "kind"),
    [
        ("dpo_en", 300, "pair"),
        ("dpo_zh", 300, "pair"),
        ("kto_en", 300, "unpaired"),
        ("alpaca_en", 999, "demonstration"),
        ("alpaca_zh", 1000, "demonstration"),
    ],
)
def test_llamafactory_files_have_their_rows(data_folder, name, count, kind):
    records = whole(data_folder, f"llamafactory/{name}_demo.json")
    assert Counter(record.kind for record in records) == {kind: count}
    if kind == "unpaired":
        assert Counter(record.responses[0].label for record in records) == {True: 150, False: 150}
    if name.endswith("zh"):
        rows = json.loads((data_folder / f"llamafactory/{name}_demo.json").read_bytes())
        keys = ["output"] if "output" in rows[0] else ["chosen", "rejected"]
        outputs = [row[key] if isinstance(row[key], str) else row[key]["value"] for row in rows for key in keys]
        chinese = [response.text for record in records for response in record.responses]
        assert sum("\u4e00" <= char <= "\u9fff" for text in chinese for char in text) > 50_000
        assert chinese == outputs


# Chinese, there and back --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chinese(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 300 Chinese pairs as a dataset version."""
    from annotate.datasets.build import Record as Comparison
    from annotate.datasets.build import write_dataset
    from annotate.datasets.config import DatasetConfig

    records, _ = read(data_folder, "llamafactory/dpo_zh_demo.json")
    directory = tmp_path_factory.mktemp("chinese")
    judged = {"helpfulness": [{"ranks": [1, 2], "weight": 1.0, "annotator": "a1", "strengths": None}]}
    made = (
        Comparison(
            str(record.line),
            record.prompt,
            [
                {"id": f"{record.line}{i}", "text": response.text, "generator": "g"}
                for i, response in enumerate(record.responses)
            ],
            judged,
        )
        for record in records
    )
    write_dataset(directory, made, DatasetConfig(), name="zh", dimensions=["helpfulness"])
    return directory


@pytest.mark.parametrize("key", FORMATS_OUT)
def test_chinese_survives_every_format(chinese, key):
    [*files] = ((name, b"".join(chunks)) for name, chunks in export(key, chinese, Options()))
    with (chinese / "rankings.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    chosen = [row["responses"][0]["text"].strip() for row in rows]
    asked = [row["prompt"][-1]["content"].strip() for row in rows]
    for name, content in files:
        if name == "dataset_info.json":
            continue
        findings = Findings()
        records = list(read_records(io.BytesIO(content), findings))
        assert not findings.error_count
        if key == "hh":  # some texts hold a mark of its transcripts
            assert {record.responses[0].text for record in records} <= set(chosen)
            assert len(records) > 250
            continue
        best = [record.responses[0].text.strip() for record in records if record.responses[0].label is not False]
        assert best == chosen, key
        last = [record.prompt[-1]["content"].strip() for record in records if record.responses[0].label is not False]
        assert last == asked or (key == "trl-standard" and all(a in b for a, b in zip(asked, last, strict=True)))
