"""The quality page in words: what each figure is, what is good, and what each flag means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from config.templatetags.plumbline import percent


@dataclass(frozen=True, slots=True)
class Statistic:
    """label: its name. what: one or two sentences. of: what it is counted from. share: shown in per cent."""

    label: str
    what: str
    of: str
    share: bool = False


@dataclass(frozen=True, slots=True)
class Flag:
    """label: a few words. what: what was measured, and what to do. tone: of its badge."""

    label: str
    what: str
    tone: str = "warn"


STATISTICS = {
    "strict": Statistic(
        "Agreement, ties aside",
        "Of every two annotators who both put one response of a pair before the other: how often they put the "
        "same one first.",
        "couples of judgements of a pair",
        share=True,
    ),
    "ties": Statistic(
        "Agreement, ties counted",
        "The same with three outcomes: the first is better, a tie, the second is better. Chance depends on "
        "how many ties "
        "there are.",
        "couples of judgements of a pair",
        share=True,
    ),
    "alpha": Statistic(
        "Krippendorff’s alpha, nominal",
        "Agreement on the three outcomes beyond chance: 0 is chance, 1 is full agreement, below 0 is worse "
        "than chance. "
        "Any number of annotators, any gaps.",
        "pairs judged at least twice",
    ),
    "alpha_ordinal": Statistic(
        "Krippendorff’s alpha, ordinal",
        "The same, with a tie halfway: first against second is a worse disagreement than either against a tie.",
        "pairs judged at least twice",
    ),
    "fleiss": Statistic(
        "Fleiss’ kappa",
        "Agreement beyond chance, each pair counting once however many judged it.",
        "pairs judged at least twice",
    ),
    "cohen": Statistic(
        "Cohen’s kappa, mean",
        "Cohen’s kappa of every two annotators who share at least 20 pairs (at most the 40 who share most), "
        "averaged by the "
        "pairs they share.",
        "pairs shared",
    ),
    "cohen_linear": Statistic(
        "Cohen’s kappa, weighted",
        "The same with linear weights: a tie against a preference is half a disagreement.",
        "pairs shared",
    ),
    "tau": Statistic(
        "Kendall’s tau-b, mean",
        "Correlation of two annotators’ rankings of the same responses, corrected for ties: 1 the same order, "
        "0 unrelated, "
        "−1 reversed.",
        "couples of rankings",
    ),
    "w": Statistic(
        "Kendall’s W, mean",
        "How much of the rankings’ spread their mean keeps: 1 is one order for all. Random rankings of m "
        "annotators give 1/m.",
        "comparisons",
    ),
}

FLAGS = {
    "against": Flag(
        "against the others",
        "The whole interval of the reliability lies below one half: the orders run against what others see. "
        "Perhaps best and "
        "worst were mixed up; ask before you trust or withdraw the work.",
        "bad",
    ),
    "random": Flag(
        "like a coin",
        "The reliability cannot be told from that of a coin, after 30 pairs or more that others judged too.",
        "bad",
    ),
    "weak": Flag("weak", "Better than a coin, but the whole interval of the reliability lies below 0.7."),
    "gold": Flag(
        "misses gold", "The whole interval of the accuracy on gold lies below the project’s threshold.", "bad"
    ),
    "fast": Flag(
        "very fast", "Seconds per word are more than three robust standard deviations below those of the others."
    ),
    "slow": Flag(
        "very slow", "Seconds per word are more than three robust standard deviations above those of the others."
    ),
    "first": Flag("favours the first", "The response shown first wins more often than chance allows (99 % interval)."),
    "not_first": Flag(
        "avoids the first", "The response shown first wins less often than chance allows (99 % interval)."
    ),
    "longer": Flag("favours long", "Prefers the longer response by far more than the others do."),
    "shorter": Flag("favours short", "Prefers the shorter response by far more than the others do."),
}

GROUPS = {"human": "People", "simulated": "Simulated annotators"}
STRENGTHS = {"0": "not said", "1": "slightly better", "2": "better", "3": "much better"}


def statistic_text(row: dict[str, Any]) -> str:
    """`83.1 % [80.2 %, 85.9 %]` or `0.29 [0.27, 0.31]`; a dash where it cannot be told."""
    if row["value"] is None:
        return "–"
    show = percent if STATISTICS[row["key"]].share else two
    if row["low"] is None:
        return show(row["value"])
    return f"{show(row['value'])} [{show(row['low'])}, {show(row['high'])}]"


def two(value: float) -> str:
    """Two decimals and a real minus sign."""
    return f"{value:.2f}".replace("-", "−")
