"""Who sees which page, what it says, and that it does not slow down as rows grow."""

from __future__ import annotations

import re
from html import unescape as html_unescape

import pytest
from django.contrib.admin import site
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User
from annotate.importing.services import prompts_import
from annotate.models import Import, Invitation, Membership, Project, Prompt
from annotate.projects.forms_setup import ProjectSetup
from annotate.projects.invitations import invitation_create
from annotate.projects.services import membership_add, project_create, project_update
from tests.annotate.conftest import jsonl

PAGES = ("project-list", "project-new", "people")
PROJECT_PAGES = (
    "project-detail",
    "project-edit",
    "project-people",
    "comparison-list",
    "guidelines-history",
    "prompt-list",
    "prompt-import",
)


@pytest.fixture
def paths(project) -> list[str]:
    prompts_import(project=project, data=jsonl({"prompt": "Why is the sky blue?"}))
    prompt = project.prompts.get()
    membership = project.memberships.first()
    return [
        reverse("annotate:membership", args=[project.slug, membership.pk]),
        *(reverse(f"annotate:{name}") for name in PAGES),
        *(reverse(f"annotate:{name}", args=[project.slug]) for name in PROJECT_PAGES),
        reverse("annotate:prompt-detail", args=[project.slug, prompt.pk]),
    ]


def test_admins_see_every_page(paths, as_admin):
    for path in paths:
        assert as_admin.get(path).status_code == 200, path


@pytest.mark.parametrize("who", ["as_annotator", "as_other_annotator", "as_outsider"])
def test_annotators_see_no_admin_page(who, paths, request):
    client = request.getfixturevalue(who)
    for path in paths:
        assert client.get(path).status_code == 403, path


def test_strangers_are_asked_to_log_in(paths, as_nobody):
    for path in paths:
        response = as_nobody.get(path)
        assert response.status_code == 302 and response.url.startswith("/account/login/"), path


def test_only_admins_write(project, admin, annotator, as_annotator, as_outsider, as_nobody):
    membership = Membership.objects.get(user=annotator)
    invitation, _ = invitation_create(user=admin)
    preview = Import.objects.create(project=project, sha256="0" * 64, size=1)
    posts = [
        ("project-new", [], {"name": "Mine"}),
        ("project-edit", [project.slug], {"name": "Mine"}),
        ("prompt-import", [project.slug], {"text": '{"prompt": "x"}'}),
        ("import-confirm", [project.slug, preview.pk], {}),
        ("import-settings", [project.slug, preview.pk], {"format": "prompts"}),
        ("import-discard", [project.slug, preview.pk], {}),
        ("people", [], {"role": "admin", "days": 7}),
        ("people-act", [], {"action": "pause", "pick": annotator.pk}),
        ("membership", [project.slug, membership.pk], {"role": "reviewer"}),
        ("membership-switch", [membership.pk], {"active": "0"}),
        ("invitation-revoke", [invitation.pk], {}),
    ]
    for client, status in ((as_annotator, 403), (as_outsider, 403), (as_nobody, 302)):
        for name, args, data in posts:
            assert client.post(reverse(f"annotate:{name}", args=args), data).status_code == status, name
    membership.refresh_from_db()
    invitation.refresh_from_db()
    assert membership.is_active and invitation.revoked_at is None
    assert (Project.objects.count(), Invitation.objects.count(), Prompt.objects.count()) == (1, 1, 0)
    assert Import.objects.get().state == "preview"


def test_the_first_project_is_led_to_by_the_hand(as_admin):
    page = as_admin.get(reverse("annotate:project-list"))
    assert b"Create the first project" in page.content


INITIAL = re.compile(r'<input type="hidden" name="(initial-[^"]+)"(?: value="([^"]*)")?')


def form_data(project: Project | None = None, **changes: str) -> dict[str, str]:
    """What a browser would send of the set-up page as it is rendered, with some fields changed; None takes one out."""
    setup = ProjectSetup(None, project)
    data: dict[str, object] = {}
    for part in (setup.form, setup.dimensions, setup.attributes, setup.flags):
        forms = [part.management_form, *part.forms] if hasattr(part, "forms") else [part]
        for field in (field for form in forms for field in form):
            value = field.value()
            if value is not None and value is not False and value != "":
                data[field.html_name] = "on" if value is True else value
    data |= {"name": "Truth"} if project is None else {}
    return {name: value for name, value in {**data, **changes}.items() if value is not None}


def test_a_project_is_made_and_changed_on_one_page(as_admin):
    rows = {"dimension-0-label": "Truthfulness", "dimension-0-key": "", "dimension-1-label": "", "dimension-1-key": ""}
    made = as_admin.post(reverse("annotate:project-new"), form_data(**rows, **{"dimension-1-question": ""}))
    project = Project.objects.get()
    assert made.status_code == 302 and made.url == project.get_absolute_url()
    assert [(d.key, d.label) for d in project.dimensions.all()] == [("truthfulness", "Truthfulness")]
    edit = reverse("annotate:project-edit", args=[project.slug])
    as_admin.post(edit, form_data(project, name="Truths", is_paused="on", **{"dimension-1-key": "wit"}))
    project.refresh_from_db()
    assert (project.name, project.is_paused) == ("Truths", True)
    assert [d.key for d in project.dimensions.all()] == ["truthfulness", "wit"]


def test_wrong_values_are_shown_beside_their_fields_and_nothing_is_saved(as_admin):
    page = as_admin.post(reverse("annotate:project-new"), form_data(k="40"))
    assert page.status_code == 422 and page.context["form"].errors["k"]
    page = as_admin.post(reverse("annotate:project-new"), form_data(**{"dimension-0-key": "Two Words"}))
    assert page.status_code == 422 and b"lower-case letters" in page.content
    assert not Project.objects.exists()


def test_the_project_page_says_what_to_do_next(as_admin, project, make_comparison, judge, annotator):
    page = as_admin.get(project.get_absolute_url())
    assert page.context["step"].title == "Import prompts"
    prompts_import(project=project, data=jsonl({"prompt": "One?"}))
    assert as_admin.get(project.get_absolute_url()).context["step"].title == "Generate responses"
    comparison = make_comparison(project, "One?", ["a", "b"], overlap=1)
    assert as_admin.get(project.get_absolute_url()).context["step"].title == "Annotate"
    judge(comparison, annotator, helpfulness=[1, 2])
    comparison.is_closed = True
    comparison.save()
    assert as_admin.get(project.get_absolute_url()).context["step"].title == "Build a dataset version"


def test_a_prompt_belongs_to_its_project(as_admin, admin, project):
    other = project_create(name="Other", user=admin)
    prompts_import(project=project, data=jsonl({"prompt": "x"}))
    prompt = project.prompts.get()
    assert as_admin.get(reverse("annotate:prompt-detail", args=[other.slug, prompt.pk])).status_code == 404


def test_people_are_invited_paused_and_let_in_again(as_admin, as_nobody, project, annotator):
    page = as_admin.post(reverse("annotate:people"), {"role": "annotator", "days": "3", "projects": [project.pk]})
    link = page.context["link"]
    assert link in page.content.decode()
    assert link not in as_admin.get(reverse("annotate:people")).content.decode()
    form = {"username": "dora", "password": "a-long-way-down-7", "again": "a-long-way-down-7"}
    assert as_nobody.post(link, form | {"again": "other"}).status_code == 422
    accepted = as_nobody.post(link, form)
    assert (
        accepted.status_code == 302 and int(as_nobody.session["_auth_user_id"]) == User.objects.get(username="dora").pk
    )
    assert as_nobody.get(link).status_code == 410
    membership = Membership.objects.get(user=annotator)
    for active in (False, True):
        as_admin.post(reverse("annotate:membership-switch", args=[membership.pk]), {"active": str(int(active))})
        membership.refresh_from_db()
        assert membership.is_active is active


def test_the_dashboard_shows_projects_to_admins(as_admin, project):
    assert project.name in as_admin.get("/").content.decode()


def test_hostile_addresses_are_not_found_and_not_crashes(as_admin, project):
    huge = "9" * 30
    for path in (
        "/projects/none/",
        f"/projects/{project.slug}/prompts/{10**18}/",
        "/invitation/x/",
    ):
        assert as_admin.get(path).status_code in (404, 410), path
    for query in (f"?after={huge}", "?before=-1", "?after=x", "?tag=%00"):
        assert as_admin.get(f"/projects/{project.slug}/prompts/{query}").status_code == 200, query
    assert as_admin.get("/people/?project=x").status_code == 200


def _queries(client, path: str) -> int:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert client.get(path).status_code == 200
    return len(captured)


def test_lists_ask_as_much_of_the_database_for_many_rows_as_for_few(
    as_admin, admin, project, annotator, other_annotator, make_comparison, judge
):
    paths = ["/projects/", "/people/", "/", project.get_absolute_url(), f"/projects/{project.slug}/prompts/"]

    def grow(count: int) -> None:
        for number in range(count):
            tag = f"{Project.objects.count()}-{number}"
            other = project_create(name=f"Project {tag}", user=admin)
            user = User.objects.create_user(f"user-{tag}")
            membership_add(project=other, user=user, by=admin)
            membership_add(project=project, user=user, by=admin)
            invitation_create(user=admin, projects=[project, other])
            comparison = make_comparison(project, f"Question {tag}", ["a", "b", "c"])
            for judging in (annotator, other_annotator):
                judge(comparison, judging, helpfulness=[1, 2, 3])

    grow(1)
    before = {path: _queries(as_admin, path) for path in paths}
    grow(4)
    assert {path: _queries(as_admin, path) for path in paths} == before


def test_a_page_that_was_open_for_long_undoes_nothing(as_admin, project):
    """It says what it showed, and what is as it showed it is not written."""
    edit = reverse("annotate:project-edit", args=[project.slug])
    html = as_admin.get(edit).content.decode()
    shown = {html_unescape(n): html_unescape(v) for n, v in INITIAL.findall(html)}
    assert {"initial-is_paused", "initial-guidelines", "initial-gold_rate"} <= shown.keys()
    sent = form_data(project, overlap="5") | shown
    project_update(project=project, is_paused=True, guidelines="Be fair.", gold_rate=0.25, daily_limit=7)
    assert as_admin.post(edit, sent).status_code == 302
    project.refresh_from_db()
    assert (project.overlap, project.is_paused, project.guidelines) == (5, True, "Be fair.")
    assert (project.gold_rate, project.daily_limit) == (0.25, 7)
    again = form_data(project) | {"initial-is_paused": "True"}
    again.pop("is_paused")
    assert as_admin.post(edit, again).status_code == 302
    project.refresh_from_db()
    assert not project.is_paused, "what is changed on the page is changed"


def test_djangos_admin_lists_every_model_and_changes_no_history(as_admin, project, make_comparison, judge, annotator):
    project_update(project=project, guidelines="Be fair.")
    judge(make_comparison(project, "Why?", ["a", "b"]), annotator, helpfulness=[1, 2])
    listed = {model: options for model, options in site._registry.items() if model._meta.app_label == "annotate"}
    assert {"Membership", "Attribute", "Comparison", "Judgement"} <= {model.__name__ for model in listed}
    for model, options in listed.items():
        path = f"/admin/annotate/{model._meta.model_name}/"
        assert as_admin.get(path).status_code == 200, path
        request = as_admin.get(path).wsgi_request
        if model.__name__ != "Generator":  # described there; nobody's work hangs on what it says
            assert not options.has_add_permission(request) and not options.has_change_permission(request), path
            assert not options.has_delete_permission(request), path
            for inline in options.get_inline_instances(request):
                assert not inline.has_add_permission(request, None) and not inline.has_change_permission(request), path
        row = model._base_manager.first()
        if row is not None:
            assert as_admin.get(f"{path}{row.pk}/change/").status_code == 200, path
