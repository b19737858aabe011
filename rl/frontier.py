"""Reward against distance: the policy over its training beside best-of-n of the model it started from."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from config.templatetags.plumbline import number
from rl.models import PolicyRun
from runs.charts import Chart, Point, lines_chart
from runs.models import RunEvent
from runs.selectors import metric_points


@dataclass(frozen=True)
class Measurement:
    """The policy after one step: where it is drawn, and what was measured on held-out prompts."""

    x: float
    y: float
    step: int
    kl: float
    reward: float
    saved: bool


@dataclass(frozen=True)
class Frontier:
    """`chart.lines` are best-of-n, its lower and upper bounds, and the policy's way."""

    chart: Chart
    measured: list[Measurement]
    best_of_n: list[dict[str, Any]]
    verdict: str

    @property
    def most(self) -> int:
        return self.best_of_n[-1]["n"]


def frontier_of(run: PolicyRun) -> Frontier | None:
    """None for a run that measured no best-of-n, or not yet."""
    best_of_n = run.result.get("best_of_n") or _reported(run)
    points = metric_points(run) if best_of_n else {}
    rewards, kls = dict(points.get("test_reward", [])), dict(points.get("test_kl", []))
    found = [
        (int(step), kls[step], reward)
        for step, reward in rewards.items()
        if reward is not None and kls.get(step) is not None
    ]
    if not found:
        return None
    curves: list[list[Point]] = [
        [(each["kl"], each["reward"][name]) for each in best_of_n] for name in ("value", "low", "high")
    ]
    chart = lines_chart([*curves, [(kl, reward) for _, kl, reward in found]], whole=False)
    assert chart is not None
    saved = run.result.get("saved_step")
    measured = [
        Measurement(chart.frame.x(kl), chart.frame.y(reward), step, kl, reward, step == saved)
        for step, kl, reward in found
    ]
    shown = next((each for each in measured if each.saved), measured[-1])
    return Frontier(chart, measured, best_of_n, _verdict(best_of_n, shown))


def _reported(run: PolicyRun) -> list[dict[str, Any]]:
    """What a run that has not ended has said of it."""
    events = RunEvent.objects.filter(run_id=run.pk, type=RunEvent.Type.LOG, data__has_key="best_of_n").order_by("-id")
    return next((data["best_of_n"] for data in events.values_list("data", flat=True)[:1]), [])


def _verdict(best_of_n: list[dict[str, Any]], policy: Measurement) -> str:
    """How the saved policy, or the last one measured, compares with best-of-n at the same distance."""
    last = best_of_n[-1]
    said = f"At step {number(policy.step)} the policy earns {number(policy.reward)} at {number(policy.kl)} nats."
    if policy.kl > last["kl"]:
        return f"{said} Best of {last['n']} of the start model earns {number(last['reward']['value'])} at " + (
            f"{number(last['kl'])} nats, which is as far as it was measured."
        )
    at = max(policy.kl, 0.0)
    earned = _between(best_of_n, at)
    return f"{said} Best-of-n of the start model earns about {number(earned)} at that distance."


def _between(best_of_n: list[dict[str, Any]], kl: float) -> float:
    """The reward of best-of-n at a distance, on straight lines between the n that were measured."""
    for before, after in pairwise(best_of_n):
        if kl <= after["kl"]:
            share = (kl - before["kl"]) / (after["kl"] - before["kl"])
            low, high = before["reward"]["value"], after["reward"]["value"]
            return low + share * (high - low)
    return best_of_n[-1]["reward"]["value"]
