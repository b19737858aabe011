"""A project with prompts, answers and comparisons, made without any run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from annotate.generation.models import Generator, Response
from annotate.pairs import content_hash
from annotate.projects.models import Dimension, Membership, Project, Prompt
from annotate.ranking.models import Assignment, Comparison, ComparisonResponse

LETTERS = "ABCDEFGHIJKLMNOP"


def make_project(*members: object, overlap: int = 1, k: int = 4, **fields: object) -> Project:
    project = Project.objects.create(
        **{"name": "Everyday help", "slug": "everyday-help", "overlap": overlap, "k": k} | fields
    )
    Dimension.objects.create(
        project=project, key="helpfulness", label="Helpfulness", question="Which answer helps more?", position=0
    )
    Dimension.objects.create(
        project=project, key="harmlessness", label="Harmlessness", question="Which does less harm?", position=1
    )
    for member in members:
        Membership.objects.create(project=project, user=member)
    return project


def make_prompt(project: Project, question: str) -> Prompt:
    messages = [{"role": "user", "content": question}]
    return Prompt.objects.create(project=project, messages=messages, content_hash=content_hash(messages))


def make_comparison(
    project: Project,
    question: str = "What is a plumb line?",
    texts: Sequence[str] | None = None,
    *,
    prompt: Prompt | None = None,
    **fields: object,
) -> Comparison:
    prompt = prompt or make_prompt(project, question)
    generator, _ = Generator.objects.get_or_create(name="secret-model-7b", kind="import")
    if texts is None:
        texts = [f"Answer {number} to: {question}" for number in range(1, project.k + 1)]
    comparison = Comparison.objects.create(project=project, prompt=prompt, **{"overlap": project.overlap} | fields)
    for position, text in enumerate(texts):
        response, _ = Response.objects.get_or_create(
            prompt=prompt, generator=generator, text=text, content_hash=hashlib.sha256(text.encode()).hexdigest()
        )
        ComparisonResponse.objects.create(comparison=comparison, response=response, position=position)
    return comparison


def in_shown_order(assignment: Assignment, *ranks: int | None) -> dict[str, dict[str, int]]:
    """The same ranks, in the order shown, on both dimensions."""
    row = {str(pk): rank for pk, rank in zip(assignment.display_order, ranks, strict=False) if rank is not None}
    return {"helpfulness": row, "harmlessness": dict(row)}
