"""What judgements say together, over REST: consensus rankings and soft labels by the last report's reliabilities."""

from __future__ import annotations

import pytest

from accounts.models import User
from annotate.quality import together
from annotate.quality.reliability import soft_label
from annotate.quality.services import quality_report_refresh
from annotate.ranking.models import Comparison, Judgement

pytestmark = pytest.mark.django_db


def api(project) -> str:
    return f"/api/v1/projects/{project.slug}/quality/consensus/"


def test_the_reliable_one_is_followed_against_the_one_who_reverses(
    project, as_admin, make_comparison, judge, annotator, other_annotator, outsider
):
    contrary = User.objects.create_user("contrary")
    for number in range(30):
        comparison = make_comparison(project, f"{number}?", ["a", "b", "c"])
        for user in (annotator, other_annotator, outsider):
            judge(comparison, user, helpfulness=[1, 2, 3])
        judge(comparison, contrary, helpfulness=[3, 2, 1])
    last = make_comparison(project, "Last?", ["a", "b"])
    judge(last, annotator, helpfulness=[1, 2])
    judge(last, contrary, helpfulness=[2, 1])
    first, second = (str(pk) for pk in last.members.order_by("position").values_list("response_id", flat=True))

    def of_last() -> dict:
        [found] = [one for one in as_admin.get(api(project)).json()["results"] if one["comparison"] == last.pk]
        assert (found["judgements"], set(found["dimensions"])) == (2, {"helpfulness"})
        return found["dimensions"]["helpfulness"]

    before = of_last()
    assert before["ranks"] == {first: 1, second: 1}, "without a report everybody is as good"
    assert before["pairs"] == [{"first": first, "second": second, "preferred": 0.5}]
    assert quality_report_refresh(project=project)
    after = of_last()
    assert after["ranks"] == {first: 1, second: 2}
    model = together.reliability_model(project)
    votes = [(1, model.reliabilities[annotator.pk]), (-1, model.reliabilities[contrary.pk])]
    expected = soft_label(votes, spread=model.spread, tie=model.tie)
    assert after["pairs"][0]["preferred"] == pytest.approx(expected, abs=1e-4) and expected > 0.8


def test_pages_meet_and_show_only_what_counts(
    project, as_admin, make_comparison, judge, annotator, monkeypatch, django_assert_max_num_queries
):
    monkeypatch.setattr(together.consensus_page, "__kwdefaults__", {"after": 0, "size": 2})
    made = [make_comparison(project, f"{number}?", ["a", "b"]) for number in range(5)]
    for comparison in made[:4]:
        judge(comparison, annotator, helpfulness=[1, None])
    judge(make_comparison(project, "Known?", ["a", "b"], purpose="gold", is_closed=True), annotator, helpfulness=[1, 2])
    Judgement.objects.filter(comparison=made[3]).update(is_current=False)
    with django_assert_max_num_queries(12):
        one = as_admin.get(api(project)).json()
    two = as_admin.get(api(project), {"after": one["after"]}).json()
    assert [row["comparison"] for row in one["results"] + two["results"]] == [c.pk for c in made[:3]]
    assert two["after"] is None
    ranked = one["results"][0]["dimensions"]["helpfulness"]
    assert (list(ranked["ranks"].values()), ranked["pairs"]) == ([1], [])
    assert as_admin.get(api(project), {"after": "x"}).json() == one
    Comparison.objects.filter(pk__in=[c.pk for c in made]).update(purpose="qualification", is_closed=True)
    assert as_admin.get(api(project)).json() == {"results": [], "after": None}


def test_it_is_for_admins(project, as_admin, as_annotator, as_other_annotator, as_outsider, as_nobody):
    assert as_admin.get(api(project)).status_code == 200
    assert as_admin.get("/api/v1/projects/nowhere/quality/consensus/").status_code == 404
    for client in (as_annotator, as_other_annotator, as_outsider):
        assert client.get(api(project)).status_code == 403
    assert as_nobody.get(api(project)).status_code == 401
