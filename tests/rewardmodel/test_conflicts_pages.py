"""The conflict queue over pages and REST, and what annotators get: work that looks like any other."""

from __future__ import annotations

import re

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone

from annotate.models import Comparison, Membership
from annotate.ranking.engine import assignment_next
from annotate.ranking.models import Assignment
from rewardmodel.conflicts.selectors import Wanted, relabelling_outcome, relabelling_verdicts, relabellings
from rewardmodel.models import Relabelling, RewardEvaluation
from tests.annotate.ranking.desk import make_comparison
from tests.rewardmodel.disputes import HOSTILE, disputed_project, evaluated_with, found, judge, judged, send  # noqa: F401 - fixtures
from tests.rewardmodel.worlds import BAD, GOOD

# the pages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["as_annotator", "as_other_annotator", "as_outsider", "as_nobody"])
def test_only_admins_see_the_queue_and_send(who, request, project, annotator, other_annotator, evaluate):
    Membership.objects.filter(user=other_annotator).update(role="reviewer")
    evaluation = evaluate(project, {judged(project, annotator, "a", 1, 2): (0, 2)})
    client = request.getfixturevalue(who)
    status = 302 if who == "as_nobody" else 403
    address = reverse("rewardmodel:conflicts", args=[evaluation.pk])
    assert client.get(address).status_code == status
    assert client.post(address, {"count": 1, "extra": 1}).status_code == status
    assert not Relabelling.objects.exists()


def test_an_admin_looks_sends_and_reads_what_became_of_it(
    project, annotator, other_annotator, evaluate, admin, as_admin
):
    comparison = judged(project, annotator, HOSTILE, 1, 2, texts=(HOSTILE, "mild"))
    evaluation = evaluate(project, {comparison: (0, 2)})
    address = reverse("rewardmodel:conflicts", args=[evaluation.pk])
    page = as_admin.get(address).content.decode()
    assert "1 can be sent." in page and "model 88.1 % sure" in page and "None has been sent" in page
    assert HOSTILE not in page and "&lt;script&gt;alert" in page
    answer = as_admin.post(f"{address}?sure_0=80&agreeing=50", {"count": 1, "extra": 1}, follow=True)
    page = answer.content.decode()
    assert (
        "Sent to be judged again: 1." in page
        and "0 can be sent." in page
        and "sent from this evaluation before" in page
    )
    assert f"by {admin}" in page
    as_admin.post(address, {"count": 1, "extra": 1})
    assert Relabelling.objects.count() == 1
    judge(other_annotator, comparison, 2, 1)
    assert "100.0 % [20.7 %, 100.0 %]" in as_admin.get(address).content.decode()
    assert as_admin.post(address, {"count": 0, "extra": 1}).status_code == 422


def test_the_queue_over_rest(project, annotator, other_annotator, evaluate, admin, as_admin, as_annotator, as_outsider):
    comparison, agreed = judged(project, annotator, "a", 1, 2), judged(project, annotator, "b", 1, 2)
    evaluation = evaluate(project, {comparison: (0, 2), agreed: (2, 0)})
    address = f"/api/v1/reward-evaluations/{evaluation.pk}/conflicts/"
    became = f"/api/v1/reward-evaluations/{evaluation.pk}/relabellings/"
    for client in (as_annotator, as_outsider):
        assert {client.get(address).status_code, client.get(became).status_code} == {403}
        assert client.post(address, {"count": 1}, content_type="application/json").status_code == 403
    seen = as_admin.get(address).json()
    assert (seen["count"], seen["sendable"]) == (1, 1)
    [item] = seen["items"]
    assert (item["comparison"], item["not_sent"], item["people"]) == (
        str(comparison.pk),
        "",
        {"model": 0, "other": 1, "tie": 0},
    )
    assert as_admin.get(address, {"sure": 0.95}).json()["count"] == 0
    for bad in ({"sure": 0.2}, {"dimension": "truth"}, {"limit": 0}):
        assert as_admin.get(address, bad).status_code == 400
    for bad in ({}, {"count": 0}, {"count": 1, "extra": 99}, {"count": 1, "dimension": "truth"}):
        assert as_admin.post(address, bad, content_type="application/json").status_code == 400
    sent = as_admin.post(address, {"count": 5}, content_type="application/json").json()
    assert sent == {"count": 1, "left": {}}
    again = as_admin.post(address, {"count": 5}, content_type="application/json").json()
    assert again == {"count": 0, "left": {"sent": 1}}
    judge(other_annotator, comparison, 2, 1)
    found = as_admin.get(became).json()
    assert found["outcome"][0]["model"]["value"] == 1 and found["outcome"][0]["counts"]["model"] == 1
    [row] = found["items"]
    assert (row["comparison"], row["sent_by"], row["after"]["model"]) == (comparison.pk, str(admin), 1)


def test_without_a_dataset_version_or_before_it_has_succeeded_the_page_says_why(reward_model, as_admin):
    of_file = RewardEvaluation.objects.create(
        kind="reward_evaluation",
        title="On a file",
        state="succeeded",
        finished_at=timezone.now(),
        reward_model=reward_model,
        filename="p.jsonl",
    )
    address = reverse("rewardmodel:conflicts", args=[of_file.pk])
    assert "measured on a file" in as_admin.get(address).content.decode()
    as_admin.post(address, {"count": 1, "extra": 1})
    with pytest.raises(ValidationError):
        send(of_file)
    api = f"/api/v1/reward-evaluations/{of_file.pk}/conflicts/"
    assert as_admin.get(api).json()["count"] == 0
    assert as_admin.post(api, {"count": 1}, content_type="application/json").status_code == 409
    waiting = RewardEvaluation.objects.create(
        kind="reward_evaluation", reward_model=reward_model, dataset_version=reward_model.run.dataset_version
    )
    page = as_admin.get(reverse("rewardmodel:conflicts", args=[waiting.pk])).content.decode()
    assert "has not succeeded" in page


def test_what_an_annotator_gets_differs_in_nothing_from_ordinary_work(
    project, annotator, other_annotator, evaluate, as_other_annotator
):
    """The page and the API of the same comparison, as ordinary work and as a conflict that was sent."""
    comparison = make_comparison(project, "a", ["one", "two"], overlap=2)
    judge(annotator, comparison, 1, 2)
    assignment = assignment_next(annotator=other_annotator, project=project)
    addresses = (reverse("annotate:assignment", args=[assignment.pk]), f"/api/v1/assignments/{assignment.pk}/")

    def seen() -> list[str]:
        return [without_clock(as_other_annotator.get(address).content.decode()) for address in addresses]

    ordinary = seen()
    Assignment.objects.filter(pk=assignment.pk).delete()
    Comparison.objects.filter(pk=comparison.pk).update(overlap=1, is_closed=True)
    evaluation = evaluate(project, {comparison: (0, 2)})
    assert send(evaluation).count == 1
    again = assignment_next(annotator=other_annotator, project=project)
    order = Assignment.objects.get(pk=again.pk).display_order
    Assignment.objects.filter(pk=again.pk).update(id=assignment.pk)
    assert again.comparison_id == comparison.pk and order == assignment.display_order
    sent = seen()
    assert sent == ordinary
    for word in ("conflict", "relabel", "again to", "score", "0.88", "88 %", "reward"):
        assert word not in sent[1].lower()
    assert "conflict" not in sent[0].lower() and "0.88" not in sent[0]


def without_clock(text: str) -> str:
    """A page or an answer without its times, and without the token that each request has of its own."""
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)?", "TIME", text)
    return re.sub(r'(csrfmiddlewaretoken" value="|data-now=")[^"]*', r"\1", text)


def test_the_number_of_queries_does_not_grow_with_the_queue(
    project, annotator, other_annotator, evaluate, as_admin, django_assert_num_queries
):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    few = evaluate(project, {judged(project, annotator, f"few {n}", 1, 2): (0, 2) for n in range(2)})
    many = evaluate(project, {judged(project, annotator, f"many {n}", 1, 2): (0, 2) for n in range(9)})
    send(few, count=1)
    send(many, count=6)
    with CaptureQueriesContext(connection) as sent:
        as_admin.get(reverse("rewardmodel:conflicts", args=[few.pk]))
    with django_assert_num_queries(len(sent)):
        as_admin.get(reverse("rewardmodel:conflicts", args=[many.pk]))


# the whole road -------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_judgements_become_a_dataset_an_evaluation_conflicts_and_are_judged_again(
    project, annotator, other_annotator, trained, admin, as_admin, children_share_database
):
    from annotate.datasets.services import dataset_run_start
    from rewardmodel.evaluation.services import reward_evaluation_start
    from runs.executor import run_execute

    for number in range(4):  # against what the model has learned
        judged(project, annotator, f"Question {number}", 2, 1, texts=(f"{GOOD} {number}", f"{BAD} {'.' * number}"))
    data = dataset_run_start(project=project, user=admin)
    run_execute(run_id=data.pk, worker="test")
    data.refresh_from_db()
    evaluation = reward_evaluation_start(
        reward_model=trained, dataset_version=data.version, config={"split": "all"}, user=admin
    )
    run_execute(run_id=evaluation.pk, worker="test")
    evaluation.refresh_from_db()
    assert evaluation.state == "succeeded", evaluation.error
    address = reverse("rewardmodel:conflicts", args=[evaluation.pk])
    assert f'href="{address}"' in as_admin.get(evaluation.get_evaluation_url()).content.decode()
    wanted = Wanted({"helpfulness": 0.5})
    assert len(found(evaluation, wanted)) == 4
    assert send(evaluation, admin, wanted, count=2).count == 2
    for each in relabellings(evaluation):
        judge(other_annotator, each.comparison, 1, 2)
    sent = relabellings(evaluation)
    [row] = relabelling_outcome(sent, relabelling_verdicts(sent))
    assert row.counts == {"model": 2, "other": 0, "tie": 0, "open": 0}
