"""The set-up of a project: what is asked, what judgements have settled, and the preview that saves nothing."""

from __future__ import annotations

import re

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.urls import reverse

from accounts.models import AuditEntry
from annotate.gold.services import gold_set
from annotate.models import Attribute, Dimension, Guidelines, Judgement, Project
from annotate.projects.diffs import text_diff
from annotate.projects.questions import key_of, locks
from annotate.projects.services import membership_add, project_create, project_update
from annotate.ranking.engine import assignment_next
from annotate.ranking.models import Assignment, Comparison
from annotate.ranking.services import judgement_submit
from tests.annotate.test_pages import form_data

NEW, PREVIEW = "/projects/new/", "/projects/new/preview"


@pytest.fixture
def judged(project, annotator, make_comparison) -> Project:
    project_update(project=project, attributes=[{"key": "wit", "points": 7}])
    make_comparison(project, "Why?", ["a", "b"], overlap=2)
    assignment = assignment_next(annotator=annotator, project=project)
    one, two = (str(pk) for pk in assignment.display_order)
    rankings = {"helpfulness": {one: 1, two: 2}, "harmlessness": {one: 1, two: 1}}
    judgement_submit(assignment=assignment, rankings=rankings, ratings={"wit": {one: 6, two: 2}})
    return Project.objects.get(pk=project.pk)


# what is asked --------------------------------------------------------------------------------------------------------


def test_pairwise_compares_two_whatever_k_says(as_admin, admin):
    assert project_create(name="Pairs", user=admin, task="pairwise", k=8).k == 2
    as_admin.post(NEW, form_data(task="pairwise", k="8"))
    assert Project.objects.get(name="Truth").k == 2


def test_attributes_and_flags_of_ones_own_are_made_on_the_page(as_admin):
    made = as_admin.post(
        NEW,
        form_data(
            **{
                "attribute-0-label": "Wit & charm",
                "attribute-0-points": "7",
                "attribute-0-low": "dull",
                "attribute-1-label": "",
                "flag-0-label": "Out of date",
                "flag-0-about": "response",
                "prompt_flags": ["unclear"],
                "response_flags": None,
                "gold_rate": "12.5",
                "daily_limit": "30",
            }
        ),
    )
    assert made.status_code == 302, made.context["setup"].form.errors
    project = Project.objects.get()
    [attribute] = project.attributes.all()
    assert (attribute.key, attribute.label, attribute.points, attribute.low) == ("wit_charm", "Wit & charm", 7, "dull")
    assert project.flags == [
        {"key": "unclear", "label": "", "about": "prompt"},
        {"key": "out_of_date", "label": "Out of date", "about": "response"},
    ]
    assert (project.gold_rate, project.daily_limit) == (0.125, 30)
    # The page shows what it saved, and saving it again changes nothing.
    edit = reverse("annotate:project-edit", args=[project.slug])
    before = AuditEntry.objects.count()
    assert as_admin.post(edit, form_data(project)).status_code == 302
    again = Project.objects.get()
    assert (again.flags, again.gold_rate, AuditEntry.objects.count()) == (project.flags, 0.125, before)


def test_rows_come_in_the_order_of_their_numbers_and_emptied_ones_go(as_admin, project):
    edit = reverse("annotate:project-edit", args=[project.slug])
    data = form_data(project, **{"dimension-0-ORDER": "3", "dimension-1-ORDER": "1", "dimension-2-label": "Truth"})
    as_admin.post(edit, data | {"dimension-2-ORDER": "2"})
    assert [d.key for d in project.dimensions.all()] == ["harmlessness", "truth", "helpfulness"]
    data = form_data(project, **{"dimension-0-label": None, "dimension-0-key": None, "dimension-0-question": None})
    as_admin.post(edit, data | {"dimension-1-DELETE": "on"})
    assert [d.key for d in project.dimensions.all()] == ["helpfulness"]


def test_all_that_is_wrong_is_shown_at_once_and_nothing_is_saved(as_admin, project):
    edit = reverse("annotate:project-edit", args=[project.slug])
    wrong = {
        "name": "",
        "overlap": "0",
        "gold_rate": "80",
        "attribute-0-label": "Wit",
        "attribute-0-points": "99",
        "flag-0-label": "x" * 99,
        "dimension-0-label": "Changed",
    }
    page = as_admin.post(edit, form_data(project, **wrong))
    setup = page.context["setup"]
    assert page.status_code == 422
    assert {"name", "overlap", "gold_rate"} <= setup.form.errors.keys()
    assert setup.attributes.errors[0]["points"] and setup.flags.errors[0]["label"]
    assert not Attribute.objects.exists()
    assert Dimension.objects.filter(label="Changed").count() == 0


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("flags", {"flags": "refuses"}),
        ("flags", {"flags": [{"key": "refuses", "about": "weather"}]}),
        ("flags", {"flags": [{"key": "mine", "about": "prompt"}]}),
        ("flags", {"flags": [{"key": "Not a key", "about": "prompt", "label": "x"}]}),
        ("flags", {"flags": [{"key": "unsafe", "about": "response"}] * 2}),
        ("attributes", {"attributes": [{"key": "helpfulness"}]}),
        ("attributes", {"attributes": [{"key": "wit"}, {"key": "wit"}]}),
        ("attributes", {"attributes": [{"key": "wit", "points": 1}]}),
        ("gold_rate", {"gold_rate": 0.7}),
        ("task", {"task": "guess"}),
    ],
)
def test_an_impossible_question_is_a_field_error_and_nothing_is_half_applied(project, field, values):
    before = Project.objects.values().get()
    with pytest.raises(ValidationError) as error:
        project_update(project=project, overlap=7, dimensions=[{"key": "helpfulness"}], **values)
    assert field in error.value.message_dict
    assert Project.objects.values().get() == before
    assert project.dimensions.count() == 2 and not Attribute.objects.exists()


def test_keys_are_made_of_labels():
    assert key_of("Gets it right!", "x") == "gets_it_right"
    assert key_of("有用", "dimension_2") == "dimension_2"
    assert key_of("3 wishes", "attribute_1") == "attribute_1"
    assert len(key_of("long " * 40, "x")) <= 40


# what judgements have settled -----------------------------------------------------------------------------------------


def test_what_is_judged_is_locked_and_says_why(as_admin, judged):
    found = locks(judged)
    assert found.judgements and found.dimensions == {"helpfulness", "harmlessness"} and found.attributes == {"wit"}
    html = as_admin.get(reverse("annotate:project-edit", args=[judged.slug])).content.decode()
    assert "Locked. People have judged here under this task" in html
    assert "the 1 there are keep theirs" in html
    assert html.count(">in use<") == 3


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("task", {"task": "rating"}),
        ("dimensions", {"dimensions": [{"key": "helpfulness"}]}),
        ("attributes", {"attributes": []}),
        ("attributes", {"attributes": [{"key": "wit", "points": 5}]}),
    ],
)
def test_what_is_locked_cannot_be_changed_in_any_way(as_admin, judged, field, change):
    with pytest.raises(ValidationError) as error:
        project_update(project=Project.objects.get(pk=judged.pk), **change)
    assert field in error.value.message_dict
    as_admin.post(reverse("annotate:project-edit", args=[judged.slug]), form_data(judged, task="rating"))
    assert Project.objects.get().task == "ranking"


def test_what_is_locked_can_be_renamed_moved_and_added_to(judged):
    project_update(
        project=judged,
        k=6,
        dimensions=[{"key": "truth"}, {"key": "harmlessness", "label": "Harm"}, {"key": "helpfulness"}],
        attributes=[{"key": "wit", "label": "Humour", "points": 7}, {"key": "tone"}],
    )
    assert [d.label for d in judged.dimensions.all()] == ["Truth", "Harm", "Helpfulness"]
    assert [a.label for a in judged.attributes.all()] == ["Humour", "Tone"]


def test_dimensions_of_gold_and_of_what_is_all_bad_stay(project, make_comparison, judge, annotator):
    gold = make_comparison(project, "Known?", ["a", "b"])
    one, two = (str(pk) for pk in gold.members.values_list("response_id", flat=True))
    gold_set(comparison=gold, rankings={"helpfulness": {one: 1, two: 2}}, purpose="gold", user=None)
    assert locks(project).dimensions == {"helpfulness"}
    judgement = judge(make_comparison(project, "Bad?", ["c", "d"]), annotator)
    judgement.all_bad = ["harmlessness"]
    judgement.save()
    assert locks(project).dimensions == {"helpfulness", "harmlessness"}
    with pytest.raises(ValidationError, match="is in gold"):
        project_update(project=project, dimensions=[{"key": "harmlessness"}])


def test_a_flag_that_was_set_stays_and_may_be_called_something_else(judged):
    flags = [{"key": "late", "label": "Late", "about": about} for about in ("prompt", "response")]
    project_update(project=judged, flags=flags)
    judgement = Judgement.objects.get()
    judgement.flags = [{"flag": "late", "response": str(judgement.display_order[0])}]
    judgement.save()
    with pytest.raises(ValidationError, match="“late” was set on a response already"):
        project_update(project=judged, flags=[])
    renamed = [{"key": "late", "label": "Out of date", "about": "response"}]
    assert project_update(project=judged, flags=renamed).flags == renamed, "nobody has set it on a prompt"


def test_an_attribute_and_a_dimension_have_keys_of_their_own(project):
    project_update(project=project, attributes=[{"key": "wit"}])
    with pytest.raises(ValidationError, match="a dimension needs a key of its own"):
        project_update(project=project, dimensions=[{"key": "wit"}, {"key": "helpfulness"}])


def test_imported_rankings_bind_their_dimension_but_not_the_task(project, make_comparison, judge, annotator):
    judge(make_comparison(project, "Why?", ["a", "b"]), annotator, source="import", helpfulness=[1, 2])
    project_update(project=project, task="best")
    with pytest.raises(ValidationError):
        project_update(project=project, dimensions=[{"key": "harmlessness"}])


def test_changes_are_on_record_with_what_they_were(admin, project):
    project_update(project=project, user=admin, overlap=3, guidelines="New", dimensions=[{"key": "helpfulness"}])
    entry = AuditEntry.objects.get(action="project.changed")
    assert entry.actor == admin and entry.scope == f"project:{project.pk}"
    assert entry.details["changed"] == {
        "overlap": [2, 3],
        "questions": [["helpfulness", "harmlessness"], ["helpfulness"]],
        "guidelines": 1,
    }
    project_update(project=project, user=admin, overlap=3)
    assert AuditEntry.objects.filter(action="project.changed").count() == 1


# the preview ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["as_annotator", "as_outsider", "as_nobody"])
def test_the_preview_is_for_admins(who, request):
    client = request.getfixturevalue(who)
    assert client.post(PREVIEW, form_data()).status_code == (302 if who == "as_nobody" else 403)


@pytest.mark.parametrize("task", ["ranking", "pairwise", "best", "rating"])
def test_every_task_is_previewed_and_nothing_is_saved(as_admin, task):
    data = form_data(task=task, **{"dimension-0-label": "Sparkle", "attribute-0-label": "Wit", "k": "3"})
    page = as_admin.post(PREVIEW, data)
    html = page.content.decode()
    assert page.status_code == 200 and "Sparkle" in html and "Wit" in html
    assert "our launch slips by two weeks" in html
    assert len(re.findall(r"<article[^>]*data-key", html)) == (2 if task == "pairwise" else 3)
    assert not Project.objects.exists() and not Comparison.objects.exists() and not Assignment.objects.exists()


def test_the_preview_may_be_framed_by_our_own_pages_only_and_sends_nothing(as_admin, project):
    page = as_admin.post(PREVIEW, form_data())
    policy = page["Content-Security-Policy"]
    assert page["X-Frame-Options"] == "SAMEORIGIN"
    for part in ("frame-ancestors 'self'", "form-action 'none'", "script-src 'none'"):
        assert part in policy
    assert "inert" in page.content.decode() and "<script" not in page.content.decode()
    edit = as_admin.get(reverse("annotate:project-edit", args=[project.slug]))
    assert "frame-src 'self'" in edit["Content-Security-Policy"] and edit["X-Frame-Options"] == "DENY"
    assert "frame-src" not in as_admin.get("/projects/")["Content-Security-Policy"]


def test_a_project_previews_its_own_first_comparison_when_it_has_k_responses(as_admin, project, make_comparison):
    make_comparison(project, "<b>Own</b> question?", ["one", "two", "three", "<script>alert(1)</script>"])
    data = form_data(project, **{"dimension-0-label": "Sparkle"}) | {"project": project.slug}
    html = as_admin.post(PREVIEW, data).content.decode()
    assert "Own" in html and "<script" not in html and "<b>Own" not in html
    other = as_admin.post(PREVIEW, data | {"k": "5"}).content.decode()
    assert "our launch slips" in other and "Sparkle" in other
    assert project.dimensions.first().label == "Helpfulness"


def test_a_form_full_of_nonsense_is_previewed_as_far_as_it_makes_sense(as_admin, project):
    for data in (
        {},
        {"task": "x", "k": "-5", "dimension-TOTAL_FORMS": "99999"},
        {"project": "\x00", "name": "x" * 900},
    ):
        assert as_admin.post(PREVIEW, data).status_code == 200, data
    wrong = form_data(project, k="99", **{"dimension-0-key": "No Key", "dimension-0-label": "Broken"})
    assert as_admin.post(PREVIEW, wrong | {"project": project.slug}).status_code == 200
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM annotate_project")
        assert cursor.fetchone() == (1,)


# guidelines -----------------------------------------------------------------------------------------------------------


def test_versions_of_the_guidelines_and_what_each_changed(as_admin, admin, project):
    path = reverse("annotate:guidelines-history", args=[project.slug])
    assert "No guidelines yet" in as_admin.get(path).content.decode()
    for text in ("Be fair.\nBe brief.", "Be fair.\nBe very brief.", "Be <b>fair</b>.\nBe very brief."):
        project_update(project=project, user=admin, guidelines=text)
    html = as_admin.get(path).content.decode()
    assert "What version 3 changed" in html and "<b>fair" not in html
    assert "<ins>" in as_admin.get(path + "?version=2").content.decode()
    assert "all of it is new" in as_admin.get(path + "?version=1").content.decode()
    both = as_admin.get(path + "?version=3&since=1").content.decode()
    assert both.count("<ins>") >= 2
    for query in ("?version=9", "?version=x&since=%00"):
        assert as_admin.get(path + query).status_code == 200
    assert Guidelines.objects.count() == 3


def test_a_diff_shows_words_and_leaves_unchanged_lines_out():
    old = "".join(f"line {number}\n" for number in range(20))
    new = old.replace("line 10\n", "line ten\n")
    passages = text_diff(old, new)
    assert [p.hidden for p in passages if p.hidden] == [8, 7]
    [changed] = [p for p in passages if p.changed]
    assert [(piece.kind, piece.text) for piece in changed.pieces if piece.kind != "same"] == [
        ("gone", "10"),
        ("new", "ten"),
    ]
    rebuilt = "".join(piece.text for p in text_diff(old, new, around=99) for piece in p.pieces if piece.kind != "gone")
    assert rebuilt == new
    assert [(p.pieces[0].kind, p.pieces[0].text) for p in text_diff("", "all new")] == [("new", "all new")]
    assert text_diff("same", "same")[0].changed is False


# how far --------------------------------------------------------------------------------------------------------------


def test_the_project_page_says_how_long_the_rest_takes_only_when_it_can(
    as_admin, project, make_comparison, judge, annotator
):
    from datetime import timedelta

    from django.utils import timezone

    from annotate.models import Judgement

    for number in range(30):
        make_comparison(project, f"Q{number}", ["a", "b"], overlap=1)
    assert "Nobody has judged in the last 7 days" in as_admin.get(project.get_absolute_url()).content.decode()
    for comparison in Comparison.objects.all()[:10]:
        judge(comparison, annotator, helpfulness=[1, 2])
    assert "too few or too recent" in as_admin.get(project.get_absolute_url()).content.decode()
    Judgement.objects.update(created_at=timezone.now() - timedelta(days=2))
    html = as_admin.get(project.get_absolute_url()).content.decode()
    assert "About 4 days left" in html and "5 judgements a day" in html
    project.is_paused = True
    project.save()
    assert "it is unknown when" in as_admin.get(project.get_absolute_url()).content.decode()


def test_gold_is_neither_needed_nor_done(as_admin, project, make_comparison, annotator, admin):
    make_comparison(project, "Work?", ["a", "b"])
    make_comparison(project, "Gold?", ["a", "b"], purpose="gold", is_closed=True)
    progress = as_admin.get(project.get_absolute_url()).context["progress"]
    assert (progress.comparisons, progress.needed, progress.done) == (1, 2, 0)
    membership_add(project=project, user=admin, by=admin)
    assert assignment_next(annotator=admin, project=project) is not None
