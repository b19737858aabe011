"""What the policy says now: the same few prompts, with the same seeds, answered again and again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from lm.config import Sampling
from lm.processes import ALONE, World
from lm.sampler import Sample, sample
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
    *,
    world: World = ALONE,
) -> None:
    """Answer `prompts` once each and record a sample event for each; with `rewards`, its reward too.

    Raises Interrupted once the run is asked to stop.
    """

    def answer(own: list[int]) -> list[tuple[Sample, str, float | None]]:
        asked = [prompts[index] for index in own]
        with actor.autocast():
            answers = sample(
                actor.model,
                actor.chat,
                [prompt.ids for prompt in asked],
                1,
                sampling,
                [seed + index for index in own],
                stop=lambda: run.stop_requested,
            )
        if not all(answers):
            raise Interrupted
        drawn = [one for [one] in answers]
        texts = [actor.chat.text(one.ids) for one in drawn]
        scored = rewards(asked, texts, [len(one.ids) for one in drawn]) if rewards else [None] * len(drawn)
        return list(zip(drawn, texts, scored, strict=True))

    if not prompts:
        return
    shown = world.share([len(prompt.ids) for prompt in prompts], answer, leaving=Interrupted)
    for prompt, (one, text, reward) in zip(prompts, shown, strict=True):
        more: dict[str, Any] = {} if reward is None else {"reward": round(reward, 4)}
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
