"""Projects, dimensions, people: what services promise."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from accounts.models import User
from annotate.models import Invitation, Project
from annotate.projects.invitations import invitation_accept, invitation_create, invitation_find, invitation_revoke
from annotate.projects.selectors import project_progress, projects_with_progress, prompts_page
from annotate.projects.services import project_create, project_update, prompts_import
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
    with pytest.raises(ValidationError, match="has judgements already"):
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


def test_pages_of_prompts_meet_without_gap_or_repetition(project):
    prompts_import(project=project, data=jsonl(*[{"prompt": f"Question {i}"} for i in range(7)]))
    first = prompts_page(project, size=3)
    second = prompts_page(project, after=first.newer, size=3)
    third = prompts_page(project, after=second.newer, size=3)
    assert [len(page.prompts) for page in (first, second, third)] == [3, 3, 1]
    assert first.older is None and third.newer is None
    assert prompts_page(project, before=second.older, size=3).prompts == first.prompts
    assert prompts_page(project, before=third.older, size=3).prompts == second.prompts


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
