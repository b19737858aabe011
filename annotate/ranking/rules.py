"""What a project lets its annotators say, and the answers they gave under these rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError

from annotate.projects.models import Project
from annotate.ranking.answer import Answer, AnswerError, Asked, Rules
from annotate.ranking.edits import edit_changes
from annotate.ranking.models import Assignment, Judgement
from annotate.ranking.presets import in_language
from annotate.ranking.vocabulary import PROMPT_FLAGS, RESPONSE_FLAGS


def rules_of(project: Project) -> Rules:
    """The project's rules, in the reader's language; two queries, or none if what it asks is prefetched."""
    return Rules(
        task=project.task,
        dimensions={d.key: in_language(d.label) for d in project.dimensions.all()},
        strength=project.ask_strength,
        rationale=project.ask_rationale,
        edit=project.ask_edit,
        points=project.rating_points,
        attributes=tuple(Asked(a.key, a.label, a.low, a.high, a.points) for a in project.attributes.all()),
        prompt_flags=_flags(project, "prompt", PROMPT_FLAGS),
        response_flags=_flags(project, "response", RESPONSE_FLAGS),
    )


def _flags(project: Project, about: str, vocabulary: Mapping[str, Any]) -> dict[str, str]:
    """{key: label} in the reader's language: a project's own label, else the vocabulary's, else the key in words."""
    return {
        flag["key"]: str(flag.get("label") or vocabulary.get(flag["key"]) or flag["key"].replace("_", " ").capitalize())
        for flag in project.flags
        if flag.get("about") == about
    }


def answer_read(assignment: Assignment, data: Mapping[str, Any], *, complete: bool = True) -> Answer:
    """The answer in `data`, checked against the project's rules; ValidationError with field errors if not right.

    complete: False for a draft. An edit that changes nothing is no edit.
    """
    rules = rules_of(assignment.comparison.project)
    try:
        answer = Answer.read(data, rules=rules, responses=assignment.display_order, complete=complete)
    except AnswerError as error:
        raise ValidationError(error.complaints) from None
    if complete and answer.edit is not None and not edit_changes(answer.edit):
        answer = Answer(**answer.json() | {"edit": None})
    return answer


def answer_of(judgement: Judgement) -> Answer:
    """What a judgement says."""
    given = {name: getattr(judgement, name) for name in Answer.__slots__ if name != "edit"}
    edit = None
    if judgement.edit_id is not None:
        edit = {"response": str(judgement.edit.edited_from_id), "text": judgement.edit.text}
    return Answer(**given, edit=edit)
