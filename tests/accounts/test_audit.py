"""The audit trail: what is written, who may read it, and that nobody changes it."""

import pytest
from django.urls import reverse
from knox.models import AuthToken

from accounts.audit import audit_record
from accounts.models import AuditEntry

pytestmark = pytest.mark.django_db
URL, ENDPOINT = "/audit/", "/api/v1/audit/"


@pytest.fixture
def entries(admin, annotator):
    audit_record(actor=admin, action="project.changed", subject="Kites", scope="project:7", changed={"overlap": [1, 3]})
    audit_record(actor=admin, action="membership.paused", subject="ben in Kites", scope="project:7", reason="too quick")
    audit_record(actor=annotator, action="adjudication.made", subject="comparison 4", scope="project:9")
    audit_record(actor=None, action="run.started", subject="dataset run 2: Kites")


def rows(client, **given) -> list[str]:
    page = client.get(URL, given)
    assert page.status_code == 200
    return [entry.action for entry in page.context["page"].entries]


def test_admins_read_it_and_nobody_else(as_admin, as_annotator, as_outsider, as_nobody, entries):
    page = as_admin.get(URL).content.decode()
    assert "ben in Kites" in page
    assert "1 → 3" in page
    assert "the system" in page
    assert as_annotator.get(URL).status_code == as_outsider.get(URL).status_code == 403
    assert as_nobody.get(URL).status_code == 302
    assert as_admin.get(ENDPOINT).status_code == 200
    assert as_annotator.get(ENDPOINT).status_code == as_outsider.get(ENDPOINT).status_code == 403
    assert as_nobody.get(ENDPOINT).status_code == 401
    for method in ("post", "put", "patch", "delete"):
        assert getattr(as_admin, method)(ENDPOINT).status_code == 405
    assert f'href="{URL}"' in as_admin.get("/").content.decode()


def test_filters_narrow_it_down(as_admin, admin, annotator, entries):
    assert rows(as_admin) == ["run.started", "adjudication.made", "membership.paused", "project.changed"]
    assert rows(as_admin, person=annotator.pk) == ["adjudication.made"]
    assert rows(as_admin, scope="project:7") == ["membership.paused", "project.changed"]
    assert rows(as_admin, action="membership.paused") == ["membership.paused"]
    assert rows(as_admin, action="project") == ["project.changed"]
    assert rows(as_admin, q="too QUICK") == ["membership.paused"]
    assert rows(as_admin, q="no such thing") == []
    assert "No entry fits" in as_admin.get(URL, {"q": "no such thing"}).content.decode()
    found = as_admin.get(ENDPOINT, {"person": admin.pk, "q": "overlap"}).json()["results"]
    assert [(row["actor"], row["details"]) for row in found] == [("ada", {"changed": {"overlap": [1, 3]}})]


@pytest.mark.parametrize("given", ["?person=x", "?person=99999999999999999999", "?before=-1", "?q=%00", "?scope=%00"])
def test_nonsense_in_the_address_finds_something_or_nothing(as_admin, entries, given):
    assert as_admin.get(URL + given).status_code == 200
    assert as_admin.get(ENDPOINT + given).status_code == 200


def test_pages_follow_one_another_without_gaps(as_admin, admin, django_assert_max_num_queries):
    made = [audit_record(actor=admin, action="thing.done", subject=str(n)).pk for n in range(230)]
    seen, url = [], URL
    while url:
        with django_assert_max_num_queries(12):
            page = as_admin.get(url).context["page"]
        seen += [entry.pk for entry in page.entries]
        url = f"{URL}?before={page.older}" if page.older else ""
    assert seen == made[::-1]


def test_an_entry_is_never_changed(as_admin, entries):
    entry = AuditEntry.objects.first()
    entry.subject = "something else"
    with pytest.raises(TypeError):
        entry.save()
    with pytest.raises(TypeError):
        entry.delete()
    change = as_admin.get(reverse("admin:accounts_auditentry_change", args=[entry.pk]))
    assert change.status_code == 200
    assert 'name="_save"' not in change.content.decode()
    assert as_admin.get(reverse("admin:accounts_auditentry_add")).status_code == 403
    assert as_admin.post(reverse("admin:accounts_auditentry_delete", args=[entry.pk])).status_code == 403


def test_tokens_leave_a_trace_without_their_secret(as_annotator, annotator):
    token = as_annotator.post(reverse("accounts:token-create")).context["new_token"]
    key = AuthToken.objects.get().token_key
    as_annotator.post(reverse("accounts:token-revoke", args=[key]))
    as_annotator.post(reverse("accounts:token-revoke", args=[key]))
    as_annotator.post("/api/v1/tokens/")
    as_annotator.delete(f"/api/v1/tokens/{AuthToken.objects.get().token_key}/")
    trail = AuditEntry.objects.order_by("id")
    assert [entry.action for entry in trail] == ["token.created", "token.revoked"] * 2
    assert {entry.actor for entry in trail} == {annotator}
    assert not any(token in str(entry.subject) + str(entry.details) for entry in trail)


def test_a_scope_reads_as_the_project_it_is(as_admin, admin):
    from annotate.projects.services import project_create

    project = project_create(name="Kites", user=admin)
    page = as_admin.get(URL)
    assert f'<a href="{project.get_absolute_url()}">Kites</a>' in page.content.decode()


# what is written ------------------------------------------------------------------------------------------------------


def actions() -> list[str]:
    return list(AuditEntry.objects.order_by("id").values_list("action", flat=True))


def test_what_admins_do_is_written_with_who_did_it_and_where(as_admin, admin, annotator):
    """Through the API, which uses the services that pages use."""

    def post(path: str, data: dict, status: int = 201, method: str = "post") -> dict:
        answer = getattr(as_admin, method)(f"/api/v1/{path}/", data, content_type="application/json")
        assert answer.status_code == status, answer.content
        return answer.json() if answer.content else {}

    project = post("projects", {"name": "Kites", "overlap": 1})
    post(f"projects/{project['id']}", {"overlap": 3}, 200, "patch")
    member = post("memberships", {"project": project["id"], "user": annotator.pk})
    post(f"memberships/{member['id']}", {"is_active": False}, 200, "patch")
    invitation = post("invitations", {"role": "annotator", "projects": [project["id"]]})
    as_admin.delete(f"/api/v1/invitations/{invitation['invitation']['id']}/")
    post("generators", {"name": "tiny", "model": "smollm2-135m-instruct"})
    written = actions()
    for action in (
        "project.created",
        "project.changed",
        "membership.added",
        "invitation.created",
        "invitation.revoked",
        "generator.created",
    ):
        assert action in written, action
    assert [action for action in written if action.startswith("membership.")][1:], "pausing"
    changed = AuditEntry.objects.get(action="project.changed")
    assert changed.details["changed"]["overlap"] == [1, 3]
    assert changed.scope == f"project:{project['id']}"
    assert {entry.actor for entry in AuditEntry.objects.all()} == {admin}


def test_imports_and_runs_are_written(as_admin, admin):
    from django.core.files.uploadedfile import SimpleUploadedFile

    from annotate.datasets.models import DatasetRun
    from annotate.projects.services import project_create
    from runs.services import run_cancel, run_enqueue, run_retry

    project = project_create(name="Kites", user=admin)
    file = SimpleUploadedFile("wind.jsonl", b'{"prompt": "Why does wind blow?"}\n')
    path = reverse("annotate:prompt-import", args=[project.slug])
    as_admin.post(as_admin.post(path, {"file": file}).url + "confirm")
    imported = AuditEntry.objects.get(action="file.imported")
    assert (imported.actor, imported.subject, imported.details["records"]) == (admin, "wind.jsonl", 1)
    run = run_enqueue(run=DatasetRun(kind="dataset", title="First", project=project, created_by=admin))
    run_cancel(run=run, user=admin)
    run_retry(run=run, user=admin)
    assert actions()[-3:] == ["run.started", "run.cancelled", "run.retried"]
    assert set(AuditEntry.objects.filter(action__startswith="run.").values_list("scope", flat=True)) == {
        f"project:{project.pk}"
    }


def test_what_is_done_to_accounts_in_djangos_admin_is_on_record_without_passwords(as_admin, admin, outsider):
    path = reverse("admin:accounts_user_change", args=[outsider.pk])
    form = as_admin.get(path).context["adminform"].form
    given = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items() if name != "password"}
    joined = given.pop("date_joined")
    sent = {name: value for name, value in given.items() if value not in (None, "", False, [])}
    sent |= {"date_joined_0": joined.date().isoformat(), "date_joined_1": f"{joined:%H:%M:%S}", "is_staff": "on"}
    assert as_admin.post(path, sent).status_code == 302
    entry = AuditEntry.objects.get(action="user.changed")
    assert (entry.actor, entry.subject, entry.details["is_admin"]) == (admin, "otto", True)
    password = reverse("admin:auth_user_password_change", args=[outsider.pk])
    secret = "quite-another-7"
    data = {"password1": secret, "password2": secret, "usable_password": "true"}
    assert as_admin.post(password, data).status_code == 302
    assert AuditEntry.objects.filter(action="user.changed").count() == 2
    assert not any(secret in str(entry.details) for entry in AuditEntry.objects.all())
    delete = reverse("admin:accounts_user_delete", args=[outsider.pk])
    assert as_admin.post(delete, {"post": "yes"}).status_code == 302
    assert AuditEntry.objects.get(action="user.deleted").subject == "otto"
