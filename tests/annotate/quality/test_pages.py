"""The quality page and endpoint: who may see them, what they say, and what they say while waiting."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEntry, User
from annotate.quality.models import QualityReport
from annotate.quality.services import quality_report_refresh, quality_report_request
from annotate.ranking.models import Judgement

TEXTS = ["short", "a little longer", "much longer than the others are", "<script>alert(1)</script>"]


@pytest.fixture
def crowd(project, make_comparison, judge):
    """Four careful people, one noisy, one contrary; sixty comparisons by three each; one project."""
    import numpy as np

    random = np.random.default_rng(0)
    people = {"dora": 1, "emil": 1, "finn": 1, "gil": 1, "<b>noisy</b>": 0, "contrary": -1}
    users = {name: User.objects.create_user(f"u{n}") for n, name in enumerate(people)}
    for name, user in users.items():
        user.username = name
        user.save()
    for c in range(60):
        comparison = make_comparison(project, f"Question {c}", TEXTS)
        truth = random.normal(size=4) * 2
        for name in random.choice(list(people), 3, replace=False):
            seen = people[name] * truth + 0.4 * random.normal(size=4)
            ranks = np.empty(4, dtype=int)
            ranks[np.argsort(-seen)] = [1, 2, 3, 4]
            given = judge(comparison, users[name], helpfulness=ranks.tolist(), harmlessness=ranks.tolist())
            shown = list(comparison.members.values_list("response_id", flat=True))
            random.shuffle(shown)
            Judgement.objects.filter(pk=given.pk).update(
                display_order=shown, seconds_active=float(random.lognormal(3, 0.3)),
                created_at=timezone.now() - timedelta(days=70 - c),
            )  # fmt: skip
    quality_report_refresh(project=project)
    return project


def page(project) -> str:
    return reverse("annotate:quality", args=[project.slug])


def test_only_admins_see_quality(project, as_admin, as_annotator, as_other_annotator, as_outsider, as_nobody):
    api = f"/api/v1/projects/{project.slug}/quality/"
    figures = reverse("annotate:quality-figures", args=[project.slug])
    recompute = reverse("annotate:quality-recompute", args=[project.slug])
    for url in (page(project), figures):
        assert as_admin.get(url).status_code == 200
        for client in (as_annotator, as_other_annotator, as_outsider):
            assert client.get(url).status_code == 403
        assert as_nobody.get(url).status_code == 302
    for client in (as_annotator, as_other_annotator, as_outsider):
        assert client.get(api).status_code == client.post(api).status_code == 403
        assert client.post(recompute).status_code == 403
    assert as_nobody.get(api).status_code == 401
    assert as_nobody.post(recompute).status_code == 302
    assert not QualityReport.objects.exists()
    assert as_admin.get("/projects/nowhere/quality/").status_code == 404
    assert as_admin.get("/api/v1/projects/nowhere/quality/").status_code == 404
    assert as_admin.get(recompute).status_code == 405


def test_before_the_first_report_the_page_says_when_it_comes(project, as_admin):
    text = as_admin.get(page(project)).content.decode()
    assert "Nothing measured yet" in text and "No report yet." in text


def test_the_page_names_the_noisy_and_the_contrary(crowd, as_admin):
    response = as_admin.get(page(crowd))
    text = response.content.decode()
    people = {person["name"]: [flag.label for flag in person["flags"]] for person in response.context["people"]}
    assert people["contrary"] == ["against the others"]
    assert people["<b>noisy</b>"] == ["like a coin"]
    assert [people[name] for name in ("dora", "emil", "finn", "gil")] == [[], [], [], []]
    assert "&lt;b&gt;noisy" in text and "<b>noisy" not in text
    assert "against the others" in text and "like a coin" in text
    for name in ("Krippendorff’s alpha, nominal", "Kendall’s W, mean", "Agreement by week", "Winner by place shown"):
        assert name in text
    assert "What every figure means" in text
    assert "style=" not in text and "<script>alert" not in text


def test_the_page_takes_few_queries_whatever_the_report_holds(crowd, as_admin, django_assert_max_num_queries):
    with django_assert_max_num_queries(8):
        as_admin.get(page(crowd))


def test_there_is_a_tab_for_simulated_annotators_where_there_are_some(crowd, as_admin):
    assert "Simulated annotators" not in as_admin.get(page(crowd)).content.decode()
    Judgement.objects.filter(annotator__username="contrary").update(source="simulated")
    quality_report_refresh(project=crowd)
    response = as_admin.get(page(crowd) + "?group=simulated")
    assert response.context["group"] == "simulated" and len(response.context["people"]) == 1
    assert as_admin.get(page(crowd) + "?group=nonsense").context["group"] == "human"


def test_one_judgement_each_is_not_agreement(project, make_comparison, judge, annotator, as_admin):
    judge(make_comparison(project, "Why?", TEXTS), annotator, helpfulness=[1, 2, 3, 4])
    quality_report_refresh(project=project)
    text = as_admin.get(page(project)).content.decode()
    assert "agreement cannot be measured" in text


def test_imports_alone_are_counted_but_not_measured(project, make_comparison, judge, annotator, as_admin):
    judge(make_comparison(project, "Why?", TEXTS), annotator, source="import", helpfulness=[1, 2, 3, 4])
    quality_report_refresh(project=project)
    assert "Imported rankings are counted" in as_admin.get(page(project)).content.decode()


# waiting --------------------------------------------------------------------------------------------------------------


def test_recomputing_keeps_the_figures_and_polls_until_the_new_ones_are_there(crowd, as_admin):
    recompute = reverse("annotate:quality-recompute", args=[crowd.slug])
    figures = reverse("annotate:quality-figures", args=[crowd.slug])
    assert as_admin.post(recompute).url == page(crowd)
    entry = AuditEntry.objects.get(action="quality.requested")
    assert (entry.actor.username, entry.scope) == ("ada", f"project:{crowd.pk}")
    text = as_admin.post(recompute, headers={"HX-Request": "true"}).content.decode()
    assert "appears here when it is made" in text and "every 3s" in text and "against the others" in text
    assert as_admin.get(figures).status_code == 204
    quality_report_refresh(project=crowd)
    text = as_admin.get(figures).content.decode()
    assert "every 3s" not in text and "appears here" not in text


def test_a_report_that_nobody_makes_is_asked_after(project, as_admin):
    quality_report_request(project=project)
    QualityReport.objects.update(requested_at=timezone.now() - timedelta(minutes=5))
    response = as_admin.get(reverse("annotate:quality-figures", args=[project.slug]))
    assert response.status_code == 200
    assert "is a worker running?" in response.content.decode() and "every 3s" not in response.content.decode()


def test_a_failure_stands_above_the_old_figures(crowd, as_admin):
    QualityReport.objects.update(error="The report begun 2026-11-21 07:00 could not be made (KeyError).")
    text = as_admin.get(page(crowd)).content.decode()
    assert "could not be made (KeyError)" in text and "of an earlier report" in text and "against the others" in text


# REST -----------------------------------------------------------------------------------------------------------------


def test_the_endpoint_gives_the_report_and_takes_requests(crowd, as_admin):
    url = f"/api/v1/projects/{crowd.slug}/quality/"
    found = as_admin.get(url).json()
    assert found["data"]["groups"]["human"]["dimensions"][0]["key"] == "helpfulness"
    assert found["computed_at"] and found["requested_at"] is None
    asked = as_admin.post(url)
    assert asked.status_code == 202 and asked.json()["requested_at"]


def test_the_endpoint_of_an_unmeasured_project_is_empty_and_not_absent(project, as_admin):
    found = as_admin.get(f"/api/v1/projects/{project.slug}/quality/").json()
    assert (found["data"], found["computed_at"]) == ({}, None)
