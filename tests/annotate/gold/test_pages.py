"""The admin's pages of comparisons with a known answer."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import AuditEntry, User
from annotate.gold.listing import consensus_of, gold_of, is_suspicious, suggestion
from annotate.gold.models import Gold
from annotate.gold.services import gold_set
from annotate.projects.services import project_create
from annotate.ranking.models import Comparison, Judgement
from annotate.review.models import Adjudication


def responses(comparison: Comparison) -> list[int]:
    return list(comparison.members.order_by("position").values_list("response_id", flat=True))


def answer(comparison: Comparison, *ranks: int | str, **more: str) -> dict[str, str]:
    """The form of the page: ranks on helpfulness, in the order of positions."""
    given = {f"rank-helpfulness-{pk}": str(rank) for pk, rank in zip(responses(comparison), ranks, strict=True)}
    return {"purpose": "gold", "explanation": "", **given, **more}


@pytest.fixture
def comparison(project, make_comparison) -> Comparison:
    return make_comparison(project, "Why?", ["a", "b", "c"])


@pytest.fixture
def gold(admin, comparison) -> Gold:
    one, two, three = responses(comparison)
    rankings = {"helpfulness": {str(one): 1, str(two): 2, str(three): 3}}
    return gold_set(comparison=comparison, rankings=rankings, purpose="gold", user=admin)


@pytest.mark.parametrize("who", ["as_annotator", "as_other_annotator", "as_outsider", "as_nobody"])
def test_only_admins_see_and_change_gold(who, request, project, gold, make_comparison):
    client = request.getfixturevalue(who)
    status = 302 if who == "as_nobody" else 403
    other = make_comparison(project, "Other?", ["a", "b"])
    for name, args in [
        ("gold-list", [project.slug]),
        ("gold-new", [project.slug, other.pk]),
        ("gold-edit", [project.slug, gold.pk]),
    ]:
        path = reverse(f"annotate:{name}", args=args)
        assert client.get(path).status_code == status
        assert client.post(path, answer(other, 1, 2)).status_code == status
    assert client.post(reverse("annotate:gold-remove", args=[project.slug, gold.pk])).status_code == status
    assert Gold.objects.count() == 1


def test_a_comparison_gets_a_known_answer(as_admin, project, comparison):
    path = reverse("annotate:gold-new", args=[project.slug, comparison.pk])
    assert as_admin.get(path).status_code == 200
    made = as_admin.post(path, answer(comparison, 2, 1, "", explanation="b says why"))
    assert made.status_code == 302
    one, two, _ = responses(comparison)
    gold = Gold.objects.get()
    assert gold.comparison == comparison and gold.rankings == {"helpfulness": {str(one): 2, str(two): 1}}
    assert gold.explanation == "b says why"
    comparison.refresh_from_db()
    assert (comparison.purpose, comparison.is_closed) == ("gold", True)
    assert AuditEntry.objects.filter(action="gold.set").exists()
    assert as_admin.get(path).url == reverse("annotate:gold-edit", args=[project.slug, gold.pk])


@pytest.mark.parametrize(
    "change",
    [
        {"purpose": "work"},
        {"purpose": ""},
        {"explanation": "x" * 6000},
        {"ranks": ("", "", "")},
        {"ranks": (1, 1, 1)},
        {"ranks": (9, 1, 1)},
    ],
)
def test_an_answer_that_decides_nothing_is_said_so_and_not_kept(as_admin, project, comparison, change):
    ranks = change.pop("ranks", (1, 2, 3))
    page = as_admin.post(
        reverse("annotate:gold-new", args=[project.slug, comparison.pk]), answer(comparison, *ranks, **change)
    )
    assert page.status_code == 422 and b"Nothing was saved yet" in page.content
    assert not Gold.objects.exists()
    comparison.refresh_from_db()
    assert (comparison.purpose, comparison.is_closed) == ("work", False)


def test_what_has_judgements_is_copied_so_that_they_go_on_counting(as_admin, project, comparison, judge, annotator):
    judgement = judge(comparison, annotator, helpfulness=[1, 2, 3])
    path = reverse("annotate:gold-new", args=[project.slug, comparison.pk])
    assert "a copy of it becomes gold" in as_admin.get(path).content.decode()
    as_admin.post(path, answer(comparison, 1, 2, 3))
    copy = Gold.objects.get().comparison
    assert copy != comparison and responses(copy) == responses(comparison)
    judgement.refresh_from_db()
    comparison.refresh_from_db()
    assert comparison.purpose == "work" and judgement.is_current


def test_the_form_begins_with_the_consensus_and_rather_with_a_decision(
    as_admin, admin, project, comparison, judge, annotator, other_annotator
):
    one, two, three = (str(pk) for pk in responses(comparison))
    assert suggestion(comparison) == ({}, "", "")
    judge(comparison, annotator, helpfulness=[2, 1, None])
    judge(comparison, other_annotator, helpfulness=[2, 1, 3])
    assert consensus_of(comparison)["helpfulness"] == {one: 2, two: 1, three: 3}
    path = reverse("annotate:gold-new", args=[project.slug, comparison.pk])
    page = as_admin.get(path)
    assert "consensus of the judgements" in page.content.decode()
    assert page.context["form"][f"rank-helpfulness-{two}"].value() == "1"
    decided = {"helpfulness": {one: 1, two: 2}}
    Adjudication.objects.create(comparison=comparison, reviewer=admin, rankings=decided, rationale="a is right")
    page = as_admin.get(path)
    assert "what a reviewer decided" in page.content.decode()
    assert page.context["form"]["explanation"].value() == "a is right"
    assert suggestion(comparison)[0] == decided


def test_gold_that_most_people_miss_is_suspected(as_admin, project, gold, comparison):
    def score(value: float, name: str) -> None:
        user = User.objects.create_user(name)
        Judgement.objects.create(comparison=comparison, annotator=user, rankings={}, gold_score=value)

    path = reverse("annotate:gold-list", args=[project.slug])
    score(0.0, "u1")
    score(0.33, "u2")
    assert not is_suspicious(gold_of(project).get())  # two people are not most people
    score(1.0, "u3")
    found = gold_of(project).get()
    assert (found.judged, found.missed) == (3, 2) and is_suspicious(found)
    html = as_admin.get(path).content.decode()
    assert "most miss it" in html and "Most people miss 1 of these" in html
    assert (
        "2 of 3 people missed it"
        in as_admin.get(reverse("annotate:gold-edit", args=[project.slug, gold.pk])).content.decode()
    )
    score(0.9, "u4")
    assert "most miss it" not in as_admin.get(path).content.decode()


def test_another_answer_scores_what_was_said_anew_and_removing_forgets_it(
    as_admin, project, gold, comparison, judge, annotator
):
    judgement = judge(comparison, annotator, helpfulness=[3, 2, 1])
    path = reverse("annotate:gold-edit", args=[project.slug, gold.pk])
    as_admin.post(path, answer(comparison, 3, 2, 1))
    judgement.refresh_from_db()
    assert judgement.gold_score == 1.0
    as_admin.post(reverse("annotate:gold-remove", args=[project.slug, gold.pk]))
    judgement.refresh_from_db()
    assert judgement.gold_score is None and not Gold.objects.exists()
    html = as_admin.get(reverse("annotate:gold-list", args=[project.slug])).content.decode()
    assert "No gold yet" in html


def test_the_page_says_when_nobody_can_qualify_or_nothing_is_handed_out(as_admin, project, gold):
    path = reverse("annotate:gold-list", args=[project.slug])
    assert "The rate is 0" in as_admin.get(path).content.decode()
    project.must_qualify, project.gold_rate = True, 0.1
    project.save()
    html = as_admin.get(path).content.decode()
    assert "nobody new can begin" in html and "The rate is 0" not in html


def test_gold_belongs_to_its_project(as_admin, admin, gold, comparison):
    other = project_create(name="Other", user=admin)
    assert as_admin.get(reverse("annotate:gold-edit", args=[other.slug, gold.pk])).status_code == 404
    assert as_admin.get(reverse("annotate:gold-new", args=[other.slug, comparison.pk])).status_code == 404
    assert as_admin.post(reverse("annotate:gold-remove", args=[other.slug, gold.pk])).status_code == 404
    assert Gold.objects.exists()


def test_hostile_responses_are_inert_on_the_page(as_admin, project, make_comparison):
    nasty = make_comparison(project, "<img src=x onerror=alert(1)>", ["<script>alert(1)</script>", "fine"])
    html = as_admin.get(reverse("annotate:gold-new", args=[project.slug, nasty.pk])).content.decode()
    assert "<script>alert" not in html and "<img src=x" not in html


def test_the_list_asks_as_much_for_many_as_for_few(as_admin, admin, project, gold, make_comparison):
    path = reverse("annotate:gold-list", args=[project.slug])

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert as_admin.get(path).status_code == 200
        return len(captured)

    before = queries()
    for number in range(6):
        more = make_comparison(project, f"Q{number}", ["a", "b"])
        one, two = responses(more)
        rankings = {"helpfulness": {str(one): 1, str(two): 2}}
        gold_set(comparison=more, rankings=rankings, purpose="qualification", user=admin)
    assert queries() == before


# over REST ------------------------------------------------------------------------------------------------------------


def test_gold_is_made_listed_and_removed_over_rest(as_admin, admin, project, comparison, judge, annotator):
    one, two, _ = (str(pk) for pk in responses(comparison))
    asked = {"comparison": comparison.pk, "purpose": "gold", "rankings": {"helpfulness": {one: 1, two: 2}}}
    made = as_admin.post("/api/v1/gold/", asked, content_type="application/json")
    assert made.status_code == 201, made.content
    assert made.json()["rankings"] == asked["rankings"] and made.json()["purpose"] == "gold"
    other = project_create(name="Other", user=admin)
    assert as_admin.get(f"/api/v1/gold/?project={project.pk}").json()["count"] == 1
    for elsewhere in (str(other.pk), "x", "9" * 30):
        assert as_admin.get(f"/api/v1/gold/?project={elsewhere}").json()["count"] == 0
    assert as_admin.delete(f"/api/v1/gold/{made.json()['id']}/").status_code == 204
    assert not Gold.objects.exists()
    judge(comparison, annotator, helpfulness=[1, 2, 3])
    copied = as_admin.post("/api/v1/gold/", asked, content_type="application/json").json()
    assert copied["comparison"] != comparison.pk and copied["judged"] == 0


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"purpose": "work"}, "purpose"),
        ({"comparison": 10**9}, "comparison"),
        ({"rankings": {"helpfulness": {"1": 1}}}, "rankings"),
        ({"rankings": {"grace": {}}}, "rankings"),
        ({"rankings": "x"}, "rankings"),
        ({"rankings": {}}, "rankings"),
    ],
)
def test_wrong_gold_is_a_field_error_over_rest(as_admin, comparison, wrong, field):
    asked = {"comparison": comparison.pk, "purpose": "gold", "rankings": {"helpfulness": {"1": 1, "2": 2}}, **wrong}
    refused = as_admin.post("/api/v1/gold/", asked, content_type="application/json")
    assert refused.status_code == 400 and field in refused.json(), refused.content
    assert not Gold.objects.exists()


@pytest.mark.parametrize("who", ["as_annotator", "as_other_annotator", "as_outsider", "as_nobody"])
def test_the_endpoint_of_gold_is_for_admins(who, request, gold):
    client = request.getfixturevalue(who)
    status = (401, 403)
    assert client.get("/api/v1/gold/").status_code in status
    assert client.get(f"/api/v1/gold/{gold.pk}/").status_code in status
    assert client.post("/api/v1/gold/", {}, content_type="application/json").status_code in status
    assert client.delete(f"/api/v1/gold/{gold.pk}/").status_code in status
