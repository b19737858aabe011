"""A whole reward-model run: read, train, save, and measure what was saved."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import torch
from pydantic import ValidationError

from lm.about import licence_of, public_name
from lm.config import VIRTUAL
from lm.processes import World
from rewardmodel.training.card import README, model_card
from rewardmodel.training.config import RewardConfig
from rewardmodel.training.data import (
    RANKINGS,
    Comparison,
    Encoded,
    Rankings,
    encode,
    fitting_lengths,
    held_aside,
    read_rankings,
    sha256_of,
)
from rewardmodel.training.ensembles import disagreement, member_accuracies
from rewardmodel.training.evaluate import accuracy, by_length, head_to_head, moments, shares_won
from rewardmodel.training.length import pooled_correlation
from rewardmodel.training.model import RewardNet, batch_tokens, new_reward_net, saved_dtype
from rewardmodel.training.objective import mean_loss
from rewardmodel.training.saving import save_net
from rewardmodel.training.scoring import CARD, Scorer, load_scorer
from rewardmodel.training.train import Trainer, shuffled
from runs.child import RunDir, Stopped, UserError, write_json

FORMAT = "plumbline-reward-model/1"

# Training comparisons scored after training: enough for the shift (its error is below a tenth of the scores' spread)
# and a training accuracy to hold the held-out one against, at little cost.
TRAIN_SAMPLE = 64
SAMPLES_SHOWN = 4

MemberScores = list[list[list[list[float]]]]
"""[comparison][K][member][dimension]"""


def train_reward_model(run: RunDir) -> None:
    """Train on inputs {"dataset", "model", "adapter", "models_dir"} and leave a reward model in `run.output`.

    All figures of result.json are of the saved directory, loaded again. Of several processes all train, and the main
    one saves and measures.
    """
    try:
        config = RewardConfig.model_validate(run.config)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "config"
        raise UserError(f"The configuration is not valid: {where}: {first['msg']}.") from error
    try:
        world = World.join()
    except ValueError as error:
        raise UserError(str(error)) from error
    try:
        _train(run, config, world)
    finally:
        world.leave()


def _train(run: RunDir, config: RewardConfig, world: World) -> None:
    rankings = read_rankings(run.inputs["dataset"], config.dimensions)
    run.progress(0, 0, "loading the model")
    net = new_reward_net(
        config,
        rankings.dimensions,
        run.inputs["model"],
        adapter=run.inputs.get("adapter"),
        models_dir=run.inputs.get("models_dir"),
    )
    limits = _limits(config, net)
    train = [encode(comparison, net.chat, **limits) for comparison in rankings.train]
    test = [encode(comparison, net.chat, **limits) for comparison in rankings.test]
    cuts = _count_cuts(train + test)
    validation: list[Encoded] = []
    if config.patience:
        train, validation = held_aside(train, config.validation_share)
    run.log(
        "Read the dataset.", train=len(train), test=len(test), dimensions=list(rankings.dimensions), **cuts, **limits
    )
    trainer = Trainer(run, config, net, train, test, validation=validation, world=world)
    trainer.fit()
    more: dict[str, Any] = {
        "steps": trainer.step,
        "kept_step": trainer.kept_step,
        "stopped_early": trainer.stopped_early,
        "aside": {"validation": len(validation)} if validation else {},
        "trainable_parameters": sum(value.numel() for value in trainer.parameters.values()),
    }
    if config.length_control == "odin" and test:
        whole = [values.mean(dim=1).tolist() for values in trainer.measured(test, whole=True)]
        more["with_length_head"] = _length_correlations(test, whole, rankings.dimensions)
    if not run.is_main:
        return

    steps = trainer.step
    run.progress(steps, steps, "saving")
    shutil.rmtree(run.output, ignore_errors=True)
    run.output.mkdir(parents=True)
    saved = save_net(net, run.output, saved_dtype(config))
    card = {**_card(run, config, rankings), **limits, **saved}
    write_json(run.output / CARD, {**card, "shift": dict.fromkeys(rankings.dimensions, 0.0)})
    del trainer, net
    run.progress(steps, steps, "measuring")
    _measure(run, config, rankings, card, cuts, train, test, more)


def _measure(
    run: RunDir,
    config: RewardConfig,
    rankings: Rankings,
    card: dict[str, Any],
    cuts: dict[str, int],
    train: Sequence[Encoded],
    test: Sequence[Encoded],
    more: dict[str, Any],
) -> None:
    """Score with the saved model, complete its card with the shift, and write the result."""
    scorer = load_scorer(run.output)
    sample = [train[index] for index in shuffled(len(train), config.seed)[:TRAIN_SAMPLE]]
    chosen = [item.comparison for item in sample]
    train_members, test_members = (_score(scorer, items, config, run) for items in (sample, test))
    train_scores, test_scores = _means(train_members), _means(test_members)
    dimensions = rankings.dimensions
    mean, std = moments([*train_scores, *test_scores], dimensions)
    card = {**card, "shift": mean, "std": std}
    write_json(run.output / CARD, card)

    def loss(scores: list[list[list[float]]], comparisons: Sequence[Comparison]) -> float | None:
        if not comparisons:
            return None
        return mean_loss([torch.tensor(rows) for rows in scores], comparisons, dimensions, config)

    held_out = accuracy(rankings.test, test_scores, dimensions)
    lengths = by_length(rankings.test, dimensions)
    measured, by = (test, test_scores) if test else (sample, train_scores)
    result: dict[str, Any] = {
        "accuracy": held_out,
        "train_accuracy": accuracy(chosen, train_scores, dimensions),
        "baseline_longer": accuracy(rankings.test, lengths, dimensions),
        "better_than_longer": head_to_head(rankings.test, test_scores, lengths, dimensions),
        "interval": "95% Wilson interval at the effective sample size, pairs clustered by prompt",
        "loss": loss(test_scores, rankings.test),
        "train_loss": loss(train_scores, chosen),
        "score_mean": mean,
        "score_std": std,
        "length_correlation": {
            "scores": _length_correlations(measured, by, dimensions),
            "preferences": _length_correlations(
                measured, shares_won([item.comparison for item in measured], dimensions), dimensions
            ),
        },
        "comparisons": {
            "train": len(train),
            "test": len(rankings.test),
            "train_measured": len(chosen),
            **more.pop("aside"),
        },
        "cuts": cuts,
        "dimensions": list(dimensions),
        "members": scorer.members,
    }
    if "with_length_head" in more:
        result["length_correlation"]["with_length_head"] = more.pop("with_length_head")
    if scorer.members > 1:
        result["member_accuracy"] = member_accuracies(rankings.test, test_members, dimensions)
        result["disagreement"] = disagreement(rankings.test, test_members, dimensions)
    (run.output / README).write_text(model_card(card, result | more, _about(run)), encoding="utf-8")
    run.result(**result, **more)
    final = {f"test_accuracy/{dimension}": each["value"] for dimension, each in held_out.items()}
    if held_out:
        run.metrics(more["steps"], test_loss=result["loss"] or 0.0, **final)
    _show_samples(run, scorer, rankings.test or chosen, test_scores or train_scores, mean, more["steps"])


def _score(scorer: Scorer, items: Sequence[Encoded], config: RewardConfig, run: RunDir) -> MemberScores:
    conversations = [(item.comparison.prompt, item.comparison.responses) for item in items]
    try:
        return scorer.member_scores(
            conversations, batch_tokens=4 * batch_tokens(config), stop=lambda: run.stop_requested
        )
    except InterruptedError:
        raise Stopped from None  # the checkpoint of the last step is there; only saving and measuring are done again


def _means(scores: MemberScores) -> list[list[list[float]]]:
    """[comparison][K][dimension], the mean over members."""
    return [torch.tensor(rows, dtype=torch.float64).mean(dim=1).tolist() for rows in scores]


def _length_correlations(
    items: Sequence[Encoded], scores: Sequence[Sequence[Sequence[float]]], dimensions: Sequence[str]
) -> dict[str, float | None]:
    """By dimension, over the comparisons judged on it: correlation of score and length within comparisons."""
    found = {}
    for column, dimension in enumerate(dimensions):
        judged = [(item, rows) for item, rows in zip(items, scores, strict=True) if dimension in item.comparison.edges]
        found[dimension] = pooled_correlation(
            [[row[column] for row in rows] for _, rows in judged],
            [[len(response) for response in item.group.responses] for item, _ in judged],
        )
    return found


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
        "config": json.loads(config.model_dump_json()),
        "versions": {name: version(name) for name in ("torch", "transformers", "peft")},
    }


def _about(run: RunDir) -> dict[str, Any]:
    """What the model card says beside the figures; by hand there may be nothing but the base model's name."""
    base = str(run.inputs["model"])
    known = {"run": run.spec.get("run"), **run.inputs.get("about", {})}
    return {**known, "public_base": public_name(base), "licence": licence_of(base, run.inputs.get("models_dir"))}


def _limits(config: RewardConfig, net: RewardNet) -> dict[str, int]:
    """The lengths that texts are cut to, in training and in all later scoring."""
    context = getattr(net.classifier.config, "max_position_embeddings", None)
    virtual = config.virtual_tokens if config.method in VIRTUAL else 0
    prompt, response = fitting_lengths(
        context, prompt=config.max_prompt_tokens, response=config.max_response_tokens, virtual=virtual
    )
    return {"max_prompt_tokens": prompt, "max_response_tokens": response}


def _count_cuts(items: Sequence[Encoded]) -> dict[str, int]:
    return {
        "prompts_cut": sum(item.prompt_cut for item in items),
        "responses_cut": sum(item.responses_cut for item in items),
        "responses_empty": sum(item.responses_empty for item in items),
    }
