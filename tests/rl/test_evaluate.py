import json

import pytest
import torch

from lm.loading import load_policy
from lm.prefix import Group, response_logprobs
from rl.training.work import work
from runs.child import RunDir, Stopped, UserError
from tests.rl.worlds import events, prompts, result, write_jsonl, write_run


def responses(count=4, each=2, text="yes yes"):
    return [
        {
            "id": f"{prompt['id']}-{member}",
            "prompt_id": prompt["id"],
            "messages": prompt["messages"],
            "text": f"{text} {member}",
            "finish_reason": "stop" if member else "length",
        }
        for prompt in prompts(count)
        for member in range(each)
    ]


@pytest.fixture(scope="module")
def policy(tmp_path_factory, tiny, dataset):
    """An adapter that DPO made."""
    directory = tmp_path_factory.mktemp("policy") / "run"
    config = {"algorithm": "dpo", "learning_rate": 1e-2, "epochs": 2, "lora": {"rank": 4}, "sample_every": 0}
    work(RunDir(write_run(directory, config, dataset=dataset, model=tiny)))
    return directory / "output"


def start(tmp_path, judge, tiny, rows, name="run", config=None, **inputs):
    tmp_path.joinpath(name).mkdir()
    file = write_jsonl(tmp_path / name / "responses.jsonl", rows)
    config = {"algorithm": "evaluate", "resamples": 200, **(config or {})}
    inputs = {"model": str(tiny), "adapter": None, "reference": {"model": str(tiny), "adapter": None}} | inputs
    return write_run(tmp_path / name / "run", config, responses=file, reward_model=judge, **inputs)


def scores(directory, name="scores.jsonl"):
    return [json.loads(line) for line in (directory / "output" / name).read_text().splitlines()]


def test_kl_is_the_difference_of_log_probs_under_policy_and_reference(tmp_path, judge, tiny, policy):
    rows = responses()
    directory = start(tmp_path, judge, tiny, rows, adapter=str(policy))
    work(RunDir(directory))
    found = scores(directory)
    assert [row["id"] for row in found] == [row["id"] for row in rows]
    adapted, chat = load_policy(str(tiny), adapter=policy)
    plain, _ = load_policy(str(tiny))
    for row, line in zip(rows, found, strict=True):
        ids = chat.response_ids(row["text"])
        ids = ids if row["finish_reason"] == "stop" else ids[:-1]
        group = [Group(chat.prompt_ids(row["messages"]), [ids])]
        with torch.no_grad():
            [[mine]], [[its]] = response_logprobs(adapted, group), response_logprobs(plain, group)
        assert line["kl"] == pytest.approx(float((mine - its).sum()), abs=1e-4)
        assert line["kl_k3_per_token"] == pytest.approx(
            float((torch.exp(its - mine) - 1 + mine - its).mean()), abs=1e-4
        )
        assert line["tokens"] == len(ids)


def test_rewards_are_those_of_the_reward_model(tmp_path, judge, tiny):
    from rewardmodel.training.scoring import load_scorer

    rows = responses(2)
    directory = start(tmp_path, judge, tiny, rows)
    work(RunDir(directory))
    scorer = load_scorer(judge)
    for row, line in zip(rows, scores(directory), strict=True):
        [[[expected]]] = scorer.rewards([(row["messages"], [row["text"]])])
        assert line["reward"] == line["reward/helpfulness"] == pytest.approx(expected, abs=1e-4)


def test_a_policy_that_is_its_reference_has_kl_zero_and_an_interval_over_prompts(tmp_path, judge, tiny):
    directory = start(tmp_path, judge, tiny, responses(4, 3))
    work(RunDir(directory))
    figures = result(directory)["policy"]
    assert figures["kl"] == {"value": 0.0, "low": 0.0, "high": 0.0, "n": 12, "prompts": 4}
    reward = figures["reward"]
    assert reward["low"] <= reward["value"] <= reward["high"]
    assert figures["eos_rate"]["value"] == pytest.approx(2 / 3)
    assert result(directory)["difference"] is None
    assert events(directory)[0]["data"]["reward"] == reward["value"]


def test_the_references_own_responses_give_a_paired_difference(tmp_path, judge, tiny, policy):
    before = write_jsonl(tmp_path / "before.jsonl", responses(text="no zzz"))
    directory = start(tmp_path, judge, tiny, responses(), adapter=str(policy), reference_responses=before)
    work(RunDir(directory))
    found = result(directory)
    gap = found["policy"]["reward"]["value"] - found["reference"]["reward"]["value"]
    assert found["difference"]["reward"]["value"] == pytest.approx(gap, abs=1e-6)
    assert "kl" not in found["difference"]
    assert len(scores(directory, "reference_scores.jsonl")) == 8


def test_without_weights_there_is_a_reward_and_no_kl(tmp_path, judge, tiny):
    directory = start(tmp_path, judge, tiny, responses(), model=None)
    work(RunDir(directory))
    assert "kl" not in result(directory)["policy"] and result(directory)["kl_compared"] is False
    assert all(row["kl"] is None and row["reward"] is not None for row in scores(directory))
    assert any("No KL" in event["data"]["message"] for event in events(directory, "log"))


def test_an_evaluation_stops_when_asked(tmp_path, judge, tiny):
    run = RunDir(start(tmp_path, judge, tiny, responses()))
    run.stop_requested = True
    with pytest.raises(Stopped):
        work(run)
    assert not (run.path / "result.json").exists()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no responses"),
        ([{"text": "Hi", "messages": []}], "line 1"),
        ([{"messages": prompts(1)[0]["messages"]}], "text"),
    ],
)
def test_responses_that_cannot_be_read_are_refused(tmp_path, judge, tiny, rows, message):
    with pytest.raises(UserError, match=message):
        work(RunDir(start(tmp_path, judge, tiny, rows)))
