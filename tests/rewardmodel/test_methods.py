"""Every method: what it trains, the same step however it is cut, the same weights however it is interrupted, and a
directory that scores the same without our code."""

import json

import pytest
import torch
from peft import PeftModel
from pydantic import ValidationError
from transformers import AutoModelForSequenceClassification

from rewardmodel.training.config import RewardConfig
from rewardmodel.training.run import train_reward_model
from rewardmodel.training.scoring import load_scorer
from runs.child import RunDir, Stopped, UserError
from tests.rewardmodel.trainers import (
    METHODS,
    assert_same,
    settings_of,
    stop_during,
    stop_while_measuring,
    trainer_for,
    weights,
)
from tests.rewardmodel.worlds import events, write_run

CONVERSATIONS = [
    ([{"role": "user", "content": "Why?"}], ["yes yes", "", "no zzz no, and at some length besides"]),
    ([{"role": "user", "content": "Tell me of 你好."}], ["It means hello.", "x"]),
]
every_method = pytest.mark.parametrize("how", METHODS.values(), ids=METHODS)


@every_method
def test_one_forward_and_many_take_the_same_step(tmp_path, dataset_of_two, tiny, how):
    whole, single = (
        trainer_for(tmp_path / str(budget), dataset_of_two, tiny, batch_tokens=budget, **how)
        for budget in (1_000_000, 150)
    )
    reports = [
        each.learn(*(each.batch_at(0, stream) for stream in range(each.net.streams))) for each in (whole, single)
    ]
    assert reports[0].loss == pytest.approx(reports[1].loss, abs=1e-5)
    assert reports[0].grad_norm == pytest.approx(reports[1].grad_norm, rel=1e-4)
    # Adam divides by the gradient's size, so where a gradient is nearly 0 its rounding shows: a hundredth of a step.
    assert_same(weights(whole), weights(single), atol=max(1e-4, 1e-2 * whole.config.learning_rate))


@every_method
def test_a_shared_prompt_gives_the_scores_of_plain_rows(tmp_path, dataset, tiny, how):
    trainer = trainer_for(tmp_path / "run", dataset, tiny, **how)
    trainer.learn(*(trainer.batch_at(0, stream) for stream in range(trainer.net.streams)))
    trainer.net.classifier.eval()
    groups = [item.group for item in trainer.train[:3]]
    with torch.no_grad():
        shared, plain = (trainer.net.member_scores(groups, shared=shared) for shared in (True, False))
    for ours, theirs in zip(shared, plain, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


@every_method
def test_an_interrupted_training_resumes_to_the_same_weights(tmp_path, dataset, tiny, how):
    settings = {"epochs": 3, "comparisons_per_step": 4, **how, "lora": {"rank": 4, "alpha": 8.0, "dropout": 0.2}}
    whole = trainer_for(tmp_path / "whole", dataset, tiny, **settings)
    whole.fit()
    first = trainer_for(tmp_path / "cut", dataset, tiny, **settings)
    stop_during(first, step=4)
    with pytest.raises(Stopped):
        first.fit()
    assert first.run.latest_checkpoint()[0] in (4, 5)  # a head alone has no layer to stop at on the way back
    torch.manual_seed(999)  # the resumed process does not have the first one's random state
    second = trainer_for(tmp_path / "cut", dataset, tiny, **settings)
    second.fit()
    assert [event["step"] for event in events(tmp_path / "cut")] == list(range(1, 10))
    assert_same(weights(whole), weights(second))


@pytest.mark.parametrize("measured", [{"patience": 2, "validation_share": 0.4}, {}], ids=["validation", "test split"])
def test_a_training_stopped_while_it_measures_measures_again_when_it_resumes(tmp_path, dataset, tiny, measured):
    settings = {"epochs": 3, "comparisons_per_step": 3, "evaluate_every": 2, "learning_rate": 0.1, **measured}
    whole = trainer_for(tmp_path / "whole", dataset, tiny, **settings)
    whole.fit()
    first = trainer_for(tmp_path / "cut", dataset, tiny, **settings)
    stop_while_measuring(first, step=2)
    with pytest.raises(Stopped):
        first.fit()
    assert first.run.latest_checkpoint()[0] == 2
    second = trainer_for(tmp_path / "cut", dataset, tiny, **settings)
    second.fit()
    name = "validation_loss" if measured else "test_loss"
    expected, found = (
        [(event["step"], event["data"][name]) for event in events(tmp_path / each) if name in event["data"]]
        for each in ("whole", "cut")
    )
    assert found == expected and expected[0][0] == 2
    assert second.best == whole.best and second.step == whole.step
    assert_same(weights(whole), weights(second))


@every_method
def test_a_comparison_above_the_memory_budget_is_computed_twice_with_the_same_gradient(tmp_path, dataset, tiny, how):
    settings = {"comparisons_per_step": 1, **how, "lora": {"rank": 4, "alpha": 8.0, "dropout": 0.3}}
    kept, again, always = (
        trainer_for(tmp_path / name, dataset, tiny, **settings, **more)
        for name, more in {
            "kept": {"batch_tokens": 1_000_000},
            "again": {"batch_tokens": 16},
            "always": {"batch_tokens": 1_000_000, "gradient_checkpointing": "always"},
        }.items()
    )
    for trainer in (kept, again, always):
        trainer.learn(*(trainer.batch_at(0, stream) for stream in range(trainer.net.streams)))
    flags = [
        any(getattr(module, "gradient_checkpointing", False) for module in trainer.net.classifier.modules())
        for trainer in (kept, again, always)
    ]
    assert flags == [False, True, True]
    assert_same(weights(kept), weights(again), atol=1e-2 * kept.config.learning_rate)
    assert_same(weights(kept), weights(always), atol=1e-2 * kept.config.learning_rate)


@pytest.fixture(scope="module", params=METHODS, ids=list(METHODS))
def finished(request, tmp_path_factory, dataset_of_two, tiny):
    """A whole run of each method, and its last scores before anything was saved."""
    settings = settings_of(epochs=4, comparisons_per_step=4, **METHODS[request.param])
    directory = write_run(tmp_path_factory.mktemp("runs") / "1", dataset_of_two, tiny, settings)
    train_reward_model(RunDir(directory))
    return directory


def groups_of(scorer):
    return [scorer.group(messages, responses) for messages, responses in CONVERSATIONS]


def plain_scores(model, scorer):
    """Each response by itself, as somebody scores it who has nothing of ours."""
    with torch.no_grad():
        return torch.cat(
            [
                model(torch.tensor([group.prompt + response])).logits
                for group in groups_of(scorer)
                for response in group.responses
            ]
        )


def test_a_saved_model_scores_the_same_without_our_code(finished):
    folder = finished / "output"
    card = json.loads((folder / "reward.json").read_text())
    scorer = load_scorer(folder)
    members = torch.tensor([row for rows in scorer.member_scores(CONVERSATIONS) for row in rows])
    scores = torch.tensor([row for rows in scorer.scores(CONVERSATIONS) for row in rows])
    torch.testing.assert_close(members.mean(dim=1), scores, atol=1e-6, rtol=0)
    assert members.shape[1] == scorer.members == card["config"]["ensemble"]
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    if "adapter" in card:
        assert not torch.allclose(plain_scores(model, scorer), scores, atol=1e-3)
        model = PeftModel.from_pretrained(model, folder / "adapter").eval()
    if card.get("ensemble", {}).get("of") == "adapters":
        assert card["plain_score"].startswith("the first member's")
        torch.testing.assert_close(plain_scores(model, scorer), members[:, 0], atol=1e-5, rtol=0)
    else:
        torch.testing.assert_close(plain_scores(model, scorer), scores, atol=1e-5, rtol=0)


def test_what_is_saved_is_what_was_trained(finished):
    """The last checkpoint, put into a new net, scores what the saved directory scores."""
    spec = json.loads((finished / "run.json").read_text())
    trainer = trainer_for(finished, spec["inputs"]["dataset"], spec["inputs"]["model"], **spec["config"])
    trainer._resume()
    trainer.net.classifier.eval()
    scorer = load_scorer(finished / "output")
    with torch.no_grad():
        ours = torch.cat(trainer.net.member_scores(groups_of(scorer)))
    saved = torch.tensor([row for rows in scorer.member_scores(CONVERSATIONS) for row in rows])
    torch.testing.assert_close(saved, ours, atol=1e-4, rtol=0)


def test_every_method_learns_and_says_so(finished):
    result = json.loads((finished / "result.json").read_text())
    steps = [event["data"]["loss"] for event in events(finished) if "loss" in event["data"]]
    assert sum(steps[-3:]) < sum(steps[:3])
    assert result["trainable_parameters"] > 0
    assert result["train_accuracy"]["helpfulness"]["value"] > 0.5
    assert set(result["length_correlation"]) >= {"scores", "preferences"}
    if result["members"] > 1:
        assert len(result["member_accuracy"]) == result["members"]
        assert result["disagreement"]["helpfulness"]["mean"] > 0


def names(tmp_path, dataset, tiny, **settings):
    return {name.rpartition("score.")[0] or name for name in weights(trainer_for(tmp_path, dataset, tiny, **settings))}


@pytest.mark.parametrize(
    ("how", "part"),
    [
        ({"method": "dora"}, "lora_magnitude_vector"),
        ({"method": "ia3"}, "ia3_l"),
        ({"method": "prefix"}, "virtual."),
        ({"method": "bitfit"}, ".bias"),
        ({"method": "full"}, "norm.weight"),
    ],
)
def test_a_method_trains_what_it_is_named_for(tmp_path, dataset, tiny, how, part):
    assert any(part in name for name in weights(trainer_for(tmp_path / "run", dataset, tiny, **how)))


def test_the_head_alone_is_trained_where_that_is_asked(tmp_path, dataset, tiny):
    assert set(weights(trainer_for(tmp_path / "run", dataset, tiny, method="head"))) == {"score.weight"}


@pytest.mark.parametrize("method", ["lora", "ia3", "full", "bitfit"])
def test_frozen_layers_stay_as_they_are(tmp_path, dataset, tiny, method):
    trained = weights(trainer_for(tmp_path / "run", dataset, tiny, method=method, frozen_layers=1))
    assert not any(".layers.0." in name or "embed" in name for name in trained)
    assert any(".layers.1." in name for name in trained)
    with pytest.raises(UserError, match="has 2 layers"):
        trainer_for(tmp_path / "more", dataset, tiny, method=method, frozen_layers=3)


def test_four_bits_are_refused_without_a_gpu_before_anything_is_loaded(tmp_path, dataset):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    directory = write_run(tmp_path / "run", dataset, tmp_path / "no model is looked for", {"method": "qlora"})
    with pytest.raises(UserError, match=r"needs a CUDA GPU.*Choose lora"):
        train_reward_model(RunDir(directory))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"method": "prompt", "frozen_layers": 1}, "changes no layer"),
        ({"method": "full", "ensemble": 2, "ensemble_of": "adapters"}, "Choose heads"),
        ({"patience": 2}, "evaluate_every"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(how, words):
    with pytest.raises(ValidationError, match=words):
        RewardConfig.model_validate(how)


def test_a_model_without_biases_is_refused_by_bitfit(tmp_path, dataset):
    from transformers import GemmaConfig, GemmaForCausalLM

    from tests.tiny import tiny_tokenizer

    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = GemmaConfig(vocab_size=259, num_key_value_heads=1, head_dim=16, pad_token_id=0, **small)
    if getattr(config, "attention_bias", None) is False:
        del config.attention_bias
    GemmaForCausalLM(config).save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    trainer = trainer_for(tmp_path / "run", dataset, tmp_path / "model", method="bitfit")
    assert any(name.endswith("bias") for name in weights(trainer))


def test_settings_of_earlier_runs_still_load():
    config = RewardConfig.model_validate({"method": "lora", "lora": {"rank": 8, "targets": "attention"}, "epochs": 2})
    assert (config.method, config.lora.rank, config.ensemble, config.patience) == ("lora", 8, 1, 0)
