"""What the policy says now: the same few prompts, with the same seeds, answered again and again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from lm.config import Sampling
from lm.sampler import sample
from rewardmodel.training.interrupt import Interrupted
from rl.training.actor import Actor
from rl.training.prompts import Prompt
from runs.child import RunDir


def show_samples(
    run: RunDir,
    actor: Actor,
    prompts: Sequence[Prompt],
    sampling: Sampling,
    step: int,
    seed: int,
    rewards: Callable[[list[Prompt], list[str], list[int]], list[float]] | None = None,
) -> None:
    """Answer `prompts` once each and record a sample event for each; with `rewards`, its reward too.

    Raises Interrupted once the run is asked to stop.
    """
    if not prompts:
        return
    seeds = [seed + index for index in range(len(prompts))]
    with actor.autocast():
        answers = sample(
            actor.model,
            actor.chat,
            [prompt.ids for prompt in prompts],
            1,
            sampling,
            seeds,
            stop=lambda: run.stop_requested,
        )
    if not all(answers):
        raise Interrupted
    texts = [actor.chat.text(one.ids) for [one] in answers]
    scored = rewards(list(prompts), texts, [len(one.ids) for [one] in answers]) if rewards else None
    for index, (prompt, text, [one]) in enumerate(zip(prompts, texts, answers, strict=True)):
        more: dict[str, Any] = {"reward": round(scored[index], 4)} if scored else {}
        run.sample(
            step,
            prompt=prompt.question,
            prompt_id=prompt.id,
            response=text,
            tokens=len(one.ids),
            finished=one.finished,
            **more,
        )


@contextlib.contextmanager
def undisturbed(model: Any):  # type: ignore[no-untyped-def]
    """Within, `model` is in evaluation mode; afterwards as it was."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
