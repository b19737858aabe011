"""A project whose comparisons a reward model and people disagree about: what tests of the conflict queue share."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.utils import timezone

from annotate.models import Comparison, DatasetRun, DatasetVersion
from annotate.ranking.engine import assignment_next
from annotate.ranking.models import Judgement
from annotate.ranking.services import judgement_submit
from rewardmodel.conflicts.selectors import Wanted, conflicts
from rewardmodel.conflicts.services import conflicts_fit, conflicts_send
from rewardmodel.evaluation.selectors import evaluation_artifact
from rewardmodel.models import RewardEvaluation
from runs.artifacts import artifact_publish
from tests.annotate.ranking.desk import make_comparison, make_project

SURE = Wanted({"helpfulness": 0.8})
HOSTILE = "<script>alert('conflict')</script>"


@pytest.fixture(name="project")
def disputed_project(admin, annotator, other_annotator):
    return make_project(annotator, other_annotator, overlap=1, k=2)


def members(comparison) -> list[int]:
    return list(comparison.members.order_by("position").values_list("response", flat=True))


def judge(person, comparison, *ranks: int) -> Judgement:
    """The person is given the comparison by the platform, and ranks its responses, in the order of exports."""
    project = comparison.project
    Comparison.objects.filter(pk=comparison.pk).update(priority=900)
    assignment = assignment_next(annotator=person, project=project)
    assert assignment.comparison_id == comparison.pk
    Comparison.objects.filter(pk=comparison.pk).update(priority=0)
    row = {str(pk): rank for pk, rank in zip(members(comparison), ranks, strict=True)}
    return judgement_submit(assignment=assignment, rankings={"helpfulness": row, "harmlessness": row})


def judged(project, person, question: str, *ranks: int, texts=("one", "two")) -> Comparison:
    comparison = make_comparison(project, question, list(texts))
    judge(person, comparison, *ranks)
    comparison.refresh_from_db()
    assert comparison.is_closed
    return comparison


def asked_next(person, project) -> int | None:
    assignment = assignment_next(annotator=person, project=project)
    return assignment and assignment.comparison_id


@pytest.fixture(name="evaluate")
def evaluated_with(reward_model, admin, tmp_path, version):
    """`evaluate(project, {comparison: (score, score)})`: an evaluation with these scores of helpfulness, on what people
    have said of the comparisons until now; written by what writes every evaluation."""
    from rewardmodel.training.data import Comparison as Measured
    from rewardmodel.training.data import edges
    from rewardmodel.training.evaluation import write_items
    from rewardmodel.training.measures import scored_pairs

    def measured(comparison: Comparison, name: str) -> Measured:
        rows = comparison.judgements.filter(is_current=True).values_list(f"rankings__{name}", flat=True)
        ids = [str(pk) for pk in members(comparison)]
        rankings = [{"ranks": [row.get(pk) for pk in ids], "weight": 1.0} for row in rows]
        return Measured(
            id=str(comparison.pk),
            split="test",
            prompt=comparison.prompt.messages,
            responses=list(comparison.members.order_by("position").values_list("response__text", flat=True)),
            rankings={"helpfulness": rankings},
            edges={"helpfulness": edges(rankings, len(ids))},
            response_ids=tuple(ids),
        )

    def evaluate(project, scores, *, question: str = "helpfulness", write=write_items) -> RewardEvaluation:
        run = DatasetRun.objects.create(
            kind="dataset", title="Data", state="succeeded", finished_at=timezone.now(), project=project
        )
        made = DatasetVersion.objects.create(
            project=project,
            number=project.dataset_versions.count() + 1,
            run=run,
            artifact=version.artifact,
            sha256=version.sha256,
            counts={"dimensions": {question: {}}},
        )
        evaluation = RewardEvaluation.objects.create(
            kind="reward_evaluation",
            title="How good",
            state="succeeded",
            finished_at=timezone.now(),
            created_by=admin,
            reward_model=reward_model,
            dataset_version=made,
            result={"dimensions": ["helpfulness"]},
        )
        comparisons = [measured(each, question) for each in scores]
        pairs = scored_pairs(comparisons, [[[s] for s in row] for row in scores.values()], ["helpfulness"])
        folder = tmp_path / f"evaluation-{evaluation.pk}"
        folder.mkdir()
        write(folder, pairs, None)
        (folder / "report.json").write_text("{}")
        artifact_publish(run=evaluation, source=Path(folder), kind="reward_evaluation")
        return evaluation

    return evaluate


def found(evaluation, wanted=SURE):
    return conflicts(evaluation_artifact(evaluation), wanted)


def reasons(evaluation, wanted=SURE, extra=1) -> list[str]:
    fits = conflicts_fit(evaluation=evaluation, found=found(evaluation, wanted), wanted=wanted, extra=extra)
    return [each.reason for each in fits]


def send(evaluation, by=None, wanted=SURE, count=10, extra=1):
    return conflicts_send(evaluation=evaluation, wanted=wanted, count=count, extra=extra, by=by)
