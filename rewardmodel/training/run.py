"""A whole reward-model run: read, train, save, and measure what was saved."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import torch
from pydantic import ValidationError

from rewardmodel.training.config import RewardConfig
from rewardmodel.training.data import RANKINGS, Comparison, Encoded, Rankings, encode, read_rankings, sha256_of
from rewardmodel.training.evaluate import accuracy, by_length, head_to_head, moments
from rewardmodel.training.model import batch_tokens, new_reward_net, saved_dtype
from rewardmodel.training.scoring import CARD, Scorer, load_scorer
from rewardmodel.training.train import Trainer, mean_loss, shuffled
from runs.child import RunDir, Stopped, UserError, write_json

FORMAT = "plumbline-reward-model/1"

# Training comparisons scored after training: enough for the shift (its error is below a tenth of the scores' spread)
# and a training accuracy to hold the held-out one against, at little cost.
TRAIN_SAMPLE = 64
SAMPLES_SHOWN = 4


def train_reward_model(run: RunDir) -> None:
    """Train on inputs {"dataset", "model", "adapter", "models_dir"} and leave a reward model in `run.output`.

    All figures of result.json are of the saved directory, loaded again.
    """
    try:
        config = RewardConfig.model_validate(run.config)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "config"
        raise UserError(f"The configuration is not valid: {where}: {first['msg']}.") from error
    rankings = read_rankings(run.inputs["dataset"], config.dimensions)
    run.progress(0, 0, "loading the model")
    net = new_reward_net(
        config,
        rankings.dimensions,
        run.inputs["model"],
        adapter=run.inputs.get("adapter"),
        models_dir=run.inputs.get("models_dir"),
    )
    limits = {"max_prompt_tokens": config.max_prompt_tokens, "max_response_tokens": config.max_response_tokens}
    train = [encode(comparison, net.chat, **limits) for comparison in rankings.train]
    test = [encode(comparison, net.chat, **limits) for comparison in rankings.test]
    cuts = _count_cuts(train + test)
    run.log("Read the dataset.", train=len(train), test=len(test), dimensions=list(rankings.dimensions), **cuts)
    trainer = Trainer(run, config, net, train, test)
    trainer.fit()

    run.progress(trainer.total_steps, trainer.total_steps, "saving")
    net.merge(saved_dtype(config))
    shutil.rmtree(run.output, ignore_errors=True)
    run.output.mkdir(parents=True)
    net.save(run.output)
    card = _card(run, config, rankings)
    write_json(run.output / CARD, {**card, "shift": dict.fromkeys(rankings.dimensions, 0.0)})
    steps = trainer.total_steps
    del trainer, net
    run.progress(steps, steps, "measuring")
    _measure(run, config, rankings, card, cuts, steps)


def _measure(
    run: RunDir, config: RewardConfig, rankings: Rankings, card: dict[str, Any], cuts: dict[str, int], step: int
) -> None:
    """Score with the saved model, complete its card with the shift, and write the result."""
    scorer = load_scorer(run.output)
    chosen = [rankings.train[index] for index in shuffled(len(rankings.train), config.seed)[:TRAIN_SAMPLE]]
    train_scores = _score(scorer, chosen, config, run)
    test_scores = _score(scorer, rankings.test, config, run)
    dimensions = rankings.dimensions
    mean, std = moments([*train_scores, *test_scores], dimensions)
    write_json(run.output / CARD, {**card, "shift": mean, "std": std})

    def loss(scores: list[list[list[float]]], comparisons: Sequence[Comparison]) -> float | None:
        if not comparisons:
            return None
        return mean_loss([torch.tensor(rows) for rows in scores], comparisons, dimensions, config)

    held_out = accuracy(rankings.test, test_scores, dimensions)
    lengths = by_length(rankings.test, dimensions)
    run.result(
        accuracy=held_out,
        train_accuracy=accuracy(chosen, train_scores, dimensions),
        baseline_longer=accuracy(rankings.test, lengths, dimensions),
        better_than_longer=head_to_head(rankings.test, test_scores, lengths, dimensions),
        interval="95% Wilson interval at the effective sample size, pairs clustered by prompt",
        loss=loss(test_scores, rankings.test),
        train_loss=loss(train_scores, chosen),
        score_mean=mean,
        score_std=std,
        comparisons={"train": len(rankings.train), "test": len(rankings.test), "train_measured": len(chosen)},
        cuts=cuts,
        dimensions=list(dimensions),
        steps=step,
    )
    final = {f"test_accuracy/{dimension}": each["value"] for dimension, each in held_out.items()}
    if held_out:
        run.metrics(step, test_loss=loss(test_scores, rankings.test) or 0.0, **final)
    _show_samples(run, scorer, rankings.test or chosen, test_scores or train_scores, mean, step)


def _score(
    scorer: Scorer, comparisons: Sequence[Comparison], config: RewardConfig, run: RunDir
) -> list[list[list[float]]]:
    conversations = [(item.prompt, item.responses) for item in comparisons]
    try:
        return scorer.scores(conversations, batch_tokens=4 * batch_tokens(config), stop=lambda: run.stop_requested)
    except InterruptedError:
        raise Stopped from None  # the checkpoint of the last step is there; only saving and measuring are done again


def _show_samples(
    run: RunDir,
    scorer: Scorer,
    comparisons: Sequence[Comparison],
    scores: Sequence[Sequence[Sequence[float]]],
    mean: dict[str, float],
    step: int,
) -> None:
    """A few comparisons as people can read them: the responses in the order in which the model prefers them."""
    dimension = scorer.dimensions[0]
    for comparison, rows in list(zip(comparisons, scores, strict=True))[:SAMPLES_SHOWN]:
        for row, text in sorted(zip(rows, comparison.responses, strict=True), reverse=True):
            run.sample(
                step, prompt=comparison.prompt[-1]["content"], response=text, reward=round(row[0] - mean[dimension], 4)
            )


def _card(run: RunDir, config: RewardConfig, rankings: Rankings) -> dict[str, Any]:
    dataset = run.inputs["dataset"]
    return {
        "format": FORMAT,
        "dimensions": list(rankings.dimensions),
        "score": "the logit of a dimension at the end-of-turn token that closes the response; reward = score - shift",
        "base_model": str(run.inputs["model"]),
        "base_adapter": run.inputs.get("adapter"),
        "dataset_sha256": run.inputs.get("dataset_sha256") or sha256_of(f"{dataset}/{RANKINGS}"),
        "max_prompt_tokens": config.max_prompt_tokens,
        "max_response_tokens": config.max_response_tokens,
        "config": json.loads(config.model_dump_json()),
        "versions": {name: version(name) for name in ("torch", "transformers", "peft")},
    }


def _count_cuts(items: Sequence[Encoded]) -> dict[str, int]:
    return {
        "prompts_cut": sum(item.prompt_cut for item in items),
        "responses_cut": sum(item.responses_cut for item in items),
    }
