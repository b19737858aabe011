"""What an annotator hears about a gold comparison after the answer, where the project wants it heard."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.safestring import SafeString

from annotate.ranking.models import Comparison, Judgement
from annotate.ranking.presets import in_language
from annotate.ranking.sanitise import render_markdown
from annotate.ranking.selectors import letters, standing


@dataclass(frozen=True, slots=True)
class Feedback:
    """score: share of the reference's ordered pairs that the answer orders the same way, 0 to 1.

    orders: [(label of the dimension, the annotator's order, the reference's)], in the letters the annotator saw.
    """

    score: float
    orders: list[tuple[str, str, str]]
    explanation: SafeString | str
    question: str


def feedback_of(judgement: Judgement, comparison: Comparison) -> Feedback | None:
    """None for work, which has no reference, and where the project keeps its gold to itself."""
    if comparison.purpose == Comparison.Purpose.WORK or not comparison.project.gold_feedback:
        return None
    gold = getattr(comparison, "gold", None)
    if gold is None or judgement.gold_score is None:
        return None
    names = letters(judgement.display_order)
    labels = {d.key: in_language(d.label) for d in comparison.project.dimensions.all()}
    orders = [
        (label, standing(judgement.rankings.get(key, {}), names), standing(gold.rankings[key], names))
        for key, label in labels.items()
        if gold.rankings.get(key)
    ]
    explanation = render_markdown(gold.explanation) if gold.explanation else ""
    return Feedback(judgement.gold_score, orders, explanation, comparison.prompt.question)
