"""Projects, dimensions, people: what services promise."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils import timezone

from accounts.models import AuditEntry, User
from annotate.importing.services import prompts_import
from annotate.models import Assignment, Comparison, Invitation, Project
from annotate.projects.invitations import invitation_accept, invitation_create, invitation_find, invitation_revoke
from annotate.projects.selectors import project_progress, projects_with_progress, prompts_page
from annotate.projects.services import project_create, project_update
from tests.annotate.conftest import jsonl

PASSWORD = "a-long-way-down-7"


def test_a_project_begins_with_helpfulness_and_harmlessness(project):
    assert [d.key for d in project.dimensions.all()] == ["helpfulness", "harmlessness"]


def test_two_projects_of_similar_names_have_addresses_of_their_own(admin):
    first, second, chinese = (project_create(name=name, user=admin) for name in ("Be kind", "Be kind!", "友善"))
    assert (first.slug, second.slug, chinese.slug) == ("be-kind", "be-kind-2", "project")


def test_no_project_takes_the_address_of_the_page_that_makes_them(admin):
    assert project_create(name="New", user=admin).slug == "new-2"


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("k", {"k": 1}),
        ("k", {"k": 17}),
        ("overlap", {"overlap": 0}),
        ("name", {"name": " "}),
        ("dimensions", {"dimensions": []}),
        ("dimensions", {"dimensions": [{"key": "a", "label": "A"}, {"key": "a", "label": "B"}]}),
        ("dimensions", {"dimensions": [{"key": "Not A Key", "label": "A"}]}),
    ],
)
def test_an_impossible_project_is_a_field_error_and_is_not_there(admin, field, values):
    with pytest.raises(ValidationError) as error:
        project_create(**{"name": "X", "user": admin, **values})
    assert field in error.value.message_dict
    assert not Project.objects.exists()


def test_a_judged_dimension_cannot_be_taken_away(project, make_comparison, judge, annotator):
    judge(make_comparison(project, "Why?", ["a", "b"]), annotator, helpfulness=[1, 2])
    with pytest.raises(ValidationError, match="has judgements"):
        project_update(project=project, dimensions=[{"key": "harmlessness"}])
    project_update(project=project, dimensions=[{"key": "helpfulness", "label": "Use"}, {"key": "wit"}])
    assert [(d.key, d.label) for d in project.dimensions.all()] == [("helpfulness", "Use"), ("wit", "Wit")]


def test_progress_counts_places_and_not_more_judgements_than_needed(
    project, make_comparison, judge, annotator, other_annotator
):
    half = make_comparison(project, "One?", ["a", "b"])
    full = make_comparison(project, "Two?", ["a", "b"], is_closed=True)
    for comparison, user in ((half, annotator), (full, annotator), (full, other_annotator)):
        judge(comparison, user, helpfulness=[1, 2])
    progress = project_progress(project)
    assert (progress.needed, progress.done, progress.judgements, progress.closed) == (4, 3, 3, 1)
    [listed] = projects_with_progress()
    assert (listed.needed, listed.done, listed.comparison_count, listed.member_count) == (4, 3, 2, 1)


def test_what_was_closed_by_hand_is_not_done(project, make_comparison, judge, annotator, other_annotator, admin):
    open_, untouched, short, full, late = (make_comparison(project, f"{n}?", ["a", "b"], overlap=2) for n in range(5))
    gold = make_comparison(project, "Known?", ["a", "b"], purpose="gold", is_closed=True)
    for comparison, people in (
        (open_, [annotator]),
        (short, [annotator]),
        (full, [annotator, other_annotator, admin]),
        (late, [annotator, other_annotator]),
        (gold, [annotator]),
    ):
        for user in people:
            judge(comparison, user, helpfulness=[1, 2])
    # One of the two came when no place was left, and was kept beside the other.
    seat = {"comparison": late, "state": "submitted"}
    for slot, user in ((0, annotator), (None, other_annotator)):
        assignment = Assignment.objects.create(annotator=user, slot=slot, **seat)
        late.judgements.filter(annotator=user).update(assignment=assignment)
    Comparison.objects.filter(pk__in=[untouched.pk, short.pk, full.pk, late.pk]).update(is_closed=True)
    other = project_create(name="Other", user=admin)
    progress = project_progress(project)
    # open 1 of 2, untouched 0 of 0, short 1 of 1, full 2 of 2, late 1 of 1
    assert (progress.done, progress.needed) == (5, 6)
    assert (progress.comparisons, progress.closed, progress.judgements) == (5, 4, 7)
    assert {p.name: (p.done, p.needed) for p in projects_with_progress()} == {"Kindness": (5, 6), "Other": (0, 0)}
    assert [p.name for p in projects_with_progress(limit=1)] == ["Other"]
    assert project_progress(other).share is None


def test_pages_of_prompts_meet_without_gap_or_repetition(project):
    prompts_import(project=project, data=jsonl(*[{"prompt": f"Question {i}"} for i in range(7)]))
    first = prompts_page(project, size=3)
    second = prompts_page(project, after=first.newer, size=3)
    third = prompts_page(project, after=second.newer, size=3)
    assert [len(page.prompts) for page in (first, second, third)] == [3, 3, 1]
    assert first.older is None and third.newer is None
    assert prompts_page(project, before=second.older, size=3).prompts == first.prompts
    assert prompts_page(project, before=third.older, size=3).prompts == second.prompts


def test_two_admins_do_not_undo_each_others_changes(project, admin):
    """Each has read the project before the other changed it."""
    mine, theirs = Project.objects.get(pk=project.pk), Project.objects.get(pk=project.pk)
    project_update(project=theirs, user=admin, is_paused=True, guidelines="First")
    project_update(project=mine, user=admin, overlap=5)
    now = Project.objects.get(pk=project.pk)
    assert (now.is_paused, now.overlap, now.guidelines) == (True, 5, "First")
    assert (mine.is_paused, mine.overlap) == (True, 5), "the one that was given is up to date"
    assert AuditEntry.objects.filter(action="project.changed").first().details["changed"] == {"overlap": [2, 5]}


@pytest.mark.django_db(transaction=True)
def test_two_admins_who_publish_guidelines_at_once_make_two_versions(project, admin):
    """The second comes while the first has not committed yet, so neither sees the other's version."""
    errors, written = [], threading.Event()

    def publish(text: str, hold: float) -> None:
        try:
            with transaction.atomic():
                project_update(project=Project.objects.get(pk=project.pk), user=admin, guidelines=text)
                written.set()
                time.sleep(hold)
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    first = threading.Thread(target=publish, args=["One", 0.5])
    second = threading.Thread(target=publish, args=["Two", 0.0])
    first.start()
    assert written.wait(30)
    second.start()
    for thread in (first, second):
        thread.join()
    assert not errors
    assert list(project.guideline_versions.values_list("number", "text")) == [(2, "Two"), (1, "One")]


def test_a_dimension_does_not_take_the_key_of_an_attribute(project):
    project_update(project=project, attributes=[{"key": "wit"}])
    with pytest.raises(ValidationError) as refused:
        project_update(project=project, dimensions=[{"key": "helpfulness"}, {"key": "wit"}])
    assert "dimensions" in refused.value.message_dict
    assert not project.dimensions.filter(key="wit").exists()


# invitations --------------------------------------------------------------------------------------------------------


def test_an_invitation_makes_one_account_in_its_projects(admin, project):
    invitation, token = invitation_create(user=admin, projects=[project])
    assert token not in invitation.token_hash
    user = invitation_accept(token=token, username="dora", password=PASSWORD)
    assert not user.is_staff and user.check_password(PASSWORD)
    assert project.memberships.filter(user=user, is_active=True).exists()
    with pytest.raises(ValidationError, match="not valid any more"):
        invitation_accept(token=token, username="dora2", password=PASSWORD)


def test_an_admin_is_made_only_by_an_admins_invitation(admin):
    _, token = invitation_create(user=admin, role="admin")
    assert invitation_accept(token=token, username="eve", password=PASSWORD).is_staff


def test_an_invitation_that_is_old_revoked_or_invented_opens_nothing(admin):
    old, old_token = invitation_create(user=admin)
    Invitation.objects.filter(pk=old.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    revoked, revoked_token = invitation_create(user=admin)
    invitation_revoke(invitation=revoked)
    for token in (old_token, revoked_token, "x" * 43):
        assert invitation_find(token) is None
        with pytest.raises(ValidationError):
            invitation_accept(token=token, username="dora", password=PASSWORD)
    assert not User.objects.filter(username="dora").exists()


def test_a_bad_name_or_password_is_a_field_error_and_the_link_stays_good(admin):
    _, token = invitation_create(user=admin)
    with pytest.raises(ValidationError) as error:
        invitation_accept(token=token, username=admin.username, password="12345")
    assert {"username", "password"} <= error.value.message_dict.keys()
    assert invitation_find(token)
