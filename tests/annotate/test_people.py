"""People: who is found, what is changed for one or for many, and what is left on record."""

from __future__ import annotations

import threading

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEntry, User
from annotate.models import Membership, QualityReport
from annotate.projects.invitations import invitation_accept, invitation_create, invitation_revoke
from annotate.projects.services import membership_add, people_change, project_create
from annotate.quality.words import FLAGS

PASSWORD = "a-long-way-down-7"


def actions(project) -> list[tuple[str, str]]:
    entries = AuditEntry.objects.filter(scope=f"project:{project.pk}", action__startswith="membership.").order_by("id")
    return [(entry.action.removeprefix("membership."), entry.subject) for entry in entries]


def test_an_invited_reviewer_is_a_reviewer_in_the_projects_of_the_invitation(admin, project):
    _, token = invitation_create(user=admin, role="reviewer", projects=[project])
    user = invitation_accept(token=token, username="rita", password=PASSWORD)
    assert not user.is_staff and project.memberships.get(user=user).role == "reviewer"


def test_adding_somebody_again_keeps_their_role_and_wakes_them(admin, project, outsider):
    membership_add(project=project, user=outsider, by=admin, role="reviewer")
    Membership.objects.filter(user=outsider).update(is_active=False)
    again = membership_add(project=project, user=outsider, by=admin)
    assert (again.role, again.is_active) == ("reviewer", True)
    assert Membership.objects.filter(user=outsider).count() == 1


def test_many_people_are_changed_together_and_each_change_is_on_record(
    as_admin, admin, project, annotator, other_annotator, outsider
):
    membership_add(project=project, user=other_annotator, by=admin)
    everybody = [annotator.pk, other_annotator.pk, outsider.pk]
    path = reverse("annotate:people-act")

    def act(action: str, pick=everybody, where=project.pk) -> str:
        data = {"action": action, "project": where, "pick": pick}
        return as_admin.post(path, data, follow=True).content.decode()

    assert "Add to Kindness: 1 person." in act("add")
    assert "Pause in Kindness: 3 people." in act("pause")
    assert "Resume in Kindness: 1 person." in act("resume", [outsider.pk])
    assert "Make reviewer in Kindness: 2 people." in act("reviewer", [annotator.pk, outsider.pk])
    assert "Choose a project." in act("reviewer", where="")
    assert "Check some people first." in act("pause", [])
    states = {m.user.username: (m.is_active, m.role) for m in project.memberships.select_related("user")}
    assert states == {"ben": (False, "reviewer"), "cleo": (False, "annotator"), "otto": (True, "reviewer")}
    assert actions(project)[2:] == [
        ("added", "otto"),
        ("paused", "ben"),
        ("paused", "cleo"),
        ("paused", "otto"),
        ("resumed", "otto"),
        ("changed", "ben"),
        ("changed", "otto"),
    ]
    assert AuditEntry.objects.filter(action="membership.paused").first().actor == admin


def test_pausing_without_a_project_pauses_everywhere(admin, project, annotator):
    other = project_create(name="Other", user=admin)
    membership_add(project=other, user=annotator, by=admin)
    assert people_change(users=[annotator], project=None, action="pause", by=admin) == 2
    assert not Membership.objects.filter(user=annotator, is_active=True).exists()


def test_imported_authors_cannot_be_added(admin, project):
    author = User.objects.create_user("import-hh", kind=User.Kind.IMPORT)
    assert people_change(users=[author], project=project, action="add", by=admin) == 0
    with pytest.raises(ValidationError):
        people_change(users=[author], project=project, action="delete", by=admin)


@pytest.mark.django_db(transaction=True)
def test_many_people_are_changed_by_many_at_once_without_a_deadlock(admin, project):
    """Whatever order they were checked in, rows are locked in the order of their ids."""
    people = [User.objects.create_user(f"person-{number}") for number in range(12)]
    errors, gate = [], threading.Barrier(3)

    def work(action: str, turn: int) -> None:
        try:
            gate.wait()
            for _ in range(4):
                people_change(users=people[::turn], project=project, action=action, by=admin)
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=each) for each in (("add", 1), ("add", -1), ("pause", -1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert project.memberships.filter(user__in=people).count() == 12


def test_people_are_added_in_one_order_under_locks(admin, project, outsider, other_annotator):
    people = sorted([other_annotator, outsider], key=lambda user: user.pk)
    for user in people:
        membership_add(project=project, user=user, by=admin)
    Membership.objects.update(is_active=False)
    with CaptureQueriesContext(connection) as queries:
        people_change(users=people[::-1], project=project, action="add", by=admin)
    touched = [q["sql"] for q in queries if 'FROM "annotate_membership"' in q["sql"]]
    assert "ORDER BY" in touched[0] and all("FOR NO KEY UPDATE" in sql for sql in touched)
    assert [name for verb, name in actions(project) if verb == "resumed"] == [str(user) for user in people]


def test_one_persons_place_is_changed_on_one_page(as_admin, admin, project, annotator):
    membership = project.memberships.get(user=annotator)
    path = reverse("annotate:membership", args=[project.slug, membership.pk])
    data = {"role": "reviewer", "total_limit": "40", "is_active": "on", "qualification": "1"}
    assert as_admin.post(path, data).status_code == 302
    membership.refresh_from_db()
    assert (membership.role, membership.total_limit, membership.qualification) == ("reviewer", 40, "passed")
    assert AuditEntry.objects.filter(action="membership.changed").get().details["changed"] == {
        "role": ["annotator", "reviewer"],
        "total_limit": [None, 40],
    }
    assert AuditEntry.objects.filter(action="membership.qualified").count() == 1
    as_admin.post(path, data)  # nothing new, nothing to record
    assert AuditEntry.objects.filter(action__in=["membership.changed", "membership.qualified"]).count() == 2
    as_admin.post(path, data | {"qualification": ""})
    membership.refresh_from_db()
    assert membership.qualification == "open"


def test_a_wrong_limit_is_a_field_error_and_nothing_is_changed(as_admin, project, annotator):
    membership = project.memberships.get(user=annotator)
    path = reverse("annotate:membership", args=[project.slug, membership.pk])
    page = as_admin.post(path, {"role": "reviewer", "total_limit": "-3", "is_active": "on", "qualification": "1"})
    assert page.status_code == 422 and page.context["form"].errors["total_limit"]
    membership.refresh_from_db()
    assert (membership.role, membership.total_limit, membership.qualification) == ("annotator", None, "open")


def test_a_membership_belongs_to_its_project(as_admin, admin, project, annotator):
    other = project_create(name="Other", user=admin)
    membership = project.memberships.get(user=annotator)
    assert as_admin.get(reverse("annotate:membership", args=[other.slug, membership.pk])).status_code == 404


def test_people_are_found_by_name_and_state(as_admin, admin, project, annotator, outsider):
    membership_add(project=project, user=outsider, by=admin)
    project.memberships.filter(user=outsider).update(is_active=False)

    def found(path: str) -> set[str]:
        rows = as_admin.get(path).context["rows"]
        return {str(getattr(row[0], "user", row[0])) for row in rows}

    here = reverse("annotate:project-people", args=[project.slug])
    assert found("/people/?q=OTT") == {"otto"}
    assert found("/people/?role=admin") == {"ada"}
    assert found("/people/?role=none") == {"ada"}
    assert found(f"{here}?state=paused") == {"otto"}
    assert found(f"{here}?q=b") == {"ben"}
    for query in ("?q=%00", "?page=x", "?page=99999", "?role=DROP", "?state=x"):
        assert as_admin.get(f"/people/{query}").status_code == 200
        assert as_admin.get(here + query).status_code == 200


def test_what_people_did_and_how_well_is_shown(as_admin, project, annotator, make_comparison, judge):
    judge(make_comparison(project, "Why?", ["a", "b"]), annotator, helpfulness=[1, 2])
    about = {"agreement": {"value": 0.8, "low": 0.7, "high": 0.9, "n": 40}, "flags": ["random"]}
    QualityReport.objects.create(
        project=project,
        data={"groups": {"human": {"annotators": {str(annotator.pk): about}}}},
        computed_at=timezone.now(),
    )
    page = as_admin.get(reverse("annotate:project-people", args=[project.slug]))
    html = page.content.decode()
    assert "80.0 % [70.0 %, 90.0 %]" in html and FLAGS["random"].label in html
    assert page.context["rows"][0][1].judgements == 1
    QualityReport.objects.update(data={})
    assert as_admin.get(reverse("annotate:project-people", args=[project.slug])).status_code == 200


def test_lists_of_people_ask_as_much_for_many_as_for_few(as_admin, admin, project):
    paths = ["/people/", reverse("annotate:project-people", args=[project.slug])]

    def queries() -> list[int]:
        counts = []
        for path in paths:
            with CaptureQueriesContext(connection) as captured:
                assert as_admin.get(path).status_code == 200
            counts.append(len(captured))
        return counts

    before = queries()
    for number in range(60):
        membership_add(project=project, user=User.objects.create_user(f"u{number:02d}"), by=admin)
    assert queries() == before
    assert len(as_admin.get(paths[1]).context["rows"]) == 50


def test_invitations_leave_a_trace_without_their_secret(admin, project):
    invitation, token = invitation_create(user=admin, projects=[project], note="for Rita")
    invitation_revoke(invitation=invitation, by=admin)
    invitation_revoke(invitation=invitation, by=admin)
    entries = list(AuditEntry.objects.filter(action__startswith="invitation.").order_by("id"))
    assert [entry.action for entry in entries] == ["invitation.created", "invitation.revoked"]
    assert not any(token in str(entry.details) + entry.subject for entry in entries)
