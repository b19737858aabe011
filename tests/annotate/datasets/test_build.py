"""What choices do to the files: aggregation, policies, caps, edits, strata, statistics. No database."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from annotate.datasets.aggregate import aggregated
from annotate.datasets.config import DatasetConfig
from annotate.datasets.plots import plots
from annotate.datasets.splits import thresholds
from annotate.pairs import edges, split_of
from annotate.quality.consensus import consensus
from annotate.quality.reliability import soft_label
from config.env import BASE_DIR
from tests.annotate.datasets.written import pairs, ranking, record, rows, write

PINNED = {"pairs": "20e03f262c5ba0db", "rankings": "b666f73721495225", "lineage": "8c089a469f93efce"}

EVERYWHERE = {
    "judgements": "47da69748464b29ba90e3dd61d997afa9c659144df94efab4fc965ce1c9d1b00",
    "majority": "6b6b7d3edc6b4a5096ba0dc848d8722d05dde06defcb6c2353c4a894d9f3f7fc",
    "consensus": "cf204e75579a82f2fe2b91792a0851cb618e317125588a692ea189e5df63f96f",
}

# aggregation ----------------------------------------------------------------------------------------------------------


def test_a_majority_is_one_ranking_with_hard_pairs(tmp_path):
    three = record(1, [1, 2, 3, 4], [1, 3, 2, 4], [2, 1, 3, None])
    write(tmp_path, [three], aggregation="majority")
    [line] = rows(tmp_path, "rankings")
    assert line["rankings"] == [{"ranks": [1, 2, 3, 4], "weight": 3.0, "annotator": "majority", "strengths": None}]
    found = rows(tmp_path, "pairs")
    assert {row["preference"] for row in found} == {1.0}
    assert len(found) == 6


def test_a_majority_is_that_of_the_quality_page():
    random.seed(3)
    for _ in range(200):
        k = random.randint(2, 5)
        given_ = [ranking([random.choice([None, 1, 2, 3]) for _ in range(k)], n) for n in range(random.randint(1, 4))]
        [made] = aggregated(given_, k, DatasetConfig(aggregation="majority"))
        assert made["ranks"] == consensus([each["ranks"] for each in given_], method="majority").ranks


def test_a_consensus_brings_soft_labels_that_every_reader_of_rankings_sees(tmp_path):
    write(tmp_path, [record(1, [1, 2], [1, 2], [2, 1], k=2)], aggregation="consensus")
    [line], [pair] = rows(tmp_path, "rankings"), rows(tmp_path, "pairs")
    [made] = line["rankings"]
    assert made["ranks"] == [1, 2]
    expected = round(
        soft_label([(1, 1 / (1 + 2.718281828459045**-1.5))] * 2 + [(-1, 1 / (1 + 2.718281828459045**-1.5))]), 4
    )
    assert made["soft"] == [[0, 1, pytest.approx(expected, abs=1e-4)]]
    assert 0.5 < pair["preference"] == made["soft"][0][2] < 1
    assert edges(line["rankings"], 2)[0].p == pair["preference"]


def test_reliable_judges_move_a_consensus(tmp_path):
    torn = record(1, [1, 2], [2, 1], k=2)
    torn.rankings["helpfulness"][0]["weight"], torn.rankings["helpfulness"][1]["weight"] = 0.9, 0.2
    write(tmp_path, [torn], aggregation="consensus", weights="reliability")
    [pair] = rows(tmp_path, "pairs")
    assert (pair["chosen_response"], pair["weight"]) == ("r0", pytest.approx(1.1))
    assert pair["preference"] > 0.6


def test_a_decision_is_not_put_together_with_anything(tmp_path):
    decided = record(1, [4, 3, 2, 1], is_decided=True, decision=9)
    write(tmp_path, [decided], aggregation="consensus", minimum_judgements=5, minimum_agreement=1.0)
    [line], [entry] = rows(tmp_path, "rankings"), rows(tmp_path, "lineage")
    assert line["rankings"][0]["ranks"] == [4, 3, 2, 1]
    assert entry["decision"] == 9


def test_strengths_survive_aggregation(tmp_path):
    strong = record(1, k=3)
    strong.rankings["helpfulness"] = [
        ranking([1, 2, 3], 1, [3, 1, None]),
        ranking([1, 2, 3], 2, [1, 1, None]),
    ]
    write(tmp_path, [strong], aggregation="majority")
    assert rows(tmp_path, "rankings")[0]["rankings"][0]["strengths"] == [2.0, 1.0, None]
    margins = {(p["chosen_response"], p["rejected_response"]): p["margin"] for p in rows(tmp_path, "pairs")}
    assert margins == {("r0", "r1"): 2.0, ("r0", "r2"): 3.0, ("r1", "r2"): 1.0}


# which pairs ----------------------------------------------------------------------------------------------------------


def test_policies_choose_neighbours_or_the_best(tmp_path):
    one = [record(1, [2, 1, 3, 3])]
    assert pairs(tmp_path, one, pair_policy="adjacent") == [("r1", "r0"), ("r0", "r2"), ("r0", "r3")]
    assert pairs(tmp_path, one, pair_policy="best-vs-rest") == [("r1", "r0"), ("r1", "r2"), ("r1", "r3")]
    with_ties = pairs(tmp_path, one, pair_policy="adjacent", keep_ties=True)
    assert ("r2", "r3") in with_ties
    assert len(pairs(tmp_path, one)) == 5


def test_weak_pairs_and_margins_can_be_left_out(tmp_path):
    strong = record(1, k=3)
    strong.rankings["helpfulness"] = [ranking([1, 2, 3], 1, [1, 2, None])]
    assert pairs(tmp_path, [strong], minimum_strength=2) == [("r0", "r2"), ("r1", "r2")]
    write(tmp_path, [strong], margins="none")
    assert {row["margin"] for row in rows(tmp_path, "pairs")} == {0.0}
    assert rows(tmp_path, "rankings")[0]["rankings"][0]["strengths"] is None


def test_a_cap_holds_for_a_prompt_however_many_comparisons_it_has(tmp_path):
    many = [record(n, [1, 2, 3, 4], prompt="one") for n in range(5)] + [record(9, [1, 2, 3, 4], prompt="two")]
    first = pairs(tmp_path / "a", many, pairs_per_prompt=7)
    assert len(first) == 7 + 6
    assert pairs(tmp_path / "b", many, pairs_per_prompt=7) == first
    assert pairs(tmp_path / "c", many, pairs_per_prompt=7, salt="other") != first
    lines = [row["pairs"] for row in rows(tmp_path / "a", "lineage")]
    assert sum(map(len, lines)) == 13, "lineage has what is written, no more"


def test_who_agrees_too_little_is_left_out(tmp_path):
    records = [record(1, [1, 2, 3, 4], [1, 2, 3, 4]), record(2, [1, 2, 3, 4], [4, 3, 2, 1]), record(3, [1, 2, 3, 4])]
    write(tmp_path, records, minimum_agreement=0.5)
    assert [row["comparison"] for row in rows(tmp_path, "rankings")] == ["1", "3"]


def test_flagged_responses_leave_and_strengths_still_add_up(tmp_path):
    flagged = record(1, k=3, flags=(("unsafe", "r1"), ("cut_off", "r0")))
    flagged.rankings["helpfulness"] = [ranking([1, 2, 3], 1, [1, 2, None])]
    write(tmp_path, [flagged], exclude_flags=["unsafe"])
    [line], [pair] = rows(tmp_path, "rankings"), rows(tmp_path, "pairs")
    assert [response["id"] for response in line["responses"]] == ["r0", "r2"]
    assert line["rankings"][0]["ranks"] == [1, 2]
    assert pair["margin"] == 3.0
    assert pairs(tmp_path, [flagged], exclude_flags=["unsafe"], flagged="comparison") == []
    assert pairs(tmp_path, [replace(flagged, flags=(("unclear", ""),))], exclude_flags=["unclear"]) == []
    assert len(pairs(tmp_path, [flagged], exclude_flags=["broken"])) == 3


def test_generators_choose_responses(tmp_path):
    assert pairs(tmp_path, [record(1, [1, 2, 3, 4])], generators=["g1"]) == [("r1", "r3")]
    assert pairs(tmp_path, [record(1, [1, 2, 3], k=3)], generators=["g1"]) == []


def test_an_edit_beats_what_it_was_made_from(tmp_path):
    made = record(1, [1, 2, None], k=3)
    made.responses[2] |= {"is_edit": True, "edited_from": "r0", "generator": "Edits"}
    made.rankings["helpfulness"].append(ranking([2, None, 1], 1, edit=True))
    for config in ({}, {"pair_policy": "adjacent"}, {"aggregation": "majority"}, {"minimum_strength": 1.0}):
        assert ("r2", "r0") in pairs(tmp_path, [made], **config), config
    counts = write(tmp_path, [made], minimum_judgements=1)
    assert counts["dimensions"]["helpfulness"]["judgements"] == 1
    assert counts["dimensions"]["helpfulness"]["edits"] == 1
    assert write(tmp_path, [made], minimum_judgements=2)["dimensions"] == {}, "an edit is no judgement"
    assert ("r2", "r0") in pairs(tmp_path, [made], generators=["g0", "g1"]), "an edit is its original's generator's"


# splits ---------------------------------------------------------------------------------------------------------------


def test_strata_hold_out_their_share_each(tmp_path):
    many = [record(n, [1, 2], k=2, tags=["math"] if n % 10 == 0 else ["chat"]) for n in range(400)]
    prompts = [(each.prompt, ", ".join(each.tags)) for each in many]
    strata = thresholds(prompts, 0.25, "salt")
    counts = write(tmp_path, many, test_fraction=0.25, stratify_by="tags", salt="salt", strata=strata)
    assert counts["strata"] == {"chat": {"train": 270, "test": 90}, "math": {"train": 30, "test": 10}}
    sides = {row["prompt"]: row["split"] for row in rows(tmp_path, "splits")}
    assert len(sides) == 400
    with pytest.raises(ValueError, match="thresholds"):
        write(tmp_path, many, stratify_by="tags")


def test_many_small_strata_hold_out_their_share_together():
    prompts = [([{"role": "user", "content": str(n)}], f"group {n}") for n in range(600)]
    held = [place for place in thresholds(prompts, 0.2).values() if place]
    assert 80 < len(held) < 160


def test_without_strata_the_hash_alone_decides(tmp_path):
    many = [record(n, [1, 2], k=2) for n in range(50)]
    write(tmp_path, many, test_fraction=0.3, salt="pepper")
    assert all(row["split"] == split_of(row["prompt"], 0.3, "pepper") for row in rows(tmp_path, "pairs"))
    assert not (tmp_path / "splits.jsonl").exists()


# the card -------------------------------------------------------------------------------------------------------------


def test_the_card_counts_places_strengths_and_languages(tmp_path):
    seen = record(1, k=2, language="zh", tags=["<b>", "a|b"])
    seen.rankings["helpfulness"] = [
        ranking([1, 2], 1, [2, None], places=[1, 2]),
        ranking([1, 1], 2, places=[2, 1]),
    ]
    counts = write(tmp_path, [seen])
    tally = counts["dimensions"]["helpfulness"]
    assert [(row["place"], row["best"]) for row in tally["places"]] == [(1, 0.75), (2, 0.25)]
    assert tally["strengths"] == {"2": 1}
    assert counts["languages"] == {"zh": 1}
    card = (tmp_path / "README.md").read_text("utf-8")
    assert "better (1)" in card
    assert "\\<b\\> (1)" in card and "a\\|b (1)" in card
    assert "![" in card


def test_plots_carry_no_script_of_whoever_named_a_dimension(tmp_path):
    name = '"><script>alert(1)</script>'
    counts = write(tmp_path, [record(1, [1, 2, 3, 4], [1, 2, 4, 3])])
    made = plots({"dimensions": {name: counts["dimensions"]["helpfulness"]}})
    assert "agreement.svg" in made
    assert not any("<script" in picture for picture in made.values())


def test_an_empty_dataset_has_a_card_and_no_plots(tmp_path):
    counts = write(tmp_path, [])
    assert counts["dimensions"] == {}
    assert not (tmp_path / "plots").exists()
    assert "nobody yet" in (tmp_path / "README.md").read_text("utf-8")


# whatever comes -------------------------------------------------------------------------------------------------------

RANKS = st.lists(st.one_of(st.none(), st.integers(1, 4)), min_size=4, max_size=4)
CHOICES = st.fixed_dictionaries(
    {
        "aggregation": st.sampled_from(["judgements", "majority", "consensus"]),
        "pair_policy": st.sampled_from(["all", "adjacent", "best-vs-rest"]),
        "keep_ties": st.booleans(),
        "pairs_per_prompt": st.integers(0, 4),
        "test_fraction": st.sampled_from([0.0, 0.5]),
    }
)


@settings(max_examples=40, deadline=None)
@given(given_=st.lists(st.lists(RANKS, max_size=3), max_size=4), config=CHOICES)
def test_files_agree_with_each_other_and_with_themselves(given_, config):
    records = [record(n, *judges) for n, judges in enumerate(given_, 1)]
    with tempfile.TemporaryDirectory() as folder:
        one, two = Path(folder) / "one", Path(folder) / "two"
        counts = write(one, records, **config)
        assert write(two, iter(records), **config) == counts
        names = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
        assert all((one / name).read_bytes() == (two / name).read_bytes() for name in names)
        found, lines, entries = rows(one, "pairs"), rows(one, "rankings"), rows(one, "lineage")
        assert len(lines) == len(entries)
        assert [tuple(pair) for entry in entries for pair in entry["pairs"]] == [
            tuple(row[key] for key in ("chosen_response", "rejected_response", "preference", "margin", "weight"))
            for row in found
        ]
        content = (one / "pairs.jsonl").read_bytes(), (one / "rankings.jsonl").read_bytes()
        for line, entry in zip(lines, entries, strict=True):
            assert content[1][entry["ranking_at"] :].startswith(b'{"comparison":"%s"' % line["comparison"].encode())
            assert entry["pairs_at"] == len(b"".join(content[0].splitlines(keepends=True)[: entry["first_pair"] - 1]))
        tally = counts["dimensions"].get("helpfulness", {"pairs": {"train": 0, "test": 0}})
        assert sum(tally["pairs"].values()) == len(found)
        for row in found:
            assert row["preference"] > 0.5 or (config["keep_ties"] and row["preference"] == 0.5)
            assert row["chosen_response"] != row["rejected_response"]
        if config["pairs_per_prompt"]:
            assert all(len(entry["pairs"]) <= config["pairs_per_prompt"] for entry in entries)


@pytest.mark.parametrize(
    "wrong",
    [
        {"rounds": [-1]},
        {"rounds": [10**9]},
        {"tags": ["a\x00b"]},
        {"salt": "\x00"},
        {"salt": "s" * 65},
        {"minimum_agreement": float("nan")},
        {"minimum_strength": float("inf")},
        {"since": "2026-02-30"},
        {"since": "2026-02-02", "until": "2026-02-01"},
        {"annotators": [0]},
        {"pair_policy": "none"},
        {"typo": 1},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValidationError):
        DatasetConfig(**wrong)


def test_every_setting_says_what_it_is():
    for name, field in DatasetConfig.model_fields.items():
        assert field.title and field.description and len(field.description) > 20, name


def test_configurations_of_earlier_versions_still_read():
    old = {"test_fraction": 0.1, "dimensions": [], "sources": ["human"], "minimum_judgements": 1, "keep_ties": True}
    assert DatasetConfig.model_validate(old).aggregation == "judgements"


OTHERS = (
    {"PYTHONHASHSEED": "1", "LC_ALL": "C.UTF-8"},
    # Another clock, language and processor: numpy and its linear algebra then add in another order.
    {
        "PYTHONHASHSEED": "99",
        "LC_ALL": "C",
        "LANG": "tr_TR.UTF-8",
        "TZ": "Asia/Tokyo",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_CORETYPE": "Prescott",
        "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX2 FMA3",
    },
)


@pytest.mark.parametrize("own", OTHERS, ids=["here", "elsewhere"])
def test_every_machine_writes_these_bytes_pictures_and_card_included(tmp_path, own):
    """Another process with another hash seed, locale, clock, folder and processor.

    The hashes were written down once: who builds these judgements anywhere gets the same sha256. If they change on
    purpose, write the new ones here and raise FORMAT: versions built from now on have another sha256.
    """
    code = """
import random, sys
from pathlib import Path
from runs.artifacts import address, describe
from tests.annotate.datasets.written import record, write
random.seed(7)
orders = [[random.sample([1, 2, 3, 4], 4) for _ in range(3)] for _ in range(60)]
many = [record(n, *given, tags=["b", "a"], language="zh") for n, given in enumerate(orders)]
for how in sys.argv[2:]:
    folder = Path(sys.argv[1]) / how
    write(folder, many, aggregation=how, keep_ties=True, pairs_per_prompt=3, test_fraction=0.3)
    paths = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".svg" for path in paths) and len(paths) > 6
    print(address([describe(folder, path) for path in paths]))
"""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(BASE_DIR), "DJANGO_SETTINGS_MODULE": "tests.settings"}
    code = "import django; django.setup()\n" + code
    elsewhere = tmp_path / "某处"
    elsewhere.mkdir()
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, tmp_path / "out", *EVERYWHERE],
        env={**environment, **own},
        cwd=elsewhere,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == list(EVERYWHERE.values())


def test_the_bytes_of_a_version_do_not_change_between_releases_unseen(tmp_path):
    """If this is meant, write the new hash here and raise FORMAT: versions built from now on have another sha256."""
    write(tmp_path, [record(1, [1, 2, 3, 4], [1, 2, 4, 3]), record(2, [1, 1, 2, None])])
    hashes = {name: hashlib.sha256((tmp_path / f"{name}.jsonl").read_bytes()).hexdigest()[:16] for name in PINNED}
    assert hashes == PINNED


def test_reward_models_learn_from_the_soft_labels_that_pairs_show(tmp_path):
    from rewardmodel.training.data import read_rankings

    write(tmp_path, [record(1, [1, 2, 3, 4], [2, 1, 3, 4], [1, 3, 2, 4])], aggregation="consensus")
    [comparison] = read_rankings(tmp_path).train
    shown = {(row["chosen_response"], row["rejected_response"]): row["preference"] for row in rows(tmp_path, "pairs")}
    for edge in comparison.edges["helpfulness"]:
        pair, p = ((edge.i, edge.j), edge.p) if edge.p > 0.5 else ((edge.j, edge.i), 1 - edge.p)
        assert shown[f"r{pair[0]}", f"r{pair[1]}"] == pytest.approx(p)
