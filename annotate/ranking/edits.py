"""Responses that annotators improved. They are kept beside what models wrote, with what they were made from."""

from __future__ import annotations

from collections.abc import Mapping

from annotate.generation.models import Generator, Response
from annotate.generation.outcome import text_hash
from annotate.ranking.answer import Answer, storable
from annotate.ranking.models import Assignment

EDITS = "Edits by annotators"


def edit_changes(edit: Mapping[str, str]) -> bool:
    """Whether the text differs from the response it began as; space around it does not count."""
    original = Response.objects.values_list("text", flat=True).get(pk=edit["response"])
    return storable(original).strip() != edit["text"].strip()


def edit_keep(assignment: Assignment, answer: Answer) -> Response | None:
    """The edited response of a complete answer, made now unless the same edit is there; None without an edit.

    The same text made from another response is another edit: what it was made from is half of what it says.
    """
    if answer.edit is None:
        return None
    generator, _ = Generator.objects.get_or_create(name=EDITS, defaults={"kind": Generator.Kind.EDIT})
    response, _ = Response.objects.get_or_create(
        prompt_id=assignment.comparison.prompt_id,
        generator=generator,
        run=None,
        edited_from_id=int(answer.edit["response"]),
        content_hash=text_hash(answer.edit["text"]),
        defaults={"text": answer.edit["text"]},
    )
    return response
