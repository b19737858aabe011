"""A stage for annotate: a project with two dimensions, and what fills it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence

import pytest

from annotate.generation.models import Generator, Response
from annotate.pairs import content_hash
from annotate.projects.models import Project, Prompt
from annotate.projects.services import membership_add, project_create
from annotate.ranking.models import Comparison, ComparisonResponse, Judgement


@pytest.fixture
def project(admin, annotator) -> Project:
    project = project_create(name="Kindness", user=admin, k=4, overlap=2)
    membership_add(project=project, user=annotator, by=admin)
    return project


@pytest.fixture
def generator(admin) -> Generator:
    return Generator.objects.create(name="tiny", model="smollm2-135m-instruct", created_by=admin)


@pytest.fixture
def make_comparison(generator) -> Callable[..., Comparison]:
    """`make_comparison(project, "question", ["text", ...])`"""

    def make(project: Project, question: str, texts: Sequence[str], **fields: object) -> Comparison:
        messages = [{"role": "user", "content": question}]
        prompt, _ = Prompt.objects.get_or_create(
            project=project, content_hash=content_hash(messages), defaults={"messages": messages}
        )
        comparison = Comparison.objects.create(project=project, prompt=prompt, **{"overlap": project.overlap, **fields})
        for position, text in enumerate(texts):
            response, _ = Response.objects.get_or_create(
                prompt=prompt,
                generator=generator,
                run=None,
                content_hash=hashlib.sha256(text.encode()).hexdigest(),
                defaults={"text": text, "sample_index": position},
            )
            ComparisonResponse.objects.create(comparison=comparison, response=response, position=position)
        return comparison

    return make


@pytest.fixture
def judge() -> Callable[..., Judgement]:
    """`judge(comparison, user, helpfulness=[1, 2, None])`, ranks in the order of positions."""

    def give(comparison: Comparison, user, source: str = "human", **ranks: Sequence[int | None]) -> Judgement:
        ids = list(comparison.members.order_by("position").values_list("response_id", flat=True))
        rankings = {
            key: {str(pk): rank for pk, rank in zip(ids, given, strict=True) if rank is not None}
            for key, given in ranks.items()
        }
        return Judgement.objects.create(comparison=comparison, annotator=user, rankings=rankings, source=source)

    return give


def jsonl(*rows: object) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
