"""The trainer: the same step however it is cut, the same weights however it is interrupted."""

import math

import pytest
import torch
from safetensors.torch import load_file

from lm.prefix import Group
from rewardmodel.training.objective import comparison_loss
from runs.child import UserError
from tests.rewardmodel.trainers import LORA, assert_same, trainer_for, weights
from tests.rewardmodel.worlds import easy_rows, events, row, write_dataset


def test_comparisons_with_more_pairs_pull_no_harder(tmp_path, tiny):
    """The step's loss is the mean over comparisons, not over pairs, also when each is a forward of its own."""
    rows = [row("1", "Hi", ["a", "b"], [[1, 2]]), row("2", "Ho", ["c", "d", "e", "f"], [[1, 2, 3, 4]])]
    trainer = trainer_for(tmp_path / "run", write_dataset(tmp_path / "data", rows), tiny, batch_tokens=16)
    with torch.no_grad():
        each = [
            comparison_loss(
                trainer.net.scores([item.group])[0], item.comparison, trainer.net.dimensions, trainer.config
            )
            for item in trainer.train
        ]
    assert trainer.learn(trainer.train).loss == pytest.approx((each[0] + each[1]).item() / 2, abs=1e-5)


def test_a_comparison_judged_three_times_counts_three_times(tmp_path, tiny):
    rows = [row("1", "Hi", ["a", "b"], [[1, 2]]), row("2", "Ho", ["c", "d"], [[1, 2], [1, 2], [1, 2]])]
    trainer = trainer_for(tmp_path / "run", write_dataset(tmp_path / "data", rows), tiny)
    with torch.no_grad():
        one, three = (trainer.net.scores([item.group])[0][:, 0] for item in trainer.train)
    expected = (math.log1p(math.exp(one[1] - one[0])) + 3 * math.log1p(math.exp(three[1] - three[0]))) / 4
    assert trainer.learn(trainer.train).loss == pytest.approx(expected, abs=1e-5)


def test_a_dimension_that_nobody_judged_leaves_its_score_alone(tmp_path, dataset_of_two, tiny):
    trainer = trainer_for(tmp_path / "run", dataset_of_two, tiny, dimensions=["helpfulness", "harmlessness"])
    scores = torch.randn(3, 2, requires_grad=True)
    comparison = trainer.train[0].comparison
    del comparison.edges["harmlessness"]
    comparison_loss(scores, comparison, trainer.net.dimensions, trainer.config).backward()
    assert scores.grad[:, 0].abs().sum() > 0
    assert scores.grad[:, 1].abs().sum() == 0


@pytest.mark.parametrize("changes", [{"loss": "plackett_luce"}, {"centering": 0.01, "label_smoothing": 0.1}, {}])
def test_training_learns_what_the_rankings_say(tmp_path, dataset, tiny, changes):
    trainer = trainer_for(tmp_path / "run", dataset, tiny, epochs=10, schedule="constant", **changes)
    trainer.fit()
    steps = events(tmp_path / "run")
    assert steps[-1]["data"]["accuracy"] == 1.0
    assert steps[-1]["data"]["loss"] < 0.6 * steps[0]["data"]["loss"]


def test_the_order_of_comparisons_changes_by_epoch_and_covers_each_once(tmp_path, dataset, tiny):
    trainer = trainer_for(tmp_path / "run", dataset, tiny, epochs=2, comparisons_per_step=5)
    names = [item.comparison.id for step in range(trainer.total_steps) for item in trainer.batch_at(step)]
    assert len(names) == 24
    assert sorted(names[:12]) == sorted(names[12:]) == sorted(item.comparison.id for item in trainer.train)
    assert names[:12] != names[12:]


def test_a_checkpoint_of_other_settings_is_refused(tmp_path, dataset, tiny):
    trainer_for(tmp_path / "run", dataset, tiny).fit()
    with pytest.raises(UserError, match="another model"):
        trainer_for(tmp_path / "run", dataset, tiny, lora={"rank": 8}).fit()
    with pytest.raises(UserError, match="Start a new run"):
        trainer_for(tmp_path / "run", dataset, tiny, epochs=5).fit()


def test_a_loss_that_is_not_a_number_stops_and_names_the_comparisons(tmp_path, dataset, tiny):
    trainer = trainer_for(tmp_path / "run", dataset, tiny, epochs=4, checkpoint_every=1)
    outputs = trainer.net.outputs
    poisoned = trainer.batch_at(3)[1]

    def broken(groups, stream=0):
        found = outputs(groups, stream)
        return [
            values * math.nan if group is poisoned.group and trainer.step == 3 else values
            for group, values in zip(groups, found, strict=True)
        ]

    trainer.net.outputs = broken
    with pytest.raises(UserError) as caught:
        trainer.fit()
    assert f"The loss of step 4 is not a number, on comparisons {poisoned.comparison.id}." in str(caught.value)
    assert "checkpoint of step 3 is kept" in str(caught.value)
    step, folder = trainer.run.latest_checkpoint()
    assert step == 3
    assert all(torch.isfinite(value).all() for value in load_file(folder / "state.safetensors").values())


def test_a_diverging_learning_rate_is_reported_and_not_followed(tmp_path, dataset, tiny):
    trainer = trainer_for(
        tmp_path / "run",
        dataset,
        tiny,
        epochs=20,
        learning_rate=1.0,
        method="full",
        max_grad_norm=1e6,
        warmup_ratio=0.0,
    )
    with torch.no_grad():
        for parameter in trainer.parameters.values():
            parameter.mul_(1e30)
    with pytest.raises(UserError, match=r"not a number.*Lower the learning rate"):
        trainer.fit()


def test_scores_start_near_one_in_size(tmp_path, dataset, tiny):
    """The head is drawn from N(0, 1/(d + 1)) by the seed, so normalised hidden states give scores of about one."""
    first, again, other = (trainer_for(tmp_path / str(i), dataset, tiny, seed=seed) for i, seed in enumerate((1, 1, 2)))
    head = [each.net.classifier.score.weight for each in (first, again, other)]
    assert head[0].std().item() == pytest.approx(33**-0.5, rel=0.5)
    assert torch.equal(head[0], head[1])
    assert not torch.equal(head[0], head[2])
    assert first.net.classifier.score.bias is None


def test_one_forward_scores_what_separate_sequences_score(tmp_path, dataset, tiny):
    trainer = trainer_for(tmp_path / "run", dataset, tiny)
    groups = [item.group for item in trainer.train[:4]]
    with torch.no_grad():
        shared = trainer.net.scores(groups)
        plain = [
            torch.cat([trainer.net.scores([Group(group.prompt, [ids])], shared=False)[0] for ids in group.responses])
            for group in groups
        ]
    for ours, theirs in zip(shared, plain, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def test_the_loss_of_one_forward_has_the_gradients_of_separate_sequences(tmp_path, dataset, tiny):
    trainer = trainer_for(tmp_path / "run", dataset, tiny, method="full")
    items = trainer.train[:3]

    def gradients(scores):
        losses = [
            comparison_loss(each, item.comparison, trainer.net.dimensions, trainer.config)
            for each, item in zip(scores, items, strict=True)
        ]
        return torch.autograd.grad(torch.stack(losses).sum(), list(trainer.parameters.values()))

    apart = [
        torch.cat(
            [trainer.net.scores([Group(item.group.prompt, [ids])], shared=False)[0] for ids in item.group.responses]
        )
        for item in items
    ]
    together = trainer.net.scores([item.group for item in items])
    for ours, theirs in zip(gradients(together), gradients(apart), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_held_out_accuracy_is_measured_on_the_way(tmp_path, dataset, tiny):
    trainer_for(tmp_path / "run", dataset, tiny, epochs=4, comparisons_per_step=12, evaluate_every=2).fit()
    measured = [event for event in events(tmp_path / "run") if "test_loss" in event["data"]]
    assert [event["step"] for event in measured] == [2]
    assert 0 <= measured[0]["data"]["test_accuracy/helpfulness"] <= 1


def test_evaluating_does_not_change_the_training(tmp_path, dataset, tiny):
    settings = {"epochs": 3, "lora": {**LORA, "dropout": 0.3}}
    silent = trainer_for(tmp_path / "silent", dataset, tiny, **settings)
    silent.fit()
    watched = trainer_for(tmp_path / "watched", dataset, tiny, evaluate_every=1, **settings)
    watched.fit()
    assert_same(weights(silent), weights(watched))


def test_no_held_out_comparisons_is_no_obstacle(tmp_path, tiny):
    data = write_dataset(tmp_path / "data", easy_rows(train=4, test=0))
    trainer = trainer_for(tmp_path / "run", data, tiny, evaluate_every=1, epochs=2)
    trainer.fit()
    assert trainer.step == trainer.total_steps == 2
