"""What an annotator hears about a gold comparison after the answer, where the project wants it heard."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.safestring import SafeString

from annotate.gold.selectors import feedback_for
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
    """`feedback_for` in the words of the page; None where there is none."""
    judgement.comparison = comparison  # with its project and dimensions, so that nothing is fetched again
    known = feedback_for(judgement)
    if known is None:
        return None
    names = letters(judgement.display_order)
    labels = {d.key: in_language(d.label) for d in comparison.project.dimensions.all()}
    orders = [
        (label, standing(judgement.rankings.get(key, {}), names), standing(known["rankings"][key], names))
        for key, label in labels.items()
        if known["rankings"].get(key)
    ]
    explanation = render_markdown(known["explanation"]) if known["explanation"] else ""
    return Feedback(known["score"], orders, explanation, comparison.prompt.question)
