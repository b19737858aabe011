"""What a project lets its annotators say, and the answers they gave under these rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError

from annotate.ranking.answer import Answer, AnswerError
from annotate.ranking.models import Assignment, Judgement


def answer_read(assignment: Assignment, data: Mapping[str, Any], *, complete: bool = True) -> Answer:
    """The answer in `data`, checked against the assignment's dimensions and responses; ValidationError if not right."""
    dimensions = {d.key: d.label for d in assignment.comparison.project.dimensions.all()}
    try:
        return Answer.read(data, dimensions=dimensions, responses=assignment.display_order, complete=complete)
    except AnswerError as error:
        raise ValidationError(error.complaints) from None


def answer_of(judgement: Judgement) -> Answer:
    """What a judgement says."""
    return Answer(**{name: getattr(judgement, name) for name in Answer.__slots__})
