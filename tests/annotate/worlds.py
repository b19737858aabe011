"""Small worlds of prompts, responses and judgements for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from annotate.generation.models import Generator, Response
from annotate.generation.outcome import text_hash
from annotate.pairs import content_hash
from annotate.projects.models import Project, Prompt
from annotate.projects.services import project_create
from annotate.ranking.models import Comparison, ComparisonResponse, Judgement


def make_project(user, name: str = "Kites", **fields: object) -> Project:
    return project_create(name=name, user=user, **fields)


def make_prompt(project: Project, text: str, tags: Sequence[str] = ()) -> Prompt:
    messages = [{"role": "user", "content": text}]
    return Prompt.objects.create(
        project=project, messages=messages, content_hash=content_hash(messages), tags=list(tags)
    )


def make_comparison(prompt: Prompt, texts: Sequence[str], *, overlap: int = 1, round: int = 1) -> Comparison:
    generator, _ = Generator.objects.get_or_create(name="Writer", kind=Generator.Kind.IMPORT)
    comparison = Comparison.objects.create(project=prompt.project, prompt=prompt, overlap=overlap, round=round)
    for position, text in enumerate(texts):
        response, _ = Response.objects.get_or_create(
            prompt=prompt, generator=generator, content_hash=text_hash(text), defaults={"text": text}
        )
        ComparisonResponse.objects.create(comparison=comparison, response=response, position=position)
    return comparison


def judge(comparison: Comparison, user, source: str = "human", **ranks: Sequence[int | None]) -> Judgement:
    """`judge(c, ben, helpfulness=[1, 2, None])`: ranks in the order of the comparison's positions."""
    keys = [str(member.response_id) for member in comparison.members.order_by("position")]
    rankings: dict[str, Mapping[str, int]] = {
        dimension: {key: rank for key, rank in zip(keys, given, strict=True) if rank is not None}
        for dimension, given in ranks.items()
    }
    return Judgement.objects.create(comparison=comparison, annotator=user, rankings=rankings, source=source)
